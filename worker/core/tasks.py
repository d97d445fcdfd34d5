"""Named tasks that are kept alive by a reference and can be waited for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """Tasks under way."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start one; it is forgotten when it ends."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @property
    def names(self) -> tuple[str, ...]:
        """What is under way."""
        return tuple(sorted(task.get_name() for task in self._running))

    async def wait(self, seconds: float) -> bool:
        """Wait until nothing is under way, at most that long; whether that came."""
        try:
            async with asyncio.timeout(seconds):
                while self._running:
                    await asyncio.wait(tuple(self._running))
        except TimeoutError:
            return False
        return True

    async def cancel(self) -> None:
        """End what is still under way; only for the end of the process."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is done, and end the others."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

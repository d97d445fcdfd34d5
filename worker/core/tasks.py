"""Named tasks that are kept alive by a reference and can be waited for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

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


class FirstOf:
    """Waits for the first of several things, again and again. What did not come the last time is waited for on."""

    def __init__(self, *waits: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._waits = waits
        self._waiting: dict[int, asyncio.Task[object]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._waiting.values():
            task.cancel()
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)

    async def next(self) -> None:
        """Wait until one of them comes; what breaks instead is raised."""
        for place, wait in enumerate(self._waits):
            if place not in self._waiting:
                self._waiting[place] = asyncio.create_task(wait())
        await asyncio.wait(self._waiting.values(), return_when=asyncio.FIRST_COMPLETED)
        came = [place for place, task in self._waiting.items() if task.done()]
        for place in came:
            self._waiting.pop(place).result()

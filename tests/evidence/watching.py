"""Looking at another process again and again, as nobody tells when it changes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp

from worker.demo.worker_process import WorkerProcess

PATIENCE = 90.0
"""Seconds after which something that should have happened did not."""

_AGAIN_AFTER = 0.1  # seconds between two looks


async def until(true: Callable[[], Awaitable[bool]], seconds: float = PATIENCE) -> float:
    """Ask again and again until it is true; when that was, in monotonic seconds.

    Raises:
        TimeoutError: it did not become true.
    """
    async with asyncio.timeout(seconds):
        while True:
            if await true():
                return time.monotonic()
            await asyncio.sleep(_AGAIN_AFTER)


async def came_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether an event came in so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def is_ready(worker: WorkerProcess) -> bool:
    """Whether the worker says that it can do its work."""
    return (await page(worker, "readyz"))[0] == 200


async def is_not_ready(worker: WorkerProcess) -> bool:
    """Whether the worker says that it cannot."""
    return not await is_ready(worker)


async def shows(worker: WorkerProcess, line: str) -> bool:
    """Whether the metrics hold this line."""
    return line in (await page(worker, "metrics"))[1]


async def page(worker: WorkerProcess, name: str) -> tuple[int, str]:
    """Status and text of one of the worker's monitoring pages."""
    async with aiohttp.ClientSession() as session, session.get(f"{worker.metrics_url}/{name}") as answer:
        return answer.status, await answer.text()

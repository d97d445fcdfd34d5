"""A worker process that ends itself, or is ended, at a named point; seen from outside."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.evidence.doomed_worker import Doom
from tests.nursery import ForkedWorker, Kind

AGAIN_AFTER: Final = 0.02
"""Seconds between two looks at what tells nobody that it changed."""
_READY_WITHIN: Final = 120.0  # seconds


class PatientProcess(ForkedWorker):
    """A worker that may take its time to start: on a busy machine that says nothing of a promise."""

    async def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            RuntimeError: it ended.
            TimeoutError: it was not ready even then.
        """
        await self.begin()
        await self.until_ready(_READY_WITHIN)


class DoomedProcess(PatientProcess):
    """A worker that ends itself, or is ended, at a point."""

    def __init__(self, environment: Mapping[str, str], log: Path, doom: Doom) -> None:
        super().__init__({**environment, **doom.environment}, log, Kind.DOOMED)
        self._doom = doom

    async def start(self) -> None:
        """Start it, and wait until it is ready or dead: what an earlier one left may lead it to its point at once."""
        try:
            await super().start()
        except RuntimeError:
            if self.exit_code != -signal.SIGKILL:
                raise

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode if self._process else None

    @property
    def was_there(self) -> bool:
        """Whether it came to its point."""
        return self._doom.note.exists()

    @property
    def subject(self) -> str:
        """The id of what it was at."""
        return self._doom.note.read_text(encoding="utf-8")

    async def ended(self, seconds: float) -> bool:
        """Wait until it is dead; whether that came in time."""
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), seconds)
        return self.exit_code is not None


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look again and again at what tells nobody that it changed; whether it held in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if condition():
                    return True
                await asyncio.sleep(AGAIN_AFTER)
    return False

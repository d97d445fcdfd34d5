"""Port: time. Everything that waits or dates asks this, so that tests move time themselves."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

_UPTIME = getattr(
    time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC
)  # only Linux has the one that sleeps with nobody


class Clock(Protocol):
    """The time of day and the passing of time."""

    def now(self) -> datetime:
        """Aware time of day in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back and go on while the machine is suspended; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(_UPTIME)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

"""Port: time. Everything that waits or dates asks this, so that tests move time themselves.

Two questions have two answers. "What does the calendar say?" is for dates that others wrote: a deadline, the expiry of
a key. "How long ago was that?" is what every promise rests on: a look-up proves an absence only so long after the
create. A machine's clock answers the first and may be set at any moment, so it must not answer the second.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

_UPTIME = getattr(
    time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC
)  # only Linux has the one that sleeps with nobody
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

SLEW: Final = 0.05
"""Seconds by which a steady clock goes fast or slow in each second, at most, while it corrects itself."""


class Clock(Protocol):
    """The time of the ledger, the time of day, and the passing of time."""

    @property
    def era(self) -> str:
        """Names the stretch in which readings of `monotonic` can be compared: one boot of one machine."""
        ...

    def now(self) -> datetime:
        """What the ledger's rows are dated with, aware, in UTC: between two readings so much time really passed."""
        ...

    def time_of_day(self) -> datetime:
        """What the machine's clock shows, aware, in UTC. Somebody may set it at any moment."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back and go on while the machine is suspended; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        ...

    def agree(self, reference: datetime, as_of: float) -> float:
        """Hear what time it is where the ledger lies, read when `monotonic` showed `as_of`.

        Seconds by which this clock is behind that, or with a minus ahead.
        """
        ...


class SystemClock:
    """The machine's own clock: shows what it was set to, whatever others say."""

    @property
    def era(self) -> str:
        return _ERA

    def now(self) -> datetime:
        return self.time_of_day()

    def time_of_day(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(_UPTIME)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def agree(self, reference: datetime, as_of: float) -> float:
        """A machine is set by other means."""
        del reference, as_of
        return 0.0


class SteadyClock:
    """Time that never jumps. It begins with what it first hears, and from then on only goes faster or slower, by at
    most `SLEW`, until it shows what it last heard.

    Args:
        machine: Tells how much time passes, and the time of day to begin with.
    """

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._since = machine.monotonic()
        self._at = machine.time_of_day()
        self._error = 0.0
        self._has_heard = False

    @property
    def era(self) -> str:
        return self._machine.era

    def now(self) -> datetime:
        return self._shown(self._machine.monotonic())

    def time_of_day(self) -> datetime:
        return self._machine.time_of_day()

    def monotonic(self) -> float:
        return self._machine.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._machine.sleep(seconds)

    def agree(self, reference: datetime, as_of: float) -> float:
        since = self._machine.monotonic()
        right = reference + timedelta(seconds=since - as_of)
        self._at = self._shown(since) if self._has_heard else right
        self._since, self._has_heard = since, True
        self._error = (right - self._at).total_seconds()
        return self._error

    def _shown(self, monotonic: float) -> datetime:
        passed = monotonic - self._since
        most = SLEW * passed
        return self._at + timedelta(seconds=passed + max(-most, min(most, self._error)))


def _this_boot() -> str:
    """Where no boot has a name, a process can only compare its own readings."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return uuid4().hex


_ERA: Final = _this_boot()

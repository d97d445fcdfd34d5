"""Workers whose time of day is set apart from the passing of time: on the real core and ledger, between fakes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from tests.core.world import LEASE, Place, World
from tests.fakes import FixedClock, UnreliableLedger
from worker.core.clock import SteadyClock
from worker.ledger import open_ledger

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class SetClock(FixedClock):
    """A machine's clock whose hands somebody moves. What waits goes on waiting for as long as it really has to.

    Args:
        passing: The passing of time, which several machines share.
    """

    def __init__(self, passing: FixedClock | None = None) -> None:
        super().__init__()
        self.era = uuid4().hex
        self.passing = passing or FixedClock()
        self._moved = timedelta(0)

    def now(self) -> datetime:
        return self.passing.now() + self._moved

    def monotonic(self) -> float:
        return self.passing.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.passing.sleep(seconds)

    def advance(self, seconds: float) -> None:
        self.passing.advance(seconds)

    def jump(self, seconds: float) -> None:
        """Set the time of day forward, or with a negative number back."""
        self._moved += timedelta(seconds=seconds)


class WorkersClock(FixedClock):
    """What a worker makes of its machine's clock."""

    def __init__(self, machine: SetClock) -> None:
        super().__init__()
        self.era = machine.era
        self._machine = machine
        self._steady = SteadyClock(machine)

    def now(self) -> datetime:
        return self._steady.now()

    def time_of_day(self) -> datetime:
        return self._steady.time_of_day()

    def monotonic(self) -> float:
        return self._steady.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._steady.sleep(seconds)

    def agree(self, reference: datetime, as_of: float) -> float:
        return self._steady.agree(reference, as_of)

    def advance(self, seconds: float) -> None:
        self._machine.advance(seconds)


@asynccontextmanager
async def worker_at(
    place: Place, machine: SetClock, name: str = "worker-1", *, url: str | None = None, alone: bool = True
) -> AsyncIterator[World]:
    """A worker on a machine with this clock; when the block ends it is gone as if killed.

    Args:
        place: The ledger's file, the keys, the provider and the broker.
        machine: Its clock.
        name: The worker's.
        url: Its ledger, where that is not the place's file.
        alone: Whether no other worker uses that ledger.
    """
    clock = WorkersClock(machine)
    own = replace(place, clock=clock)
    own.keyring = place.keyring
    where = url or f"sqlite:///{place.file}"
    async with open_ledger(where, clock=clock, lease=LEASE, exclusive=alone or url is not None) as ledger:
        world = World(own, UnreliableLedger(ledger), name)
        await world.ledger.heartbeat(name, clock.now())
        try:
            yield world
        finally:
            await world.desk.tasks.cancel()


async def live(*worlds: World, seconds: float, step: float = 2.0) -> None:
    """Let time pass for all of them, with a round of upkeep of each in every step of so many seconds."""
    for _ in range(int(seconds / step)):
        worlds[0].clock.advance(step)
        for world in worlds:
            await world.go_round()

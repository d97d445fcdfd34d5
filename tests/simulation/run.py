"""One seed, from the first request until everything has come to its end."""

import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final
from unittest.mock import patch
from uuid import UUID

from structlog.testing import capture_logs

from tests.simulation import loop as virtual
from tests.simulation import machine as machines
from tests.simulation.books import Books, Row
from tests.simulation.broker import Broker
from tests.simulation.climates import MIXED, weather_of
from tests.simulation.life import follow_processes
from tests.simulation.machine import Machine, Surroundings
from tests.simulation.mischief import Mischief
from tests.simulation.office import Office
from tests.simulation.plain_books import PlainBooks
from tests.simulation.promises import Promises
from tests.simulation.result import PLAIN, SQLITE, SimulationResult
from tests.simulation.scene import Scene
from tests.simulation.sealing import Seals
from tests.simulation.sql_books import SqlBooks
from tests.simulation.trace import Trace
from tests.simulation.upstream import Upstream
from tests.simulation.vendors import KINDS, TAKEN, Vendor
from tests.simulation.weather import (
    LISTEN_FOR,
    LOOK_UPS,
    READ_LAG,
    SETTLE,
    Fault,
    Weather,
)
from worker.core.clock import SLEW
from worker.core.states import State

LEDGERS: Final[Mapping[str, Callable[[Scene], Books]]] = {PLAIN: PlainBooks, SQLITE: SqlBooks}

_LOOK_EVERY: Final = 2.0
_MOST_OF_THEM: Final = 0.8  # how many requests come to their end while there are faults, if that is possible


def simulate(seed: int, requests: int = 200, climate: str = MIXED, ledger: str = PLAIN) -> SimulationResult:
    """Run one seed. The same seed gives the same run, to the last step.

    Args:
        seed: Decides everything.
        requests: Accounts that are asked for; repeats and nonsense come on top.
        climate: Which faults there are, and how often: a name of `climates.CLIMATES`.
        ledger: A name of `LEDGERS`: the quick one, or the real one on SQLite.
    """
    began = time.process_time()
    dice = Random(seed)
    loop = virtual.VirtualLoop()
    follow_processes(loop)
    scene = Scene(loop, dice, weather_of(climate, dice), Trace(loop))
    simulation = _Simulation(scene, requests, LEDGERS[ledger](scene))
    with _no_other_chance(dice), _no_collector(), capture_logs():
        try:
            settled_in = virtual.run(loop, simulation.run())
            rows = simulation.judge()
            return simulation.result((seed, climate, ledger), rows, settled_in, time.process_time() - began)
        finally:
            simulation.close()


@contextmanager
def _no_collector() -> Iterator[None]:
    """One seed is small, and looking for its garbage takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _no_other_chance(dice: Random) -> Iterator[None]:
    """The two places at which the core itself draws: the jitter of a wait, and the id of a request."""

    class Jitter:
        random = dice.random

    def new_id() -> UUID:
        return UUID(int=dice.getrandbits(128), version=4)

    with (
        patch("worker.core.pipeline.random", Jitter),
        patch("worker.core.orders.uuid4", new_id),
        patch.object(random, "random", _forbidden),
    ):
        yield


def _forbidden() -> float:
    raise AssertionError("chance that does not come from the seed")


class _Simulation:
    """The cast, and the course of events."""

    def __init__(self, scene: Scene, requests: int, books: Books) -> None:
        self._scene = scene
        self._requests = requests
        vendors = {kind.name: Vendor(kind, scene) for kind in KINDS}
        self._books = books
        self._promises = Promises(scene, self._books, vendors)
        broker = Broker(scene, tuple(vendors), self._promises.hear)
        self._around = Surroundings(scene, self._books, broker, vendors, Seals())
        self._upstream = Upstream(scene, broker, requests)
        several = scene.weather.machines
        self._machines = [Machine(number, self._around, alone=several == 1) for number in range(several)]
        self._mischief = Mischief(self._around, self._machines)

    def close(self) -> None:
        """Forget the ledger."""
        self._books.close()

    async def run(self) -> float:
        """Let it happen; seconds from the last fault until everything had come to its end."""
        scene = self._scene
        office = Office(self._around)
        for machine in self._machines:
            scene.loop.after(scene.between(0.0, 2.0), machine.start)
        self._upstream.begin()
        self._mischief.begin()
        scene.often(Fault.OPERATOR, office.act)
        await self._work_in_bad_weather()
        self._mischief.end()
        await office.resume_all()
        return await self._settle()

    async def _work_in_bad_weather(self) -> None:
        """The faults go on until most requests came to an end among them, or until it takes too long."""
        while not self._upstream.over:
            await self._pass(_LOOK_EVERY)
        began = self._scene.loop.now
        at_least, at_most = self._scene.between(5.0, 30.0), self._scene.between(30.0, 120.0)
        while (lasted := self._scene.loop.now - began) < at_most:
            if lasted >= at_least and self._promises.count_ended() >= _MOST_OF_THEM * self._requests:
                return
            await self._pass(_LOOK_EVERY)

    async def _settle(self) -> float:
        """Without faults everything comes to its end, and not too late."""
        scene, healed = self._scene, self._scene.loop.now
        limit = longest_wait(scene.weather, self._requests)
        while left := self._left():
            # A name that another took long ago is asked for once more after each doubt, until attempts are used up.
            turns = scene.weather.attempts if all(TAKEN in words for words in left) else 1
            if scene.loop.now - healed > limit * turns:
                scene.trace.fail(
                    "everything ends", f"after {limit:.0f} s without faults: {'; '.join(left[:5])}"
                )
                break
            await self._pass(_LOOK_EVERY)
        return scene.loop.now - healed

    def _left(self) -> list[str]:
        return [*self._promises.left(), *([] if self._around.broker.empty else ["the broker has messages"])]

    async def _pass(self, seconds: float) -> None:
        waking = self._scene.loop.create_future()
        self._scene.loop.after(seconds, waking.set_result, None)
        await waking

    # --- the record -----------------------------------------------------------------------------------------------

    def judge(self) -> Sequence[Row]:
        """Look at the end of it."""
        for words in self._scene.loop.broken:
            self._scene.trace.fail("no surprises", words)
        return self._promises.judge(self._upstream.asked)

    def result(
        self, what: tuple[int, str, str], rows: Sequence[Row], settled_in: float, seconds: float
    ) -> SimulationResult:
        """What it showed."""
        trace, vendors = self._scene.trace, self._around.vendors.values()
        opened = [accounts for vendor in vendors for accounts in vendor.accounts.values()]
        return SimulationResult(
            seed=what[0],
            climate=what[1],
            ledger=what[2],
            digest=trace.digest,
            requests=self._requests,
            messages=len(self._upstream.asked),
            states=Counter(row.state for row in rows),
            steps=trace.counts,
            faults=Counter({str(kind): times for kind, times in trace.faults.items()}),
            creates=sum(vendor.creates for vendor in vendors),
            surplus=sum(len(accounts) - 1 for accounts in opened),
            lost=sum(broken.promise == "never lost" for broken in trace.broken),
            doubted=sum(row.doubted for row in rows),
            in_doubt=sum(row.state == State.IN_DOUBT for row in rows),
            dead_letters=self._promises.count_letters(),
            events=len(self._promises.heard),
            duplicates=sum(times > 1 for times in self._promises.times.values()),
            virtual=self._scene.loop.now - virtual.BEGINNING,
            settled_in=settled_in,
            seconds=seconds,
            broken=tuple(trace.broken),
            tail=tuple(trace.tail) if trace.broken else (),
        )


def longest_wait(weather: Weather, requests: int) -> float:
    """Seconds after the last fault within which the slowest request must have come to its end."""
    found_dead = machines.LONGEST_START + weather.lease
    in_doubt = LISTEN_FOR + SETTLE + READ_LAG + (weather.agreeing + 2) * LOOK_UPS[-1]
    tried_again = machines.POLICY.cap + machines.BREAKER.cooldown + machines.PROBE_EVERY + 15.0
    told = machines.REPUBLISH_AFTER + 15.0
    worked_off = requests / 5.0 + 20 * weather.interval
    return (found_dead + in_doubt + tried_again + told + worked_off) / (1 - SLEW)

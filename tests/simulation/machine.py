"""A place where one process of the worker runs at a time, and is started again when it ends.

The process is the real core, put together as `worker/bootstrap/` does, between models.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from tests.simulation.adapter import Adapter, settings_of
from tests.simulation.books import Books
from tests.simulation.broker import Broker
from tests.simulation.doors import Doors, Exit
from tests.simulation.life import Life, MachineClock
from tests.simulation.scene import Scene
from tests.simulation.sealing import Seals
from tests.simulation.vendors import Vendor
from tests.simulation.watch import Watch
from tests.simulation.weather import MOST, SETTLE, Fault
from worker.core.breaker import BreakerPolicy
from worker.core.burial import Burial
from worker.core.clock import Clock, SteadyClock
from worker.core.desk import Desk
from worker.core.errors import LedgerUnavailable
from worker.core.events import EventWriter
from worker.core.gate import LedgerGate
from worker.core.intake import Intake
from worker.core.lanes import Lane
from worker.core.orders import Orders
from worker.core.pace import Pace
from worker.core.pipeline import Pipeline
from worker.core.provider import Provider
from worker.core.recording import Recorder
from worker.core.retry import RetryPolicy
from worker.core.upkeep import Upkeep, UpkeepPolicy
from worker.rabbitmq.topology import DEAD_LETTERS, request_queue
from worker.service import Service

SOURCE: Final = "urn:simulated:deployment"
POLICY: Final = RetryPolicy(base=1.0, cap=20.0)
BREAKER: Final = BreakerPolicy(failures=5, cooldown=10.0)
REPUBLISH_AFTER: Final = 10.0
PROBE_EVERY: Final = 15.0
LOOK_UPS_AT_ONCE: Final = 16
LONGEST_START: Final = 10.0  # seconds until a process that ended runs again
_HEARTBEAT: Final = 20.0  # seconds after which the broker gives up a connection that does not answer
_DRAIN: Final = 12.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives every process."""

    scene: Scene
    books: Books
    broker: Broker
    vendors: Mapping[str, Vendor]
    seals: Seals


class Machine:
    """One machine."""

    def __init__(self, number: int, around: Surroundings, *, alone: bool) -> None:
        self._number = number
        self._around = around
        self._scene = around.scene
        self._alone = alone
        self._starts = 0
        faults = self._scene.weather.faults
        self._kills = faults.get(Fault.KILL, 0.0)
        self._freezes = self._kills + faults.get(Fault.FREEZE, 0.0)
        self._stops = self._freezes + faults.get(Fault.STOP, 0.0)
        self.life: Life | None = None
        self._connections: tuple[Doors, Exit] | None = None
        self._stopping: asyncio.Event | None = None

    def start(self) -> None:
        """Start a process."""
        self._starts += 1
        life = self.life = Life(f"worker-{self._number}.{self._starts}", self._scene.loop, self._crossed)
        self._scene.trace.tell(life.name, "starts")
        self._connections = (Doors(self._around.broker, life), Exit(self._around.broker, life))
        life.start(self._live(life, *self._connections), f"service of {life.name}")

    def lose_connections(self, *, both: bool) -> None:
        """The broker goes away from here for a while: the way in, the way out, or both."""
        if self._connections is not None:
            way_in, way_out = self._connections
            for connection in (way_in, way_out) if both else (self._scene.dice.choice((way_in, way_out)),):
                connection.lose(self._scene.between(0.05, 5.0))

    def recover(self) -> None:
        """Whatever froze it lets go, and its connections come up again."""
        if self.life is not None:
            self.life.thaw()
        for connection in self._connections or ():
            connection.restore()

    # --- one process --------------------------------------------------------------------------------------------

    async def _live(self, life: Life, doors: Doors, way_out: Exit) -> None:
        stopping = self._stopping = asyncio.Event()
        try:
            service = self._assemble(life, doors, way_out)
            drained = await service.run(stopping)
            self._scene.trace.tell(life.name, f"ended, drained {drained}")
        except LedgerUnavailable as error:
            self._scene.trace.tell(life.name, f"ended: {error}")
        except Exception as error:  # noqa: BLE001 - whatever ends a process is told
            self._scene.trace.fail("no surprises", f"{life.name} ended: {error!r}")
        self._end(life)

    def _end(self, life: Life) -> None:
        """Its connections break with it, and somebody starts the next one."""
        life.kill()
        if self.life is not life:
            return
        self.life = None
        scene = self._scene
        connections, self._connections = self._connections, None
        for connection in connections or ():
            scene.loop.after(scene.between(0.0, 0.1), connection.lose, None)
        scene.loop.after(scene.between(0.05, LONGEST_START), self.start)

    def _crossed(self, life: Life, where: str) -> None:
        """The process is at a place where it may die, freeze, or be told to stop."""
        scene = self._scene
        if scene.quiet:
            return
        drawn = scene.dice.random()
        if drawn < self._kills or (where == scene.weather.deadly and self._in_danger(Fault.KILL)):
            scene.trace.fault(Fault.KILL, life.name, where)
            self._end(life)
        elif drawn < self._freezes or (where == scene.weather.sticky and self._in_danger(Fault.FREEZE)):
            self._freeze(life, where)
        elif drawn < self._stops and self._stopping is not None:
            scene.trace.fault(Fault.STOP, life.name, where)
            self._stopping.set()

    def _in_danger(self, fault: Fault) -> bool:
        scene = self._scene
        often = fault in scene.weather.faults and scene.trace.faults[fault] < MOST
        return often and scene.dice.random() < scene.weather.danger

    def _freeze(self, life: Life, where: str) -> None:
        scene = self._scene
        long = scene.dice.choice((1.0, scene.weather.lease, SETTLE))
        seconds = long * scene.between(0.3, 2.2)
        scene.trace.fault(Fault.FREEZE, life.name, f"{where} for {seconds:.1f} s")
        life.freeze(seconds)
        if seconds > _HEARTBEAT:
            scene.loop.after(_HEARTBEAT, self._give_up_on, life, seconds - _HEARTBEAT)

    def _give_up_on(self, life: Life, left: float) -> None:
        if self.life is life and life.frozen and self._connections is not None:
            for connection in self._connections:
                connection.lose(left + self._scene.between(0.05, 5.0))

    # --- put together -------------------------------------------------------------------------------------------

    def _assemble(self, life: Life, doors: Doors, way_out: Exit) -> Service:
        changed = asyncio.Event()
        desk = self._desk(life, way_out, changed)
        pipeline = Pipeline(desk)
        policy = UpkeepPolicy(
            interval=self._scene.weather.interval,
            republish_after=REPUBLISH_AFTER,
            look_ups_at_once=LOOK_UPS_AT_ONCE,
            credentials_probe=PROBE_EVERY,
            lease=self._scene.weather.lease,
            retention=self._scene.weather.retention,
        )
        intake = Intake(
            desk,
            doors,
            pipeline,
            Burial(desk, pipeline),
            changed,
            lanes={request_queue(name): lane for name, lane in desk.lanes.items()},
            dead_letters=DEAD_LETTERS,
        )
        return Service(desk, intake, Upkeep(desk, pipeline, policy), doors.drain, _DRAIN)

    def _desk(self, life: Life, way_out: Exit, changed: asyncio.Event) -> Desk:
        around, weather = self._around, self._scene.weather
        clock = SteadyClock(MachineClock(life, self._scene.shown_time))
        watch = Watch(self._scene, life.name)
        ledger = around.books.open(life, clock, alone=self._alone)
        settings = settings_of(weather.agreeing, weather.give_up)
        adapters: dict[str, Any] = {
            name: Adapter(vendor, life, settings) for name, vendor in around.vendors.items()
        }
        providers = cast("Mapping[str, Provider]", adapters)
        seals = around.seals
        events = EventWriter(SOURCE, seals)
        return Desk(
            worker=life.name,
            ledger=ledger,
            publisher=way_out,
            providers=providers,
            lanes={name: self._lane(name, clock, watch, changed) for name in providers},
            orders=Orders(seals, providers, frozenset({*providers, "elsewhere"})),
            events=events,
            recorder=Recorder(ledger, events, seals, clock, watch),
            box=seals,
            gate=LedgerGate(watch, changed),
            clock=clock,
            observer=watch,
            policy=RetryPolicy(POLICY.base, POLICY.cap, weather.attempts, POLICY.max_age),
            reached=lambda step, _: life.touch(step),
        )

    def _lane(self, name: str, clock: Clock, watch: Watch, changed: asyncio.Event) -> Lane:
        weather = self._scene.weather
        lane = Lane(
            name,
            concurrency=weather.concurrency,
            limiter=Pace(lambda: weather.rate * lane.part, clock),
            policy=BREAKER,
            clock=clock,
            observer=watch,
            changed=changed,
            slots=0,
        )
        return lane

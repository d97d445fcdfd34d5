"""Upkeep: small periodic queries that keep every promise moving. Any worker may run them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from worker.core.desk import Desk
from worker.core.entry import Claim
from worker.core.errors import ConfigurationError, LedgerUnavailable
from worker.core.observer import ClockStepped, Counted, LaneState, Rescued, Surprised
from worker.core.pausing import follow_pauses
from worker.core.pipeline import Pipeline
from worker.core.probing import Probing
from worker.core.tasks import FirstOf

_TOLD_CLOCK_STEP = 1.0  # seconds by which a clock must be off at once to be worth telling
_RUN_DUE, _COUNT = "run_due", "count"  # steps that are also taken between two rounds


@dataclass(frozen=True, slots=True)
class UpkeepPolicy:
    """How often and how much. Durations in seconds.

    Attributes:
        interval: Between two rounds.
        republish_after: Age at which an event that is not confirmed is published again.
        look_ups_at_once: Look-ups under way at once, per provider.
        batch: Rows taken per provider and round, at most.
        retention: Age at which closed requests are pruned.
        rare: Between two rounds of what need not be done often (forgotten claims, pruning).
        credentials_probe: Between two probes of a provider that refused our credentials.
        lease: Since the last sign of life, until others take this worker for dead; the ledger's.
        stuck_after: Since a round began, until a ledger that keeps it waiting counts as one that does not answer.
    """

    interval: float = 1.0
    republish_after: float = 10.0
    look_ups_at_once: int = 4
    batch: int = 100
    retention: float = 90 * 86400.0
    rare: float = 10.0
    credentials_probe: float = 60.0
    lease: float = 30.0
    stuck_after: float = 30.0


class Upkeep:
    """Runs the periodic work, one round after the other."""

    def __init__(self, desk: Desk, pipeline: Pipeline, policy: UpkeepPolicy) -> None:
        self._desk = desk
        self._pipeline = pipeline
        self._policy = policy
        self._probing = Probing(desk, policy.credentials_probe)
        self._queued: Counter[str] = Counter()
        self._more_due: set[str] = set()  # providers of which the last claim got all that it asked for
        self._looking_up: Counter[str] = Counter()
        self._publishing: set[str] = set()
        self._next_rare: float | None = None
        self._counting = False
        self._behind = 0.0  # seconds by which our clock was behind at the last sign of life
        self.beat_at: float = 0.0
        """Monotonic time at which the last round began; a watchdog tells by it whether the loop lives."""
        self.waits = False
        """Whether a round is under way. All that a round waits for is the ledger, which may take any time to answer."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Go round until told to stop.

        Raises:
            ConfigurationError: the ledger may not be used by this code; the text says what helps.
        """
        async with FirstOf(stopping.wait, self._rest) as reasons_to_go_on:
            while not stopping.is_set():
                await self.once()
                await reasons_to_go_on.next()

    async def _rest(self) -> None:
        await self._desk.clock.sleep(self._policy.interval)

    async def once(self) -> None:
        """One round. A step that fails is told and does not keep the others from their turn.

        Raises:
            ConfigurationError: the ledger may not be used by this code (any more); nothing goes on without that.
        """
        self.beat_at = self._desk.clock.monotonic()
        with self._waiting():
            await self._take_steps()

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        self.waits = True
        stuck = asyncio.create_task(self._tell_when_stuck())
        try:
            yield
        finally:
            stuck.cancel()
            self.waits = False

    async def _tell_when_stuck(self) -> None:
        await self._desk.clock.sleep(self._policy.stuck_after)
        self._desk.gate.silent(self._policy.stuck_after)

    async def _take_steps(self) -> None:
        steps: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("heartbeat", self._heartbeat),
            ("rescue", self._rescue),
            ("follow_pauses", self._follow_pauses),
            ("share", self._share),
            ("probe", self._probe),
            (_RUN_DUE, self._run_due),
            ("look_up_due", self._look_up_due),
            ("publish_due", self._publish_due),
            ("forget_and_prune", self._forget_and_prune),
            (_COUNT, self._count),
        )
        for name, step in steps:
            if not await self._guarded(step, name):
                return

    async def _guarded(self, step: Callable[[], Awaitable[None]], name: str) -> bool:
        try:
            await step()
        except LedgerUnavailable as error:
            self._desk.gate.sick(error)
            return False
        except ConfigurationError as error:
            self._desk.gate.sick(error)
            raise
        except Exception as error:  # noqa: BLE001 - upkeep must outlive any surprise
            self._desk.observer.tell(Surprised(f"upkeep_{name}", error))
        return True

    async def _guarded_beside(self, step: Callable[[], Awaitable[None]], name: str) -> None:
        """The same for a step between two rounds."""
        with contextlib.suppress(ConfigurationError):  # the next round meets it, too, and ends the worker
            await self._guarded(step, name)

    async def _heartbeat(self) -> None:
        """Also the proof that the ledger works: a small durable write."""
        before = self._behind
        self._behind = await self._desk.ledger.heartbeat(self._desk.worker, self._desk.clock.now())
        self._desk.gate.recovered()
        if abs(self._behind) >= abs(before) + _TOLD_CLOCK_STEP:  # by itself it only gets less
            self._desk.observer.tell(ClockStepped(self._behind))

    async def _rescue(self) -> None:
        """Rows left sending by dead workers: the account may exist."""
        rescued = await self._desk.ledger.rescue(self._desk.clock.now(), self._desk.worker)
        if rescued:
            self._desk.observer.tell(Rescued(tuple(rescued)))

    async def _follow_pauses(self) -> None:
        await follow_pauses(self._desk)

    async def _share(self) -> None:
        """This worker's part of every provider's slots, and the waits that any worker was asked for.

        What is too much from now on is given back in the same round, as far as it is not in use.
        """
        if await self._divide():
            await self._divide()

    async def _divide(self) -> bool:
        """Whether there is more to give back."""
        desk, lapses_at = self._desk, self.beat_at + self._policy.lease
        wishes = {name: lane.wish for name, lane in desk.lanes.items()}
        shares = await desk.ledger.share(desk.worker, wishes, desk.clock.now())
        for name, share in shares.items():
            desk.lanes[name].share(share, lapses_at)
        return any(desk.lanes[name].wish.keeps < wishes[name].keeps for name in shares)

    async def _probe(self) -> None:
        self._probing.begin_due()

    async def _run_due(self) -> None:
        """Requests whose time has come."""
        for name in self._desk.lanes:
            await self._run_due_at(name)

    async def _run_due_at(self, name: str) -> None:
        """Those of one provider. Retries wait for slots in line with what intake takes, so neither starves."""
        lane = self._desk.lanes[name]
        room = lane.slots - self._queued[name] if lane.takes_work else 0
        if room <= 0:
            return
        found = await self._claimed(name, room)
        (self._more_due.add if len(found) == room else self._more_due.discard)(name)
        for claim in found:
            running = self._desk.tasks.start(
                self._pipeline.run_when_free(claim, lane), f"run {claim.entry.request_id}"
            )
            running.add_done_callback(partial(self._ran, name))

    async def _claimed(self, name: str, room: int) -> Sequence[Claim]:
        """What is asked for counts as queued already: the next round may begin before the ledger has answered."""
        desk = self._desk
        found: Sequence[Claim] = ()
        self._queued[name] += room
        try:
            found = await desk.ledger.claim_due(name, desk.worker, desk.clock.now(), room)
        finally:
            self._queued[name] -= room - len(found)
        return found

    def _ran(self, name: str, _: object) -> None:
        """Where more is due the line is filled again at half its length: a round may be far away."""
        self._queued[name] -= 1
        if name in self._more_due and self._queued[name] <= self._desk.lanes[name].slots // 2:
            self._more_due.discard(name)
            go_on = self._guarded_beside(partial(self._run_due_at, name), _RUN_DUE)
            self._desk.tasks.start(go_on, f"run due {name}")

    async def _look_up_due(self) -> None:
        """Requests in doubt whose next look-up is due. A provider that refuses our credentials is not asked."""
        for name, lane in self._desk.lanes.items():
            free = self._policy.look_ups_at_once - self._looking_up[name]
            if free <= 0 or lane.stopped or lane.state is LaneState.PAUSED_BY_CREDENTIALS:
                continue
            now = self._desk.clock.now()
            for claim in await self._desk.ledger.claim_look_ups(name, self._desk.worker, now, free):
                self._looking_up[name] += 1
                looking = self._desk.tasks.start(
                    self._pipeline.look_up(claim), f"look_up {claim.entry.request_id}"
                )
                looking.add_done_callback(partial(self._looked_up, name))

    def _looked_up(self, name: str, _: object) -> None:
        self._looking_up[name] -= 1

    async def _publish_due(self) -> None:
        """Events that nobody confirmed."""
        before = self._desk.clock.now() - timedelta(seconds=self._policy.republish_after)
        for line in await self._desk.ledger.claim_unpublished(before, self._policy.batch):
            if line.event.event_id not in self._publishing:
                self._publishing.add(line.event.event_id)
                publishing = self._desk.tasks.start(
                    self._pipeline.publish(line.subject_id, line.event), f"publish {line.subject_id}"
                )
                publishing.add_done_callback(partial(self._published, line.event.event_id))

    def _published(self, event_id: str, _: object) -> None:
        self._publishing.discard(event_id)

    async def _forget_and_prune(self) -> None:
        now = self._desk.clock.monotonic()
        if self._next_rare is not None and now < self._next_rare:
            return
        self._next_rare = now + self._policy.rare
        desk = self._desk
        forgotten = await desk.ledger.forget(desk.worker, self._pipeline.in_flight, desk.worker)
        if forgotten:
            desk.observer.tell(Rescued(tuple(forgotten)))
        closed_before = desk.clock.now() - timedelta(seconds=self._policy.retention)
        await desk.ledger.prune(closed_before, self._policy.batch)

    async def _count(self) -> None:
        """Beside the rounds: a ledger that is slow to count must not keep the next sign of life waiting."""
        ends = any(lane.stopped for lane in self._desk.lanes.values())
        if not self._counting and not ends:
            self._counting = True
            self._desk.tasks.start(self._count_beside(), "count")

    async def _count_beside(self) -> None:
        try:
            await self._guarded_beside(self._tell_standings, _COUNT)
        finally:
            self._counting = False

    async def _tell_standings(self) -> None:
        self._desk.observer.tell(Counted(await self._desk.ledger.standings()))

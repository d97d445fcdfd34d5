"""Whatever workers do and suffer, together they never begin more creates than the provider's limit allows.

Real lanes ask the real ledger. A worker may be slow, freeze for any time, end, be killed and be replaced.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.fakes import FixedClock, FreeLimiter, Watch
from tests.ledger.kinds import open_any, tables_at
from tests.ledger.scene import PROVIDER, empty
from worker.core.breaker import BreakerPolicy
from worker.core.lanes import Lane, Slot
from worker.core.observer import LaneState
from worker.ledger.schema import shares, workers

LEASE = 30.0
LIMIT = 3
NAMES = ("a", "b", "c")

_LIVING = sa.select(shares.c.slots).where(shares.c.worker.in_(sa.select(workers.c.worker)))


@dataclass
class Member:
    """One worker: its lane, and the creates it has under way.

    `stranded` are creates that were under way when its part lapsed: nobody can take those back, and the others may not
    wait for them.
    """

    name: str
    lane: Lane
    lapses_at: float = 0.0
    running: list[Slot] = field(default_factory=list)
    stranded: int = 0


class Crew(RuleBasedStateMachine):
    """Some workers of one provider."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = FixedClock()
        self.opened = open_any(self.url, clock=self.clock, lease=LEASE)
        self.ledger = self.do(self.opened.__aenter__())
        self.members: dict[str, Member] = {}
        self.lives = 0

    def do(self, awaitable: Any) -> Any:
        """Run one call to its end."""

        async def run() -> Any:
            return await awaitable

        return self.runner.run(run())

    def member(self, name: str) -> Member:
        """The worker of that name, started now if there is none."""
        if name not in self.members:
            self.lives += 1
            lane = Lane(
                PROVIDER,
                concurrency=LIMIT,
                limiter=FreeLimiter(),
                policy=BreakerPolicy(),
                clock=self.clock,
                observer=Watch(),
                changed=asyncio.Event(),
                slots=0,
            )
            self.members[name] = Member(f"{name}-{self.lives}", lane)
        return self.members[name]

    def lapse(self) -> None:
        """Note what was under way where a part has lapsed."""
        for member in self.members.values():
            if self.clock.monotonic() >= member.lapses_at:
                member.stranded = len(member.running)

    # --- rules ------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES))
    def go_round(self, name: str) -> None:
        """One round of upkeep."""
        member = self.member(name)
        self.do(self.ledger.heartbeat(member.name, self.clock.now()))
        self.do(self.ledger.rescue(self.clock.now(), "upkeep"))
        self.divide(member)

    @rule(name=st.sampled_from(NAMES), lost=st.booleans())
    def divide_while_creates_begin(self, name: str, lost: bool) -> None:
        """Between question and answer creates begin; the answer may be lost."""
        if name in self.members:
            self.divide(self.members[name], greedy=True, lost=lost)

    def divide(self, member: Member, *, greedy: bool = False, lost: bool = False) -> None:
        """Ask as upkeep asks, no later than a lease after the last sign of life."""
        lapses_at = self.clock.monotonic() + LEASE
        self.do(self.ledger.heartbeat(member.name, self.clock.now()))
        wish = member.lane.wish
        found = self.do(self.ledger.share(member.name, {PROVIDER: wish}, self.clock.now()))
        if greedy:
            self.begin_all(member)
        if not lost:
            member.lane.share(found[PROVIDER], lapses_at)
            member.lapses_at = lapses_at

    @rule(name=st.sampled_from(NAMES))
    def begin_creates(self, name: str) -> None:
        """As many as the lane lets it."""
        if name in self.members:
            self.begin_all(self.members[name])

    def begin_all(self, member: Member) -> None:
        while member.lane.takes_work and member.lane.in_use < member.lane.slots:
            member.running.append(self.do(member.lane.acquire_slot()))

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, LIMIT))
    def end_creates(self, name: str, count: int) -> None:
        if name in self.members:
            member = self.members[name]
            for slot in member.running[:count]:
                slot.free()
            del member.running[:count]
            member.stranded = min(member.stranded, len(member.running))

    @rule(name=st.sampled_from(NAMES), paused=st.booleans())
    def pause(self, name: str, paused: bool) -> None:
        if name in self.members:
            self.members[name].lane.pause(LaneState.PAUSED_BY_OPERATOR if paused else None, "")

    @rule(seconds=st.sampled_from([1, 10, 29, 31]))
    def time_passes(self, seconds: int) -> None:
        """For all; a worker without a round meanwhile is frozen, or cut off."""
        self.clock.advance(seconds)
        self.lapse()

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def freeze(self, name: str, other: str) -> None:
        """One worker stands still for longer than its lease, while another goes on; then it wakes in mid-step."""
        self.time_passes(31)
        self.go_round(other)
        self.begin_creates(other)
        self.begin_creates(name)

    @rule(name=st.sampled_from(NAMES))
    def retire(self, name: str) -> None:
        """It ends in peace: nothing is under way."""
        member = self.members.get(name)
        if member is not None and not member.running:
            self.do(self.ledger.retire(member.name))
            del self.members[name]

    @rule(name=st.sampled_from(NAMES))
    def kill(self, name: str) -> None:
        """Its creates die with it; what it had is free after its lease."""
        self.members.pop(name, None)

    # --- what holds at every moment ---------------------------------------------------------------------------

    @invariant()
    def the_provider_is_never_asked_too_much(self) -> None:
        members = getattr(self, "members", {}).values()
        assert sum(len(member.running) - member.stranded for member in members) <= LIMIT

    @precondition(lambda self: hasattr(self, "members"))
    @invariant()
    def the_ledger_gives_no_more_than_there_is(self) -> None:
        slots = self.given()
        assert sum(slots) <= LIMIT
        assert min(slots, default=0) >= 0

    def given(self) -> list[int]:
        """The slots of the living, as they stand in the ledger."""
        tables = tables_at(self.url)
        if tables is None:
            return list(self.do(self.ledger._reader.ask(lambda reading: reading.scalars(_LIVING).all())))
        return [
            slots for held in tables.shares.values() for name, slots in held.items() if name in tables.workers
        ]

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        self.everybody_comes_to_their_part()
        self.do(self.opened.__aexit__(None, None, None))
        self.runner.close()

    def everybody_comes_to_their_part(self) -> None:
        """Once nothing disturbs, nothing is left unused and nobody is left out."""
        self.clock.advance(LEASE)
        for member in self.members.values():
            member.lane.pause(None, "")
            while member.running:
                member.running.pop().free()
        for _ in range(3):
            for name in self.members:
                self.go_round(name)
        parts = [member.lane.slots for member in self.members.values()]
        assert sum(parts) == (LIMIT if parts else 0)
        assert max(parts, default=0) - min(parts, default=0) <= 1


@pytest.mark.parametrize(
    ("ledger_url", "lives"),
    [("memory", 60), ("plain", 60), pytest.param("postgresql", 12, marks=pytest.mark.postgresql)],
    indirect=["ledger_url"],
)
def test_workers_never_exceed_the_limit_together(ledger_url: str, lives: int) -> None:
    """Over random lives of three workers with three slots."""

    class Machine(Crew):
        url = ledger_url

        def teardown(self) -> None:
            super().teardown()
            empty(ledger_url)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=lives,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )

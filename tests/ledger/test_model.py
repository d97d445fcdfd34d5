"""Whatever is done in whatever order, the ledger does what a page of Python says it should."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from contracts.reason import ReasonCode
from tests.fakes import FixedClock
from tests.ledger.kinds import open_any
from tests.ledger.scene import PROVIDER, empty, make_arrival
from worker.core import states
from worker.core.change import Change
from worker.core.entry import Accepted, Claim, Entry, Same
from worker.core.errors import StaleClaim
from worker.core.states import TRANSITIONS, Actor, State, Transition

WORKERS = ("worker-1", "worker-2")
WORKER_WAYS = [way for way in TRANSITIONS if way.by is not Actor.OPERATOR and way is not states.RESCUE]
OPERATOR_WAYS = [way for way in TRANSITIONS if way.by is Actor.OPERATOR]
LEASE = 30.0


@dataclass(frozen=True)
class Row:
    """What the model knows of a request."""

    state: State = State.ACCEPTED
    fence: int = 1
    holder: str | None = None
    due: float | None = 0.0
    attempts: int = 0
    deferrals: int = 0
    look_ups: int = 0
    absences: int = 0
    generation: int = 0
    doubted: bool = False
    sends: int = 0


def step(row: Row, way: Transition, now: float, *, counts: bool, absent: bool, due: float | None) -> Row:
    """What a change makes of a row."""
    enters = way.enters
    after = replace(row, state=enters, holder=None, due=None)
    if enters in (State.WAITING, State.IN_DOUBT):
        after = replace(after, due=now if due is None else due)
    if enters is State.IN_DOUBT:
        after = replace(after, doubted=True)
    if way is states.SEND:
        return replace(after, sends=row.sends + 1, attempts=row.attempts + counts, look_ups=0, absences=0)
    if way is states.WAIT:
        return replace(after, attempts=row.attempts + counts, deferrals=row.deferrals + (not counts))
    if way in (states.NOT_DONE, states.LATE_NOT_DONE) and not counts:
        return replace(after, attempts=max(row.attempts - 1, 0), deferrals=row.deferrals + 1)
    if way is states.LOOK_AGAIN:
        return replace(after, look_ups=row.look_ups + 1, absences=row.absences + 1 if absent else 0)
    if way.by is Actor.OPERATOR or way is states.RESCUE:
        after = replace(after, fence=row.fence + 1)
    if enters is State.ACCEPTED:
        fresh = {"attempts": 0, "deferrals": 0, "look_ups": 0, "absences": 0}
        return replace(after, due=now, generation=row.generation + 1, **fresh)  # type: ignore[arg-type]
    return replace(after, absences=0) if way is states.LOOK_UP_NOW else after


def _as_it_was(entry: Entry, moved: str) -> Entry:
    """The row as an operator may have looked at it before it moved on in one respect."""
    match moved:
        case "fence":
            return replace(entry, fence=entry.fence - 1)
        case "state":
            return replace(entry, state=State.HELD if entry.state is State.IN_DOUBT else State.IN_DOUBT)
        case "time":
            return replace(entry, changed_at=entry.changed_at - timedelta(seconds=1))
        case _:
            return entry


class LedgerMachine(RuleBasedStateMachine):
    """Workers, operators and time, at random."""

    url = ""
    claims: Bundle[Claim] = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = FixedClock()
        self.opened = open_any(self.url, clock=self.clock, lease=LEASE)
        self.ledger = self.do(self.opened.__aenter__())
        self.rows: dict[str, Row] = {}
        self.ids: dict[str, str] = {}
        self.seen_at: dict[str, float] = {}
        for worker in WORKERS:
            self.heartbeat(worker)

    def do(self, awaitable: Any) -> Any:
        """Run one call of the ledger."""

        async def run() -> Any:
            return await awaitable

        return self.runner.run(run())

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def is_dead(self, worker: str | None) -> bool:
        return worker is not None and self.now - self.seen_at[worker] >= LEASE

    # --- workers ----------------------------------------------------------------------------------------------

    @rule(target=claims, key=st.sampled_from("abcdef"), worker=st.sampled_from(WORKERS))
    def accept(self, key: str, worker: str) -> Any:
        """One row per key, claimed by whoever came first."""
        answer = self.do(self.ledger.accept(make_arrival(key, self.clock.now()), worker))
        if key in self.ids:
            assert isinstance(answer, Same)
            assert answer.entry.request_id == self.ids[key]
            return multiple()
        assert isinstance(answer, Accepted)
        self.ids[key] = answer.claim.entry.request_id
        self.rows[self.ids[key]] = Row(holder=worker, due=self.now)
        return answer.claim

    @rule(target=claims, worker=st.sampled_from(WORKERS), limit=st.integers(1, 3), look_ups=st.booleans())
    def claim(self, worker: str, limit: int, look_ups: bool) -> Any:
        """Only what is due and free, the longest due first."""
        ask = self.ledger.claim_look_ups if look_ups else self.ledger.claim_due
        wanted = {State.IN_DOUBT} if look_ups else {State.ACCEPTED, State.WAITING}
        got = self.do(ask(PROVIDER, worker, self.clock.now(), limit))
        free = {
            request_id: row.due
            for request_id, row in self.rows.items()
            if row.state in wanted and row.holder is None and row.due is not None and row.due <= self.now
        }
        assert [free[claim.entry.request_id] for claim in got] == sorted(free.values())[:limit]
        for claim in got:
            row = self.rows[claim.entry.request_id]
            self.rows[claim.entry.request_id] = replace(row, fence=row.fence + 1, holder=worker)
        return multiple(*got)

    @rule(
        target=claims,
        claim=claims,
        way=st.sampled_from(WORKER_WAYS),
        counts=st.booleans(),
        absent=st.booleans(),
        due_in=st.none() | st.integers(0, 50),
    )
    def record(self, claim: Claim, way: Transition, counts: bool, absent: bool, due_in: int | None) -> Any:
        """Under the row's fence, from a state the way leaves; with any other claim nothing changes."""
        request_id, row = claim.entry.request_id, self.rows[claim.entry.request_id]
        change = self.change(way, counts=counts, absent=absent, due_in=due_in)
        if claim.fence != row.fence or row.state not in way.leaves:
            with pytest.raises(StaleClaim):
                self.do(self.ledger.record(claim, change))
            return multiple()
        after = self.do(self.ledger.record(claim, change))
        expected = step(
            row,
            way,
            self.now,
            counts=counts,
            absent=absent,
            due=None if due_in is None else self.now + due_in,
        )
        holder = claim.worker if way is states.SEND else None
        self.rows[request_id] = replace(expected, holder=holder)
        assert after.fence == self.rows[request_id].fence
        return after

    def change(self, way: Transition, *, counts: bool, absent: bool, due_in: int | None) -> Change:
        """A change as its way asks for it."""
        later = FixedClock(self.clock.now())
        later.advance(due_in or 0)
        return Change(
            way,
            self.clock.now(),
            ReasonCode.INTERNAL_ERROR,
            "somebody",
            due_at=None if due_in is None else later.now(),
            counts=counts,
            absent=absent,
        )

    @rule(claim=consumes(claims))
    def release(self, claim: Claim) -> None:
        """Only the holder's own, unsent claim."""
        self.do(self.ledger.release(claim))
        row = self.rows[claim.entry.request_id]
        if (row.fence, row.holder) == (claim.fence, claim.worker) and row.state is not State.SENDING:
            self.rows[claim.entry.request_id] = replace(row, holder=None)

    # --- life and death ---------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 10, 29, 31]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(worker=st.sampled_from(WORKERS))
    def heartbeat(self, worker: str) -> None:
        self.do(self.ledger.heartbeat(worker, self.clock.now()))
        self.seen_at[worker] = self.now

    @rule()
    def rescue(self) -> None:
        """Of the dead: what was sent goes in doubt, what was not is free; both under a new fence."""
        rescued = set(self.do(self.ledger.rescue(self.clock.now(), "upkeep")))
        for request_id, row in self.rows.items():
            orphan = row.state is State.SENDING and (row.holder is None or self.is_dead(row.holder))
            assert (request_id in rescued) is orphan
            if orphan:
                self.rows[request_id] = step(
                    row, states.RESCUE, self.now, counts=False, absent=False, due=None
                )
            elif self.is_dead(row.holder):
                self.rows[request_id] = replace(row, holder=None, fence=row.fence + 1)

    @rule(worker=st.sampled_from(WORKERS))
    def retire(self, worker: str) -> None:
        """A restart under the same name is the same as an end and a beginning."""
        self.do(self.ledger.retire(worker))
        for request_id, row in self.rows.items():
            if row.holder == worker:
                moved = row.fence + (row.state is not State.SENDING)
                self.rows[request_id] = replace(row, holder=None, fence=moved)
        self.heartbeat(worker)

    # --- operators --------------------------------------------------------------------------------------------

    @rule(
        key=st.sampled_from("abcdef"),
        way=st.sampled_from(OPERATOR_WAYS),
        moved=st.sampled_from(["", "", "fence", "state", "time"]),
    )
    def operate(self, key: str, way: Transition, moved: str) -> None:
        """What was looked at must still be so."""
        if key not in self.ids:
            return
        request_id, row = self.ids[key], self.rows[self.ids[key]]
        change = self.change(way, counts=False, absent=False, due_in=None)
        looked_at = _as_it_was(self.do(self.ledger.find(request_id)), moved)
        call = self.ledger.operate(looked_at, change)
        if moved or row.state not in way.leaves:
            with pytest.raises(StaleClaim):
                self.do(call)
            return
        self.do(call)
        self.rows[request_id] = step(row, way, self.now, counts=False, absent=False, due=None)

    # --- what holds at every moment ---------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_as_the_model_says(self) -> None:
        for request_id, row in getattr(self, "rows", {}).items():
            entry: Entry = self.do(self.ledger.find(request_id))
            assert self.told(entry) == (row.state, row.fence, row.attempts, row.deferrals, row.look_ups,
                                        row.absences, row.generation, row.doubted, row.due)  # fmt: skip

    def told(self, entry: Entry) -> tuple[object, ...]:
        start = FixedClock().now()
        due = None if entry.due_at is None else (entry.due_at - start).total_seconds()
        return (entry.state, entry.fence, entry.attempts, entry.deferrals, entry.look_ups,
                entry.absences, entry.generation, entry.doubted, due)  # fmt: skip

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        for request_id, row in self.rows.items():
            attempts = self.do(self.ledger.attempts(request_id))
            assert [attempt.number for attempt in attempts] == list(range(1, row.sends + 1))
            entered = [line.enters for line in self.do(self.ledger.history(request_id))]
            assert entered[-1] == row.state
            assert ("in_doubt", "sending") not in pairwise(entered)
        self.do(self.opened.__aexit__(None, None, None))
        self.runner.close()


def test_the_ledger_follows_its_model(ledger_url: str) -> None:
    """States, fences and counters, over random lives of six requests, two workers and an operator."""

    class Machine(LedgerMachine):
        url = ledger_url

        def teardown(self) -> None:
            super().teardown()
            empty(ledger_url)

    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=12, stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )

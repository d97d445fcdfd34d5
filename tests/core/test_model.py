"""The promises as invariants, under every mixture of deliveries, answers, crashes, outages and operators.

The ledger, the keys and the core are real; broker and provider are models that never lie. The operator is honest,
too: "not created" is said only where the provider has opened nothing and holds no create.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.result import TYPE_OF_OUTCOME, Outcome
from tests.builders import make_message, make_request
from tests.core.model import LISTENS, NOTHING_DONE, OPENING, Broker, Pending, TruthfulProvider
from tests.core.operating import operate
from tests.core.world import Place, World, empty_ledger, make_place, open_world
from tests.fakes import FixedClock
from worker.core.entry import Entry
from worker.core.errors import LedgerUnavailable
from worker.core.states import FINAL, State
from worker.core.story import HistoryLine
from worker.operations.verbs import Effect, Verb, plan

T = TypeVar("T")
KEYS = ("order-1", "order-2", "order-3")
PROOFS = frozenset(
    {"not_done", "late_not_done", "confirm_absent", "refuse", "late_refusal", "resolve_not_created"}
)
"""Steps that say that the create before them opened nothing."""
ANNOUNCED = {
    State.PROVISIONED: Outcome.PROVISIONED,
    State.REJECTED: Outcome.REJECTED,
    State.HELD: Outcome.HELD,
    State.ABANDONED: Outcome.ABANDONED,
}
AWAY = ("record", "accept", "mark_published", "bury", "note", "pause")


@pytest.fixture(scope="module", autouse=True)
def _empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An empty ledger that every life begins with."""
    Life.empty = empty_ledger(tmp_path_factory.mktemp("ledger"))


class Life(RuleBasedStateMachine):
    """A worker's life and afterlife."""

    empty: ClassVar[Path]

    @initialize()
    def begin(self) -> None:
        """An empty ledger, a first worker, and two requests: each life draws which rules it knows."""
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        clock = FixedClock()
        self.vendor = TruthfulProvider(clock)
        self.place: Place = make_place(self.empty, Path(self.folder.name), self.vendor)
        self.place.clock = self.vendor._clock = clock
        self.broker = Broker()
        self.published: set[str] = set()
        self.workers = 0
        self._do(self._start())
        for key in KEYS[:2]:
            self.ask(key, "Example", now=True)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _start(self) -> None:
        self.workers += 1
        self.stack = AsyncExitStack()
        world = open_world(self.place, f"worker-{self.workers}", concurrency=2)
        self.world: World = await self.stack.enter_async_context(world)

    # --- what may happen --------------------------------------------------------------------------------------

    @rule(
        key=st.sampled_from(KEYS), company=st.sampled_from(["Example"] * 4 + ["Another"]), now=st.booleans()
    )
    def ask(self, key: str, company: str, now: bool) -> None:
        """Somebody asks, perhaps again, perhaps for something else under the same key."""
        self.broker.requests.append(make_message(make_request(key, parameters={"company": company})))
        self.published.add(key)
        if now:
            self.deliver()

    @rule()
    def deliver(self) -> None:
        """The broker hands over what it has."""
        self._do(self._deliver())

    @rule(which=st.integers(0, 3), kind=st.sampled_from([*OPENING, *OPENING, "lost", *NOTHING_DONE]))
    def answer(self, which: int, kind: str) -> None:
        """The provider answers a create, in time or late."""
        for pending in self._one_of_the_pending(which):
            self.vendor.say(pending, kind)
        self._do(self._calm())

    @rule(which=st.integers(0, 3))
    def act(self, which: int) -> None:
        """The provider opens an account and has not answered yet."""
        for pending in self._one_of_the_pending(which):
            self.vendor.act(pending)

    @rule(seconds=st.sampled_from([0.5, 11.0, 31.0, 61.0, 301.0]))
    def time_passes(self, seconds: float) -> None:
        """Upkeep goes round; what the provider did not answer by now is listened for no longer."""
        self._do(self._round(seconds))

    @rule()
    def crash(self) -> None:
        """The process dies and is started again; its connections break, its creates go on at the provider."""
        self._do(self._crash())

    @rule(trouble=st.sampled_from([*AWAY, "publisher", "look-ups"]), told=st.booleans())
    def trouble_begins(self, trouble: str, told: bool) -> None:
        """Writes fail before or after they were carried out, publishes are not confirmed, or look-ups fail."""
        if trouble == "publisher":
            self.place.publisher.failure = "not confirmed in time"
        elif trouble == "look-ups":
            self.vendor.blind = True
        else:
            (self.world.ledger.failing if told else self.world.ledger.forgetting).add(trouble)

    @rule()
    def trouble_ends(self) -> None:
        """All works again."""
        self.world.ledger.failing.clear()
        self.world.ledger.forgetting.clear()
        self.place.publisher.failure, self.vendor.blind = None, False

    @rule(choice=st.integers(0, 11))
    def operator(self, choice: int) -> None:
        """An operator does something that the plan allows, and never lies."""
        self._do(self._operate(choice))

    # --- how it happens ---------------------------------------------------------------------------------------
    # No rule has a precondition: what is drawn must not depend on the ledger's threads.

    def _one_of_the_pending(self, which: int) -> list[Pending]:
        pending = sorted(self.vendor.pending, key=lambda one: one.order.parameters.model_dump_json())
        return pending[which % len(pending) :][:1] if pending else []

    async def _calm(self) -> None:
        await self.world.calm()
        self.broker.settle()

    async def _deliver(self) -> None:
        for _ in range(len(self.broker.requests)):
            await self.broker.deliver(self.world)
        for _ in range(len(self.broker.dead)):
            await self.broker.deliver_dead(self.world)

    async def _round(self, seconds: float) -> None:
        self.place.clock.advance(seconds)
        await self._calm()
        self.vendor.give_up(before=self.place.clock.monotonic() - LISTENS)
        await self._calm()
        await self.world.go_round()
        self.broker.settle()

    async def _crash(self) -> None:
        await self.stack.aclose()
        self.broker.lose_connection()
        await self._start()

    async def _operate(self, choice: int) -> None:
        honest = [
            (entry, verb)
            for entry in sorted(await self.world.entries(), key=lambda entry: entry.idempotency_key)
            for verb in Verb
            if plan(verb, entry).effect is Effect.WILL and self._is_honest(verb, entry)
        ]
        if honest:
            entry, verb = honest[choice % len(honest)]
            account_id = self.vendor.accounts[entry.request_id][-1] if verb is Verb.RESOLVE_CREATED else None
            with contextlib.suppress(LedgerUnavailable):
                await operate(self.world, verb, account_id, entry.idempotency_key)
            await self._calm()

    def _is_honest(self, verb: Verb, entry: Entry) -> bool:
        owned = bool(self.vendor.accounts.get(entry.request_id))
        pending = any(one.order.request_id == entry.request_id for one in self.vendor.pending)
        match verb:
            case Verb.RESOLVE_CREATED:
                return owned
            case Verb.RESOLVE_NOT_CREATED:
                return not owned and not pending
            case _:
                return True

    # --- what must hold, always -------------------------------------------------------------------------------

    @invariant()
    def promises(self) -> None:
        """Never twice, never lost, never guessed, always told."""
        if hasattr(self, "world"):
            self._do(self._check())

    async def _check(self) -> None:
        entries = await self.world.entries()
        kept = {entry.idempotency_key for entry in entries}
        waiting = {key for key in self.published for one in self.broker.messages if key.encode() in one.body}
        assert self.published <= kept | waiting, "a request is nowhere"
        for entry in entries:
            owned = self.vendor.accounts.get(entry.request_id, [])
            assert len(owned) <= 1, "two accounts for one request"
            self._check_state(entry, owned)
            self._check_story(await self.world.ledger.real.history(entry.request_id))
            await self._check_events(entry)

    def _check_state(self, entry: Entry, owned: list[str]) -> None:
        if entry.state is State.PROVISIONED:
            assert owned == [entry.account_id], "provisioned with an account that is not there"
        if entry.state in (State.REJECTED, State.WAITING):
            assert owned == [], "said to be without an account, and there is one"

    def _check_story(self, lines: list[HistoryLine]) -> None:
        steps = [line for line in lines if line.enters]
        for one, after in pairwise(steps):
            assert after.leaves == one.enters, "the story has a gap"
            assert (after.leaves, after.enters) != (State.IN_DOUBT, State.SENDING)
        sends = [at for at, line in enumerate(steps) if line.name == "send"]
        for first, second in pairwise(sends):
            between = {line.name for line in steps[first:second]}
            assert between & PROOFS, "a second create without proof or word"

    async def _check_events(self, entry: Entry) -> None:
        lines = await self.world.ledger.real.events(entry.request_id)
        types = [line.event.event_type for line in lines if line.event.event_id == entry.event_id]
        if entry.state in ANNOUNCED:
            assert types == [TYPE_OF_OUTCOME[ANNOUNCED[entry.state]]], "an end without its event"
        assert len({line.event.event_id for line in lines}) == len(lines)

    # --- what must come, in the end ---------------------------------------------------------------------------

    def teardown(self) -> None:
        """Once all trouble is over, everything comes to an end that is told."""
        if hasattr(self, "world"):
            try:
                self._do(self._heal())
                self._do(self._check_end())
            finally:
                self._do(self.stack.aclose())
                self.runner.close()
                self.folder.cleanup()

    async def _heal(self) -> None:
        self.trouble_ends()
        await self._crash()
        for _ in range(40):
            await self._round(61.0)
            await self._deliver()
            for pending in list(self.vendor.pending):
                self.vendor.say(pending, "created")
            await self._calm()
            if await self._is_over():
                return

    async def _is_over(self) -> bool:
        ended = FINAL | {State.HELD}
        states = {entry.state for entry in await self.world.entries()}
        open_events = [one for one in await self.world.ledger.real.standings() if one.kind == "unpublished"]
        return not self.broker.messages and states <= ended and not open_events

    async def _check_end(self) -> None:
        assert await self._is_over(), [(entry.state, entry.reason) for entry in await self.world.entries()]
        await self._check()
        heard = {one.event_id for one in self.place.publisher.confirmed}
        for entry in await self.world.entries():
            assert entry.event_id in heard, "an end that nobody heard of"


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=15,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
    phases=(
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ),  # a life of thirty steps is read as fast as it is shrunk
)

"""Execution of one request up to the provider's answer: what is durable when, and what is never sent."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.reason import ReasonCode
from contracts.result import AccountRejected, Evidence
from contracts.result import Outcome as ResultOutcome
from tests.builders import make_done, make_message, make_outcome, make_request
from tests.core.operating import operate
from tests.core.world import Place, World, make_place, open_world
from tests.fakes import NOON, BlindProvider
from worker.core.observer import Called, Finished, LaneState, Surprised
from worker.core.provider import Order, Prepared, Several
from worker.core.retry import RetryPolicy
from worker.core.states import State
from worker.core.verdict import Effect, Verdict
from worker.operations.verbs import Verb

BUSY = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.RATE_LIMITED, effect=Effect.LIMIT, wait=5)


def reason_of(world: World) -> str:
    """The reason in the one rejection that was published."""
    (event,) = world.place.results
    assert isinstance(event, AccountRejected)
    return event.data.reason.code


async def test_the_intent_is_durable_before_the_create_leaves(world: World) -> None:
    """While the provider reads the create, the ledger says sending, with the attempt and what was seen before it."""
    seen: list[tuple[State, object, int, object]] = []

    async def look(order: Order) -> None:
        entry = await world.ledger.real.find(order.request_id)
        seen.append((entry.state, entry.reason, entry.attempts, entry.baseline))

    world.place.acme.while_sending = look
    await world.ask()
    assert seen == [
        (State.SENDING, None, 1, {"accounts_before": 3, "place": world.place.acme.settings.place})
    ]


async def test_nothing_is_sent_while_the_intent_cannot_be_written(world: World) -> None:
    """A ledger that fails in front of the create stops it; later the request runs, once."""
    world.ledger.failing.add("record send")
    entry = await world.ask()
    assert (entry.state, world.place.acme.sent) == (State.ACCEPTED, [])
    assert not world.gate.well

    world.ledger.failing.clear()
    for _ in range(4):
        await world.go_round(after=11)
    assert (await world.entry()).state is State.PROVISIONED
    assert len(world.place.acme.sent) == 1


async def test_a_create_that_did_not_leave_in_time_is_not_sent_any_more(world: World) -> None:
    """A worker that is frozen behind its intent for as long as an answer may take must not send when it wakes."""
    answered_in = world.place.acme.settings.answer_within
    await world.ask()
    (given,) = world.place.acme.given
    assert given.in_time()
    world.clock.advance(answered_in)
    assert not given.in_time()


async def test_the_window_opens_before_the_intent_is_written(world: World) -> None:
    """Time that the ledger took, or a freeze between the intent and the create, is counted."""
    goes_on = world.ledger.hold("record send", "after")
    await world.take()
    world.clock.advance(world.place.acme.settings.answer_within)
    goes_on.set()
    await world.calm()
    (given,) = world.place.acme.given
    assert not given.in_time()


async def test_a_create_does_not_leave_after_the_deadline_however_long_the_intent_took(world: World) -> None:
    """The deadline is asked for at the last moment before the first byte, not only before the intent is written."""
    goes_on = world.ledger.hold("record send", "after")
    deadline = world.clock.time_of_day() + timedelta(seconds=10)
    await world.take(make_message(make_request(deadline=deadline.isoformat())))
    world.clock.advance(10)
    goes_on.set()
    await world.calm()
    (given,) = world.place.acme.given
    assert not given.in_time()


async def test_an_intent_of_unknown_fate_sends_nothing(world: World) -> None:
    """Without the ledger's word the create stays here; a row that was stored ends in doubt, not in a second try."""
    world.ledger.forgetting.add("record send")
    await world.ask()
    world.ledger.forgetting.clear()
    assert (await world.entry()).state is State.SENDING
    for _ in range(4):
        await world.go_round(after=11)
    assert world.place.acme.sent == []
    assert (await world.entry()).state is State.IN_DOUBT


@pytest.mark.parametrize("seconds", [-1, 0])
async def test_a_request_after_its_deadline_is_rejected_unasked(world: World, seconds: float) -> None:
    """From its deadline on nothing is sent, and the requester is told."""
    deadline = NOON + timedelta(seconds=seconds)
    entry = await world.ask(deadline=deadline.isoformat())
    assert (entry.state, entry.reason) == (State.REJECTED, ReasonCode.DEADLINE_PASSED)
    assert world.place.acme.prepared == []
    assert reason_of(world) == ReasonCode.DEADLINE_PASSED


async def test_a_deadline_that_passes_while_waiting_for_permission_counts(world: World) -> None:
    """Nothing is sent after the deadline, however long the request had to wait with everything prepared."""
    world.lane.learn(make_outcome(Verdict.NOT_DONE, effect=Effect.LIMIT, wait=9.0))
    await world.ask(deadline=(NOON + timedelta(seconds=5)).isoformat())
    assert world.place.acme.sent == []
    await world.pass_time(9.0)
    assert (await world.entry()).reason is ReasonCode.DEADLINE_PASSED
    assert world.place.acme.sent == []


PAUSES: list[tuple[Any, str]] = [
    (lambda lane: lane.stop(), "the process ends"),
    (lambda lane: lane.pause(LaneState.PAUSED_BY_OPERATOR, "by hand"), "an operator paused the provider"),
]


@pytest.mark.parametrize(("close", "reason"), PAUSES, ids=[reason for _, reason in PAUSES])
async def test_no_create_starts_at_a_lane_that_closed_meanwhile(
    world: World, close: Any, reason: str
) -> None:
    """Who waits for permission when the lane closes sends nothing and gives the row back."""
    world.lane.learn(make_outcome(Verdict.NOT_DONE, effect=Effect.LIMIT, wait=9.0))
    await world.ask()
    close(world.lane)
    await world.pass_time(9.0)
    assert world.place.acme.sent == [], reason
    assert world.lane.in_use == 0
    (claim,) = await world.ledger.real.claim_due("acme", "another", world.clock.now(), 5)
    assert claim.entry.state is State.ACCEPTED


async def test_credentials_nobody_could_read_are_never_created(world: World) -> None:
    """Without a consumer's key a request that ends with credentials is rejected before the provider is asked."""
    world.place.acme.issues_credentials = True
    entry = await world.ask()
    assert (entry.state, entry.reason) == (State.REJECTED, ReasonCode.NO_CONSUMER_KEY)
    assert world.place.acme.prepared == []


async def test_a_generated_password_needs_a_consumer_key_too(world: World) -> None:
    """A password made here is a credential like one that the provider issues."""
    world.place.acme.generates = "generated-1"
    assert (await world.ask()).reason is ReasonCode.NO_CONSUMER_KEY
    assert world.place.acme.prepared == []


async def test_a_dry_run_without_test_mode_is_checked_and_not_sent(empty: Path, tmp_path: Path) -> None:
    """Where the provider has no test mode, a good dry run passes here."""
    place = make_place(empty, tmp_path, BlindProvider())
    async with open_world(place) as world:
        entry = await world.ask(dry_run=True)
        assert (entry.state, entry.reason) == (State.REJECTED, ReasonCode.DRY_RUN_PASSED)
        assert place.acme.prepared == []


async def test_a_dry_run_with_test_mode_asks_the_provider_and_opens_nothing(world: World) -> None:
    """The provider's yes in its test mode is a rejection that says so; no account id is recorded."""
    entry = await world.ask(dry_run=True)
    assert [order.dry_run for order in world.place.acme.sent] == [True]
    assert (entry.state, entry.reason, entry.account_id) == (State.REJECTED, ReasonCode.DRY_RUN_PASSED, None)


async def test_a_request_that_runs_again_is_not_as_slow_as_the_operator_was(world: World) -> None:
    """The time to a result begins anew when a rejected request is replayed, three days later."""
    world.place.acme.creates.then(
        make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_VALIDATION), make_done()
    )
    await world.ask()
    world.clock.advance(3 * 86400)
    await operate(world, Verb.REPLAY)
    await world.go_round(after=2)
    first, second = world.place.watch.all(Finished)
    assert (first.outcome, second.outcome) == (ResultOutcome.REJECTED, ResultOutcome.PROVISIONED)
    assert second.seconds < 5


async def test_whoever_watches_can_tell_a_dry_run_from_a_rejection(world: World) -> None:
    """Both end as rejected, and only one of them is a reason to look."""
    world.place.acme.creates.then(
        make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_VALIDATION), make_done()
    )
    for key, dry_run in (("order-1", False), ("order-2", True)):
        await world.ask(key, dry_run=dry_run)
    assert [fact.dry_run for fact in world.place.watch.all(Finished)] == [False, True]


async def test_a_dry_run_tells_that_nobody_could_read_the_credentials(place: Place) -> None:
    """It checks everything: what the real request would be refused for it is refused for."""
    place.acme.issues_credentials = True
    async with open_world(place) as world:
        assert (await world.ask(dry_run=True)).reason is ReasonCode.NO_CONSUMER_KEY
    place.give_consumer_key()
    async with open_world(place, "worker-2") as world:
        assert (await world.ask("order-2", dry_run=True)).reason is ReasonCode.DRY_RUN_PASSED


async def test_a_dry_run_is_never_in_doubt(world: World) -> None:
    """In a test mode nothing can have been created, so what broke is tried again."""
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.NO_ANSWER))
    assert (await world.ask(dry_run=True)).state is State.WAITING


async def test_what_fails_before_the_create_waits(world: World) -> None:
    """A token that cannot be had is not done, whatever the handler calls it, and is tried again."""
    for verdict in Verdict:
        world.place.acme.prepares.then(make_outcome(verdict, reason=ReasonCode.TOKEN_UNAVAILABLE, retry=True))
        entry = await world.ask(f"order-{verdict}")
        assert (entry.state, entry.reason) == (State.WAITING, ReasonCode.TOKEN_UNAVAILABLE)
    assert world.place.acme.sent == []
    assert len(world.place.watch.all(Called, operation="prepare")) == 3


async def test_what_is_seen_before_the_create_is_seen_last(world: World) -> None:
    """A wait that the provider asked for comes first; what was looked at before it would be out of date."""
    world.lane.learn(BUSY)
    await world.ask()
    assert world.place.acme.prepared == []
    await world.pass_time(5)
    assert (len(world.place.acme.prepared), len(world.place.acme.sent)) == (1, 1)


async def test_a_wait_that_is_asked_for_during_the_preparation_is_kept(world: World) -> None:
    """Nothing is sent into it: the request is given back, and taken up again."""
    prepared = world.place.acme.prepares.held()
    await world.ask()
    world.lane.learn(BUSY)
    prepared.set_result(Prepared(None))
    await world.calm()
    assert (world.place.acme.sent, (await world.entry()).state) == ([], State.ACCEPTED)
    world.place.acme.prepares.then(Prepared(None))
    await world.go_round(after=5)
    assert (await world.entry()).state is State.PROVISIONED


async def test_a_final_no_before_the_create_is_final(world: World) -> None:
    """What preparation refuses for good is rejected."""
    world.place.acme.prepares.then(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_VALIDATION))
    assert (await world.ask()).state is State.REJECTED


async def test_what_came_since_and_is_another_requests_holds_nothing(world: World) -> None:
    """An account that the ledger gave to somebody else is not this request's; one that is nobody's goes to a person."""
    acme = world.place.acme
    acme.creates.then(make_outcome(Verdict.NOT_DONE, retry=True), make_done("A-1"), make_done("A-2"))
    await world.ask("slow")
    assert (await world.ask("quick")).account_id == "A-1"
    acme.prepares.then(Several(("A-1", "A-9"), {}), Several(("A-9",), {"came_since_the_attempt": ["A-9"]}))
    await world.go_round(after=10)
    assert [order.not_ours for order in acme.prepared[-2:]] == [frozenset(), frozenset({"A-1"})]
    assert (await world.entry("slow")).reason is ReasonCode.LOOK_UP_AMBIGUOUS
    await operate(world, Verb.RESOLVE_NOT_CREATED, key="slow")
    acme.prepares.then(Several(("A-1",), {}), Prepared(None))
    await world.go_round()
    assert (await world.entry("slow")).account_id == "A-2"


async def test_what_has_come_although_it_was_proven_absent_is_a_persons_business(world: World) -> None:
    """Nothing is sent; on the person's word that nothing was created, what can be seen does not count any more."""
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.NO_ANSWER), make_done())
    await world.ask()
    while (await world.entry()).state is State.IN_DOUBT:
        world.place.acme.prepares.then(Several(("A-1",), {"came_since_the_attempt": ["A-1"]}))
        await world.go_round(after=300)
    await world.go_round(after=5)
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.LOOK_UP_AMBIGUOUS)
    assert len(world.place.acme.sent) == 1
    assert (await world.history())[-1].detail["detail"] == {"came_since_the_attempt": ["A-1"]}
    assert world.place.acme.prepared[-1].baseline["accounts_before"] == 3
    world.place.acme.prepares.then(Prepared(None))
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    await world.go_round()
    assert (world.place.acme.prepared[-1].baseline, (await world.entry()).state) == ({}, State.PROVISIONED)


async def test_a_surprise_before_the_create_waits(world: World) -> None:
    """An error of our own code in preparation sent nothing: it is told and tried again."""
    world.place.acme.prepares.then(KeyError("token"), Prepared(None))
    entry = await world.ask()
    assert (entry.state, entry.reason) == (State.WAITING, ReasonCode.INTERNAL_ERROR)
    assert world.place.watch.all(Surprised, where="prepare")
    await world.go_round(after=5)
    assert (await world.entry()).state is State.PROVISIONED


async def test_a_surprise_during_the_create_is_in_doubt(world: World) -> None:
    """An error of our own code after the intent may have sent the create: it is not repeated."""
    world.place.acme.creates.then(ZeroDivisionError())
    entry = await world.ask()
    assert (entry.state, entry.reason) == (State.IN_DOUBT, ReasonCode.INTERNAL_ERROR)
    await world.go_round(after=1)
    assert len(world.place.acme.sent) == 1


ANSWERS = [
    (make_done(), State.PROVISIONED, ReasonCode.CREATED, "the account's id"),
    (
        make_done(missing=("api_key",)),
        State.HELD,
        ReasonCode.CREDENTIALS_LOST,
        "an id without its credentials",
    ),
    (
        make_outcome(Verdict.DONE, reason=ReasonCode.UNREADABLE_ANSWER),
        State.IN_DOUBT,
        ReasonCode.UNREADABLE_ANSWER,
        "a yes without an id",
    ),
    (
        make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.SERVER_ERROR),
        State.IN_DOUBT,
        ReasonCode.SERVER_ERROR,
        "no word on the account",
    ),
    (
        make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN),
        State.REJECTED,
        ReasonCode.NAME_TAKEN,
        "a final no",
    ),
    (
        make_outcome(Verdict.NOT_DONE, reason=ReasonCode.UNREACHABLE, retry=True),
        State.WAITING,
        ReasonCode.UNREACHABLE,
        "not now",
    ),
]


@pytest.mark.parametrize(
    ("answer", "state", "code", "reason"), ANSWERS, ids=[reason for *_, reason in ANSWERS]
)
async def test_each_answer_has_its_end(
    world: World, answer: Any, state: State, code: ReasonCode, reason: str
) -> None:
    """What the provider says decides alone; every end that concerns the requester is told in one event."""
    world.place.acme.creates.then(answer)
    entry = await world.ask()
    assert (entry.state, entry.reason) == (state, code), reason
    told = state in (State.PROVISIONED, State.HELD, State.REJECTED)
    assert len(world.place.results) == int(told)
    assert len(world.place.acme.sent) == 1


async def test_the_result_says_how_it_is_known(world: World) -> None:
    """An answer in time is evidence of the plainest kind."""
    await world.ask()
    (event,) = world.place.results
    assert event.data.evidence is Evidence.ANSWER  # type: ignore[union-attr]  # it is provisioned


async def test_doubt_without_a_look_up_goes_to_a_person_at_once(empty: Path, tmp_path: Path) -> None:
    """A provider that cannot be asked leaves the doubt to an operator, and the requester is told so."""
    place = make_place(empty, tmp_path, BlindProvider())
    async with open_world(place) as world:
        place.acme.creates.then(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.NO_ANSWER))
        entry = await world.ask()
        assert (entry.state, entry.reason, entry.doubted) == (State.HELD, ReasonCode.NO_ANSWER, True)
        assert len(place.results) == 1


async def test_attempts_end_at_a_person(place: Place) -> None:
    """When the attempts are used up nothing more is sent; a person is asked."""
    place.acme.creates.then(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.UNREACHABLE, retry=True))
    async with open_world(place, policy=RetryPolicy(attempts=3)) as world:
        await world.ask()
        for _ in range(6):
            await world.go_round(after=700)
        entry = await world.entry()
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.ATTEMPTS_EXHAUSTED)
    assert len(place.acme.sent) == 3


async def test_a_limit_uses_up_no_attempt(place: Place) -> None:
    """Waiting because we were too fast is not the request's failure."""
    place.acme.creates.then(
        *[make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.LIMIT, wait=5.0)] * 5, make_done()
    )
    async with open_world(place, policy=RetryPolicy(attempts=2)) as world:
        await world.ask()
        for _ in range(6):
            await world.go_round(after=11)
        entry = await world.entry()
    assert (entry.state, entry.attempts, entry.deferrals) == (State.PROVISIONED, 1, 5)


async def test_an_account_of_another_request_is_held(world: World) -> None:
    """One account is never given to two: the second request goes to a person, and the story names the account."""
    await world.ask("order-1")
    second = await world.ask("order-2")
    assert (second.state, second.reason) == (State.HELD, ReasonCode.ACCOUNT_CLAIMED_ELSEWHERE)
    assert second.account_id is None
    assert "A-1" in str((await world.history("order-2"))[-1].detail)


async def test_an_order_tells_that_an_attempt_went_before(world: World) -> None:
    """Also when nothing was made of it but "not done": a gateway may have said so after the provider had acted."""
    no = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.ENDPOINT_MISSING, retry=True, effect=Effect.LIMIT)
    world.place.acme.creates.then(no, make_done())
    await world.ask()
    await world.go_round(after=600)
    assert [order.sent_before for order in world.place.acme.sent] == [False, True]
    assert not (await world.entry()).doubted

"""The ledger fails while a request is on its way: what the provider said is recorded when it is back, and said once."""

import pytest

from contracts.reason import ReasonCode
from tests.builders import make_done, make_outcome
from tests.core.operating import operate
from tests.core.world import LEASE, World
from worker.core.errors import LedgerUnavailable
from worker.core.observer import Counted, LaneState, LedgerChanged
from worker.core.provider import Absent, Found, Several
from worker.core.states import State
from worker.core.verdict import Created, Effect, Outcome, Verdict
from worker.operations.verbs import Verb
from worker.telemetry import Metrics

ANSWERS = [
    (make_done(), State.PROVISIONED, "the account"),
    (make_done(missing=("key",)), State.HELD, "the account without its credentials"),
    (make_outcome(Verdict.NOT_DONE), State.REJECTED, "a final no"),
    (make_outcome(Verdict.NOT_DONE, retry=True), State.WAITING, "not now"),
    (make_outcome(Verdict.IN_DOUBT), State.IN_DOUBT, "no word on the account"),
    (
        make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.PAUSE),
        State.WAITING,
        "our credentials are refused",
    ),
    (make_outcome(Verdict.IN_DOUBT, effect=Effect.PAUSE), State.IN_DOUBT, "a redirect after the create"),
]


@pytest.mark.parametrize(("answer", "state", "reason"), ANSWERS, ids=[reason for *_, reason in ANSWERS])
async def test_an_answer_is_recorded_as_soon_as_the_ledger_is_back(
    world: World, answer: Outcome, state: State, reason: str
) -> None:
    """The provider's answer is kept in hand as long as it takes; the create is not sent again."""
    held = world.place.acme.creates.held()
    await world.ask()
    world.ledger.failing.update({"record", "pause", "note"})
    held.set_result(answer)
    for _ in range(3):
        await world.pass_time(1.0)
    assert (await world.entry()).state is State.SENDING
    assert not world.gate.well
    world.ledger.failing.clear()
    await world.pass_time(1.0)
    assert (await world.entry()).state is state, reason
    assert len(world.place.acme.sent) == 1


@pytest.mark.parametrize(("answer", "state", "reason"), ANSWERS, ids=[reason for *_, reason in ANSWERS])
async def test_an_answer_whose_record_is_of_unknown_fate_is_recorded_once(
    world: World, answer: Outcome, state: State, reason: str
) -> None:
    """Stored and not confirmed by the ledger: trying again finds the row moved on, and the state stands."""
    held = world.place.acme.creates.held()
    await world.ask()
    world.ledger.forgetting.add("record")
    held.set_result(answer)
    await world.calm()
    world.ledger.forgetting.clear()
    await world.pass_time(1.0)
    await world.go_round(after=11)
    entry = await world.entry()
    assert entry.state is state, reason
    assert (
        len(world.place.results)
        == len({event.id for event in world.place.results})
        == (entry.event_id is not None)
    )


async def test_a_pause_that_cannot_be_remembered_does_not_lose_the_answer(world: World) -> None:
    """Refused credentials are recorded on the request even if the provider's pause cannot be; the next no pauses it."""
    world.place.acme.creates.then(
        make_outcome(Verdict.NOT_DONE, reason=ReasonCode.CREDENTIALS_REFUSED, retry=True, effect=Effect.PAUSE)
    )
    world.ledger.failing.add("pause")
    entry = await world.ask()
    assert (entry.state, entry.reason) == (State.WAITING, ReasonCode.CREDENTIALS_REFUSED)
    world.ledger.failing.clear()
    await world.go_round(after=5)
    await world.go_round()
    assert world.lane.state is LaneState.PAUSED_BY_CREDENTIALS


async def test_doubt_is_shown_once_the_ledger_is_back_and_the_late_answer_settles_it(world: World) -> None:
    """Neither the doubt nor the answer after it is lost, in whichever order ledger and provider come back."""
    held = world.place.acme.creates.held()
    await world.ask()
    world.ledger.failing.add("record")
    await world.pass_time(30.0)
    held.set_result(make_done())
    await world.pass_time(1.0)
    assert (await world.entry()).state is State.SENDING
    world.ledger.failing.clear()
    await world.pass_time(1.0)
    assert (await world.entry()).state is State.PROVISIONED
    assert (await world.story())[1:] == ["send", "doubt", "late_answer"]


async def test_doubt_of_unknown_fate_is_settled_by_the_late_answer(world: World) -> None:
    """The doubt was stored and not confirmed: the answer that follows is taken all the same."""
    held = world.place.acme.creates.held()
    await world.ask()
    world.ledger.forgetting.add("record doubt")
    await world.pass_time(30.0)
    world.ledger.forgetting.clear()
    await world.pass_time(1.0)
    held.set_result(make_done())
    await world.calm()
    assert (await world.entry()).state is State.PROVISIONED


FINDINGS = [
    (Found(Created("A-1", {}), {}), State.PROVISIONED, "the account"),
    (Absent({}), State.IN_DOUBT, "nothing yet"),
    (Several(("A-1", "A-2"), {}), State.HELD, "too many"),
]


@pytest.mark.parametrize(("finding", "state", "reason"), FINDINGS, ids=[reason for *_, reason in FINDINGS])
async def test_a_look_up_that_could_not_be_recorded_is_made_again(
    world: World, finding: Found | Absent | Several, state: State, reason: str
) -> None:
    """A read may be repeated: the row stays in doubt, is let go after the lease, and is asked for anew."""
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT))
    world.place.acme.findings.then(finding)
    await world.ask()
    world.ledger.failing.add("record")
    await world.go_round(after=16)
    world.ledger.failing.clear()
    assert (await world.entry()).state is State.IN_DOUBT
    for _ in range(4):
        await world.go_round(after=LEASE / 2)
    assert (await world.entry()).state is state, reason
    assert len(world.place.acme.asked) >= 2


async def test_a_working_heartbeat_opens_the_gate_again(world: World) -> None:
    """A durable write is the proof that the ledger is back; both turns are told once."""
    world.ledger.failing.add("heartbeat")
    await world.go_round()
    await world.go_round(after=1)
    assert not world.gate.well
    world.ledger.failing.clear()
    await world.go_round(after=1)
    assert [fact.well for fact in world.place.watch.all(LedgerChanged)] == [False, True]


def is_up(world: World) -> bool:
    """What the gauge that wakes somebody shows after all that was told so far."""
    metrics = Metrics(["acme"])
    for fact in world.place.watch.facts:
        metrics.tell(fact)
    return metrics.registry.get_sample_value("provisioner_ledger_up") == 1


async def test_the_first_sign_of_life_says_that_the_ledger_works(world: World) -> None:
    """Before it nobody knows; a round in which nothing turned tells nothing more."""
    assert not is_up(world)
    await world.go_round()
    await world.go_round(after=1)
    assert [fact.well for fact in world.place.watch.all(LedgerChanged)] == [True]
    assert is_up(world)


async def test_a_ledger_that_is_read_and_not_written_stays_down(world: World) -> None:
    """A count that was under way when the first write failed does not end the alert; a write that succeeds does."""
    counting = world.ledger.hold("standings")
    await world.go_round()
    world.ledger.failing.add("heartbeat")
    await world.go_round(after=1)
    counting.set()
    await world.calm()
    assert world.place.watch.all(Counted)
    assert not is_up(world)
    world.ledger.failing.clear()
    await world.go_round(after=1)
    assert is_up(world)


async def test_an_operators_verb_fails_loudly_while_the_ledger_is_away(world: World) -> None:
    """An operator is never told that something was done which was not."""
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT))
    await world.ask()
    world.ledger.failing.add("operate")
    with pytest.raises(LedgerUnavailable):
        await operate(world, Verb.ABANDON)
    assert (await world.entry()).state is State.IN_DOUBT

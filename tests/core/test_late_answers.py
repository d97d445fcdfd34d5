"""A create that is not answered in time: shown in doubt, listened for all the same, and never sent again meanwhile."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.reason import ReasonCode
from contracts.result import AccountHeld, AccountProvisioned, AccountRejected, Evidence
from tests.builders import make_done, make_outcome
from tests.core.operating import operate
from tests.core.world import LEASE, Place, World, make_place, open_world
from tests.fakes import BlindProvider, ScriptedProvider
from worker.core.errors import NotAllowed
from worker.core.observer import StrayAccount
from worker.core.provider import Absent, Found, Taken
from worker.core.retry import RetryPolicy
from worker.core.states import State
from worker.core.verdict import Created, Outcome, Verdict
from worker.operations.verbs import Verb

IN_TIME = 30.0  # seconds within which an answer is expected


async def unanswered(world: World, **data: Any) -> asyncio.Future[Outcome]:
    """Ask for one account and let the time for an answer pass; the answer that the test may still give."""
    answer: asyncio.Future[Outcome] = world.place.acme.creates.held()
    await world.ask(**data)
    await world.pass_time(IN_TIME)
    return answer


async def test_doubt_is_shown_before_the_answer_comes(world: World) -> None:
    """After the time for an answer the row says in doubt, no sooner; the create is still under way."""
    answer = world.place.acme.creates.held()
    await world.ask()
    await world.pass_time(IN_TIME - 0.1)
    assert (await world.entry()).state is State.SENDING
    await world.pass_time(0.1)
    entry = await world.entry()
    assert (entry.state, entry.reason, entry.doubted) == (State.IN_DOUBT, ReasonCode.NO_ANSWER, True)
    assert world.place.results == []
    answer.set_result(make_done())


LATE = [
    (make_done(), State.PROVISIONED, ReasonCode.CREATED_LATE, "late_answer", "the account after all"),
    (
        make_done(missing=("key",)),
        State.HELD,
        ReasonCode.CREDENTIALS_LOST,
        "late_hold",
        "the account without its credentials",
    ),
    (
        make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN),
        State.REJECTED,
        ReasonCode.NAME_TAKEN,
        "late_refusal",
        "a final no",
    ),
    (
        make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True),
        State.WAITING,
        ReasonCode.PROVIDER_BUSY,
        "late_not_done",
        "not now",
    ),
    (
        make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST),
        State.IN_DOUBT,
        ReasonCode.CONNECTION_LOST,
        "late_doubt",
        "no word again",
    ),
]


@pytest.mark.parametrize(
    ("outcome", "state", "code", "way", "reason"), LATE, ids=[reason for *_, reason in LATE]
)
async def test_a_late_answer_settles_the_doubt(
    world: World, outcome: Outcome, state: State, code: ReasonCode, way: str, reason: str
) -> None:
    """What the provider says late counts as much as what it says in time."""
    answer = await unanswered(world)
    answer.set_result(outcome)
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.reason) == (state, code), reason
    assert (await world.story())[1:] == ["send", "doubt", way]
    assert len(world.place.acme.sent) == 1


async def test_the_end_of_the_listening_is_no_look_up(world: World) -> None:
    """Nobody looked yet, so the schedule of look-ups begins at its beginning, and the attempt says what was seen."""
    answer = await unanswered(world)
    answer.set_result(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST))
    await world.calm()
    entry = await world.entry()
    (attempt,) = await world.ledger.real.attempts(entry.request_id)
    assert entry.look_ups == 0
    assert (attempt.verdict, attempt.reason) == ("in_doubt", ReasonCode.CONNECTION_LOST)


async def test_the_result_says_that_the_answer_was_late(world: World) -> None:
    """The requester learns what the account's existence rests on."""
    answer = await unanswered(world)
    answer.set_result(make_done())
    await world.calm()
    (event,) = world.place.results
    assert isinstance(event, AccountProvisioned)
    assert event.data.evidence is Evidence.LATE_ANSWER


async def test_nobody_looks_while_the_answer_is_listened_for(world: World) -> None:
    """A look-up too early could find nothing although the create is still under way."""
    answer = await unanswered(world)
    for _ in range(8):
        await world.go_round(after=10)
    assert world.place.acme.asked == []
    answer.set_result(make_done())
    await world.calm()
    assert (await world.entry()).state is State.PROVISIONED


async def test_a_late_answer_at_a_provider_that_cannot_be_asked_is_waited_for(
    empty: Path, tmp_path: Path
) -> None:
    """Where no look-up can help, listening comes before an operator."""
    place = make_place(empty, tmp_path, BlindProvider())
    async with open_world(place) as world:
        answer = await unanswered(world)
        await world.go_round(after=60)
        assert (await world.entry()).state is State.IN_DOUBT
        answer.set_result(make_done())
        await world.calm()
        assert (await world.entry()).state is State.PROVISIONED


async def test_a_dry_run_that_is_answered_late_opens_nothing(world: World) -> None:
    """The doubt of a dry run ends as not done."""
    answer = await unanswered(world, dry_run=True)
    answer.set_result(make_done())
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.REJECTED, ReasonCode.DRY_RUN_PASSED)


async def test_the_slot_stays_taken_while_the_answer_is_listened_for(world: World) -> None:
    """A provider that answers late is not sent more at once than it was promised."""
    answer = await unanswered(world)
    assert world.lane.in_use == 1
    answer.set_result(make_done())
    await world.calm()
    assert world.lane.in_use == 0


async def test_ending_the_waiting_side_does_not_end_the_create(world: World) -> None:
    """The create is a task of its own, before and after the time for an answer: nothing that waits for it cuts it."""
    for wait, key in ((0.0, "order-1"), (IN_TIME, "order-2")):
        answer = world.place.acme.creates.held()
        entry = await world.ask(key)
        await world.pass_time(wait)
        _task(f"run {entry.request_id}").cancel()
        await world.calm()
        create = _task(f"create {entry.request_id}")
        answer.set_result(make_done())
        await world.calm()
        assert create.done()
        assert not create.cancelled()


def _task(name: str) -> asyncio.Task[Any]:
    (found,) = (task for task in asyncio.all_tasks() if task.get_name() == name)
    return found


def strays(world: World) -> list[str]:
    """The accounts of which it was told that no request has a place for them."""
    return [fact.account_id for fact in world.place.watch.all(StrayAccount, provider="acme")]


async def sent_again_although_there(world: World, **data: Any) -> asyncio.Future[Outcome]:
    """A second create is under way, by an operator's word, when the first one's answer names A-1."""
    first = await unanswered(world, **data)
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    second: asyncio.Future[Outcome] = world.place.acme.creates.held()
    await world.go_round()
    first.set_result(make_done("A-1"))
    await world.calm()
    return second


VERBS = [
    (Verb.RESOLVE_CREATED, "A-7", State.PROVISIONED),
    (Verb.ABANDON, None, State.ABANDONED),
]


@pytest.mark.parametrize(("verb", "account_id", "state"), VERBS, ids=[verb.value for verb, *_ in VERBS])
async def test_an_operators_word_stands_against_a_late_answer(
    world: World, verb: Verb, account_id: str | None, state: State
) -> None:
    """What the provider says after an operator decided changes no state; its account is kept for who looks again."""
    answer = await unanswered(world)
    await operate(world, verb, account_id)
    answer.set_result(make_done("A-1"))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.account_id) == (state, account_id or "A-1")
    last = (await world.history())[-1]
    assert (last.name, last.leaves, last.enters) == ("answer_after_all", None, None)
    assert last.detail["account_id"] == "A-1"
    assert strays(world) == ["A-1"]


async def test_an_account_that_comes_after_a_rejection_is_known_to_whoever_would_run_it_again(
    world: World,
) -> None:
    """A rejection is final and told; the account that exists all the same is recorded by a person, not opened anew."""
    answer = await unanswered(world)
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    world.place.acme.prepares.then(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_VALIDATION))
    await world.go_round()
    answer.set_result(make_done("A-1"))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.account_id, strays(world)) == (State.REJECTED, "A-1", ["A-1"])
    with pytest.raises(NotAllowed, match="A-1 exists"):
        await operate(world, Verb.REPLAY)
    await operate(world, Verb.RESOLVE_CREATED, "A-1")
    assert ((await world.entry()).state, len(world.place.acme.sent)) == (State.PROVISIONED, 1)


async def test_an_account_that_comes_when_the_attempts_are_used_up_is_told(place: Place) -> None:
    """Held, because every attempt was proven to have opened nothing: an answer that says otherwise is better proof."""
    async with open_world(place, policy=RetryPolicy(attempts=1)) as world:
        answer = await unanswered(world)
        for _ in range(6):
            await world.go_round(after=400)
        before = await world.entry()
        answer.set_result(make_done("A-1"))
        await world.calm()
        after = await world.entry()
    assert (before.state, before.reason) == (State.HELD, ReasonCode.ATTEMPTS_EXHAUSTED)
    assert (after.state, after.account_id) == (State.PROVISIONED, "A-1")


async def test_an_account_of_an_older_attempt_keeps_the_next_one_here(world: World) -> None:
    """The newest attempt is proven to have opened nothing; the one before it has, as is heard now."""
    first = await unanswered(world)
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    world.place.acme.creates.then(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True))
    await world.go_round()
    assert (await world.entry()).state is State.WAITING
    first.set_result(make_done("A-1"))
    await world.calm()
    await world.go_round(after=700)
    entry = await world.entry()
    assert (entry.state, entry.account_id, len(world.place.acme.sent)) == (State.PROVISIONED, "A-1", 2)
    older, newer = await world.ledger.real.attempts(entry.request_id)
    assert (older.verdict, newer.verdict) == ("done", "not_done")
    assert "attempt" not in (await world.history())[-1].detail


async def test_an_older_attempt_that_names_anothers_account_is_told_as_its_own(world: World) -> None:
    """A person must look; the newest attempt is still the one that was proven to have opened nothing."""
    first = await unanswered(world)
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    not_now = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True)
    world.place.acme.creates.then(not_now, make_done("A-1"))
    await world.go_round()
    await world.ask("the owner")
    first.set_result(make_done("A-1"))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.ACCOUNT_CLAIMED_ELSEWHERE)
    older, newer = await world.ledger.real.attempts(entry.request_id)
    assert (older.verdict, newer.verdict) == ("done", "not_done")


async def test_an_account_of_an_older_attempt_is_known_while_a_newer_one_is_under_way(world: World) -> None:
    """The newer one then comes to nothing: no third is sent, and a person hears of the account that there is."""
    second = await sent_again_although_there(world)
    second.set_result(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True))
    await world.calm()
    await world.go_round(after=700)
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.CREDENTIALS_LOST)
    assert (entry.account_id, len(world.place.acme.sent)) == ("A-1", 2)


NOTHING_CREATED = [
    (make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_VALIDATION), 0, "refused"),
    (
        make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True),
        0,
        "its attempts are used up",
    ),
    (
        make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST),
        8,
        "proven absent after its deadline",
    ),
    (
        make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONFLICT_AT_PROVIDER),
        8,
        "the name is somebody else's",
    ),
]


@pytest.mark.parametrize(
    ("outcome", "rounds", "reason"), NOTHING_CREATED, ids=[why for *_, why in NOTHING_CREATED]
)
async def test_nothing_was_created_is_not_said_of_a_request_whose_account_is_known(
    place: Place, outcome: Outcome, rounds: int, reason: str
) -> None:
    """What becomes of the newer attempt says nothing of the account that the older one opened: a person hears of it."""
    async with open_world(place, policy=RetryPolicy(attempts=1)) as world:
        data = (
            {"deadline": (world.clock.now() + timedelta(seconds=60)).isoformat()}
            if "deadline" in reason
            else {}
        )
        only = Taken({}, only_one=True)
        place.acme.findings.then(only if "somebody" in reason else Absent({}))
        second = await sent_again_although_there(world, **data)
        second.set_result(outcome)
        await world.calm()
        for _ in range(rounds):
            await world.go_round(after=400)
        entry = await world.entry()
        assert (entry.state, entry.reason) == (State.HELD, ReasonCode.CREDENTIALS_LOST), reason
        assert (entry.account_id, len(place.acme.sent)) == ("A-1", 2)
        assert [event.data.account_id for event in place.results if isinstance(event, AccountHeld)] == ["A-1"]
        assert not any(isinstance(event, AccountRejected) for event in place.results)


async def test_an_account_is_known_although_the_newest_answer_names_anothers(world: World) -> None:
    """The newest attempt brings an account that a sibling has; the older one's, which nobody has, is told."""
    second = await sent_again_although_there(world)
    world.place.acme.creates.then(make_done("A-2"))
    await world.ask("sibling")
    second.set_result(make_done("A-2"))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.reason, entry.account_id) == (State.HELD, ReasonCode.CREDENTIALS_LOST, "A-1")
    detail = (await world.history())[-1].detail["detail"]
    assert isinstance(detail, dict)
    assert "account A-2" in str(detail["claimed"])


async def test_the_newest_answer_counts_whatever_an_older_one_said(world: World) -> None:
    """Two accounts by an operator's wrong word: the one that was asked for last is handed over, the other is noted."""
    second = await sent_again_although_there(world)
    second.set_result(make_done("A-2"))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.account_id) == (State.PROVISIONED, "A-2")
    assert "answer_after_all" in await world.story()
    assert strays(world) == ["A-1"]


@pytest.mark.parametrize("missing", [(), ("key",)], ids=["whole", "without its credentials"])
async def test_an_account_that_an_operator_took_for_absent_is_not_opened_again(
    world: World, missing: tuple[str, ...]
) -> None:
    """The word stands until there is proof: where nothing was sent again yet, nothing is."""
    answer = await unanswered(world)
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    answer.set_result(make_done("A-1", missing=missing))
    await world.calm()
    await world.go_round(after=LEASE)
    entry = await world.entry()
    assert (entry.state, entry.account_id) == (State.HELD if missing else State.PROVISIONED, "A-1")
    assert (await world.story())[-1] == ("late_hold" if missing else "late_proof")
    assert len(world.place.acme.sent) == 1


async def test_an_operator_cannot_take_a_request_whose_create_is_under_way(world: World) -> None:
    """Before the time for an answer has passed, nobody decides."""
    answer = world.place.acme.creates.held()
    await world.ask()
    for verb in (Verb.ABANDON, Verb.RESOLVE_CREATED, Verb.RESOLVE_NOT_CREATED, Verb.REPLAY):
        with pytest.raises(NotAllowed, match=r"under way|it is sending"):
            await operate(world, verb, "A-7")
    answer.set_result(make_done())


@pytest.mark.parametrize("trouble", ["failing", "forgetting"])
async def test_the_evidence_waits_for_the_ledger(world: World, trouble: str) -> None:
    """An answer that contradicts an operator is not lost because the ledger is away for a moment, and told once."""
    answer = await unanswered(world)
    await operate(world, Verb.ABANDON)
    ailing: set[str] = getattr(world.ledger, trouble)
    ailing.add("note")
    answer.set_result(make_done())
    await world.calm()
    await world.pass_time(1.0)
    assert strays(world) == []
    ailing.clear()
    await world.pass_time(1.0)
    assert (await world.story())[-1] == "answer_after_all"
    assert strays(world) == ["A-1"]


async def test_an_account_that_a_person_recorded_meanwhile_is_no_stray(world: World) -> None:
    """The late answer says what the operator said: nobody needs to look."""
    answer = await unanswered(world)
    await operate(world, Verb.RESOLVE_CREATED, "A-1")
    answer.set_result(make_done("A-1"))
    await world.calm()
    assert (await world.story())[-1] == "answer_after_all"
    assert strays(world) == []


async def test_an_answer_without_an_account_is_no_stray(world: World) -> None:
    """A late no to a request that was abandoned is noted and needs nobody."""
    answer = await unanswered(world)
    await operate(world, Verb.ABANDON)
    answer.set_result(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN))
    await world.calm()
    assert (await world.story())[-1] == "answer_after_all"
    assert strays(world) == []


async def test_a_second_run_by_an_operators_word_is_not_forgotten_when_the_first_one_ends(
    empty: Path, tmp_path: Path
) -> None:
    """While a request runs again, the late end of its first create does not make its second one look abandoned."""
    patient = ScriptedProvider(answer_within=3 * LEASE, listen_for=9 * LEASE)
    async with open_world(make_place(empty, tmp_path, patient)) as world:
        first = patient.creates.held()
        await world.ask()
        await world.pass_time(3 * LEASE)
        await operate(world, Verb.RESOLVE_NOT_CREATED)
        second = patient.creates.held()
        await world.go_round()
        first.set_result(make_outcome(Verdict.NOT_DONE))
        for _ in range(4):
            await world.go_round(after=LEASE / 2)
        assert (await world.entry()).state is State.SENDING
        second.set_result(make_done("A-2"))
        await world.calm()
        assert (await world.entry()).account_id == "A-2"


async def test_a_look_up_that_is_quicker_than_the_late_answer_settles_it_once(world: World) -> None:
    """Two proofs of one account give one result."""
    world.place.acme.findings.then(Found(Created("A-1", {}), {}))
    answer = await unanswered(world)
    await operate(world, Verb.REPLAY)
    await world.go_round()
    answer.set_result(make_done("A-1"))
    await world.calm()
    assert (await world.entry()).state is State.PROVISIONED
    assert len(world.place.results) == 1


async def _look_up_begins(world: World) -> None:
    world.place.acme.findings.held()
    await operate(world, Verb.REPLAY)
    await world.go_round()
    assert len(world.place.acme.asked) == 1


async def _taken_for_dead(world: World) -> None:
    await world.ledger.real.retire("worker-1")
    await world.ledger.real.rescue(world.clock.now(), "worker-2")


LOOKERS = [
    (lambda world: operate(world, Verb.REPLAY), "an operator asked to look at once"),
    (_look_up_begins, "a look-up is under way"),
    (_taken_for_dead, "the worker was taken for dead"),
]


@pytest.mark.parametrize(("meanwhile", "reason"), LOOKERS, ids=[reason for _, reason in LOOKERS])
async def test_an_answer_settles_a_doubt_that_others_hold(world: World, meanwhile: Any, reason: str) -> None:
    """As long as nobody decided, what the provider says of this very attempt counts, whoever claimed the row."""
    answer = world.place.acme.creates.held()
    await world.ask()
    await world.pass_time(0.0 if "dead" in reason else IN_TIME)
    await meanwhile(world)
    assert (await world.entry()).state is State.IN_DOUBT
    answer.set_result(make_done("A-1"))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.account_id) == (State.PROVISIONED, "A-1"), reason
    assert len(world.place.results) == 1


@pytest.mark.parametrize(("meanwhile", "reason"), LOOKERS, ids=[reason for _, reason in LOOKERS])
async def test_an_existing_account_that_no_look_up_shows_is_a_persons_case_whoever_holds_the_row(
    world: World, meanwhile: Any, reason: str
) -> None:
    """That it exists speaks against every look-up that finds nothing, also one under way: nothing is sent again."""
    answer = world.place.acme.creates.held()
    await world.ask()
    await world.pass_time(0.0 if "dead" in reason else IN_TIME)
    await meanwhile(world)
    answer.set_result(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONFLICT_AT_PROVIDER))
    await world.calm()
    world.place.acme.creates.then(make_done("A-2"))
    world.place.acme.findings.then(Absent({"asked": "list"}))
    for _ in range(8):
        await world.go_round(after=400)
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.LOOK_UP_AMBIGUOUS), reason
    assert len(world.place.acme.sent) == 1


@pytest.mark.parametrize("reason", [ReasonCode.CONFLICT_AT_PROVIDER, ReasonCode.NAME_TAKEN])
async def test_a_look_up_that_was_asked_before_the_provider_said_it_exists_settles_nothing(
    world: World, reason: ReasonCode
) -> None:
    """Its "nothing there" was to be the last proof of an absence, when nobody had heard that there is an account."""
    answer = await unanswered(world)
    await operate(world, Verb.REPLAY)
    await world.go_round(after=world.place.acme.settings.settle)
    assert (await world.entry()).absences == world.place.acme.settings.agreeing_look_ups - 1
    finding = world.place.acme.findings.held()
    await world.go_round(after=world.place.acme.settings.look_up_schedule[1] + 1)
    assert len(world.place.acme.asked) == 2
    answer.set_result(make_outcome(Verdict.IN_DOUBT, reason=reason))
    await world.calm()
    finding.set_result(Absent({"asked": "list"}))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.IN_DOUBT, reason)


async def test_an_answer_to_an_older_attempt_does_not_settle_a_newer_doubt(world: World) -> None:
    """Two creates by an operator's word: each answer concerns its own."""
    first = await unanswered(world)
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    second = world.place.acme.creates.held()
    await world.go_round()
    await world.pass_time(IN_TIME)
    assert (await world.entry()).state is State.IN_DOUBT
    first.set_result(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN))
    await world.calm()
    assert (await world.entry()).state is State.IN_DOUBT
    assert (await world.story())[-1] == "answer_after_all"
    second.set_result(make_done("A-2"))
    await world.calm()
    assert (await world.entry()).account_id == "A-2"

"""Requests in doubt: who asks the provider when, and what each finding proves."""

from datetime import timedelta
from pathlib import Path

import pytest

from contracts.reason import ReasonCode
from contracts.result import AccountProvisioned, Evidence
from tests.builders import make_done, make_outcome
from tests.core.operating import operate
from tests.core.world import LEASE, Place, World, make_place, open_world
from tests.fakes import BlindProvider, ScriptedProvider
from worker.core.observer import Called, StrayAccount, Surprised
from worker.core.provider import Absent, Finding, Found, Prepared, Several, Unclear
from worker.core.states import State
from worker.core.verdict import Created, Effect, Verdict
from worker.operations.verbs import Verb

DOUBT = make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST)


async def in_doubt(world: World) -> None:
    """One request whose create may have happened."""
    world.place.acme.creates.then(DOUBT, make_done("A-2"))
    await world.ask()


async def test_look_ups_come_on_schedule(empty: Path, tmp_path: Path) -> None:
    """Each look-up waits as long as the schedule says; its last wait repeats."""
    provider = ScriptedProvider(look_up_schedule=(15.0, 60.0, 180.0))
    provider.findings.then(Unclear({"status": 500}))
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        await in_doubt(world)
        times = []
        for second in range(0, 640, 5):
            before = len(provider.asked)
            await world.go_round(after=5)
            if len(provider.asked) > before:
                times.append(second + 5)
    assert times == [15, 75, 255, 435, 615]


async def test_a_look_up_is_told_what_was_seen_before_the_attempt(world: World) -> None:
    """The baseline of the preparation and the moment of the intent are what a look-up leans on."""
    await in_doubt(world)
    sent_at = world.clock.now()
    await world.go_round(after=16)
    ((order, doubt),) = world.place.acme.asked
    assert doubt.sent_at == sent_at
    assert doubt.baseline == {"accounts_before": 3, "place": world.place.acme.settings.place}
    assert order.request_id == (await world.entry()).request_id


async def test_nothing_found_is_judged_as_of_the_question(world: World) -> None:
    """A worker that freezes between an early look-up's answer and its judgement does not take it for a late one."""
    await in_doubt(world)
    answer = world.place.acme.findings.held()
    await world.go_round(after=16)
    await world.pass_time(world.place.acme.settings.settle * 10)
    answer.set_result(Absent({}))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.absences) == (State.IN_DOUBT, 0)


FINDINGS: list[tuple[Finding, State, ReasonCode, str]] = [
    (Found(Created("A-1", {}), {}), State.PROVISIONED, ReasonCode.FOUND_BY_LOOK_UP, "found"),
    (
        Found(Created("A-1", {}, missing=("key",)), {}),
        State.HELD,
        ReasonCode.CREDENTIALS_LOST,
        "found without its credentials",
    ),
    (Several(("A-1", "A-2"), {}), State.HELD, ReasonCode.LOOK_UP_AMBIGUOUS, "several could be ours"),
    (Absent({}), State.IN_DOUBT, ReasonCode.CONNECTION_LOST, "nothing there yet"),
    (Unclear({}), State.IN_DOUBT, ReasonCode.CONNECTION_LOST, "the look-up failed"),
]


@pytest.mark.parametrize(
    ("finding", "state", "code", "reason"), FINDINGS, ids=[reason for *_, reason in FINDINGS]
)
async def test_each_finding_has_its_end(
    world: World, finding: Finding, state: State, code: ReasonCode, reason: str
) -> None:
    """A look-up settles only what it proves."""
    world.place.acme.findings.then(finding)
    await in_doubt(world)
    await world.go_round(after=16)
    entry = await world.entry()
    assert (entry.state, entry.reason) == (state, code), reason
    assert len(world.place.acme.sent) == 1


async def test_what_was_found_is_told_with_its_evidence(world: World) -> None:
    """The event says that a look-up found the account, the story says which and by what."""
    world.place.acme.findings.then(Found(Created("A-1", {}), {"matching": "order-1"}))
    await in_doubt(world)
    await world.go_round(after=16)
    (event,) = world.place.results
    assert isinstance(event, AccountProvisioned)
    assert event.data.evidence is Evidence.LOOK_UP
    assert (await world.history())[-1].detail["detail"] == {"matching": "order-1", "account_id": "A-1"}


async def test_absence_is_believed_late_and_not_alone_and_then_sent_anew(empty: Path, tmp_path: Path) -> None:
    """A second create leaves only after agreeing look-ups past the settle time, through waiting, as a new attempt."""
    provider = ScriptedProvider(look_up_schedule=(10.0,), settle=25.0, agreeing_look_ups=2)
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        await in_doubt(world)
        sent = []
        for _ in range(5):
            await world.go_round(after=10.5)
            await world.go_round()
            sent.append(len(provider.sent))
        assert sent == [1, 1, 1, 2, 2]
        entry = await world.entry()
        assert (entry.state, entry.account_id, entry.attempts) == (State.PROVISIONED, "A-2", 2)
        assert [name for name in await world.story() if name != "look_again"] == [
            "accept",
            "send",
            "doubt",
            "confirm_absent",
            "send",
            "provision",
        ]
        assert provider.sent[1].sent_before


async def test_a_refusal_after_an_attempt_that_was_not_in_doubt_stands_once_nothing_is_found(
    empty: Path, tmp_path: Path
) -> None:
    """It is looked up, as the earlier create might be what it is about, and then ends the request by its own reason."""
    provider = ScriptedProvider(look_up_schedule=(10.0,), settle=25.0, agreeing_look_ups=2)
    no = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.RATE_LIMITED, retry=True, effect=Effect.LIMIT)
    provider.creates.then(no, make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.NAME_TAKEN))
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        await world.ask()
        await world.go_round(after=600)
        assert (await world.entry()).state is State.IN_DOUBT
        for _ in range(4):
            await world.go_round(after=10.5)
        entry = await world.entry()
        assert (entry.state, entry.reason) == (State.REJECTED, ReasonCode.NAME_TAKEN)
        assert [order.after_doubt for order in provider.sent] == [False, False]


async def test_a_failed_look_up_breaks_a_row_of_agreeing_ones(empty: Path, tmp_path: Path) -> None:
    """Only look-ups that agree without a gap prove absence."""
    provider = ScriptedProvider(look_up_schedule=(10.0,), settle=0.0, agreeing_look_ups=2)
    provider.findings.then(Absent({}), Unclear({}), Absent({}), Unclear({}))
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        await in_doubt(world)
        for _ in range(6):
            await world.go_round(after=10.5)
        assert len(provider.asked) == 6
        assert (await world.entry()).state is State.IN_DOUBT


async def test_hurried_look_ups_prove_no_absence_among_themselves(empty: Path, tmp_path: Path) -> None:
    """A list that is stale for a moment says nothing ten times: only one that comes by the schedule agrees with it."""
    provider = ScriptedProvider(look_up_schedule=(10.0,), settle=25.0, agreeing_look_ups=2)
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        await in_doubt(world)
        for _ in range(3):
            await world.go_round(after=10.5)
        assert (await world.entry()).absences == 1
        for _ in range(10):
            await operate(world, Verb.REPLAY)
            await world.go_round(after=1)
        await world.go_round(after=9)
        entry = await world.entry()
        assert (entry.state, entry.absences, len(provider.asked)) == (State.IN_DOUBT, 1, 13)
        await world.go_round(after=1.5)
        await world.go_round()
        assert (len(provider.asked), len(provider.sent)) == (14, 2)


async def test_hurrying_asks_a_person_no_sooner(empty: Path, tmp_path: Path) -> None:
    """However often it is looked up at once, the doubt goes to a person by its age alone."""
    provider = ScriptedProvider(look_up_schedule=(10.0, 100.0), give_up_look_ups_after=350.0)
    provider.findings.then(Unclear({}))
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        await in_doubt(world)
        for _ in range(30):
            await operate(world, Verb.REPLAY)
            await world.go_round(after=11)
        assert (await world.entry()).state is State.IN_DOUBT
        await world.go_round(after=101)
        assert (await world.entry()).reason is ReasonCode.LOOK_UP_EXHAUSTED


async def test_an_account_that_shows_up_late_prevents_the_second_create(empty: Path, tmp_path: Path) -> None:
    """A provider whose list lags shows the account after 90 seconds: it is found, and nothing is sent again."""
    provider = ScriptedProvider(look_up_schedule=(15.0, 20.0))
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        await in_doubt(world)
        for _ in range(6):
            await world.go_round(after=15)
        provider.findings.then(Found(Created("A-1", {}), {}))
        await world.go_round(after=20)
        assert (await world.entry()).account_id == "A-1"
        assert len(provider.sent) == 1


async def test_doubt_that_look_ups_cannot_settle_goes_to_a_person(empty: Path, tmp_path: Path) -> None:
    """After the time for look-ups nobody guesses."""
    provider = ScriptedProvider(look_up_schedule=(100.0,), give_up_look_ups_after=350.0)
    provider.findings.then(Unclear({}))
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        await in_doubt(world)
        for _ in range(6):
            await world.go_round(after=101)
        entry = await world.entry()
        assert (entry.state, entry.reason) == (State.HELD, ReasonCode.LOOK_UP_EXHAUSTED)
        assert len(provider.asked) == 4


async def test_a_dead_workers_doubt_at_a_provider_that_cannot_be_asked_goes_to_a_person(
    empty: Path, tmp_path: Path
) -> None:
    """Where no look-up exists, a create without an answer is an operator's case."""
    place = make_place(empty, tmp_path, BlindProvider())
    async with open_world(place) as world:
        place.acme.creates.held()
        await world.ask()
    async with open_world(place, "worker-2") as world:
        await world.go_round()
        entry = await world.entry()
        assert (entry.state, entry.reason) == (State.HELD, ReasonCode.LOOK_UP_UNSUPPORTED)
        assert len(place.results) == 1


async def test_what_was_sent_elsewhere_is_not_looked_for_here(place: Place) -> None:
    """Where the settings name another account or address than before, "nothing there" would prove nothing."""
    place.acme.creates.then(DOUBT, make_done("A-2"))
    async with open_world(place) as world:
        await world.ask()
    sent_to = place.acme.settings.place
    place.acme.settings = place.acme.settings.model_copy(update={"base_url": "http://other.test"})
    async with open_world(place, "worker-2") as world:
        for _ in range(30):
            await world.go_round(after=60)
        entry = await world.entry()
        assert (entry.state, entry.reason) == (State.HELD, ReasonCode.LOOK_UP_UNSUPPORTED)
        (line,) = [line for line in await world.history() if line.enters == "held"]
        assert line.detail["detail"] == {"sent_to": sent_to, "settings_name": place.acme.settings.place}
    assert (len(place.acme.sent), place.acme.asked) == (1, [])


async def test_what_a_look_up_finds_after_an_operator_gave_up_is_told(world: World) -> None:
    """The request stays abandoned; that its account exists is in its story, and told as an account without a place."""
    await in_doubt(world)
    finding = world.place.acme.findings.held()
    await world.go_round(after=16)
    await operate(world, Verb.ABANDON)
    finding.set_result(Found(Created("A-1", {}), {"asked": "list"}))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.account_id) == (State.ABANDONED, "A-1")
    assert (await world.story())[-1] == "found_after_all"
    assert [fact.account_id for fact in world.place.watch.all(StrayAccount)] == ["A-1"]


async def test_an_account_that_is_found_keeps_the_next_create_from_leaving(world: World) -> None:
    """A person said that nothing was created while a look-up was under way; what it finds is held, and nothing sent."""
    world.place.acme.creates.then(DOUBT)
    await world.ask()
    finding = world.place.acme.findings.held()
    await world.go_round(after=16)
    prepared = world.place.acme.prepares.held()
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    await world.go_round()
    finding.set_result(Found(Created("A-1", {}), {"asked": "list"}))
    await world.calm()
    prepared.set_result(Prepared(None, {}))
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.reason, entry.account_id) == (State.HELD, ReasonCode.CREDENTIALS_LOST, "A-1")
    assert len(world.place.acme.sent) == 1
    assert world.place.watch.all(Surprised) == []


async def test_what_a_look_up_finds_is_told_as_soon_as_the_ledger_is_back(world: World) -> None:
    """The row moved on, and the ledger cannot be written in this very moment: the account is not forgotten."""
    await in_doubt(world)
    finding = world.place.acme.findings.held()
    await world.go_round(after=16)
    await operate(world, Verb.ABANDON)
    world.ledger.failing.add("note")
    finding.set_result(Found(Created("A-1", {}), {"asked": "list"}))
    await world.calm()
    world.ledger.failing.clear()
    await world.pass_time(1.0)
    assert (await world.entry()).account_id == "A-1"


async def test_what_a_look_up_finds_that_is_known_already_is_no_news(world: World) -> None:
    """A late answer was quicker by a moment: one account, one result, and nobody is told of another."""
    answer = world.place.acme.creates.held()
    await world.ask()
    await world.pass_time(30)
    await operate(world, Verb.REPLAY)
    finding = world.place.acme.findings.held()
    await world.go_round()
    answer.set_result(make_done("A-1"))
    await world.calm()
    finding.set_result(Found(Created("A-1", {}), {"asked": "list"}))
    await world.calm()
    assert ((await world.entry()).state, (await world.story())[-1]) == (State.PROVISIONED, "late_answer")
    assert world.place.watch.all(StrayAccount) == []


@pytest.mark.parametrize(("provider", "dry_run"), [(BlindProvider, False), (ScriptedProvider, True)])
async def test_a_doubt_that_ends_without_a_question_may_be_settled_by_others_first(
    empty: Path, tmp_path: Path, provider: type[ScriptedProvider], dry_run: bool
) -> None:
    """An operator who is quicker by a moment has decided, and that surprises nobody."""
    place = make_place(empty, tmp_path, provider())
    async with open_world(place) as world:
        place.acme.creates.held()
        await world.ask(dry_run=dry_run)
        await world.pass_time(30)
        later = world.clock.now() + timedelta(days=1)
        (claim,) = await world.ledger.real.claim_look_ups("acme", "worker-1", later, 1)
        await operate(world, Verb.ABANDON)
        await world.pipeline.look_up(claim)
        assert (await world.entry()).state is State.ABANDONED
        assert world.place.watch.all(Surprised) == []


async def test_what_was_proven_absent_is_sent_where_the_settings_say(place: Place) -> None:
    """An attempt that opened nothing binds nobody to the place that it was sent to."""
    place.acme.creates.then(make_outcome(Verdict.NOT_DONE, retry=True), make_done("A-1"))
    async with open_world(place) as world:
        await world.ask()
    place.acme.settings = place.acme.settings.model_copy(update={"base_url": "http://other.test"})
    async with open_world(place, "worker-2") as world:
        await world.go_round(after=LEASE)
        assert (await world.entry()).state is State.PROVISIONED


@pytest.mark.parametrize("provider", [ScriptedProvider, BlindProvider], ids=["asked", "not to be asked"])
async def test_a_dry_run_whose_worker_died_runs_again_without_a_look_up(
    empty: Path, tmp_path: Path, provider: type[ScriptedProvider]
) -> None:
    """A test mode creates nothing, so an account that a look-up finds would be somebody else's."""
    made = provider()
    made.HAS_TEST_MODE = True  # type: ignore[misc]  # of this one only
    made.findings.then(Found(Created("A-of-another", {}), {}))
    place = make_place(empty, tmp_path, made)
    async with open_world(place) as world:
        made.creates.held()
        await world.ask(dry_run=True)
    made.creates.then(make_done())
    async with open_world(place, "worker-2") as world:
        await world.go_round()
        await world.go_round()
        entry = await world.entry()
        (line,) = [line for line in await world.history() if line.reason == ReasonCode.CONFIRMED_ABSENT]
    assert (entry.state, entry.reason) == (State.REJECTED, ReasonCode.DRY_RUN_PASSED)
    assert (entry.account_id, made.asked) == (None, [])
    assert (line.detail["rule"], line.detail["message"]) == ("look_up.dry_run", "a test mode creates nothing")


async def test_a_look_up_that_breaks_proves_nothing(world: World) -> None:
    """An error of our own code is told and counts as unclear."""
    world.place.acme.findings.then(KeyError("id"))
    await in_doubt(world)
    await world.go_round(after=16)
    assert (await world.entry()).state is State.IN_DOUBT
    assert world.place.watch.all(Surprised, where="look_up")
    assert [fact.result for fact in world.place.watch.all(Called, operation="look_up")] == ["unclear"]


async def test_a_slow_look_up_is_not_taken_for_a_forgotten_one(world: World) -> None:
    """A look-up that takes longer than a lease still counts: it is under way, not abandoned."""
    finding = world.place.acme.findings.held()
    await in_doubt(world)
    await world.go_round(after=16)
    for _ in range(6):
        await world.go_round(after=LEASE / 2)
    finding.set_result(Found(Created("A-1", {}), {}))
    await world.calm()
    assert (await world.entry()).account_id == "A-1"
    assert len(world.place.acme.asked) == 1


async def test_only_a_few_are_looked_up_at_once(place: Place) -> None:
    """A pile of doubts does not become a storm of reads."""
    place.acme.creates.then(DOUBT)
    place.acme.findings.held()
    async with open_world(place, concurrency=8) as world:
        for number in range(7):
            await world.ask(f"order-{number}")
        await world.go_round(after=16)
        await world.go_round(after=1)
        assert len(place.acme.asked) == 4


async def test_an_account_that_fits_no_event_is_held(world: World) -> None:
    """What a look-up finds and nobody can record is not looked up for ever: a person is asked."""
    world.place.acme.findings.then(Found(Created("", {}), {}))
    await in_doubt(world)
    await world.go_round(after=16)
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.INTERNAL_ERROR)

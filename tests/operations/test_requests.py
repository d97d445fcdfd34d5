"""Finding requests, and resolving them with what an operator found out."""

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, SecretStr

from contracts.examples import messages
from contracts.providers import ProviderContract, discover
from contracts.reason import ReasonCode
from contracts.request import REQUEST_TYPE, request_routing_key
from contracts.result import AccountAbandoned, AccountProvisioned, Evidence
from contracts.schemas import schemas
from tests.builders import make_done, make_message, make_outcome, make_request
from tests.core.operating import ACTOR, REASON, operate, operations
from tests.core.world import World, make_place, open_world
from tests.fakes import NOON, AcmeParameters, FakeDelivery, ScriptedProvider
from tests.operations import states
from tests.providers.known import KNOWN
from worker.core.errors import AmbiguousKey, LedgerUnavailable, NotAllowed, UnknownRequest
from worker.core.observer import LaneState
from worker.core.overview import CREDENTIALS as BY_CREDENTIALS
from worker.core.overview import OPERATOR, Filter, Pause
from worker.core.provider import Prepared
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.operations.accounts import Account
from worker.operations.verbs import Effect, Verb, plan


class GatewayParameters(AcmeParameters):
    """What it is asked; the log-in name is the account's id."""

    user_name: str = "A-7"


class Gateway(ScriptedProvider):
    """A pretended provider under the name of one whose contract issues a password and an API key."""

    name: ClassVar[str] = "gateway360"
    Parameters: ClassVar[type[BaseModel]] = GatewayParameters


async def resolved(
    empty: Path, tmp_path: Path, parameters: dict[str, Any], known: dict[str, str], account_id: str = "A-7"
) -> Any:
    """The event of a request in doubt that an operator resolved, and what the consumer reads in it."""
    gateway = Gateway()
    gateway.creates.then(make_outcome(Verdict.IN_DOUBT))
    gateway.generates = "generated-1"
    place = make_place(empty, tmp_path, gateway)
    place.give_consumer_key()
    async with open_world(place) as world:
        request = make_request(provider="gateway360", parameters={"company": "Example", **parameters})
        await world.pipeline.take(FakeDelivery(make_message(request)), world.desk.lanes["gateway360"])
        await world.calm()
        await operate(world, Verb.RESOLVE_CREATED, account_id, **known)
        await world.go_round(after=11)
    (event,) = place.results
    assert isinstance(event, AccountProvisioned)
    opened = place.opened(event.data.credentials)["credentials"] if event.data.credentials else None
    return event.data, opened


Case = tuple[dict[str, Any], dict[str, str], dict[str, str] | None, tuple[str, ...], str]
CREDENTIALS: list[Case] = [
    (
        {},
        {"api_key": "k"},
        {"password": "generated-1", "api_key": "k"},
        (),
        "generated here and found by the operator",
    ),
    ({}, {}, {"password": "generated-1"}, ("api_key",), "what nobody has is named"),
    ({"password": "chosen"}, {}, None, ("api_key",), "what the requester chose is not missing"),
    ({"password": "chosen"}, {"api_key": "k"}, {"api_key": "k"}, (), "only what is news is handed over"),
]


@pytest.mark.parametrize("case", CREDENTIALS, ids=[reason for *_, reason in CREDENTIALS])
async def test_a_resolved_request_hands_over_all_that_is_known(
    empty: Path, tmp_path: Path, case: Case
) -> None:
    """The consumer gets what was generated and what the operator found, and is told what is lost."""
    parameters, known, handed_over, missing, reason = case
    data, opened = await resolved(empty, tmp_path, parameters, known)
    assert opened == handed_over, reason
    assert data.credentials_missing == missing
    assert (data.account_id, data.evidence) == ("A-7", Evidence.OPERATOR)


UNSENT: list[Case] = [
    ({}, {"api_key": "k"}, {"api_key": "k"}, ("password",), "what was generated here is in no account"),
    ({}, {"password": "p", "api_key": "k"}, {"password": "p", "api_key": "k"}, (), "the true one is told"),
    ({"password": "chosen"}, {"api_key": "k"}, {"api_key": "k"}, (), "what the requester chose is in it"),
]


@pytest.mark.parametrize("case", UNSENT, ids=[reason for *_, reason in UNSENT])
async def test_a_password_that_was_never_sent_is_not_told_as_the_accounts(
    empty: Path, tmp_path: Path, case: Case
) -> None:
    """A request that was sent again after a restore has another password than the account that it opened before."""
    parameters, known, handed_over, missing, reason = case
    gateway = Gateway()
    gateway.generates = "generated-2"
    place = make_place(empty, tmp_path, gateway)
    place.give_consumer_key()
    async with open_world(place) as world:
        world.desk.lanes["gateway360"].pause(LaneState.PAUSED_BY_OPERATOR, "ledger restored")
        request = make_request(provider="gateway360", parameters={"company": "Example", **parameters})
        await world.bury(make_message(request))
        credentials = {name: SecretStr(value) for name, value in known.items()}
        (planned,) = await operations(world).plan(Verb.RESOLVE_CREATED, ["order-1"], None)
        judged = await operations(world).for_account(planned, Account("A-7", credentials))
        assert (judged.effect is Effect.BLOCKED, "password: " in judged.words) == (bool(missing),) * 2, reason
        await operate(world, Verb.RESOLVE_CREATED, "A-7", **known)
        await world.go_round(after=11)
    (event,) = place.results
    assert isinstance(event, AccountProvisioned)
    assert place.opened(str(event.data.credentials))["credentials"] == handed_over, reason
    assert (event.data.credentials_missing, gateway.sent) == (missing, [])


@pytest.mark.parametrize("account_id", ["A-8", "a-7", "A" * 201, "A-7\n", "A-\x1b[2J"])
async def test_what_is_not_the_account_is_not_recorded(empty: Path, tmp_path: Path, account_id: str) -> None:
    """A slip of the hand, which nobody could correct, is refused before anything is written."""
    with pytest.raises(NotAllowed, match=r"the log-in name that was asked for, A-7$|at most 200 characters"):
        await resolved(empty, tmp_path, {}, {}, account_id)


@pytest.mark.parametrize("contract", discover().values(), ids=discover())
async def test_the_account_of_a_resolved_request_fits_its_providers_schema(
    empty: Path, tmp_path: Path, contract: ProviderContract
) -> None:
    """An operator's word gives an event that consumers of this provider can read, whichever provider it is."""
    account_id = KNOWN[contract.NAME].account_ids[0]
    named = type("Named", (ScriptedProvider,), {"name": contract.NAME, "Parameters": contract.Parameters})
    asked: Any = messages()[f"{REQUEST_TYPE}.{contract.NAME}"]["data"]
    provider = named()
    provider.creates.then(make_outcome(Verdict.IN_DOUBT))
    async with open_world(make_place(empty, tmp_path, provider)) as world:
        request = make_request(provider=contract.NAME, parameters=asked["parameters"])
        message = make_message(request, queue="q", routing_key=request_routing_key(contract.NAME))
        await world.pipeline.take(FakeDelivery(message), world.desk.lanes[contract.NAME])
        await world.calm()
        await operate(world, Verb.RESOLVE_CREATED, account_id)
        await world.go_round(after=11)
    (event,) = world.place.results
    assert isinstance(event, AccountProvisioned)
    Draft202012Validator(schemas()[f"{contract.NAME}.account.v1"]).validate(dict(event.data.account))
    assert next(iter(event.data.account.values())) == event.data.account_id == account_id


async def test_credentials_without_a_consumer_key_are_refused(world: World) -> None:
    """What nobody could read is not accepted from an operator either; nothing changes."""
    await states.in_doubt(world)
    with pytest.raises(NotAllowed, match="no consumer key"):
        await operate(world, Verb.RESOLVE_CREATED, "A-7", api_key="k")
    assert (await world.entry()).state is State.IN_DOUBT


async def test_an_account_of_another_request_is_refused(world: World) -> None:
    """A slip of the pen does not give one account to two requesters."""
    await world.ask("order-1")
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT))
    await world.ask("order-2")
    with pytest.raises(NotAllowed, match="account A-1 of acme is that of request"):
        await operate(world, Verb.RESOLVE_CREATED, "A-1", key="order-2")
    assert (await world.entry("order-2")).state is State.IN_DOUBT


@pytest.mark.parametrize("way", [states.accepted, states.waiting], ids=lambda way: way.__name__)
async def test_nothing_is_sent_for_an_account_that_a_person_named(world: World, way: states.Way) -> None:
    """What was opened before a restore is told as it is, and not opened again, however long the worker goes on."""
    await way(world)
    sent = len(world.place.acme.sent)
    await operate(world, Verb.RESOLVE_CREATED, "A-7")
    world.lane.pause(None, "")
    for _ in range(3):
        await world.go_round(after=3600)
    (event,) = world.place.results
    assert isinstance(event, AccountProvisioned)
    assert (event.data.account_id, event.data.evidence) == ("A-7", Evidence.OPERATOR)
    assert len(world.place.acme.sent) == sent


async def test_nothing_is_sent_when_a_person_names_the_account_of_a_claimed_request(world: World) -> None:
    """The worker that has all ready to send finds that the row is no longer its own."""
    ready = world.place.acme.prepares.held()
    await world.ask()
    assert (await world.entry()).state is State.ACCEPTED
    await operate(world, Verb.RESOLVE_CREATED, "A-7")
    ready.set_result(Prepared(None))
    await world.calm()
    await world.go_round(after=3600)
    entry = await world.entry()
    assert (entry.state, entry.account_id, world.place.acme.sent) == (State.PROVISIONED, "A-7", [])


async def test_resolving_as_created_needs_the_account(world: World) -> None:
    """Without an id nothing is recorded."""
    await states.in_doubt(world)
    with pytest.raises(NotAllowed, match="--account-id"):
        await operations(world).carry_out(plan(Verb.RESOLVE_CREATED, await world.entry()), REASON)
    assert (await world.entry()).state is State.IN_DOUBT


async def test_the_word_that_nothing_was_created_sends_again(world: World) -> None:
    """By a named person's word, which stays in the story, a second create goes out."""
    await states.in_doubt(world)
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    world.place.acme.creates.then(make_done("A-2"))
    await world.go_round()
    entry = await world.entry()
    assert (entry.state, entry.account_id, entry.generation) == (State.PROVISIONED, "A-2", 1)
    assert world.place.acme.sent[1].sent_before
    line = next(line for line in await world.history() if line.name == "resolve_not_created")
    assert (line.actor, line.note, line.reason) == (ACTOR, REASON, ReasonCode.DECLARED_NOT_CREATED)


async def test_a_replay_gives_the_whole_patience_again(world: World) -> None:
    """A request that is put back after days is tried as if it were new, not held for its age."""
    await states.rejected(world)
    world.clock.advance(timedelta(days=3).total_seconds())
    world.place.acme.creates.then(make_outcome(Verdict.NOT_DONE, retry=True))
    await operate(world, Verb.REPLAY)
    await world.go_round()
    entry = await world.entry()
    assert (entry.state, entry.attempts) == (State.WAITING, 1)


async def test_a_replay_forgets_a_deadline_that_has_passed(world: World) -> None:
    """An operator who replays an expired request wants it to run."""
    await world.ask(deadline=(NOON - timedelta(seconds=1)).isoformat())
    assert (await world.entry()).reason is ReasonCode.DEADLINE_PASSED
    await operate(world, Verb.REPLAY)
    await world.go_round()
    assert (await world.entry()).state is State.PROVISIONED


async def test_a_deadline_to_come_holds_also_where_the_ledgers_time_is_ahead(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's clock was set back by an hour: a deadline in half an hour has not passed, and counts then."""
    monkeypatch.setattr(world.clock, "time_of_day", lambda: world.clock.now() - timedelta(hours=1))
    deadline = world.clock.time_of_day() + timedelta(minutes=30)
    await states.in_doubt(world, deadline=deadline.isoformat())
    await operate(world, Verb.RESOLVE_NOT_CREATED)
    assert (await world.entry()).deadline == deadline


async def test_abandoning_tells_the_requester_why(world: World) -> None:
    """The operator's words reach the requester."""
    await states.in_doubt(world)
    await operate(world, Verb.ABANDON)
    await world.go_round(after=11)
    (event,) = world.place.results
    assert isinstance(event, AccountAbandoned)
    assert event.data.note == REASON


LEFT: list[tuple[states.Way, str | None, bool, str]] = [
    (states.accepted, None, False, "nothing was sent"),
    (states.waiting, None, False, "what was sent certainly did nothing"),
    (states.held_exhausted, None, False, "every attempt certainly did nothing"),
    (states.in_doubt, None, True, "nobody knows"),
    (states.held_in_doubt, None, True, "nobody could find out"),
    (states.held_with_account, "A-1", True, "the account is known"),
]


@pytest.mark.parametrize(
    ("way", "account_id", "may_exist", "reason"), LEFT, ids=[reason for *_, reason in LEFT]
)
async def test_abandoning_tells_what_may_be_left_at_the_provider(
    world: World, way: states.Way, account_id: str | None, *, may_exist: bool, reason: str
) -> None:
    """The requester reads whether an account may exist, and its id where one is known, before asking for another."""
    await way(world)
    await operate(world, Verb.ABANDON)
    await world.go_round(after=11)
    (event,) = [one for one in world.place.results if isinstance(one, AccountAbandoned)]
    assert (event.data.account_id, event.data.account_may_exist) == (account_id, may_exist), reason


async def test_a_request_is_found_by_its_id_or_its_key(world: World) -> None:
    """Both references lead to the same row."""
    entry = await world.ask()
    hands = operations(world)
    assert await hands.find(entry.request_id) == await hands.find("order-1") == entry


async def test_a_key_of_two_sources_must_be_named_by_id(world: World) -> None:
    """An operator is not given one of two at random; both ids are in the text."""
    await world.take()
    await world.take(make_message({**make_request(), "source": "urn:another"}))
    ids = {entry.request_id for entry in await world.entries()}
    with pytest.raises(AmbiguousKey) as caught:
        await operations(world).find("order-1")
    assert all(request_id in str(caught.value) for request_id in ids)


async def test_a_key_that_is_another_requests_id_names_neither_of_them(world: World) -> None:
    """Publishers choose their keys: what might act on a request that is not meant is refused; both can be named."""
    entry = await world.ask("a\\b")
    await world.take(make_message(make_request(idempotency_key=entry.request_id)))
    (other,) = (one for one in await world.entries() if one.request_id != entry.request_id)
    hands = operations(world)
    with pytest.raises(AmbiguousKey) as refused:
        await hands.find(entry.request_id)
    assert rf"its key 'a\b', the other by its id {other.request_id}" in str(refused.value)
    assert (await hands.find("a\\b")).request_id == entry.request_id
    assert await hands.find(other.request_id) == other


async def test_an_unknown_reference_says_where_to_look(world: World) -> None:
    """Nobody is left with a bare 'not found'."""
    with pytest.raises(UnknownRequest, match="requests list"):
        await operations(world).find("nothing")


async def test_a_plan_covers_named_and_filtered_requests_once(world: World) -> None:
    """A row that is named and matches the filter, too, is planned once."""
    world.place.acme.creates.then(make_outcome(Verdict.NOT_DONE))
    for key in ("order-1", "order-2"):
        await world.ask(key)
    wanted = Filter(states=frozenset({State.REJECTED}))
    plans = await operations(world).plan(Verb.REPLAY, ["order-1"], wanted)
    assert sorted(one.entry.idempotency_key for one in plans) == ["order-1", "order-2"]
    assert {one.effect for one in plans} == {Effect.WILL}


async def test_a_snapshot_does_not_grow(world: World) -> None:
    """What arrives between plan and deed is not swept along."""
    world.place.acme.creates.then(make_outcome(Verdict.NOT_DONE))
    await world.ask("order-1")
    plans = await operations(world).plan(Verb.REPLAY, [], Filter(states=frozenset({State.REJECTED})))
    await world.ask("order-2")
    for one in plans:
        await operations(world).carry_out(one, REASON)
    assert (await world.entry("order-2")).state is State.REJECTED


async def test_two_operators_do_not_both_decide(world: World) -> None:
    """Of two contradicting decisions on the same sight of a row the first stands."""
    await states.in_doubt(world)
    one = plan(Verb.RESOLVE_CREATED, await world.entry())
    other = plan(Verb.RESOLVE_NOT_CREATED, await world.entry())
    await operations(world).carry_out(one, REASON, Account("A-7", {}))
    with pytest.raises(NotAllowed):
        await operations(world, "bob").carry_out(other, REASON)
    assert (await world.entry()).account_id == "A-7"


async def test_a_ledger_that_goes_away_fails_a_deed_before_it_is_done(world: World) -> None:
    """Nothing is read after the commit: a deed that is done would be told as one that is unclear, or not begun."""
    await states.in_doubt(world)
    planned = plan(Verb.RESOLVE_CREATED, await world.entry())
    world.ledger.failing.add("pauses")
    with pytest.raises(LedgerUnavailable):
        await operations(world).carry_out(planned, REASON, Account("A-7", {}))
    assert (await world.entry()).state is State.IN_DOUBT


async def test_an_event_that_is_erased_after_the_look_is_not_called_published(world: World) -> None:
    """Between plan and deed the retention time may end; the operator hears that nothing goes out."""
    planned = plan(Verb.REPUBLISH, await world.ask())
    assert planned.effect is Effect.WILL
    await world.go_round(after=11)
    world.clock.advance(1)
    assert await world.ledger.real.prune(world.clock.now(), 10) == 1
    with pytest.raises(NotAllowed, match="erased after the retention time"):
        await operations(world).carry_out(planned, REASON)


def test_credentials_of_an_account_are_not_shown() -> None:
    """An operator's input does not leak by being printed."""
    assert "canary" not in repr(Account("A-1", {"api_key": SecretStr("canary")}))


async def test_the_word_that_nothing_was_created_is_about_the_newest_attempt(world: World) -> None:
    """While a person looked for the first one's account another create was sent, which the person must know of."""
    lost = make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST)
    world.place.acme.creates.then(lost, lost)
    entry = await world.ask()
    hands = operations(world)
    (planned,) = await hands.plan(Verb.RESOLVE_NOT_CREATED, ["order-1"], None)
    assert await hands.for_attempt(planned, None) == planned
    while len(world.place.acme.sent) == 1:
        await world.go_round(after=400)
    (planned,) = await hands.plan(Verb.RESOLVE_NOT_CREATED, [entry.request_id], None)
    for attempt in (None, 1):
        blocked = await hands.for_attempt(planned, attempt)
        assert blocked.effect is Effect.BLOCKED
        assert "2 creates were sent" in blocked.words
        assert "--attempt 2" in blocked.words
    assert await hands.for_attempt(planned, 2) == planned


async def test_an_account_that_is_known_is_not_overwritten_by_another(world: World) -> None:
    """Whoever carries it out: the customer would get a mistyped id, and the real account would be nobody's."""
    await states.held_with_account(world)
    entry = await world.entry()
    with pytest.raises(NotAllowed, match=f"another account is recorded: {entry.account_id}"):
        await operations(world).carry_out(plan(Verb.RESOLVE_CREATED, entry), REASON, Account("A-9", {}))
    assert await world.entry() == entry


@pytest.mark.parametrize(
    ("way", "verb", "cause", "is_told"),
    [
        (states.waiting, Verb.REPLAY, BY_CREDENTIALS, True),
        (states.held_exhausted, Verb.REPLAY, BY_CREDENTIALS, True),
        (states.in_doubt, Verb.RESOLVE_NOT_CREATED, BY_CREDENTIALS, True),
        (states.in_doubt, Verb.REPLAY, BY_CREDENTIALS, True),
        (states.in_doubt, Verb.REPLAY, OPERATOR, False),
        (states.waiting, Verb.ABANDON, BY_CREDENTIALS, False),
    ],
)
async def test_who_sends_or_looks_into_a_pause_is_told(
    world: World, way: states.Way, verb: Verb, cause: str, is_told: bool
) -> None:
    """A replay that waits for the end of a pause does not sound as if it ran at once, neither before nor after."""
    await way(world)
    await world.ledger.real.pause(Pause("acme", cause, "worker-1", "401", world.clock.now()))
    hands = operations(world)
    (planned,) = await hands.plan(verb, ["order-1"], None)
    done = await hands.carry_out(planned, REASON)
    assert [(f"acme is paused by {cause}" in words) for words in (planned.words, done)] == [
        is_told,
        is_told,
    ]

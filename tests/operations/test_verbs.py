"""Every verb in every state: what the plan says is what is done, and what is blocked changes nothing."""

from typing import Any

import pytest

from contracts.result import AccountAbandoned
from tests.builders import make_entry
from tests.core.operating import ACTOR, REASON, operate, operations
from tests.core.world import World
from tests.fakes import NOON
from tests.operations import states
from tests.operations.states import WAYS, Way
from worker.core.entry import Entry
from worker.core.errors import NotAllowed
from worker.core.sealing import Sealed
from worker.core.states import ANNOUNCED, State
from worker.core.story import HistoryLine
from worker.operations.accounts import Account
from worker.operations.verbs import Effect, Plan, Verb, plan

A, W, D = State.ACCEPTED, State.WAITING, State.IN_DOUBT
P, X = State.PROVISIONED, State.ABANDONED
NOTHING, BLOCKED = Effect.NOTHING, Effect.BLOCKED

# What each verb leads to: a state, nothing to do, or blocked; columns in the order of `Verb`.
TABLE: dict[Way, tuple[State | Effect, State | Effect, State | Effect, State | Effect]] = {
    # way                          replay  created  not created  abandon
    states.accepted: (W, P, NOTHING, X),
    states.waiting: (W, P, NOTHING, X),
    states.sending: (BLOCKED, BLOCKED, BLOCKED, BLOCKED),
    states.in_doubt: (D, P, A, X),
    states.held_in_doubt: (BLOCKED, P, A, X),
    states.held_with_account: (BLOCKED, P, BLOCKED, X),
    states.held_exhausted: (A, P, A, X),
    states.provisioned: (NOTHING, NOTHING, BLOCKED, BLOCKED),
    states.rejected: (A, BLOCKED, BLOCKED, BLOCKED),
    states.abandoned_unsent: (A, BLOCKED, A, NOTHING),
    states.abandoned_in_doubt: (BLOCKED, BLOCKED, A, NOTHING),
    states.abandoned_with_account: (BLOCKED, P, BLOCKED, NOTHING),
}
CASES = [
    (way, verb, expected)
    for way, row in TABLE.items()
    for verb, expected in zip(
        (Verb.REPLAY, Verb.RESOLVE_CREATED, Verb.RESOLVE_NOT_CREATED, Verb.ABANDON), row, strict=True
    )
]
IDS = [f"{verb.value} on {way.__name__}" for way, verb, _ in CASES]


def account_for(verb: Verb) -> Account | None:
    """What resolving needs."""
    return Account("A-1", {}) if verb is Verb.RESOLVE_CREATED else None


async def story(world: World) -> list[HistoryLine]:
    """The history of the one request."""
    return list(await world.history())


def test_the_table_is_complete() -> None:
    """Every way to every state is in it."""
    assert set(TABLE) == set(WAYS)
    assert set(WAYS.values()) == set(State)


@pytest.mark.parametrize(("way", "verb", "expected"), CASES, ids=IDS)
async def test_plan_and_deed_agree(world: World, way: Way, verb: Verb, expected: State | Effect) -> None:
    """What was announced is done, once, with name and reason; what was blocked or needless leaves no trace."""
    await way(world)
    before, lines = await world.entry(), await story(world)
    assert before.state is WAYS[way]
    planned = plan(verb, before)
    assert planned.words

    if expected is BLOCKED:
        assert planned.effect is BLOCKED
        with pytest.raises(NotAllowed):
            await operations(world).carry_out(planned, REASON, account_for(verb))
    else:
        words = await operations(world).carry_out(planned, REASON, account_for(verb))
        assert words
    after, more = await world.entry(), (await story(world))[len(lines) :]
    if isinstance(expected, Effect):
        assert planned.effect is expected
        assert (after, more) == (before, [])
    else:
        assert (planned.effect, after.state) == (Effect.WILL, expected)
        (line,) = more
        assert (line.actor, line.note, line.leaves, line.enters) == (ACTOR, REASON, before.state, expected)


@pytest.mark.parametrize(("way", "verb", "expected"), CASES, ids=IDS)
async def test_every_verb_is_safe_to_repeat(
    world: World, way: Way, verb: Verb, expected: State | Effect
) -> None:
    """Doing it twice, by a nervous operator or a script, opens no second account and does no harm."""
    await way(world)
    for _ in range(2):
        planned = plan(verb, await world.entry())
        if planned.effect is not BLOCKED:
            await operations(world).carry_out(planned, REASON, account_for(verb))
    entry = await world.entry()
    unchanged_or = WAYS[way] if isinstance(expected, Effect) else expected
    # The second replay finds a request that is accepted already, and makes it due at once.
    assert entry.state is (W if (verb, unchanged_or) == (Verb.REPLAY, A) else unchanged_or)
    events = await world.ledger.real.events(entry.request_id)
    assert len({line.event.event_id for line in events}) == len(events)


@pytest.mark.parametrize("way", list(WAYS), ids=[way.__name__ for way in WAYS])
async def test_republish_sends_the_newest_event_again_where_there_is_one(world: World, way: Way) -> None:
    """A consumer that lost a result gets the very same one; without a result the verb says so."""
    await way(world)
    await world.go_round(after=11)
    entry = await world.entry()
    world.place.publisher.confirmed.clear()
    planned = plan(Verb.REPUBLISH, entry)
    assert (planned.effect is Effect.WILL) == (entry.event_id is not None and entry.state in ANNOUNCED)
    if planned.effect is Effect.WILL:
        await operations(world).carry_out(planned, REASON)
        await world.go_round(after=11)
        assert [one.event_id for one in world.place.publisher.confirmed] == [entry.event_id]
        line = (await story(world))[-1]
        assert (line.name, line.actor, line.note) == ("publish_again", ACTOR, REASON)
    else:
        with pytest.raises(NotAllowed):
            await operations(world).carry_out(planned, REASON)


STALE: list[tuple[Way, Verb]] = [
    (states.waiting, Verb.REPLAY),
    (states.waiting, Verb.ABANDON),
    (states.waiting, Verb.RESOLVE_CREATED),
    (states.in_doubt, Verb.RESOLVE_NOT_CREATED),
    (states.in_doubt, Verb.RESOLVE_CREATED),
    (states.in_doubt, Verb.ABANDON),
]


@pytest.mark.parametrize(
    ("way", "verb"), STALE, ids=[f"{verb.value} on {way.__name__}" for way, verb in STALE]
)
async def test_a_plan_on_a_row_that_changed_since_is_refused(world: World, way: Way, verb: Verb) -> None:
    """An operator decides about what they saw; what moved on meanwhile is not touched."""
    await way(world)
    planned = plan(verb, await world.entry())
    world.place.acme.findings.held()
    world.place.acme.creates.held()
    await world.go_round(after=20)
    before = await world.entry()
    with pytest.raises(NotAllowed, match="changed since you looked"):
        await operations(world).carry_out(planned, REASON, account_for(verb))
    assert await world.entry() == before


@pytest.mark.parametrize("way", list(WAYS), ids=[way.__name__ for way in WAYS])
async def test_no_single_verb_sends_a_second_create_without_proof_or_word(world: World, way: Way) -> None:
    """Replaying never opens another account, whatever became of the request; only the word that none exists may."""
    await way(world)
    planned: Plan = plan(Verb.REPLAY, await world.entry())
    sent = len(world.place.acme.sent)
    if planned.effect is Effect.WILL:
        await operations(world).carry_out(planned, REASON)
    world.lane.pause(None, "")
    await world.go_round()
    await world.go_round()
    certainly_nothing = way in (
        states.accepted,
        states.waiting,
        states.held_exhausted,
        states.rejected,
        states.abandoned_unsent,
    )
    assert len(world.place.acme.sent) - sent == int(certainly_nothing)


DRY_RUNS = [
    (state, f"a dry run opens no account: {again}, `requests abandon r-1` closes it")
    for state, again in (
        (A, "it runs by itself"),
        (W, "it runs by itself"),
        (D, "`requests resolve r-1 --not-created` runs it again"),
        (State.HELD, "`requests resolve r-1 --not-created` runs it again"),
    )
]


@pytest.mark.parametrize(("state", "words"), DRY_RUNS, ids=[state.value for state, _ in DRY_RUNS])
def test_no_account_can_be_named_for_a_dry_run(state: State, words: str) -> None:
    """Its requester asked that nothing be opened; what can be done instead is named, and can be done."""
    entry = make_entry(request_id="r-1", state=state, dry_run=True)
    planned = plan(Verb.RESOLVE_CREATED, entry)
    assert (planned.effect, planned.transition, planned.words) == (BLOCKED, None, words)
    assert plan(Verb.RESOLVE_NOT_CREATED, entry).effect is not BLOCKED
    assert plan(Verb.ABANDON, entry).effect is Effect.WILL


LEFT = [
    (make_entry(state=State.WAITING), "without an account"),
    (make_entry(state=State.IN_DOUBT), "the account may exist and nobody will look"),
    (make_entry(state=State.WAITING, account_id="A-1"), "account A-1 stays at the provider"),
    (make_entry(state=State.HELD, account_id="A-1"), "account A-1 stays at the provider"),
]


@pytest.mark.parametrize(("entry", "words"), LEFT, ids=[words for _, words in LEFT])
def test_who_abandons_is_told_what_stays_behind(entry: Entry, words: str) -> None:
    """Whoever closes a request knows whether an account is left, may be left, or certainly is not."""
    assert plan(Verb.ABANDON, entry).words.endswith(words)


async def test_who_replays_what_was_abandoned_hears_nothing_against_its_result(world: World) -> None:
    """Where it was proven that nothing was created the result says so, and the verb does not say that one may exist."""
    await states.waiting(world)
    await operate(world, Verb.ABANDON)
    await world.go_round(after=11)
    (event,) = world.place.results
    assert isinstance(event, AccountAbandoned)
    assert not event.data.account_may_exist
    planned = plan(Verb.REPLAY, await world.entry())
    assert planned.effect is BLOCKED
    assert "its result says whether the account may exist (`account_may_exist`)" in planned.words
    assert "If it may, look at the provider; then `requests resolve" in planned.words


PRUNED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"state": State.REJECTED},
        "nothing was created, and whoever asked may ask anew under a new key",
        "rejected, nothing was created",
    ),
    (
        {"state": X},
        "nothing was created, and whoever asked may ask anew under a new key",
        "abandoned before anything was sent",
    ),
    (
        {"state": X, "attempt_sent_at": NOON},
        (
            ". A create was sent: unless `explain` shows each attempt as not done, an account may exist. Look at the "
            "provider before anybody asks again under another key"
        ),
        "abandoned after a create was sent",
    ),
    (
        {"state": X, "attempt_sent_at": NOON, "account_id": "A-1"},
        "or close it at the provider; do not ask for it under another key",
        "abandoned, and the account exists",
    ),
    (
        {"state": State.REJECTED, "attempt_sent_at": NOON, "account_id": "A-1"},
        "or close it at the provider; do not ask for it under another key",
        "rejected, and the account exists",
    ),
]


@pytest.mark.parametrize(("closed", "words", "case"), PRUNED, ids=[case for *_, case in PRUNED])
@pytest.mark.parametrize("verb", [Verb.REPLAY, Verb.RESOLVE_CREATED, Verb.RESOLVE_NOT_CREATED])
def test_what_was_pruned_is_neither_run_nor_resolved(
    verb: Verb, closed: dict[str, Any], words: str, case: str
) -> None:
    """There is nothing left to run, and a new key is named only where no account exists; no verb names another."""
    planned = plan(verb, make_entry(**closed, sealed_request=Sealed("")))
    assert (planned.effect, planned.transition) == (BLOCKED, None), case
    assert planned.words.startswith("its content was pruned after the retention time"), case
    assert planned.words.endswith(words), case


AGAIN = [(State.REJECTED, Verb.REPLAY), (X, Verb.REPLAY), (X, Verb.RESOLVE_NOT_CREATED)]


@pytest.mark.parametrize(("state", "verb"), AGAIN, ids=[f"{verb.value} on {state}" for state, verb in AGAIN])
def test_who_runs_what_was_closed_is_sent_to_its_sender_first(state: State, verb: Verb) -> None:
    """The sender heard how it ended, and may have ordered the account anew: both orders would be filled."""
    planned = plan(verb, make_entry(state=state))
    assert planned.effect is Effect.WILL
    assert "ask its sender first" in planned.words
    assert planned.words.endswith("may have ordered again under another key")

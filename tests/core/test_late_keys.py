"""What came to a worker after its request was given to a person: an account with its credentials is not thrown away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.reason import ReasonCode
from contracts.result import AccountHeld, AccountProvisioned, Evidence
from tests.builders import make_done, make_outcome
from tests.core.operating import operate
from tests.core.world import World, make_place, open_world
from tests.fakes import BlindProvider
from worker.core.observer import StrayAccount
from worker.core.provider import Found
from worker.core.states import State
from worker.core.verdict import Created, Outcome, Verdict
from worker.keyring import ConsumerKeys
from worker.operations.verbs import Verb

KEY = {"api_key": SecretStr("shown only once")}


@pytest.fixture
async def world(empty: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A worker whose provider shows a key once, in its answer; a look-up finds the account without it."""
    place = make_place(empty, tmp_path)
    place.give_consumer_key()
    place.acme.issues_credentials = True
    place.acme.findings.then(Found(Created("A-1", {}, missing=("api_key",)), {"asked": "list"}))
    async with open_world(place) as opened:
        yield opened


async def taken_for_dead(world: World) -> asyncio.Future[Outcome]:
    """A request in doubt whose worker was taken for dead, while its answer is still to come."""
    answer: asyncio.Future[Outcome] = world.place.acme.creates.held()
    await world.ask()
    await world.ledger.real.retire("worker-1")
    await world.ledger.real.rescue(world.clock.now(), "worker-2")
    return answer


async def held(world: World) -> asyncio.Future[Outcome]:
    """A request that is held for its lost key, while the answer that has it is still to come."""
    answer = await taken_for_dead(world)
    await world.go_round()
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.CREDENTIALS_LOST)
    return answer


async def answered(world: World, answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    """The answer comes after all."""
    answer.set_result(outcome)
    await world.calm()


async def test_a_late_answer_brings_the_key_that_was_taken_for_lost(world: World) -> None:
    """The requester, who heard that a person is needed, gets the account with its key in an event of its own."""
    answer = await held(world)
    await answered(world, answer, make_done("A-1", secrets=KEY))
    entry = await world.entry()
    assert (entry.state, entry.reason) == (State.PROVISIONED, ReasonCode.CREATED_LATE)
    assert (await world.story())[-1] == "late_proof"
    first, second = world.place.results
    assert isinstance(first, AccountHeld)
    assert isinstance(second, AccountProvisioned)
    assert first.id != second.id
    assert second.data.evidence is Evidence.LATE_ANSWER
    opened = world.place.opened(second.data.credentials or "")
    assert opened["credentials"] == {"api_key": "shown only once"}


async def test_the_attempt_tells_what_the_late_answer_was(world: World) -> None:
    """The story of the request ends with what was really seen of its create."""
    answer = await held(world)
    await answered(world, answer, make_done("A-1", secrets=KEY))
    (attempt,) = await world.ledger.real.attempts((await world.entry()).request_id)
    assert (attempt.verdict, attempt.reason) == ("done", ReasonCode.CREATED_LATE)


@pytest.fixture
async def blind(empty: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A worker whose provider shows a key once, in its answer, and cannot be asked afterwards."""
    place = make_place(empty, tmp_path, BlindProvider())
    place.give_consumer_key()
    place.acme.issues_credentials = True
    async with open_world(place) as opened:
        yield opened


async def test_a_late_answer_tells_what_no_look_up_could(blind: World) -> None:
    """Held because nobody can be asked, while the answer lay in the hands of a worker that had lost its ledger."""
    answer = await taken_for_dead(blind)
    await blind.go_round()
    before = await blind.entry()
    await answered(blind, answer, make_done("A-1", secrets=KEY))
    after = await blind.entry()
    assert (before.state, before.reason) == (State.HELD, ReasonCode.LOOK_UP_UNSUPPORTED)
    assert (after.state, after.reason, after.account_id) == (
        State.PROVISIONED, ReasonCode.CREATED_LATE, "A-1",
    )  # fmt: skip
    held, provisioned = blind.place.results
    assert isinstance(held, AccountHeld)
    assert isinstance(provisioned, AccountProvisioned)
    opened = blind.place.opened(provisioned.data.credentials or "")
    assert opened["credentials"] == {"api_key": "shown only once"}


async def test_a_late_no_leaves_it_to_the_person_who_is_asked(blind: World) -> None:
    """Only an account is worth more than a person's time: anything else is noted for the person to read."""
    answer = await taken_for_dead(blind)
    await blind.go_round()
    await answered(blind, answer, make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True))
    assert (await blind.entry()).state is State.HELD
    assert (await blind.story())[-1] == "answer_after_all"


USELESS = [
    (make_done("A-2", secrets=KEY), ["A-2"], "the key of another account"),
    (make_done("A-1", missing=("api_key",)), [], "the account, again without its key"),
]


@pytest.mark.parametrize(("outcome", "strays", "reason"), USELESS, ids=[reason for *_, reason in USELESS])
async def test_what_is_not_the_missing_key_is_only_noted(
    world: World, outcome: Outcome, strays: list[str], reason: str
) -> None:
    """A person must still look, and finds what was seen in the story; a second account is told."""
    answer = await held(world)
    await answered(world, answer, outcome)
    assert (await world.entry()).state is State.HELD, reason
    assert (await world.story())[-1] == "answer_after_all"
    assert len(world.place.results) == 1
    assert [fact.account_id for fact in world.place.watch.all(StrayAccount)] == strays


VERBS: list[tuple[Verb, str | None, State]] = [
    (Verb.RESOLVE_CREATED, "A-1", State.PROVISIONED),
    (Verb.ABANDON, None, State.ABANDONED),
]


@pytest.mark.parametrize(("verb", "account_id", "state"), VERBS, ids=[verb.value for verb, *_ in VERBS])
async def test_an_operators_word_stands_against_a_late_key(
    world: World, verb: Verb, account_id: str | None, state: State
) -> None:
    """Who decided first has decided: the late answer is noted, and nothing more is published."""
    answer = await held(world)
    await operate(world, verb, account_id)
    await answered(world, answer, make_done("A-1", secrets=KEY))
    assert (await world.entry()).state is state
    assert (await world.story())[-1] == "answer_after_all"
    told = await world.ledger.real.events((await world.entry()).request_id)
    assert len(told) == len(["held", "the operator's word"])


def after_the_next_look(world: World, act: Callable[[], Awaitable[object]]) -> None:
    """Let something happen between the worker's next look at the row and what it writes then."""
    find = world.ledger.real.find

    async def find_and_act(request_id: str) -> Any:
        found = await find(request_id)
        world.ledger.real.find = find
        await act()
        return found

    world.ledger.real.find = find_and_act


async def test_a_look_up_that_is_quicker_by_a_moment_takes_no_key_away(world: World) -> None:
    """Seen in doubt, held when it was to be written: the answer is not thrown away for that."""
    answer = await taken_for_dead(world)
    (claim,) = await world.ledger.real.claim_look_ups("acme", "worker-2", world.clock.now(), 1)
    after_the_next_look(world, lambda: world.pipeline.look_up(claim))
    await answered(world, answer, make_done("A-1", secrets=KEY))
    assert (await world.entry()).state is State.PROVISIONED
    assert (await world.story())[-2:] == ["hold_in_doubt", "late_proof"]


async def test_an_operator_who_is_quicker_by_a_moment_has_decided(world: World) -> None:
    """The row is guarded where it is written, too: between looking and writing somebody may abandon it."""
    answer = await held(world)
    after_the_next_look(world, lambda: operate(world, Verb.ABANDON))
    await answered(world, answer, make_done("A-1", secrets=KEY))
    assert (await world.entry()).state is State.ABANDONED
    assert (await world.story())[-1] == "answer_after_all"


async def test_the_key_of_an_account_that_a_sibling_was_given_is_kept_for_its_consumer(world: World) -> None:
    """Two requests for one name: a look-up gave the account to the wrong one before its own answer brought the key."""
    answer = world.place.acme.creates.held()
    await world.ask("owner")
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST))
    await world.ask("sibling")
    await world.go_round(after=16)
    await answered(world, answer, make_done("A-1", secrets=KEY))
    entry, sibling = await world.entry("owner"), await world.entry("sibling")
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.ACCOUNT_CLAIMED_ELSEWHERE)
    assert sibling.account_id == "A-1"
    detail = (await world.history("owner"))[-1].detail["detail"]
    assert isinstance(detail, dict)
    assert sibling.request_id in str(detail["claimed"])
    opened = world.place.opened(str(detail["credentials"]))
    assert (opened["account_id"], opened["credentials"]) == ("A-1", {"api_key": "shown only once"})


async def test_a_key_that_no_result_can_tell_any_more_is_kept_for_its_consumer(world: World) -> None:
    """The request was abandoned while the answer was under way: whoever finds the account finds its key."""
    answer = await taken_for_dead(world)
    await operate(world, Verb.ABANDON)
    await answered(world, answer, make_done("A-1", secrets=KEY))
    last = (await world.history())[-1]
    assert (last.name, last.detail["account_id"]) == ("answer_after_all", "A-1")
    assert world.place.opened(str(last.detail["credentials"]))["credentials"] == {
        "api_key": "shown only once"
    }


async def test_the_half_of_the_credentials_that_came_is_kept_for_their_consumer(world: World) -> None:
    """A person must make the other half anew; what was shown once is not thrown away."""
    world.place.acme.creates.then(make_done("A-1", secrets=KEY, missing=("password",)))
    await world.ask()
    assert (await world.entry()).reason is ReasonCode.CREDENTIALS_LOST
    detail = (await world.history())[-1].detail["detail"]
    assert isinstance(detail, dict)
    assert world.place.opened(str(detail["credentials"]))["credentials"] == {"api_key": "shown only once"}


async def test_a_late_key_that_cannot_be_encrypted_changes_nothing(world: World) -> None:
    """Without the consumer's key the request stays held as it was."""
    answer = await held(world)
    world.desk.recorder._box = ConsumerKeys()
    await answered(world, answer, make_done("A-1", secrets=KEY))
    assert (await world.entry()).state is State.HELD
    assert (await world.story())[-1] == "answer_after_all"

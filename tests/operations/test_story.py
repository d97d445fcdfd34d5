"""The whole story of a request in one answer."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from contracts.reason import CATALOGUE, ReasonCode
from tests.builders import make_outcome
from tests.core.operating import ACTOR, REASON, operate, operations
from tests.core.world import World, make_place, open_world
from tests.fakes import BlindProvider
from tests.operations import states
from tests.operations.states import WAYS, Way
from worker.core.ledger import Ledger
from worker.core.overview import CREDENTIALS, OPERATOR, Pause
from worker.core.sealing import Sealed
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.operations.story import Story, tell
from worker.operations.story import _next_step as next_step
from worker.operations.verbs import Effect, Verb, plan


async def story(world: World) -> Story:
    """The story of the one request."""
    return await tell(cast("Ledger", world.ledger), operations(world).accounts, await world.entry())


@pytest.mark.parametrize("way", list(WAYS), ids=[way.__name__ for way in WAYS])
async def test_every_state_is_explained(world: World, way: Way) -> None:
    """Where it stands and what comes next is said in every state, and the history leads there."""
    await way(world)
    told = await story(world)
    assert told.verdict.startswith(WAYS[way].value)
    assert told.next_step
    assert told.history[-1].enters == WAYS[way]


async def test_a_request_under_way_is_not_said_to_be_created(world: World) -> None:
    """While nobody knows, the verdict does not sound as if somebody did."""
    await states.sending(world)
    assert (await story(world)).verdict == State.SENDING.value


async def test_nothing_of_a_winding_way_is_missing(world: World) -> None:
    """Doubt, an operator's word and the result stand in the order in which they happened."""
    await states.in_doubt(world)
    await operate(world, Verb.RESOLVE_CREATED, "A-7")
    told = await story(world)
    assert [line.name for line in told.history] == ["accept", "send", "doubt", "resolve_created"]
    assert (told.history[-1].actor, told.history[-1].note) == (ACTOR, REASON)
    assert [line.event.event_type for line in told.events] == ["account.provisioned.v1"]
    assert "A-7" in told.verdict
    assert "not confirmed yet" in told.next_step
    await world.go_round(after=11)
    assert (await story(world)).next_step == "nothing is open"


async def test_a_held_request_says_what_to_do(world: World) -> None:
    """The next step of a person is that of the catalogue for the reason."""
    await states.held_with_account(world)
    told = await story(world)
    assert told.entry.reason is not None
    assert told.next_step == CATALOGUE[told.entry.reason].what_to_do


async def test_a_held_doubt_does_not_say_that_the_worker_looks(world: World) -> None:
    """Where nobody asks by machine any more the first word to a person is not "Nothing"."""
    await states.held_in_doubt(world)
    told = await story(world)
    doubt = replace(told.entry, reason=ReasonCode.CONNECTION_LOST)
    assert CATALOGUE[ReasonCode.CONNECTION_LOST].what_to_do.startswith("Nothing while the worker looks")
    assert next_step(doubt, ()).startswith("Operator: the worker looks no more; search at the provider")


async def test_a_doubt_after_a_redirect_is_not_to_be_replayed(empty: Path, tmp_path: Path) -> None:
    """What may have been carried out before it was redirected is searched for: `replay` would refuse to run it."""
    place = make_place(empty, tmp_path, BlindProvider())
    place.acme.creates.then(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.REDIRECTED))
    async with open_world(place) as world:
        await world.ask()
        told = await story(world)
    assert "(redirected: " in told.verdict
    assert "the account may exist" in told.verdict
    assert told.next_step.endswith("if the request is held, search at the provider and resolve it by hand.")
    assert plan(Verb.REPLAY, told.entry).effect is Effect.BLOCKED


async def test_a_waiting_request_says_when(world: World) -> None:
    """The time of the next attempt is part of the answer."""
    await states.waiting(world)
    told = await story(world)
    assert told.entry.due_at is not None
    assert f"{told.entry.due_at:%H:%M:%S}" in told.next_step


async def test_what_cannot_be_resolved_any_more_is_not_said_to_be(world: World) -> None:
    """An account of a request whose content was pruned is handed over or closed by a person, as the verbs say."""
    await states.abandoned_with_account(world)
    entry = (await story(world)).entry
    assert next_step(entry, ()).startswith(f"account {entry.account_id} exists all the same: resolve with it")
    pruned = replace(entry, sealed_request=Sealed(""))
    assert next_step(pruned, ()) == plan(Verb.RESOLVE_CREATED, pruned).words


@pytest.mark.parametrize(
    ("way", "cause", "is_told"),
    [
        (states.accepted, OPERATOR, True),
        (states.waiting, OPERATOR, True),
        (states.in_doubt, OPERATOR, False),
        (states.in_doubt, CREDENTIALS, True),
        (states.held_exhausted, OPERATOR, False),
        (states.held_in_doubt, CREDENTIALS, False),
    ],
)
async def test_a_pause_of_the_provider_is_what_comes_next(
    world: World, way: Way, cause: str, is_told: bool
) -> None:
    """What is to be sent waits for its end, whenever it is due; look-ups only where the provider refuses us."""
    await way(world)
    await world.ledger.real.pause(Pause("acme", cause, ACTOR, "prices change", world.clock.now()))
    told = (await story(world)).next_step
    assert told.startswith(f"acme is paused by {cause} since") is is_told
    assert ("prices change" in told) is is_told

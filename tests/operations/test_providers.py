"""Pause and resume by hand: they hold for every worker and over restarts, and say who did it."""

from pathlib import Path
from typing import cast

import pytest

from tests.core.operating import ACTOR, REASON
from tests.core.world import World, make_place, open_world
from worker.core.errors import UnknownRequest
from worker.core.ledger import Ledger
from worker.core.observer import LaneState
from worker.core.overview import Pause
from worker.operations.providers import ProviderOperations


def operations(world: World) -> ProviderOperations:
    """The verbs on providers."""
    return ProviderOperations(cast("Ledger", world.ledger), frozenset({"acme", "other"}), world.clock, ACTOR)


async def test_a_pause_survives_a_restart(empty: Path, tmp_path: Path) -> None:
    """A provider that was paused by hand is not asked by the next process either."""
    place = make_place(empty, tmp_path)
    async with open_world(place) as world:
        await operations(world).pause("acme", REASON)
    async with open_world(place, "worker-2") as world:
        await world.go_round()
        assert world.lane.state is LaneState.PAUSED_BY_OPERATOR
        assert (await world.take()).verbs == ["requeue"]
        assert "resumed" in await operations(world).resume("acme", REASON)
        await world.go_round()
        assert (await world.take()).verbs == ["ack"]


async def test_who_paused_and_resumed_is_remembered(world: World) -> None:
    """The story of a provider names the person and the reason of each turn, newest first."""
    hands = operations(world)
    await hands.pause("acme", "prices change")
    await hands.resume("acme", "prices are in")
    lines = await world.ledger.real.pause_history("acme", 10)
    assert [(line.name, line.actor, line.note) for line in lines] == [
        ("resume", ACTOR, "prices are in"),
        ("pause", ACTOR, "prices change"),
    ]


async def test_both_verbs_are_safe_to_repeat(world: World) -> None:
    """Pausing what is paused keeps it paused; resuming what runs says so."""
    hands = operations(world)
    for _ in range(2):
        await hands.pause("acme", REASON)
    assert len(await world.ledger.real.pauses()) == 1
    assert "resumed" in await hands.resume("acme", REASON)
    assert "unchanged" in await hands.resume("acme", REASON)


async def test_the_workers_own_pause_does_not_replace_an_operators(world: World) -> None:
    """Refused credentials do not turn a pause by hand into one that a probe may lift."""
    await operations(world).pause("acme", REASON)
    await world.ledger.real.pause(Pause("acme", "credentials", "worker-1", "401", world.clock.now()))
    await world.go_round()
    assert world.lane.state is LaneState.PAUSED_BY_OPERATOR


async def test_an_operator_takes_over_a_pause_for_credentials(world: World) -> None:
    """From then on only a person lifts it."""
    await world.ledger.real.pause(Pause("acme", "credentials", "worker-1", "401", world.clock.now()))
    await operations(world).pause("acme", REASON)
    for _ in range(4):
        await world.go_round(after=61)
    assert world.lane.state is LaneState.PAUSED_BY_OPERATOR
    assert world.place.acme.probed == 0


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_an_unknown_provider_is_refused_with_the_names_there_are(world: World, verb: str) -> None:
    """A mistyped name pauses nothing silently."""
    with pytest.raises(UnknownRequest, match="acme, other"):
        await getattr(operations(world), verb)("acne", REASON)
    assert await world.ledger.real.pauses() == []

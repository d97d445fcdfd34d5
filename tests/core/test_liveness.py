"""Whether a worker counts as alive, which an orchestrator asks every few seconds."""

from typing import Any, cast

import pytest

from tests.core.world import World
from worker.bootstrap.worker import Health
from worker.settings import UpkeepSettings

ALIVE, STUCK = {"upkeep": ""}, {"upkeep": "stands still"}


def health_of(world: World, interval: float) -> Health:
    """What its probes ask; liveness asks no connection."""
    nobody = cast("Any", None)
    stuck_after = UpkeepSettings(interval=interval).stuck_after
    return Health(world.clock, world.upkeep, world.gate, nobody, nobody, stuck_after)


@pytest.mark.parametrize("interval", [0.2, 1.0, 20.0, 60.0])
async def test_a_worker_that_goes_round_is_alive_and_one_that_stands_still_is_not(
    world: World, interval: float
) -> None:
    """At every allowed interval: alive until the next round and while that one is late, not for long after it."""
    health = health_of(world, interval)
    await world.go_round()
    for intervals in (0.5, 0.5, 0.9):
        world.clock.advance(intervals * interval)
        assert health.alive() == ALIVE
    world.clock.advance(max(30.0, 2 * interval))
    assert health.alive() == STUCK
    await world.go_round()
    assert health.alive() == ALIVE

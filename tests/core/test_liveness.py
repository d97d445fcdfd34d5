"""Whether a worker counts as alive and as ready, which an orchestrator asks every few seconds."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.builders import make_done
from tests.core.world import LEASE, World
from worker.bootstrap.worker import Health
from worker.core.observer import LedgerChanged
from worker.core.states import State
from worker.settings import UpkeepSettings

ALIVE, STUCK = {"upkeep": ""}, {"upkeep": "stands still"}


def health_of(world: World, interval: float = 1.0, blocked: str = "") -> Health:
    """What its probes ask; RabbitMQ is there."""
    connected = cast("Any", SimpleNamespace(connected=True, troubles={}, blocked=blocked))
    stuck_after = UpkeepSettings(interval=interval).stuck_after
    return Health(world.clock, world.upkeep, world.gate, connected, connected, stuck_after)


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


@pytest.mark.parametrize(
    ("blocked", "told"),
    [("", ""), ("low on disk", "RabbitMQ takes no publishes: low on disk")],
)
async def test_a_broker_that_takes_no_publishes_makes_a_worker_not_ready(
    world: World, blocked: str, told: str
) -> None:
    """Under an alarm the connection is up, and no result goes out."""
    assert health_of(world, blocked=blocked).ready()["publish_connection"] == told


STEPS = ["heartbeat", "rescue", "pauses", "share", "claim_unpublished"]


@pytest.mark.parametrize("step", STEPS)
async def test_a_ledger_that_hangs_makes_a_worker_not_ready_and_leaves_it_alive(
    world: World, step: str
) -> None:
    """Whichever step of a round has no answer: a restart would not bring one. Once it comes, all is well again."""
    health, stopping = health_of(world), asyncio.Event()
    going_round = asyncio.create_task(world.upkeep.run(stopping))
    await world.calm()
    disk = world.ledger.hold(step)
    said = []
    for _ in range(60):
        await world.pass_time(1.0)
        assert health.alive() == ALIVE
        said.append(health.ready()["ledger"])
    assert said == [""] * 30 + ["does not answer"] * 30
    disk.set()
    await world.calm()
    await world.pass_time(1.0)
    assert (health.alive(), health.ready()["ledger"]) == (ALIVE, "")
    assert [fact.well for fact in world.place.watch.all(LedgerChanged)] == [True, False, True]
    stopping.set()
    await going_round


async def test_a_ledger_that_hangs_stops_intake_and_nothing_is_begun_on_an_old_share(world: World) -> None:
    """The share is counted from the beginning of the round, however long it took to be told."""
    await world.intake.adjust()
    disk = world.ledger.hold("share", "after")
    going_round = asyncio.create_task(world.upkeep.once())
    await world.calm()
    await world.pass_time(LEASE)
    await world.intake.adjust()
    assert world.doors.open_now == {}
    disk.set()
    await going_round
    assert not world.lane.takes_work
    await world.go_round()
    assert world.lane.takes_work


async def test_an_answer_outlives_a_disk_that_hangs(world: World) -> None:
    """What the provider said is only in memory: the worker must not be killed for waiting, and it is recorded then."""
    health = health_of(world)
    answer = world.place.acme.creates.held()
    await world.ask()
    disk = [world.ledger.hold("heartbeat"), world.ledger.hold("record")]
    going_round = asyncio.create_task(world.upkeep.once())
    answer.set_result(make_done("A-1"))
    for _ in range(10):
        await world.pass_time(60.0)
        assert health.alive() == ALIVE
    for write in disk:
        write.set()
    await going_round
    await world.calm()
    entry = await world.entry()
    assert (entry.state, entry.account_id) == (State.PROVISIONED, "A-1")


async def test_upkeep_that_ends_in_the_middle_of_a_round_is_not_taken_for_one_that_waits(
    world: World,
) -> None:
    """Nobody goes round any more, whatever the ledger says."""
    health = health_of(world)
    world.ledger.hold("heartbeat")
    going_round = asyncio.create_task(world.upkeep.once())
    await world.calm()
    await world.pass_time(60.0)
    assert health.alive() == ALIVE
    going_round.cancel()
    await asyncio.wait([going_round])
    assert health.alive() == STUCK

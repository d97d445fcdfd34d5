"""The time of day jumps, or differs between workers: nothing is opened twice, and nothing waits for ever.

Only the time of day is moved; time passes as the test says. The real core and the real ledger.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.reason import ReasonCode
from tests.builders import make_done, make_outcome
from tests.core.world import LEASE, Place, World, empty_ledger, make_place
from tests.evidence.clock_world import DAY, HOUR, MINUTE, SetClock, live, worker_at
from tests.fakes import Vendor
from worker.core.observer import ClockStepped
from worker.core.states import State
from worker.core.verdict import Effect, Outcome, Verdict

FORWARD, FAR_FORWARD = pytest.param(HOUR, id="an hour forward"), pytest.param(DAY, id="a day forward")
BACK, FAR_BACK = pytest.param(-HOUR, id="an hour back"), pytest.param(-DAY, id="a day back")
EVERY_JUMP = pytest.mark.parametrize("jump", [FORWARD, FAR_FORWARD, BACK, FAR_BACK])
A_DAY = pytest.mark.parametrize("jump", [FAR_FORWARD, pytest.param(-DAY, id="a day back")])


def not_now(effect: Effect = Effect.NONE, wait: float | None = None) -> Outcome:
    """Nothing was created, and a later create is welcome."""
    return make_outcome(
        Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True, effect=effect, wait=wait
    )


@pytest.fixture
def vendor() -> Vendor:
    """A provider with a memory; it settles after 300 seconds, and listens for 120."""
    return Vendor(look_up_schedule=(5.0, 10.0))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger to copy."""
    return empty_ledger(tmp_path_factory.mktemp("ledger"))


@pytest.fixture
def place(empty: Path, tmp_path: Path, vendor: Vendor) -> Place:
    """Where the workers live."""
    return make_place(empty, tmp_path, vendor)


@pytest.fixture
def clock() -> SetClock:
    """The machine's."""
    return SetClock()


@pytest.fixture
async def world(place: Place, clock: SetClock) -> AsyncIterator[World]:
    """One worker on that machine."""
    async with worker_at(place, clock) as opened:
        yield opened


@EVERY_JUMP
async def test_a_create_under_way_stays_its_workers(
    world: World, clock: SetClock, vendor: Vendor, jump: float
) -> None:
    """A worker does not take itself for dead: the answer settles the request, and there was no doubt."""
    answer = vendor.creates.held()
    await world.ask()
    clock.jump(jump)
    await live(world, seconds=20)
    answer.set_result(make_done())
    await world.calm()
    assert (await world.entry()).state is State.PROVISIONED
    assert await world.story() == ["accept", "send", "provision"]
    assert len(vendor.sent) == 1


async def test_a_jump_between_two_steps_of_a_round(world: World, clock: SetClock, vendor: Vendor) -> None:
    """The sign of life and the search for the dead are not apart by an hour only because the clock says so."""
    vendor.creates.held()
    await world.ask()
    goes_on = world.ledger.hold("heartbeat", "after")
    beating = asyncio.create_task(world.upkeep.once())
    await world.calm()
    clock.jump(HOUR)
    goes_on.set()
    await beating
    assert await world.story() == ["accept", "send"]


@pytest.mark.parametrize(
    "jump",
    [pytest.param(HOUR, id="an hour forward"), FAR_FORWARD, BACK, FAR_BACK],
)
async def test_nothing_found_is_not_believed_before_it_can_be(
    world: World, clock: SetClock, vendor: Vendor, jump: float
) -> None:
    """While the create is still open, no look-up proves that it made nothing, whatever the clock says; so there is no
    second create.
    """
    vendor.acts = False
    vendor.creates.held()
    await world.ask()
    await live(world, seconds=vendor.settings.answer_within + 1)
    assert (await world.entry()).state is State.IN_DOUBT
    clock.jump(jump)
    await live(world, seconds=80, step=5)
    assert len(vendor.sent) == 1


@EVERY_JUMP
async def test_nothing_found_is_not_believed_early_by_the_next_process(
    place: Place, clock: SetClock, vendor: Vendor, jump: float
) -> None:
    """The clock is set between the death of a worker and the start of the next: no absence is older than it is."""
    vendor.acts = False
    vendor.creates.held()
    async with worker_at(place, clock) as first:
        await first.ask()
    clock.jump(jump)
    async with worker_at(place, clock, "worker-2") as second:
        await live(second, seconds=80, step=5)
        assert (await second.entry()).state is State.IN_DOUBT
    assert len(vendor.sent) == 1


@A_DAY
async def test_what_waits_runs(world: World, clock: SetClock, vendor: Vendor, jump: float) -> None:
    """A request that waits for its next try does not wait for a day longer."""
    vendor.creates.then(not_now(), make_done())
    await world.ask()
    clock.jump(jump)
    await live(world, seconds=30)
    assert (await world.entry()).state is State.PROVISIONED
    assert len(vendor.sent) == 2


@A_DAY
async def test_look_ups_go_on(world: World, clock: SetClock, vendor: Vendor, jump: float) -> None:
    """A request in doubt is looked up on its schedule and found."""
    vendor.creates.then(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST))
    await world.ask()
    clock.jump(jump)
    await live(world, seconds=30)
    assert (await world.entry()).state is State.PROVISIONED
    assert len(vendor.sent) == 1


@A_DAY
async def test_results_are_published(world: World, clock: SetClock, jump: float) -> None:
    """A result that the broker did not confirm is published again soon."""
    world.place.publisher.failure = "not connected"
    await world.ask()
    clock.jump(jump)
    world.place.publisher.failure = None
    await live(world, seconds=30)
    assert len(world.place.results) == 1


@A_DAY
async def test_a_provider_is_asked_again_after_its_limit(
    world: World, clock: SetClock, vendor: Vendor, jump: float
) -> None:
    """A wait of five seconds that a provider asked for is over after five seconds."""
    vendor.creates.then(not_now(Effect.LIMIT, wait=5.0), make_done())
    await world.ask()
    clock.jump(jump)
    await live(world, seconds=30)
    assert world.lane.takes_work


@A_DAY
async def test_a_provider_is_asked_again_after_an_outage(
    world: World, clock: SetClock, vendor: Vendor, jump: float
) -> None:
    """A breaker that opened lets its probe through when the cooldown is over."""
    vendor.creates.then(not_now(Effect.OUTAGE))
    for number in range(5):
        await world.ask(f"order-{number}")
    assert not world.lane.takes_work
    vendor.creates.then(make_done())
    clock.jump(jump)
    await live(world, seconds=120, step=5)
    assert world.lane.takes_work


@pytest.mark.parametrize(
    ("jump", "ends"),
    [
        pytest.param(DAY, State.REJECTED, id="a day forward"),
        pytest.param(0.0, State.PROVISIONED, id="no jump"),
    ],
)
async def test_a_deadline_is_a_time_of_day(
    world: World, clock: SetClock, vendor: Vendor, jump: float, ends: State
) -> None:
    """What the requester wrote as a date is compared with the date: after it nothing is sent any more."""
    vendor.creates.then(not_now(), make_done())
    await world.ask(deadline=(clock.now() + timedelta(hours=1)).isoformat())
    clock.jump(jump)
    await live(world, seconds=30)
    assert (await world.entry()).state is ends
    assert len(vendor.sent) == (1 if ends is State.REJECTED else 2)


@EVERY_JUMP
async def test_a_jump_is_told_once(world: World, clock: SetClock, jump: float) -> None:
    """Who watches hears of it in the next round, and not again while the worker makes up for it."""
    await live(world, seconds=10)
    clock.jump(jump)
    await live(world, seconds=10)
    (told,) = world.place.watch.all(ClockStepped)
    assert abs(told.seconds - jump) < 1


@A_DAY
async def test_a_dead_neighbour_is_noticed(
    place: Place, clock: SetClock, vendor: Vendor, jump: float
) -> None:
    """What a worker left sending when it died is looked up by another one within its lease and some."""
    vendor.creates.held()
    async with worker_at(place, clock, "worker-1", alone=False) as first:
        await first.ask()
    async with worker_at(place, clock, "worker-2", alone=False) as second:
        clock.jump(jump)
        await live(second, seconds=LEASE + 20)
        assert (await second.entry()).state is State.PROVISIONED
    assert len(vendor.sent) == 1


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(MINUTE, id="a minute ahead"),
        pytest.param(-MINUTE, id="a minute behind"),
        pytest.param(10 * MINUTE, id="ten minutes ahead"),
        pytest.param(-10 * MINUTE, id="ten minutes behind"),
    ],
)
async def test_a_neighbour_with_another_clock_is_not_taken_for_dead(
    place: Place, vendor: Vendor, postgresql_url: str, ahead: float
) -> None:
    """Two workers on one PostgreSQL: a create under way at one is left alone by the other, and sent once."""
    mine, others = SetClock(), SetClock()
    others.passing = mine.passing
    others.jump(ahead)
    vendor.acts = False
    vendor.creates.held()
    async with (
        worker_at(place, mine, "worker-1", url=postgresql_url) as first,
        worker_at(place, others, "worker-2", url=postgresql_url) as second,
    ):
        await first.ask()
        await live(first, second, seconds=25)
        assert await first.story() == ["accept", "send"]
    assert len(vendor.sent) == 1

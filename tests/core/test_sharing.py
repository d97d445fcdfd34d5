"""Several workers at one provider: upkeep divides its slots among them, and its waits hold for all."""

from contracts.reason import ReasonCode
from tests.builders import make_message, make_outcome, make_request
from tests.core.world import LEASE, Place, World, open_world
from worker.core.verdict import Effect, Verdict

BUSY = make_outcome(
    Verdict.NOT_DONE, reason=ReasonCode.RATE_LIMITED, retry=True, effect=Effect.LIMIT, wait=60
)


async def test_workers_share_the_slots_of_a_provider(place: Place) -> None:
    """Who is alone has all; of two each has half, within two rounds; who ends leaves its half to the other."""
    async with open_world(place, "one") as one:
        await one.go_round()
        alone = one.lane.slots
        async with open_world(place, "two", alone=False) as two:
            seen = []
            for _ in range(2):
                await two.go_round()
                await one.go_round()
                seen.append((one.lane.slots, two.lane.slots))
            await two.ledger.real.retire("two")
        await one.go_round()
    assert (alone, seen, one.lane.slots) == (4, [(2, 0), (2, 2)], 4)


async def test_what_is_too_much_is_given_back_in_the_same_round(place: Place) -> None:
    """A newcomer waits for one round of the others, not for two."""
    async with open_world(place, "one") as one, open_world(place, "two", alone=False) as two:
        await one.go_round()
        await two.go_round()
        before = one.ledger.calls.count("share")
        await one.go_round()
        await two.go_round()
        assert one.ledger.calls.count("share") == before + 2
        assert (one.lane.slots, two.lane.slots) == (2, 2)


async def test_together_they_never_ask_a_provider_too_much(place: Place) -> None:
    """Two workers with work enough for both have four creates under way, as one has."""
    place.acme.creates.held()
    async with open_world(place, "one") as one, open_world(place, "two", alone=False) as two:
        for _ in range(3):
            await one.go_round()
            await two.go_round()
        for number in range(6):
            await one.take(make_message(make_request(f"one-{number}")))
            await two.take(make_message(make_request(f"two-{number}")))
        assert len(place.acme.sent) == 4


async def test_a_wait_is_followed_by_every_worker(place: Place) -> None:
    """What a provider asked one worker for, another does within its next round, and so does one that starts later."""
    place.acme.creates.then(BUSY)
    async with open_world(place, "one") as one, open_world(place, "two", alone=False) as two:
        await two.go_round()
        await one.ask()
        before = two.lane.takes_work
        await one.go_round()
        await two.go_round()
        async with open_world(place, "three", alone=False) as three:
            await three.go_round()
            assert (before, two.lane.takes_work, three.lane.takes_work) == (True, False, False)
        await two.go_round(after=60)
        assert two.lane.takes_work


async def test_an_operator_ends_a_wait_that_is_too_long(place: Place) -> None:
    """It is not brought back by the worker that was asked for it."""
    place.acme.creates.then(BUSY)
    async with open_world(place) as world:
        await world.ask()
        await world.go_round()
        waiting = world.lane.takes_work
        await world.ledger.real.resume("acme", "ada", "they said so", world.clock.now())
        for _ in range(2):
            await world.go_round()
        assert (waiting, world.lane.takes_work) == (False, True)


async def test_a_worker_that_cannot_renew_its_part_begins_nothing(world: World) -> None:
    """Its ledger is away for longer than its lease: others may have its slots by now."""
    await world.go_round()
    world.ledger.failing.add("heartbeat")
    seen = []
    for _ in range(2):
        await world.go_round(after=LEASE / 2)
        seen.append(world.lane.takes_work)
    world.ledger.failing.clear()
    await world.go_round()
    assert [*seen, world.lane.takes_work] == [True, False, True]


async def test_a_queue_is_read_as_far_ahead_as_there_are_slots_here(place: Place) -> None:
    """What waits here could run elsewhere, so the prefetch follows this worker's part; without one nothing is read."""
    seen: list[list[int | None]] = []
    async with open_world(place, "one") as one, open_world(place, "two", alone=False) as two:
        for _ in range(2):
            for world in (one, two):
                await world.go_round()
                await world.intake.adjust()
            ahead = [world.doors.open_now.get("requests.acme") for world in (one, two)]
            seen.append([None if door is None else door[1] for door in ahead])
    assert seen == [[4, None], [2, 2]]

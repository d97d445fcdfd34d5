"""Publishing: a recorded event is published until the broker has confirmed it, always under the same id."""

import json

import pytest

from tests.builders import make_done, make_message, make_outcome
from tests.core.operating import operate
from tests.core.world import Place, World, open_world
from worker.core.observer import Published, Surprised
from worker.core.states import State
from worker.core.story import EventLine
from worker.core.verdict import Verdict
from worker.operations.verbs import Verb


async def lines(world: World) -> list[EventLine]:
    """The events of the one request, as the ledger has them."""
    entry = await world.entry()
    return list(await world.ledger.real.events(entry.request_id))


FAILURES = ["returned as unroutable", "refused by the broker", "not confirmed in time", "no connection"]


@pytest.mark.parametrize("failure", FAILURES)
async def test_an_unconfirmed_event_is_published_again_under_the_same_id(world: World, failure: str) -> None:
    """Whatever came of a publish, an event without a confirmation stays unpublished and is tried again."""
    publisher = world.place.publisher
    publisher.failure = failure
    await world.ask()
    (line,) = await lines(world)
    assert (line.published_at, line.publishes) == (None, 0)
    assert [(fact.confirmed, fact.detail) for fact in world.place.watch.all(Published)] == [(False, failure)]

    await world.go_round(after=11)
    publisher.failure = None
    await world.go_round(after=11)
    (line,) = await lines(world)
    assert publisher.tried == [line.event.event_id] * 3
    assert (line.published_at, line.publishes) == (world.clock.now(), 1)
    assert [one.event_id for one in publisher.confirmed] == [line.event.event_id]


async def test_a_confirmed_event_is_not_published_again(world: World) -> None:
    """Once is enough."""
    await world.ask()
    for _ in range(3):
        await world.go_round(after=60)
    assert len(world.place.publisher.tried) == 1


async def test_a_fresh_event_is_left_to_the_one_who_recorded_it(world: World) -> None:
    """Upkeep gives a publish some seconds before it tries the same."""
    world.place.publisher.failure = "not confirmed in time"
    await world.ask()
    await world.go_round(after=9)
    assert len(world.place.publisher.tried) == 1


async def test_a_confirmation_that_cannot_be_written_down_means_one_more_publish(world: World) -> None:
    """Twice under one id is harmless, never is not."""
    world.ledger.failing.add("mark_published")
    await world.ask()
    world.ledger.failing.clear()
    await world.go_round(after=11)
    first, second = world.place.publisher.confirmed
    assert first == second
    assert (await lines(world))[0].published_at is not None


async def test_what_the_broker_confirmed_is_told_so_whatever_the_ledger_does(world: World) -> None:
    """Nobody looks at RabbitMQ for a ledger that fails, or is slow; the fact names the request that it is about."""
    world.ledger.failing.add("mark_published")
    await world.ask()
    world.ledger.failing.clear()
    marked = world.ledger.hold("mark_published")
    await world.go_round(after=11)
    world.clock.advance(8)
    marked.set()
    await world.calm()
    first, second = world.place.watch.all(Published)
    assert (first.confirmed, second.confirmed, second.seconds) == (True, True, 0)
    assert second.subject_id == (await world.entry()).request_id


async def test_the_result_is_recorded_before_it_is_published(world: World) -> None:
    """What the world hears is on the disk already."""
    seen: list[State] = []
    publish = world.place.publisher.publish

    async def look(body: bytes, *, event_id: str, event_type: str, routing_key: str) -> None:
        seen.append((await world.entry()).state)
        await publish(body, event_id=event_id, event_type=event_type, routing_key=routing_key)

    world.place.publisher.publish = look  # type: ignore[method-assign]
    await world.ask()
    assert seen == [State.PROVISIONED]


async def test_a_slow_publish_is_not_doubled(world: World) -> None:
    """While one publish of an event is under way, upkeep starts no second one."""
    world.place.publisher.failure = "no connection"
    await world.ask()
    world.place.publisher.failure = None
    confirmed = world.ledger.hold("mark_published")
    for _ in range(3):
        await world.go_round(after=11)
    confirmed.set()
    await world.calm()
    assert len(world.place.publisher.confirmed) == 1


async def test_a_broken_publisher_takes_nothing_with_it(world: World) -> None:
    """An error of another kind is told; the result stays recorded and is published later."""
    publish = world.place.publisher.publish

    async def broken(body: bytes, *, event_id: str, event_type: str, routing_key: str) -> None:
        raise RuntimeError(len(body), event_id, event_type, routing_key)

    world.place.publisher.publish = broken  # type: ignore[method-assign]
    await world.ask()
    assert (await world.entry()).state is State.PROVISIONED
    assert world.lane.in_use == 0
    assert world.place.watch.all(Surprised)
    world.place.publisher.publish = publish  # type: ignore[method-assign]
    await world.go_round(after=11)
    assert len(world.place.results) == 1


async def test_an_event_whose_key_is_gone_is_told_and_kept(place: Place) -> None:
    """Without the key that sealed it an event cannot be published; it waits for the key's return."""
    place.publisher.failure = "no connection"
    async with open_world(place) as world:
        await world.ask()
        keys, place.keyring._keys = place.keyring._keys, {}
        place.publisher.failure = None
        await world.go_round(after=11)
        assert "key" in place.watch.all(Published)[-1].detail
        assert place.results == []
        place.keyring._keys = keys
        await world.go_round(after=11)
        assert len(place.results) == 1


async def test_each_new_outcome_is_an_event_of_its_own(world: World) -> None:
    """Held first and provisioned later are two events about one request, in this order."""
    world.place.acme.creates.then(make_done(missing=("key",)))
    await world.ask()
    await operate(world, Verb.RESOLVE_CREATED, "A-1")
    await world.go_round(after=11)
    assert [event.data.outcome.value for event in world.place.results] == ["held", "provisioned"]
    assert len({event.id for event in world.place.results}) == 2


async def test_the_published_bytes_are_a_structured_event_with_its_routing_key(world: World) -> None:
    """Consumers find provider and outcome in the key, and the whole event in the body."""
    world.place.acme.creates.then(make_outcome(Verdict.NOT_DONE))
    await world.take(make_message())
    (one,) = world.place.publisher.confirmed
    body = json.loads(one.body)
    assert (one.routing_key, one.event_type) == ("result.acme.rejected", "account.rejected.v1")
    assert (body["id"], body["type"]) == (one.event_id, one.event_type)

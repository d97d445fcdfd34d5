"""Consuming: a long backlog, cancellation at every step, deliveries that never come, redeliveries without end."""

import asyncio
import gc
from collections.abc import Callable

import pytest

from tests.builders import make_done, make_message, make_request
from tests.core.world import LEASE, Place, World, open_world
from tests.fakes import FakeDelivery
from tests.pitfalls.works import QUEUE, TOPOLOGY, Works
from tests.rabbitmq.rig import BODY, Inbox, Rig, within
from worker.core.broker import Delivery
from worker.core.states import State
from worker.rabbitmq.delivery import BrokerDelivery

BACKLOG = 10_000
PREFETCH = 16


@pytest.mark.rabbitmq
async def test_ten_thousand_waiting_messages_stay_at_the_broker(rig: Rig) -> None:
    """Pitfall 22: of a long backlog as many messages are here as the prefetch says, and memory stays flat."""
    consumer, idle, count = rig.consumer(TOPOLOGY), Inbox(), Counting(BACKLOG)
    before = living_deliveries()
    async with rig.running(consumer):
        await fill(rig, BACKLOG)
        await consumer.open(QUEUE, idle, PREFETCH)
        for _ in range(PREFETCH):
            await idle.next()
        (listed,) = await rig.consumers()
        assert (listed["queue_name"], listed["prefetch_count"]) == (QUEUE, PREFETCH)
        await rig.probe.until_ready(QUEUE, BACKLOG - PREFETCH)
        assert (idle.seen, living_deliveries() - before) == (PREFETCH, PREFETCH)
        await consumer.close(QUEUE)
        await consumer.open(QUEUE, count, PREFETCH)
        await within(count.done.wait(), 60)
        await consumer.close(QUEUE)
    assert count.late - count.early < BACKLOG / 10, "objects, while four fifths of the backlog went through"


class Counting:
    """A handler that acknowledges, counts, and notes early and late how many objects are alive."""

    def __init__(self, last: int) -> None:
        self.done = asyncio.Event()
        self.early = self.late = 0
        self._seen, self._last = 0, last

    async def __call__(self, delivery: Delivery) -> None:
        """Take one."""
        await delivery.ack()
        self._seen += 1
        if self._seen == self._last // 5:
            self.early = living_objects()
        if self._seen == self._last:
            self.late = living_objects()
            self.done.set()


POINTS = (
    "waiting for a slot",
    "before its row is written",
    "after its row was written",
    "being acknowledged",
)


@pytest.mark.parametrize("point", POINTS)
async def test_a_delivery_cancelled_at_any_wait_is_neither_dropped_nor_rejected(
    place: Place, point: str
) -> None:
    """Pitfall 15: wherever its task is cancelled, a request is in the ledger or still at the broker, and runs once."""
    async with open_world(place, concurrency=1) as world:
        release = await obstruct(world, point)
        delivery = Unacknowledged(make_message(make_request("order-2")))
        taking = asyncio.create_task(world.pipeline.take(delivery, world.lane))
        await world.calm()
        assert not taking.done()
        taking.cancel()
        await asyncio.wait({taking})
        assert (taking.cancelled(), delivery.verbs) == (True, [])
        release()
        assert (await world.take(delivery.message)).verbs == ["ack"]
        for _ in range(3):
            await world.go_round(after=LEASE)
        row = await world.entry("order-2")
        assert row.state is State.PROVISIONED
        assert [order.request_id for order in place.acme.sent].count(row.request_id) == 1
        assert world.lane.in_use == 0


async def test_a_row_whose_message_never_comes_again_runs_all_the_same(place: Place) -> None:
    """Pitfall 24: the broker keeps a message that no channel owns; upkeep runs what is accepted without a delivery."""
    async with open_world(place) as world:
        world.ledger.hold("accept", "after")
        assert (await world.take()).verbs == []
    place.clock.advance(LEASE)
    async with open_world(place, "worker-2") as world:
        await world.go_round()
        assert (await world.entry()).state is State.PROVISIONED
        assert [entry.idempotency_key for entry in await world.entries()] == ["order-1"]
    assert (len(place.acme.sent), len(place.results)) == (1, 1)


@pytest.mark.rabbitmq
async def test_a_ledger_that_refuses_every_request_makes_no_hot_loop(works: Works) -> None:
    """Pitfall 34: each sign of life opens the queue, each request closes it; nothing spins, nothing is lost."""
    works.world.ledger.failing.add("accept")
    stopping = asyncio.Event()
    intake = asyncio.create_task(works.intake.run(stopping))
    for number in range(MESSAGES):
        await works.ask(f"order-{number}")
    for _ in range(ROUNDS):
        await works.world.upkeep.once()
        await works.rig.probe.until_ready(QUEUE, MESSAGES)
    assert MESSAGES <= works.world.ledger.calls.count("accept") <= ROUNDS * MOST_PER_ROUND
    works.world.ledger.failing.clear()
    await works.world.upkeep.once()
    await works.until_state(State.PROVISIONED, *(f"order-{number}" for number in range(MESSAGES)))
    stopping.set()
    await within(intake)


MESSAGES, ROUNDS, MOST_PER_ROUND = 5, 10, 50


class Unacknowledged(FakeDelivery):
    """A delivery whose acknowledgement never comes to its end."""

    async def ack(self) -> None:
        await asyncio.get_running_loop().create_future()


async def obstruct(world: World, point: str) -> Callable[[], object]:
    """Let the next delivery get stuck at this point; and what clears the way again."""
    if point == POINTS[0]:
        answer = world.place.acme.creates.held()
        await world.ask("order-1")
        return lambda: answer.set_result(make_done())
    if point == POINTS[3]:
        return lambda: None
    return world.ledger.hold("accept", "before" if point == POINTS[1] else "after").set


async def fill(rig: Rig, count: int) -> None:
    """Publish so many messages, many at a time; before them one that shows that the broker takes them."""
    await rig.probe.publish(BODY, QUEUE, exchange="")
    async with rig.probe.channel() as channel:
        await channel.queue_purge(QUEUE)
        for _ in range(count // 1000):
            publishes = (channel.basic_publish(BODY, routing_key=QUEUE) for _ in range(1000))
            await within(asyncio.gather(*publishes))


def living_deliveries() -> int:
    """Deliveries of this process that anybody still holds."""
    gc.collect()
    return sum(isinstance(kept, BrokerDelivery) for kept in gc.get_objects())


def living_objects() -> int:
    """Everything in this process that could hold a message."""
    gc.collect()
    return len(gc.get_objects())

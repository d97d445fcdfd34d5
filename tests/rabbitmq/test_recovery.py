"""The connection for consuming under faults: closed, restarted, frozen, its queues deleted."""

import asyncio
import gc
from dataclasses import replace
from typing import Any

import pytest
from aiormq.channel import Channel

from tests.rabbitmq.rig import (
    BODY,
    KEY,
    PROVIDER,
    QUEUE,
    TOPOLOGY,
    Inbox,
    Rig,
    channel_of,
    eventually,
    subscription_of,
    within,
)
from worker.core.broker import Delivery
from worker.core.errors import TopologyMismatch
from worker.core.observer import QueueRestored, Unsettled
from worker.rabbitmq.subscription import Subscription
from worker.rabbitmq.topology import DEAD_LETTERS, Topology, request_queue

pytestmark = pytest.mark.rabbitmq


async def test_running_handler_survives_the_loss_of_its_connection(rig: Rig) -> None:
    """Pitfalls 11, 12, 14: aiormq cancels its callbacks with the channel; a handler of ours goes on, its late ack
    harms nothing and is told, and the message comes again.
    """
    release, cancelled = asyncio.Event(), []
    deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
    finished: asyncio.Queue[Delivery] = asyncio.Queue()

    async def work(delivery: Delivery) -> None:
        deliveries.put_nowait(delivery)
        try:
            await release.wait()
        except asyncio.CancelledError:
            cancelled.append(delivery)
            raise
        await delivery.ack()
        finished.put_nowait(delivery)

    consumer = rig.consumer()
    async with rig.running(consumer):
        await consumer.open(QUEUE, work, 3)
        await rig.probe.publish(BODY, KEY)
        first = await within(deliveries.get())
        await rig.close_connections()
        second = await within(deliveries.get())
        assert not first.open
        assert second.open
        assert second.message.redelivered
        release.set()
        assert {await within(finished.get()), await within(finished.get())} == {first, second}
        await rig.probe.until_ready(QUEUE, 0)
    assert cancelled == []
    unsettled = [(fact.verb, fact.queue) for fact in rig.watcher.facts if isinstance(fact, Unsettled)]
    assert (unsettled, rig.watcher.surprises) == ([("ack", QUEUE)], [])


async def test_connection_closed_again_and_again(rig: Rig) -> None:
    """Pitfalls 18, 19: after each loss queue, prefetch and the one consumer are there again, as the broker sees it."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.until_consuming(consumer)
        for _ in range(3):
            down = asyncio.create_task(rig.watcher.next_change("consume", up=False))
            await rig.close_connections()
            await down
            await rig.probe.publish(BODY, KEY)
            await (await inbox.next()).ack()

        async def the_one() -> bool:
            found = [(entry["queue_name"], entry["prefetch_count"]) for entry in await rig.consumers()]
            return found == [(QUEUE, 4)]

        await eventually(the_one)
        await rig.until_consuming(consumer)


async def test_losses_of_the_connection_kill_no_innocent_message(rig: Rig) -> None:
    """Pitfall 32: each loss counts as a delivery of every message that was handed out, worked on or not. With a small
    limit three losses make dead letters of all of them; ours is generous.
    """
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        for _ in range(5):
            await rig.probe.publish(BODY, KEY)
        await consumer.open(QUEUE, inbox, 10)
        for _ in range(3):
            for _ in range(5):
                await inbox.next()
            down = asyncio.create_task(rig.watcher.next_change("consume", up=False))
            await rig.close_connections()
            await down
        for _ in range(5):
            await (await inbox.next()).ack()
        assert await rig.probe.ready(DEAD_LETTERS) == 0


async def test_long_life_leaves_nothing_behind(rig: Rig) -> None:
    """Pitfall 19: hundreds of looks and replaced consumers later there are no more channels than at the beginning."""
    consumer, inbox = rig.consumer(settings=replace(rig.settings, watch_every=0.0)), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 10)
        counted = []
        for _ in range(2):
            for _ in range(100):
                await rig.probe.ready(QUEUE)
            counted.append(min([await _channels(rig) for _ in range(3)]))
        await consumer.close(QUEUE)
    assert counted[1] <= counted[0] + 2
    assert max(counted) < 10


async def test_every_change_of_state_is_told_once(rig: Rig) -> None:
    """Pitfall 20: no silence and no storm; the broker's own words say why."""
    consumer = rig.consumer()
    async with rig.running(consumer):
        await rig.close_connections()
        await rig.watcher.until(lambda: len(rig.watcher.changes) >= 3)
    up, down, again = rig.watcher.changes
    assert (up.up, down.up, again.up) == (True, False, True)
    assert "RabbitMQ" in up.detail
    assert "CONNECTION_FORCED - the test wants it" in down.detail


async def test_channel_closed_by_the_broker(rig: Rig) -> None:
    """Pitfall 13: an acknowledgement time-out, or a tag the broker does not know, closes one channel and leaves the
    connection. Everything is built anew; nothing stays closed in silence.
    """
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.watcher.until_state(QUEUE, "consumed")
        await channel_of(consumer, QUEUE).basic_ack(999)
        assert f"the channel of {QUEUE} was closed" in await rig.watcher.until_state(QUEUE, "not_served")
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()


async def test_closed_queue_stays_closed_over_a_reconnect(rig: Rig) -> None:
    """A pause outlives the connection it was made on."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await consumer.open(DEAD_LETTERS, inbox, 4)
        await rig.until_consuming(consumer)
        await consumer.close(QUEUE)
        back = asyncio.create_task(rig.watcher.next_change("consume", up=True))
        await rig.close_connections()
        await back
        await rig.until_consumed(DEAD_LETTERS)


async def test_queue_closed_while_the_broker_is_away(rig: Rig) -> None:
    """Closing needs no connection: what was open at the broker died with it."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.probe.publish(BODY, KEY)
        delivery = await inbox.next()
        down = asyncio.create_task(rig.watcher.next_change("consume", up=False))
        await rig.close_connections()
        await down
        await consumer.close(QUEUE)
        await rig.watcher.until(lambda: consumer.connected)
        await rig.probe.until_ready(QUEUE, 1)
        assert not delivery.open


async def test_deleted_queue_is_declared_and_consumed_again(rig: Rig) -> None:
    """Pitfall 16: the broker cancels the consumer of a deleted queue while connection and channel look open."""
    consumer, inbox, other = rig.consumer(), Inbox(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await consumer.open(request_queue("gateway360"), other, 4)
        await rig.until_consuming(consumer)
        await rig.probe.publish(BODY, "request.gateway360")
        held = await other.next()
        await rig.probe.delete(QUEUE)
        await rig.until_consumed(QUEUE, request_queue("gateway360"))
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()
        assert held.open, "the other provider's delivery was not disturbed"
        told = [fact.queue for fact in rig.watcher.facts if isinstance(fact, QueueRestored)]
        assert told == [QUEUE], "whoever misses requests reads that their queue was lost"


async def test_recreated_queue_is_consumed_again(rig: Rig) -> None:
    """Pitfall 16 at its worst: deleted and at once declared again, RabbitMQ 3.10 cancels nobody, counts the consumer
    and sends it nothing. A consumer that is silent for long is replaced; what was kept from it then comes. RabbitMQ 4
    cancels it, and it is begun anew at once. Either way the queue gets its bindings back.
    """
    consumer, inbox = rig.consumer(settings=replace(rig.settings, watch_every=0.1)), Inbox()

    async def routed() -> bool:
        await rig.probe.publish(BODY, KEY)
        return not inbox.empty

    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.until_consuming(consumer)
        await rig.probe.delete(QUEUE)
        await rig.probe.declare(QUEUE, _arguments())
        await rig.probe.publish(BODY, QUEUE, exchange="")
        await (await inbox.next()).ack()
        await eventually(routed)
    assert rig.watcher.connection_losses == []


async def test_silent_consumer_is_replaced_without_a_gap(rig: Rig) -> None:
    """On an empty queue consumers follow one another; the broker never counts none, and no connection is lost."""
    consumer, inbox = rig.consumer(settings=replace(rig.settings, watch_every=0.02)), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.watcher.until_state(QUEUE, "consumed")
        first = subscription_of(consumer, QUEUE)
        while subscription_of(consumer, QUEUE) is first:
            assert await _has_a_consumer(rig)
        assert all([await _has_a_consumer(rig) for _ in range(30)])
        assert consumer.consuming
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()
    assert rig.watcher.losses == []


async def test_missing_queue_is_told_and_others_go_on(rig: Rig) -> None:
    """Where the worker may not declare, one missing queue is told with its reason and stops only its own provider."""
    consumer, inbox = rig.consumer(settings=replace(rig.settings, declare=False)), Inbox()
    async with rig.running(rig.consumer()):
        pass
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await consumer.open(DEAD_LETTERS, inbox, 4)
        await rig.watcher.until_state(QUEUE, "consumed")
        await rig.watcher.until_state(DEAD_LETTERS, "consumed")
        await rig.probe.delete(QUEUE)
        await rig.watcher.until(
            lambda: any("NOT_FOUND" in why for _, why in rig.watcher.queue_changes(QUEUE))
        )
        assert set(consumer.troubles) == {QUEUE}
        await rig.probe.publish(BODY, "nobody")
        await (await inbox.next()).ack()
        await rig.probe.declare(QUEUE, _arguments())
        await rig.probe.publish(BODY, QUEUE, exchange="")
        await (await inbox.next()).ack()
        await rig.watcher.until_state(QUEUE, "consumed")
        assert consumer.consuming
    assert rig.watcher.queue_changes(DEAD_LETTERS) == [("consumed", ""), ("closed", "")]


async def test_watchdog_notices_connected_but_not_consuming(rig: Rig) -> None:
    """A consumer that the broker does not know any more, though nobody told us: the connection is rebuilt."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.watcher.until_state(QUEUE, "consumed")
        await channel_of(consumer, QUEUE).basic_cancel("provisioner")
        await rig.probe.publish(BODY, KEY)
        assert f"connected but not consuming {QUEUE}" in await rig.watcher.until_state(QUEUE, "not_served")
        await (await inbox.next()).ack()


async def test_a_queue_that_takes_consumers_and_delivers_nothing_stays_not_served(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as consumed again when a look finds nothing amiss, not with each consumer that it takes."""
    looks = asyncio.Semaphore(0)

    def stuck(_: Subscription, *, ready: int, consumers: int) -> str:
        looks.release()
        return "nothing comes"

    consumer, inbox = rig.consumer(settings=replace(rig.settings, watch_every=0.05)), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.watcher.until_state(QUEUE, "consumed")
        with monkeypatch.context() as patched:
            patched.setattr(Subscription, "stuck", stuck)
            for _ in range(3):  # looks, of one consumer each
                await within(looks.acquire())
            states = [state for state, _ in rig.watcher.queue_changes(QUEUE)]
        assert states == ["consumed", "not_served"]
        await rig.watcher.until_state(QUEUE, "consumed")
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()


async def test_watchdog_leaves_a_full_consumer_alone(rig: Rig) -> None:
    """A backlog behind a full prefetch is no fault: many looks later the connection is the same."""
    consumer, inbox = rig.consumer(settings=replace(rig.settings, watch_every=0.05)), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 1)
        for _ in range(3):
            await rig.probe.publish(BODY, KEY)
        delivery = await inbox.next()
        for _ in range(100):
            await rig.probe.ready(QUEUE)
        assert delivery.open
    assert rig.watcher.losses == []


async def test_mismatch_while_running_is_waited_out(rig: Rig) -> None:
    """Somebody is at work on the broker: the process stays, says why it is down, and goes on when it is over."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.until_consuming(consumer)
        await rig.probe.delete(QUEUE)
        await rig.probe.declare(QUEUE, _arguments(Topology((PROVIDER,), delivery_limit=5)))
        await rig.close_connections()
        await rig.watcher.until(lambda: "x-delivery-limit" in rig.watcher.changes[-1].detail)
        await rig.probe.delete(QUEUE)
        await rig.until_consuming(consumer)
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()


async def test_mismatch_at_start_ends_the_process_at_the_first_try(rig: Rig) -> None:
    """Pitfall 21: a queue with another limit is a clear message and one connection, not a loop of reconnects."""
    await rig.probe.declare(QUEUE, _arguments(Topology((PROVIDER,), delivery_limit=5)))
    with pytest.raises(TopologyMismatch, match=rf"{QUEUE} has x-delivery-limit 5 where 1000 is wanted"):
        await within(rig.consumer().run())
    assert rig.watcher.changes == []


async def _has_a_consumer(rig: Rig) -> bool:
    """As the broker counts; it counts 0 as well where the queue did not answer it in time, and is asked otherwise."""
    return bool((await rig.probe.declared(QUEUE)).consumer_count or await rig.consumers())


async def _channels(rig: Rig) -> int:
    """Channels and consumers that exist at this moment, those of looks under way among them."""
    await rig.probe.ready(QUEUE)
    gc.collect()
    return len([kept for kept in gc.get_objects() if isinstance(kept, Channel | Subscription)])


def _arguments(topology: Topology = TOPOLOGY) -> dict[str, Any]:
    return dict(next(queue.arguments for queue in topology.queues if queue.name == QUEUE))

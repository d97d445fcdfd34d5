"""Deliveries: handed over, settled, given back."""

import asyncio

import pytest

from tests.rabbitmq.rig import BODY, KEY, PROVIDER, QUEUE, Inbox, Rig, eventually, within
from worker.core.broker import Delivery
from worker.rabbitmq.topology import AUDIT, DEAD_LETTERS, request_queue

pytestmark = pytest.mark.rabbitmq


async def test_delivery_carries_the_message_as_it_was_published(rig: Rig) -> None:
    """Body, keys, headers and properties arrive as an upstream system sent them."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 5)
        await rig.probe.publish(
            BODY,
            KEY,
            message_id="m-1",
            correlation_id="c-1",
            app_id="crm",
            message_type="t",
            headers={"a": 1},
        )
        delivery = await inbox.next()
        await delivery.ack()
    message = delivery.message
    assert (message.body, message.queue, message.routing_key) == (BODY, QUEUE, KEY)
    assert (message.message_id, message.correlation_id, message.app_id) == ("m-1", "c-1", "crm")
    assert (message.type, dict(message.headers), message.redelivered) == ("t", {"a": 1}, False)


async def test_message_without_any_property(rig: Rig) -> None:
    """Missing properties are None, not an error."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 5)
        await rig.probe.publish_raw(b"\x00\x00")
        message = (await inbox.next()).message
    assert message.body == b"{}"
    assert (message.content_type, message.message_id, message.type, message.timestamp) == (
        None,
        None,
        None,
        None,
    )
    assert not message.headers


async def test_ten_mebibytes_arrive_whole(rig: Rig) -> None:
    """A body of many frames is put together again."""
    consumer, inbox = rig.consumer(), Inbox()
    body = bytes(range(256)) * 40960
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 5)
        await rig.probe.publish(body, KEY)
        assert (await inbox.next()).message.body == body


async def test_prefetch_is_per_consumer_as_the_broker_sees_it(rig: Rig) -> None:
    """Pitfall 22: with no prefetch, or a global one, one process gets everything or loses its connection."""
    consumer = rig.consumer()
    async with rig.running(consumer):
        await consumer.open(QUEUE, Inbox(), 7)
        await consumer.open(DEAD_LETTERS, Inbox(), 2)
        await rig.until_consuming(consumer)
        seen = {entry["queue_name"]: entry for entry in await rig.consumers()}
    assert {queue: entry["prefetch_count"] for queue, entry in seen.items()} == {QUEUE: 7, DEAD_LETTERS: 2}
    assert all(entry["ack_required"] for entry in seen.values())


async def test_no_more_deliveries_than_prefetch(rig: Rig) -> None:
    """A backlog stays in RabbitMQ, where it is visible."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        for _ in range(5):
            await rig.probe.publish(BODY, KEY)
        await consumer.open(QUEUE, inbox, 2)
        first, _ = await inbox.next(), await inbox.next()
        await rig.probe.until_ready(QUEUE, 3)
        assert inbox.empty
        await first.ack()
        await inbox.next()
        await rig.probe.until_ready(QUEUE, 2)


async def test_reject_lands_among_the_dead_letters(rig: Rig) -> None:
    """What cannot be decoded goes through at-least-once dead-lettering, and its origin is told in x-death."""
    consumer, inbox, buried = rig.consumer(), Inbox(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 5)
        await consumer.open(DEAD_LETTERS, buried, 5)
        await rig.probe.publish(b"not json", KEY)
        await (await inbox.next()).reject()
        letter = await buried.next()
        await letter.ack()
    assert letter.message.body == b"not json"
    assert letter.message.queue == DEAD_LETTERS
    assert letter.message.routing_key == KEY
    assert letter.message.headers["x-first-death-queue"] == QUEUE
    assert letter.message.headers["x-first-death-reason"] == "rejected"
    assert letter.message.headers["x-death"]


async def test_alternate_exchange_catches_unknown_keys(rig: Rig) -> None:
    """A mistyped routing key does not lose the request: it becomes a dead letter with its key."""
    consumer, buried = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(DEAD_LETTERS, buried, 5)
        await rig.probe.publish(BODY, "request.phonecom")
        assert (await buried.next()).message.routing_key == "request.phonecom"


async def test_requeue_brings_the_message_back(rig: Rig) -> None:
    """Pitfall 30: a delivery limit of -1 drops at the first requeue on 3.10; ours is explicit, on every queue."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        for queue, key in ((QUEUE, KEY), (DEAD_LETTERS, "nobody")):
            await consumer.open(queue, inbox, 5)
            await rig.probe.publish(BODY, key)
            for _ in range(3):
                delivery = await inbox.next()
                await delivery.requeue()
            again = await inbox.next()
            assert again.message.redelivered
            await again.ack()


async def test_closing_gives_untouched_deliveries_back(rig: Rig) -> None:
    """A paused provider's queue simply fills; nothing of it stays with us, and no handler gets more of it."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 3)
        for _ in range(5):
            await rig.probe.publish(BODY, KEY)
        taken = [await inbox.next() for _ in range(3)]
        assert all(delivery.open for delivery in taken)
        await consumer.close(QUEUE)
        assert not any(delivery.open for delivery in taken)
        await rig.probe.until_ready(QUEUE, 5)
        assert await rig.consumed() == set()
        assert inbox.empty
        assert consumer.consuming


async def test_verb_after_close_does_nothing(rig: Rig) -> None:
    """A handler that was slower than the pause neither raises nor settles what went back to the queue."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 3)
        await rig.probe.publish(BODY, KEY)
        delivery = await inbox.next()
        await consumer.close(QUEUE)
        await delivery.ack()
        await rig.probe.until_ready(QUEUE, 1)
    assert rig.watcher.surprises == []


async def test_reopened_queue_is_consumed_again(rig: Rig) -> None:
    """Pause and resume, over and over, and the same message is still there."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await rig.probe.publish(BODY, KEY)
        for _ in range(5):
            await consumer.open(QUEUE, inbox, 3)
            await inbox.next()
            await consumer.close(QUEUE)
        await consumer.open(QUEUE, inbox, 3)
        await (await inbox.next()).ack()
        await rig.until_consumed(QUEUE)


async def test_opening_what_is_open_changes_nothing(rig: Rig) -> None:
    """Intake opens its queues at every look; deliveries under way must not notice."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 3)
        await rig.probe.publish(BODY, KEY)
        delivery = await inbox.next()
        await consumer.open(QUEUE, Inbox(), 3)
        assert delivery.open
        await delivery.ack()
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()


async def test_other_prefetch_begins_anew(rig: Rig) -> None:
    """A changed prefetch takes effect, as the broker sees it."""
    consumer = rig.consumer()
    async with rig.running(consumer):
        await consumer.open(QUEUE, Inbox(), 3)
        await rig.watcher.until_state(QUEUE, "consumed")
        await consumer.open(QUEUE, Inbox(), 4)

        async def changed() -> bool:
            return [entry["prefetch_count"] for entry in await rig.consumers()] == [4]

        await eventually(changed)


async def test_queue_opened_before_the_connection_is_up(rig: Rig) -> None:
    """What is wished for outlives connections, the very first one included."""
    consumer, inbox = rig.consumer(), Inbox()
    await consumer.open(QUEUE, inbox, 3)
    assert not consumer.consuming
    async with rig.running(consumer):
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()
        await rig.until_consuming(consumer)


async def test_other_providers_queue_is_left_alone(rig: Rig) -> None:
    """Closing one queue ends that consumer and no other."""
    consumer, inbox, other = rig.consumer(), Inbox(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 3)
        await consumer.open(request_queue("gateway360"), other, 3)
        await rig.probe.publish(BODY, "request.gateway360")
        held = await other.next()
        await consumer.close(QUEUE)
        assert held.open
        await held.ack()
        await rig.until_consumed(request_queue("gateway360"))


async def test_failing_handler_is_told_and_does_not_spin(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall 34: requeueing at once is thousands of redeliveries a second; a failed delivery rests first."""
    monkeypatch.setattr("worker.rabbitmq.consumer._AFTER_A_FAILURE", 3600.0)
    seen, failed = [], asyncio.Event()

    async def fail(delivery: Delivery) -> None:
        seen.append(delivery)
        failed.set()
        raise LookupError(PROVIDER)

    consumer = rig.consumer()
    async with rig.running(consumer):
        await consumer.open(QUEUE, fail, 3)
        await rig.probe.publish(BODY, KEY)
        await within(failed.wait())
        await rig.watcher.until(lambda: rig.watcher.surprises)
        assert await rig.probe.ready(QUEUE) == 0
        assert len(seen) == 1
        assert isinstance(rig.watcher.surprises[0].error, LookupError)
        await consumer.close(QUEUE)
        await rig.probe.until_ready(QUEUE, 1)


async def test_drain_waits_for_handlers(rig: Rig) -> None:
    """The end of the process waits for what is being taken up."""
    release, entered = asyncio.Event(), asyncio.Event()

    async def wait(delivery: Delivery) -> None:
        entered.set()
        await release.wait()
        await delivery.ack()

    consumer = rig.consumer()
    async with rig.running(consumer):
        await consumer.open(QUEUE, wait, 3)
        await rig.probe.publish(BODY, KEY)
        await within(entered.wait())
        drained = asyncio.create_task(consumer.drain())
        await rig.probe.ready(QUEUE)
        assert not drained.done()
        release.set()
        await within(drained)


async def test_acknowledged_messages_are_gone(rig: Rig) -> None:
    """An ack that was written just before the queue was closed reaches the broker."""
    consumer = rig.consumer()
    done = asyncio.Event()
    acked = 0

    async def ack(delivery: Delivery) -> None:
        nonlocal acked
        await delivery.ack()
        acked += 1
        if acked == 200:
            done.set()

    async with rig.running(consumer):
        await rig.probe.publish(BODY, "result.x.y", "provisioning.results")
        async with rig.probe.channel() as channel:
            await asyncio.gather(
                *(
                    channel.basic_publish(BODY, exchange="provisioning.results", routing_key="result.x.y")
                    for _ in range(199)
                )
            )
        await consumer.open(AUDIT, ack, 50)
        await within(done.wait())
        await consumer.close(AUDIT)

        async def empty() -> bool:
            listed = await rig.ctl("list_queues", "--vhost", rig.vhost, "name", "messages")
            return f"{AUDIT}\t0" in listed

        await eventually(empty)

"""The whole broker under faults: frozen, restarted, short of memory. On a node of this module's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.rabbitmq.rig import BODY, KEY, QUEUE, RESULT, Inbox, Rig, soon, within
from worker.core.errors import PublishUnconfirmed
from worker.rabbitmq.topology import AUDIT

pytestmark = pytest.mark.rabbitmq

_LARGE = b"x" * 16_000_000
"""More than socket buffers hold, and less than the 16 MiB that RabbitMQ 4 takes at the most (3.10: 128 MiB)."""


async def test_frozen_broker_is_noticed_and_survived(own_rig: Rig) -> None:
    """Pitfall 17: with heartbeats alone a frozen broker is noticed after minutes; the watchdogs of both connections
    ask. When it moves again, everything is there again.
    """
    consumer, publisher, inbox = own_rig.consumer(), own_rig.publisher(), Inbox()
    async with own_rig.running(consumer, publisher):
        await consumer.open(QUEUE, inbox, 4)
        await own_rig.probe.publish(BODY, KEY)
        before = await inbox.next()
        downs = [own_rig.watcher.next_change(name, up=False) for name in ("consume", "publish")]
        async with frozen(own_rig):
            consume, publish = await asyncio.gather(*downs)
            assert "no answer within" in consume.detail
            assert "no answer within" in publish.detail
            assert not consumer.consuming
            await soon(lambda: not before.open)
        after = await inbox.next()
        assert after.message.redelivered
        await after.ack()
        await own_rig.watcher.until(lambda: consumer.connected)
        await own_rig.sooner_or_later(publisher)


async def test_settling_while_the_broker_is_frozen_never_raises(own_rig: Rig) -> None:
    """An ack that nobody reads is written, or given up by its deadline; the message comes again if it was lost."""
    consumer, inbox = own_rig.consumer(settings=replace(own_rig.settings, watch_every=60.0)), Inbox()
    async with own_rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await own_rig.probe.publish(BODY, KEY)
        delivery = await inbox.next()
        async with frozen(own_rig):
            await within(delivery.ack())
            await within(consumer.close(QUEUE))
    assert not delivery.open


async def test_broker_restart_is_survived(own_rig: Rig) -> None:
    """The broker goes and comes back; the same process consumes again, and what was accepted is still there."""
    consumer, publisher, inbox = own_rig.consumer(), own_rig.publisher(), Inbox()
    async with own_rig.running(consumer, publisher):
        await consumer.open(QUEUE, inbox, 4)
        await own_rig.probe.publish(BODY, KEY)
        before = await inbox.next()
        await asyncio.to_thread(own_rig.node.restart)
        after = await inbox.next()
        assert after.message.redelivered
        assert not before.open
        await after.ack()
        await own_rig.until_consuming(consumer)
        await own_rig.sooner_or_later(publisher)
    reasons = [change.detail for change in own_rig.watcher.changes if not change.up]
    assert len(reasons) == len(set(reasons)) or len(reasons) < 12, (
        "one fact for each state, not one for each try"
    )


async def test_publish_to_a_frozen_broker_fails_by_its_deadline_and_may_arrive_later(own_rig: Rig) -> None:
    """Pitfall 3: a publish that timed out was perhaps taken; the error says unconfirmed, never "not sent"."""
    # No look of the watchdog: it would cut the connection, and with it what the frozen broker has yet to read.
    publisher, inbox = own_rig.publisher(settings=replace(own_rig.settings, watch_every=60.0)), Inbox()
    consumer = own_rig.consumer()
    async with own_rig.running(publisher, consumer):
        async with frozen(own_rig):
            with pytest.raises(PublishUnconfirmed, match="no answer within 2 s"):
                await within(publisher.publish(BODY, event_id="e-1", event_type="t", routing_key=RESULT))
        await consumer.open(AUDIT, inbox, 5)
        late = await inbox.next()
        assert late.message.headers["event-id"] == "e-1"
        await late.ack()
        await own_rig.sooner_or_later(publisher, "e-1")
        again = await inbox.next()
    assert again.message.headers["event-id"] == "e-1"
    assert again.message.message_id != late.message.message_id


async def test_publishes_in_flight_are_bounded(own_rig: Rig) -> None:
    """A broker that does not confirm is not buried under everything that waits: the rest has not left."""
    publisher = own_rig.publisher(settings=replace(own_rig.settings, publishes_in_flight=2))
    async with own_rig.running(publisher):
        channel: Any = publisher._channel
        async with frozen(own_rig):
            publishes = asyncio.gather(
                *(
                    publisher.publish(BODY, event_id="e", event_type="t", routing_key=RESULT)
                    for _ in range(20)
                ),
                return_exceptions=True,
            )
            pending = channel.confirmations
            await soon(lambda: len(pending) == 2)
            outcomes = await within(publishes)
        assert all(isinstance(outcome, PublishUnconfirmed) for outcome in outcomes)


async def test_cancelled_publish_is_cancelled(own_rig: Rig) -> None:
    """A cancellation from outside is one, not a broker that failed; the connection is as good as before."""
    publisher = own_rig.publisher()
    async with own_rig.running(publisher):
        async with frozen(own_rig):
            publish = asyncio.create_task(
                publisher.publish(BODY, event_id="e", event_type="t", routing_key=RESULT)
            )
            await asyncio.to_thread(lambda: None)
            publish.cancel()
            with pytest.raises(asyncio.CancelledError):
                await within(publish)
        await own_rig.sooner_or_later(publisher)


async def test_alarm_blocks_publishes_and_no_acknowledgement(own_rig: Rig) -> None:
    """Pitfalls 4, 5: under a memory alarm the broker reads nothing from a connection that publishes. A publish ends
    by its deadline and says why; an ack, on the other connection, arrives.
    """
    publisher = own_rig.publisher(settings=replace(own_rig.settings, operation_timeout=1.0))
    consumer, inbox = own_rig.consumer(), Inbox()
    async with own_rig.running(consumer, publisher):
        await consumer.open(QUEUE, inbox, 5)
        await own_rig.probe.publish(BODY, KEY)
        delivery = await inbox.next()
        async with alarm(own_rig):
            with suppress(PublishUnconfirmed):  # it is told with the first publish, sooner or later
                await publisher.publish(BODY, event_id="e", event_type="t", routing_key=RESULT)
            await soon(lambda: publisher.blocked)
            for body in (BODY, _LARGE):
                with pytest.raises(PublishUnconfirmed, match="does not listen to publishers: low on memory"):
                    await within(publisher.publish(body, event_id="e", event_type="t", routing_key=RESULT))
            assert publisher.blocked == "low on memory"
            await delivery.ack()
            await consumer.close(QUEUE)
            assert await own_rig.probe.ready(QUEUE) == 0
        await own_rig.sooner_or_later(publisher)
        assert publisher.blocked == ""


@asynccontextmanager
async def frozen(rig: Rig) -> AsyncIterator[None]:
    """The broker stands still while the block runs."""
    rig.node.pause()
    try:
        yield
    finally:
        rig.node.resume()


@asynccontextmanager
async def alarm(rig: Rig) -> AsyncIterator[None]:
    """The broker is short of memory while the block runs."""
    await rig.ctl("set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        await rig.ctl("set_vm_memory_high_watermark", "0.4")

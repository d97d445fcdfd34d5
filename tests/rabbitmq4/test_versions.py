"""What RabbitMQ 3.10 and 4 do differently, and that none of it reaches the worker. Runs on either."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from tests.rabbitmq.rig import BODY, KEY, QUEUE, RESULT, TOPOLOGY, Inbox, Rig, eventually, within
from worker.core.errors import PublishUnconfirmed
from worker.local.trixie_runner import other_root
from worker.rabbitmq.topology import DEAD_LETTERS, UNLIMITED_DELIVERIES

pytestmark = pytest.mark.rabbitmq

Version = tuple[int, ...]

_GONE = "gone"
_DEAD_LETTERED = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": _GONE}
_MANY = 25
"""Requeues that are more than RabbitMQ 4's own limit of 20."""

_OVER_16_MIB = b"x" * 17_000_000


async def test_the_broker_is_the_one_that_was_asked_for(
    rig: Rig, version: Version, record_property: Callable[[str, object], None]
) -> None:
    """Where another root is named, the broker under test is RabbitMQ 4; otherwise 3.10, which we promise, or later."""
    record_property("RabbitMQ", ".".join(map(str, version)))
    assert version >= ((4,) if other_root() else (3, 10))
    assert (await rig.ctl("version")).strip() == ".".join(map(str, version))


@dataclass(frozen=True)
class Limit:
    """A quorum queue's delivery limit and how often one message is delivered that is always requeued."""

    arguments: dict[str, int]
    on_3: int
    on_4: int
    reason: str


_LIMITS = [
    Limit({}, _MANY, 21, "none said: unlimited on 3, twenty requeues on 4"),
    Limit({"x-delivery-limit": -1}, 1, _MANY, "unlimited on 4, gone at the first requeue on 3"),
    Limit({"x-delivery-limit": 0}, 1, 1, "gone at the first requeue on both"),
    Limit({"x-delivery-limit": TOPOLOGY.delivery_limit}, _MANY, _MANY, "our request queues, alike on both"),
    Limit({"x-delivery-limit": UNLIMITED_DELIVERIES}, _MANY, _MANY, "our other queues, alike on both"),
]


@pytest.mark.parametrize("limit", _LIMITS, ids=lambda limit: limit.reason)
async def test_delivery_limits(rig: Rig, version: Version, limit: Limit) -> None:
    """Pitfalls 30, 32: only a limit that is said, and positive, means the same on both versions."""
    async with rig.probe.channel() as channel:
        await _declare(channel, _GONE)
        await _declare(channel, "q", **_DEAD_LETTERED, **limit.arguments)
        await rig.probe.publish(BODY, "q", exchange="")
        seen = await _deliveries_until_gone(channel)
    assert seen == (limit.on_4 if version >= (4,) else limit.on_3), limit.reason


async def test_our_consumer_requeues_beyond_the_limit_of_version_4(rig: Rig) -> None:
    """Pitfall 32: what comes back again and again stays in the request queue, and no dead letter is made of it."""
    consumer, inbox = rig.consumer(), Inbox()
    async with rig.running(consumer):
        await consumer.open(QUEUE, inbox, 1)
        await rig.probe.publish(BODY, KEY)
        for _ in range(_MANY):
            await (await inbox.next()).requeue()
        await (await inbox.next()).ack()
        assert await rig.probe.ready(DEAD_LETTERS) == 0


async def test_deaths_of_a_message_that_is_published_again(rig: Rig, version: Version) -> None:
    """Pitfall 26: `x-death` goes on counting on 3 and begins anew on 4, so nobody's attempts can be read from it."""
    async with rig.probe.channel() as channel:
        await _declare(channel, _GONE)
        await _declare(channel, "q", **_DEAD_LETTERED)
        await rig.probe.publish(BODY, "q", exchange="")
        first = await _die(channel)
        await rig.probe.publish(BODY, "q", exchange="", headers=first)
        again = await _die(channel)
    counts = [headers["x-death"][0]["count"] for headers in (first, again)]
    assert counts == ([1, 1] if version >= (4,) else [1, 2])


async def test_result_of_more_than_16_mib(rig: Rig, version: Version) -> None:
    """Pitfall 9: version 4 closes the channel where 3 confirms; the publisher says so, and goes on with the next."""
    publisher = rig.publisher()
    large = publisher.publish(_OVER_16_MIB, event_id="e-1", event_type="t", routing_key=RESULT)
    async with rig.running(publisher):
        if version >= (4,):
            up = asyncio.create_task(rig.watcher.next_change("publish", up=True))
            with pytest.raises(PublishUnconfirmed, match="larger than configured max size"):
                await within(large)
            await up
        else:
            await within(large)
        await publisher.publish(BODY, event_id="e-2", event_type="t", routing_key=RESULT)
        assert publisher.connected


async def test_consumer_of_a_queue_that_is_declared_again_at_once(rig: Rig, version: Version) -> None:
    """Pitfall 16: version 4 cancels the consumer; 3.10 does so too, or it counts it on, hands it the message and never
    sends it, as its processes happen to come to it.
    """
    arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    cancelled = asyncio.Event()
    is_cancelled, is_counted_on = (1, 0, True), (0, 1, False)
    expected = {is_cancelled} if version >= (4,) else {is_cancelled, is_counted_on}
    async with rig.probe.channel() as channel:
        await _declare(channel, "q")
        channel.on_consumer_cancel_callbacks.add(lambda _frame: cancelled.set())
        await channel.basic_consume("q", arrived.put)
        await rig.probe.delete("q")
        await rig.probe.declare("q", {"x-queue-type": "quorum"})
        await rig.probe.publish(BODY, "q", exchange="")

        async def as_expected() -> bool:
            found = await rig.probe.declared("q")
            return (found.message_count, found.consumer_count, cancelled.is_set()) in expected

        await eventually(as_expected)
        assert arrived.empty()


async def _declare(channel: AbstractChannel, queue: str, **arguments: str | int) -> None:
    quorum: dict[str, Any] = {"x-queue-type": "quorum", **arguments}
    await channel.queue_declare(queue, durable=True, arguments=quorum)


async def _deliveries_until_gone(channel: AbstractChannel) -> int:
    """Deliveries of the message that waits, requeued each time, until it is a dead letter or was delivered often."""
    arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    await channel.basic_qos(prefetch_count=1)
    for queue in ("q", _GONE):
        await channel.basic_consume(queue, arrived.put, consumer_tag=queue)
    for seen in range(_MANY):
        message = await within(arrived.get())
        if message.consumer_tag == _GONE:
            return seen
        assert message.delivery_tag is not None
        await channel.basic_nack(message.delivery_tag, requeue=True)
    return _MANY


async def _die(channel: AbstractChannel) -> dict[str, Any]:
    """Reject what waits, and give the headers of the dead letter."""
    message = await _get(channel, "q")
    assert message.delivery_tag is not None
    await channel.basic_reject(message.delivery_tag, requeue=False)
    dead = await _get(channel, _GONE)
    assert dead.delivery_tag is not None
    await channel.basic_ack(dead.delivery_tag)
    return dict(dead.header.properties.headers or {})


async def _get(channel: AbstractChannel, queue: str) -> DeliveredMessage:
    found: list[DeliveredMessage] = []

    async def there() -> bool:
        message = await channel.basic_get(queue)
        if isinstance(message.delivery, Basic.GetOk):
            found.append(message)
        return bool(found)

    await eventually(there)
    return found[0]

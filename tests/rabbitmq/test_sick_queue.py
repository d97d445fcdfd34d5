"""A queue that RabbitMQ cannot serve costs itself and nothing else.

Seen on 3.10 (the same tests hold on 4.0): whoever consumes a quorum queue without a leader, or ends a consumer of it,
loses the connection (541); the consumer it had hears nothing, and a look from outside counts none. Where the leader
hangs, consuming and ending are not answered at all. Where a queue is missing and cannot be made, the connection over
which that was tried is closed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from tests.rabbitmq.rig import BODY, KEY, QUEUE, RESULT, Inbox, Rig, channel_of, within
from worker.rabbitmq.consumer import Consumer
from worker.rabbitmq.subscription import Subscription
from worker.rabbitmq.topology import DEAD_LETTERS, request_queue

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """With looks so far apart that a broker busy with a sick queue is not taken for one that consumes nobody."""
    return replace(rig, settings=replace(rig.settings, watch_every=0.6))


OTHER = request_queue("gateway360")
OTHER_KEY = "request.gateway360"


@pytest.mark.parametrize(("sick", "key"), [(QUEUE, KEY), (DEAD_LETTERS, "nobody")])
async def test_consumed_queue_that_loses_its_leader(rig: Rig, sick: str, key: str) -> None:
    """The watchdog notices and tells why, others notice nothing; later it is consumed, and what had no verb comes
    again.
    """
    consumer, inbox, other = rig.consumer(), Inbox(), Inbox()
    async with _undisturbed(rig, consumer, other):
        await consumer.open(sick, inbox, 4)
        await rig.probe.publish(BODY, key)
        before = await inbox.next()
        async with rig.members.stopped(sick):
            await rig.watcher.until(lambda: "connected but not consuming" in _reasons(rig, sick))
            assert not before.open
            await rig.watcher.until(lambda: "INTERNAL_ERROR" in rig.watcher.queue_changes(sick)[-1][1])
            assert set(consumer.troubles) == {sick}
        await rig.watcher.until_state(sick, "consumed")
        again = await inbox.next()
        assert again.message.redelivered
        await again.ack()
        assert consumer.troubles == {}
    states = [state for state, _ in rig.watcher.queue_changes(sick)]
    assert states == ["consumed", *["not_served"] * (len(states) - 3), "consumed", "closed"]


async def test_queue_without_a_leader_at_the_start(rig: Rig) -> None:
    """It is passed over when the topology is settled, for results as well, and the others are consumed."""
    await _settled(rig)
    async with rig.members.stopped(QUEUE), rig.members.stopped(DEAD_LETTERS):
        consumer, publisher, inbox, other = rig.consumer(), rig.publisher(), Inbox(), Inbox()
        async with rig.running(publisher), _undisturbed(rig, consumer, other):
            await consumer.open(QUEUE, inbox, 4)
            await rig.watcher.until_state(QUEUE, "not_served")
            await publisher.publish(BODY, event_id="e", event_type="t", routing_key=RESULT)
            await rig.probe.publish(BODY, OTHER_KEY)
            await (await other.next()).ack()


async def test_queue_that_hangs(rig: Rig) -> None:
    """Neither the other queues nor whoever opens or closes it wait for it; when it moves again it is consumed."""
    await _settled(rig)
    consumer, inbox, other = rig.hurried(6.0).consumer(), Inbox(), Inbox()
    async with _undisturbed(rig, consumer, other):
        async with rig.members.frozen(QUEUE):
            await consumer.open(QUEUE, inbox, 4)
            assert "no answer within" in await rig.watcher.until_state(QUEUE, "not_served")
            await within(consumer.close(QUEUE))
            await consumer.open(QUEUE, inbox, 4)
            await rig.probe.publish(BODY, OTHER_KEY)
            await (await other.next()).ack()
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()


async def test_question_about_a_queue_that_is_never_answered(rig: Rig) -> None:
    """A frozen classic queue answers not even whether it is there: settling goes on without it."""
    await rig.probe.declare(OTHER, {})
    consumer, inbox = rig.hurried(6.0).consumer(), Inbox()
    async with rig.members.frozen(OTHER), rig.running(consumer):
        await consumer.open(QUEUE, inbox, 4)
        await rig.probe.publish(BODY, KEY)
        await (await inbox.next()).ack()
    assert rig.watcher.losses == []


async def test_missing_queue_that_cannot_be_made(rig: Rig) -> None:
    """The broker closes the connection over which it was tried, and that is nobody's; later the queue is made."""
    consumer, inbox, other = rig.consumer(), Inbox(), Inbox()
    async with AsyncExitStack() as trouble:
        await trouble.enter_async_context(rig.members.impossible(QUEUE))
        async with _undisturbed(rig, consumer, other):
            await consumer.open(QUEUE, inbox, 4)
            assert "cluster_not_formed" in await rig.watcher.until_state(QUEUE, "not_served")
            await rig.probe.publish(BODY, OTHER_KEY)
            await (await other.next()).ack()
            await trouble.aclose()
            await rig.watcher.until_state(QUEUE, "consumed")
            await rig.probe.publish(BODY, KEY)
            await (await inbox.next()).ack()


async def test_channel_closed_again_and_again(rig: Rig) -> None:
    """Each time its own consumer is built anew, and nobody else's."""
    consumer, inbox, other = rig.consumer(), Inbox(), Inbox()
    async with _undisturbed(rig, consumer, other):
        await consumer.open(QUEUE, inbox, 4)
        for _ in range(4):
            await rig.probe.publish(BODY, KEY)
            delivery = await inbox.next()
            await channel_of(consumer, QUEUE).basic_ack(999)
            again = await inbox.next()
            assert not delivery.open
            await again.ack()
    assert await rig.probe.ready(QUEUE) == 0


async def test_cancelling_whoever_closes_a_queue_leaves_no_consumer(rig: Rig) -> None:
    """A close that nobody waits for any more ends all the same."""
    consumer = rig.consumer()
    async with rig.running(consumer):
        await consumer.open(QUEUE, Inbox(), 4)
        await rig.watcher.until_state(QUEUE, "consumed")
        closing = asyncio.create_task(consumer.close(QUEUE))
        await asyncio.to_thread(lambda: None)
        closing.cancel()
        await rig.until_consumed()


async def test_mistake_of_ours_is_no_trouble_of_the_queue(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw ends the process, loudly, in place of one queue in silence."""

    async def fail(_: Subscription) -> None:
        raise LookupError(QUEUE)

    monkeypatch.setattr(Subscription, "begin", fail)
    consumer = rig.consumer()
    await consumer.open(QUEUE, Inbox(), 4)
    with pytest.raises(LookupError, match=QUEUE):
        await within(consumer.run())


def _reasons(rig: Rig, queue: str) -> str:
    """Everything that was said about a queue so far."""
    return " | ".join(why for _, why in rig.watcher.queue_changes(queue))


async def _settled(rig: Rig) -> None:
    """The topology is there, and nobody runs."""
    consumer = rig.consumer()
    async with rig.running(consumer):
        pass
    rig.watcher.facts.clear()


@asynccontextmanager
async def _undisturbed(rig: Rig, consumer: Consumer, inbox: Inbox) -> AsyncIterator[None]:
    """Another provider's queue is consumed while the block runs, and a delivery of it is held; both must not notice."""
    async with rig.running(consumer):
        await consumer.open(OTHER, inbox, 4)
        await rig.probe.publish(BODY, OTHER_KEY)
        held = await inbox.next()
        yield
        assert held.open, "the other queue's delivery was not disturbed"
        await held.ack()
        await rig.probe.until_ready(OTHER, 0)
    consume = [change.up for change in rig.watcher.changes if change.connection == "consume"]
    assert consume == [True]
    assert rig.watcher.queue_changes(OTHER) == [("consumed", ""), ("closed", "")]

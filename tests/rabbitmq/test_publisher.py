"""Publishes: confirmed, or an error that says why not."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.rabbitmq.rig import BODY, RESULT, TOPOLOGY, Inbox, Rig, eventually, within
from worker.core.errors import PublishUnconfirmed
from worker.rabbitmq.publisher import RabbitPublisher
from worker.rabbitmq.topology import AUDIT, RESULTS

pytestmark = pytest.mark.rabbitmq


async def test_properties_mirror_the_event(rig: Rig) -> None:
    """Whoever reads properties only finds the event there too; the message is persistent, its own id is no event id."""
    publisher, consumer, inbox = rig.publisher(), rig.consumer(), Inbox()
    async with rig.running(publisher, consumer):
        await consumer.open(AUDIT, inbox, 5)
        await publisher.publish(BODY, event_id="e-1", event_type="account.held.v1", routing_key=RESULT)
        message = (await inbox.next()).message
    assert (message.body, message.routing_key) == (BODY, RESULT)
    assert (message.type, message.app_id, message.correlation_id) == ("account.held.v1", "urn:test", "c-1")
    assert message.timestamp == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert message.content_type == "application/cloudevents+json"
    assert message.headers["event-id"] == "e-1"
    assert message.message_id not in {None, "e-1"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"no json", "not JSON"),
        (b"[1]", "no object"),
        (b"\xff", "no text"),
        (b'{"time": 5}', "a time that is none"),
        (
            json.dumps({"source": "s" * 256, "correlationid": "\u00e9" * 200}).encode(),
            "longer than a property holds",
        ),
    ],
)
async def test_body_that_cannot_be_mirrored_is_published_all_the_same(
    rig: Rig, body: bytes, reason: str
) -> None:
    """A property that does not fit is left out; the body has everything."""
    publisher, consumer, inbox = rig.publisher(), rig.consumer(), Inbox()
    async with rig.running(publisher, consumer):
        await consumer.open(AUDIT, inbox, 5)
        await publisher.publish(body, event_id="e-1", event_type="t", routing_key=RESULT)
        message = (await inbox.next()).message
    assert message.body == body, reason
    assert (message.app_id, message.correlation_id, message.timestamp) == (None, None, None), reason


async def test_unroutable_publish_raises(rig: Rig) -> None:
    """Pitfall 1: by default the client library returns an unroutable message and calls it a success."""
    publisher = rig.publisher(replace(TOPOLOGY, audit=False))
    async with rig.running(publisher):
        with pytest.raises(PublishUnconfirmed, match=f"unroutable, no queue of {RESULTS} takes {RESULT}"):
            await publisher.publish(BODY, event_id="e-1", event_type="t", routing_key=RESULT)
        async with rig.probe.channel() as channel:
            await channel.queue_declare("late", durable=True)
            await channel.queue_bind("late", RESULTS, "result.#")
        await publisher.publish(BODY, event_id="e-1", event_type="t", routing_key=RESULT)
        assert await rig.probe.ready("late") == 1


async def test_pairs_in_flight_blame_the_right_one(rig: Rig) -> None:
    """Pitfall 2: returns carry no tag; with one message id for two publishes in flight the verdicts are swapped."""
    publisher = rig.publisher(replace(TOPOLOGY, audit=False))
    async with rig.running(publisher):
        async with rig.probe.channel() as channel:
            await channel.queue_declare("good", durable=True)
            await channel.queue_bind("good", RESULTS, "result.good.*")
        keys = [f"result.{fate}.provisioned" for _ in range(100) for fate in ("bad", "good")]
        outcomes = await asyncio.gather(
            *(publisher.publish(BODY, event_id="same", event_type="t", routing_key=key) for key in keys),
            return_exceptions=True,
        )
        assert await rig.probe.ready("good") == 100
    blamed = [
        key for key, outcome in zip(keys, outcomes, strict=True) if isinstance(outcome, PublishUnconfirmed)
    ]
    assert blamed == ["result.bad.provisioned"] * 100


async def test_full_queue_refuses(rig: Rig) -> None:
    """Pitfall 10: a queue with `reject-publish` answers with a nack, after one message more than its limit."""
    publisher = rig.publisher(replace(TOPOLOGY, audit=False))
    async with rig.running(publisher):
        async with rig.probe.channel() as channel:
            limits: dict[str, Any] = {
                "x-queue-type": "quorum",
                "x-max-length": 1,
                "x-overflow": "reject-publish",
            }
            await channel.queue_declare("full", durable=True, arguments=limits)
            await channel.queue_bind("full", RESULTS, "result.#")

        async def refused() -> bool:
            (outcome,) = await asyncio.gather(*_publishes(publisher, 1), return_exceptions=True)
            return "refused by a queue" in str(outcome)

        await eventually(refused)
        assert publisher.connected


async def test_missing_exchange_costs_only_what_was_pending(rig: Rig) -> None:
    """Pitfall 7: a publish to a missing exchange closes the channel with every other pending confirm on it. All of
    them end, none is called a success, and the exchange is declared again.
    """
    publisher = rig.publisher(settings=replace(rig.settings, watch_every=60.0))
    async with rig.running(publisher):
        async with rig.probe.channel() as channel:
            await channel.exchange_delete(RESULTS)
        up = asyncio.create_task(rig.watcher.next_change("publish", up=True))
        outcomes = await within(asyncio.gather(*_publishes(publisher, 20), return_exceptions=True))
        assert all(isinstance(outcome, PublishUnconfirmed) for outcome in outcomes)
        await up
        await publisher.publish(BODY, event_id="e", event_type="t", routing_key=RESULT)
    down = next(change for change in rig.watcher.changes if not change.up)
    # The other publishes hit the closed channel, for which the broker may close the connection before we did.
    assert "NOT_FOUND - no exchange" in down.detail or "CHANNEL_ERROR" in down.detail
    assert any("NOT_FOUND - no exchange" in str(outcome) for outcome in outcomes)


async def test_missing_exchange_is_found_before_it_is_needed(rig: Rig) -> None:
    """Nobody publishes, somebody deletes the exchange: it is declared again before the next result."""
    publisher = rig.publisher()
    async with rig.running(publisher):
        up = asyncio.create_task(rig.watcher.next_change("publish", up=True))
        async with rig.probe.channel() as channel:
            await channel.exchange_delete(RESULTS)
        await up
        await publisher.publish(BODY, event_id="e", event_type="t", routing_key=RESULT)


async def test_publish_without_a_connection_fails_at_once(rig: Rig) -> None:
    """Pitfall 6: nothing is kept in memory for later; the event stays unpublished in the ledger."""
    with pytest.raises(PublishUnconfirmed, match="not connected"):
        await within(rig.publisher().publish(BODY, event_id="e", event_type="t", routing_key=RESULT), 1)


async def test_publishing_through_losses_of_the_connection(rig: Rig) -> None:
    """Pitfall 6: publishes fail while the connection is rebuilt, and succeed after; every success is in the queue."""
    publisher, confirmed = rig.publisher(), 0
    async with rig.running(publisher):
        for _ in range(2):
            up = asyncio.create_task(rig.watcher.next_change("publish", up=True))
            closing = asyncio.create_task(rig.close_connections())
            while not (up.done() and closing.done()):
                outcomes = await within(asyncio.gather(*_publishes(publisher, 5), return_exceptions=True))
                assert all(outcome is None or isinstance(outcome, PublishUnconfirmed) for outcome in outcomes)
                confirmed += outcomes.count(None)
                await asyncio.to_thread(lambda: None)
        await publisher.publish(BODY, event_id="e", event_type="t", routing_key=RESULT)
        assert await rig.probe.ready(AUDIT) >= confirmed + 1


async def test_end_of_the_publisher_leaves_nobody_waiting(rig: Rig) -> None:
    """A publish under way when the process ends is unconfirmed; nobody is cancelled by the client library."""
    publisher = rig.publisher()
    async with rig.running(publisher):
        publishes = [asyncio.create_task(publish) for publish in _publishes(publisher, 50)]
    outcomes = await within(asyncio.gather(*publishes, return_exceptions=True))
    assert all(outcome is None or isinstance(outcome, PublishUnconfirmed) for outcome in outcomes)


def _publishes(publisher: RabbitPublisher, count: int) -> list[Coroutine[Any, Any, None]]:
    return [
        publisher.publish(BODY, event_id=str(n), event_type="t", routing_key=RESULT) for n in range(count)
    ]

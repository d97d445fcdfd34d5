"""The other side: a publisher and consumer as any team would write one, straight on aio-pika."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError
from aiormq.exceptions import ChannelInvalidStateError, ConnectionInternalError

SOURCE = "urn:demo:upstream"
_FAILED = (ConnectionInternalError, ChannelInvalidStateError, DeliveryError)
"""What RabbitMQ 3.10 may answer to the first message of a queue that was just declared (541, or a nack)."""


class Mailbox:
    """Publishes requests and keeps every result event by idempotency key, in order of arrival."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._connections = AsyncExitStack()
        self._outbox: AbstractChannel | None = None
        self._came = asyncio.Condition()
        self.events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """Result events by idempotency key, every delivery of them."""

    async def __aenter__(self) -> Self:
        inbox = await self._channel()
        exchange = await inbox.get_exchange("provisioning.results")
        queue = await inbox.declare_queue(exclusive=True)
        await queue.bind(exchange, "result.#")
        await queue.consume(self._receive, no_ack=True)
        self._outbox = await self._channel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.aclose()

    async def ask(self, key: str, provider: str, parameters: Mapping[str, Any]) -> None:
        """Publish one request as structured CloudEvents, and wait for the broker's confirmation."""
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": SOURCE,
            "type": "account.requested.v1",
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "data": {"idempotency_key": key, "provider": provider, "parameters": dict(parameters)},
        }
        await self.send(json.dumps(event).encode(), f"request.{provider}", "application/cloudevents+json")

    async def send(self, body: bytes, routing_key: str, content_type: str) -> None:
        """Publish any bytes: once more, where the broker fails before it confirms them."""
        message = aio_pika.Message(
            body,
            content_type=content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(uuid4()),
            timestamp=datetime.now(UTC),
        )
        try:
            await self._publish(message, routing_key)
        except _FAILED:
            self._outbox = await self._channel()
            await self._publish(message, routing_key)

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition on what came holds; whether it did in time."""
        try:
            async with asyncio.timeout(seconds), self._came:
                await self._came.wait_for(condition)
        except TimeoutError:
            return False
        return True

    def outcomes(self, key: str) -> list[str]:
        """The outcomes told so far, each event once."""
        unique = {event["id"]: event["data"]["outcome"] for event in self.events[key]}
        return list(unique.values())

    def last(self, key: str) -> dict[str, Any]:
        """The newest event of a key; empty when none came."""
        return self.events[key][-1] if self.events[key] else {}

    async def _channel(self) -> AbstractChannel:
        """A channel with confirms, on a connection of its own: what goes wrong with one disturbs no other."""
        connection = await self._connections.enter_async_context(await aio_pika.connect(self._url))
        return await connection.channel(publisher_confirms=True, on_return_raises=True)

    async def _publish(self, message: aio_pika.Message, routing_key: str) -> None:
        if self._outbox is None:
            raise RuntimeError("the mailbox is not open")
        exchange = await self._outbox.get_exchange("provisioning.requests", ensure=False)
        await exchange.publish(message, routing_key, mandatory=True, timeout=60)

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        event = json.loads(message.body)
        async with self._came:
            self.events[event["data"]["idempotency_key"] or ""].append(event)
            self._came.notify_all()

"""The other side: a publisher and consumer as any team would write one, straight on aio-pika."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

SOURCE = "urn:demo:upstream"


class Mailbox:
    """Publishes requests and keeps every result event by idempotency key, in order of arrival."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._came = asyncio.Condition()
        self.events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """Result events by idempotency key, every delivery of them."""

    async def __aenter__(self) -> Self:
        self._connection = await aio_pika.connect(self._url)
        self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await self._channel.get_exchange("provisioning.results")
        queue = await self._channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "result.#")
        await queue.consume(self._receive, no_ack=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

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
        """Publish any bytes."""
        if self._channel is None:
            raise RuntimeError("the mailbox is not open")
        exchange = await self._channel.get_exchange("provisioning.requests", ensure=False)
        message = aio_pika.Message(
            body,
            content_type=content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(uuid4()),
            timestamp=datetime.now(UTC),
        )
        await exchange.publish(message, routing_key, mandatory=True, timeout=10)

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

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        event = json.loads(message.body)
        async with self._came:
            self.events[event["data"]["idempotency_key"] or ""].append(event)
            self._came.notify_all()

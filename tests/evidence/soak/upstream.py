"""The requesters' side: publishes each request until RabbitMQ confirms it, and keeps what is told about it.

It outlives every trouble of the broker, as a real upstream team's program must.
"""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from worker.rabbitmq.topology import AUDIT, REQUESTS

SOURCE = "urn:evidence:upstream"
_AGAIN_AFTER = 0.2  # seconds between tries to reach the broker
_BROKER_AWAY = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Told:
    """One result event as it was heard."""

    event_id: str
    outcome: str
    account_id: str | None
    reason: str | None
    credentials: str | None
    evidence: str | None


class _Connection(aio_pika.Connection):
    """One that bids no farewell when the garbage collector finds it, as there may be no loop for it any more."""

    def __del__(self) -> None:
        pass


class Upstream:
    """Publishes and listens; an async context manager.

    Attributes:
        confirmed: Keys of the requests that RabbitMQ confirmed.
        told: Events by idempotency key, each event id once, in the order of arrival.
        copies: Deliveries of an event that was heard before.
    """

    def __init__(self, broker_url: str) -> None:
        self._url = f"{broker_url}?heartbeat=5"
        self._came = asyncio.Condition()
        self._connecting = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._listening: asyncio.Task[None] | None = None
        self.confirmed: set[str] = set()
        self.told: dict[str, list[Told]] = defaultdict(list)
        self.copies = 0

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen(), name="upstream listens")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._forget(self._channel)

    async def ask(self, key: str, provider: str, parameters: Mapping[str, Any]) -> None:
        """Publish one request under its key, again and again until RabbitMQ confirms it."""
        body = _request(key, provider, parameters)
        while True:
            used = self._channel
            try:
                await self._publish(body, f"request.{provider}")
            except Exception:  # noqa: BLE001 - aiormq ends a publish that waits for room with an Exception of no kind
                await self._forget(used)
                await asyncio.sleep(_AGAIN_AFTER)
            else:
                self.confirmed.add(key)
                return

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition on what was told holds; whether it did in time."""
        try:
            async with asyncio.timeout(seconds), self._came:
                await self._came.wait_for(condition)
        except TimeoutError:
            return False
        return True

    def outcome(self, key: str) -> str | None:
        """The newest outcome told about a request."""
        return self.told[key][-1].outcome if key in self.told else None

    def forget(self) -> None:
        """Begin a new page."""
        self.confirmed.clear()
        self.told.clear()

    async def _publish(self, body: bytes, routing_key: str) -> None:
        channel = await self._open_channel()
        exchange = await channel.get_exchange(REQUESTS, ensure=False)
        message = aio_pika.Message(
            body,
            content_type="application/cloudevents+json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(uuid4()),
        )
        await exchange.publish(message, routing_key, mandatory=True, timeout=10)

    async def _open_channel(self) -> AbstractChannel:
        async with self._connecting:
            if self._channel is None or self._channel.is_closed:
                async with asyncio.timeout(10):
                    self._connection = await _connect(self._url)
                    self._channel = await self._connection.channel(
                        publisher_confirms=True, on_return_raises=True
                    )
            return self._channel

    async def _forget(self, used: AbstractChannel | None) -> None:
        """Let go of a channel that failed, unless another publisher has replaced it already."""
        async with self._connecting:
            if used is not self._channel:
                return
            connection, self._connection, self._channel = self._connection, None, None
            if connection is not None:
                await _close(connection)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*_BROKER_AWAY):
                async with asyncio.timeout(10):
                    connection = await _connect(self._url)
                try:
                    await self._consume(connection)
                finally:
                    await _close(connection)
            await asyncio.sleep(_AGAIN_AFTER)

    async def _consume(self, connection: AbstractConnection) -> None:
        gone = asyncio.Event()
        channel = await connection.channel()
        channel.close_callbacks.add(lambda *_: gone.set())
        connection.close_callbacks.add(lambda *_: gone.set())
        await channel.set_qos(prefetch_count=200)
        queue = await channel.get_queue(AUDIT, ensure=False)
        await queue.consume(self._hear)
        await gone.wait()

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        event = json.loads(message.body)
        data = event["data"]
        told = Told(
            event["id"],
            data["outcome"],
            data.get("account_id"),
            (data.get("reason") or {}).get("code"),
            data.get("credentials"),
            data.get("evidence"),
        )
        async with self._came:
            known = self.told[data["idempotency_key"] or ""]
            if any(one.event_id == told.event_id for one in known):
                self.copies += 1
            else:
                known.append(told)
            self._came.notify_all()
        with contextlib.suppress(*_BROKER_AWAY):
            await message.ack()


async def _connect(url: str) -> AbstractConnection:
    return await aio_pika.connect(url, connection_class=_Connection)


async def _close(connection: AbstractConnection) -> None:
    with contextlib.suppress(*_BROKER_AWAY):
        async with asyncio.timeout(2):
            await connection.close()


def _request(key: str, provider: str, parameters: Mapping[str, Any]) -> bytes:
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": SOURCE,
        "type": "account.requested.v1",
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "data": {"idempotency_key": key, "provider": provider, "parameters": dict(parameters)},
    }
    return json.dumps(event).encode()

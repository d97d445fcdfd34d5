"""What a person's command needs of the broker: look, declare, publish a request, wait for its result."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import uuid4

import aio_pika
from aiormq.abc import AbstractChannel, DeliveredMessage

from worker.core.broker import Message
from worker.core.errors import BrokerUnavailable, PublishUnconfirmed
from worker.rabbitmq import declaration
from worker.rabbitmq.calls import answering
from worker.rabbitmq.connection import Connection, ConnectionSettings
from worker.rabbitmq.declaration import Deviation
from worker.rabbitmq.delivery import read_message
from worker.rabbitmq.publisher import CONTENT_TYPE
from worker.rabbitmq.topology import REQUESTS, RESULTS, Topology


class Admin:
    """One connection for the length of a command. It is not kept up; every step has a deadline."""

    def __init__(self, connection: Connection, topology: Topology, seconds: float) -> None:
        self._connection = connection
        self._topology = topology
        self._seconds = seconds
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: ConnectionSettings, topology: Topology) -> AsyncIterator[Self]:
        """Connect for as long as the block runs.

        Raises:
            BrokerUnavailable: the broker cannot be reached.
            ConfigurationError: the broker refuses the login.
        """
        connection = await Connection.open(settings, "admin")
        try:
            yield cls(connection, topology, settings.operation_timeout)
        finally:
            await connection.close()

    async def check(self) -> list[Deviation]:
        """What is missing on the broker, different or could not be compared, without changing anything.

        Raises:
            BrokerUnavailable: no answer.
        """
        return await declaration.check(self._topology, self._connection, seconds=self._seconds)

    async def declare(self) -> None:
        """Create what is missing.

        Raises:
            TopologyMismatch: something is there with other arguments.
            BrokerUnavailable: no answer.
        """
        await declaration.declare(self._topology, self._connection, seconds=self._seconds)

    async def publish_request(
        self,
        body: bytes,
        *,
        routing_key: str,
        content_type: str = CONTENT_TYPE,
        headers: Mapping[str, Any] | None = None,
        message_id: str | None = None,
    ) -> None:
        """Publish one request as an upstream system would, persistent, and wait for the confirmation.

        Raises:
            PublishUnconfirmed: refused, not confirmed in time, or the requests' exchange is missing.
        """
        message = aio_pika.Message(
            body,
            content_type=content_type,
            headers=dict(headers or {}),
            message_id=message_id or uuid4().hex,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self._publish(message, routing_key)

    async def publish_again(self, message: Message) -> None:
        """Publish a message as it once came.

        Raises:
            PublishUnconfirmed: refused, not confirmed in time, or the requests' exchange is missing.
        """
        await self._publish(
            aio_pika.Message(
                message.body,
                content_type=message.content_type,
                headers=dict(message.headers),  # type: ignore[arg-type]  # plain values only, by `packed`
                message_id=message.message_id,
                correlation_id=message.correlation_id,
                app_id=message.app_id,
                type=message.type,
                timestamp=message.timestamp,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            ),
            message.routing_key,
        )

    async def _publish(self, message: aio_pika.Message, routing_key: str) -> None:
        try:
            channel = await self._confirming()
            async with answering(self._seconds, "publish"):
                await channel.basic_publish(
                    message.body,
                    exchange=REQUESTS,
                    routing_key=routing_key,
                    properties=message.properties,
                    mandatory=True,
                )
        except BrokerUnavailable as error:
            raise PublishUnconfirmed(str(error)) from error

    @asynccontextmanager
    async def results(self) -> AsyncIterator["Results"]:
        """Listen to all results while the block runs, on a queue of our own that ends with it.

        Open it before the request is published, or its result may be missed.

        Raises:
            BrokerUnavailable: no answer, or the results' exchange is missing.
        """
        async with self._connection.throwaway_channel(seconds=self._seconds) as channel:
            results = Results()
            async with answering(self._seconds, "listening to results"):
                declared = await channel.queue_declare("", exclusive=True, auto_delete=True)
                await channel.queue_bind(declared.queue or "", RESULTS, "result.#")
                await channel.basic_consume(declared.queue or "", results.arrived, no_ack=True)
            yield results

    async def _confirming(self) -> AbstractChannel:
        """One channel for all requests of the command."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._connection.channel(seconds=self._seconds, confirms=True)
            return self._channel


class Results:
    """Results as they come."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def wait_for(self, wanted: Callable[[Message], bool], *, seconds: float) -> Message | None:
        """The first result from now on that is wanted; None when none came within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await self._messages.get()
                    if wanted(message):
                        return message
        except TimeoutError:
            return None

    async def arrived(self, raw: DeliveredMessage) -> None:
        """Take note of one result."""
        self._messages.put_nowait(read_message(RESULTS, raw))

"""The way out: result events, each confirmed by the broker, on a connection of its own.

The broker stops reading from connections that publish while it is short of memory or disk; acknowledgements must not
wait behind that, so they have another connection.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NoReturn
from uuid import uuid4

from aio_pika import DeliveryMode
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic

from worker.core.clock import Clock
from worker.core.errors import BrokerUnavailable, PublishUnconfirmed
from worker.core.observer import Observer
from worker.rabbitmq.calls import answering
from worker.rabbitmq.connection import Connection, ConnectionSettings, reason_of
from worker.rabbitmq.declaration import settle
from worker.rabbitmq.link import Link, broker_changes
from worker.rabbitmq.topology import RESULTS, Topology

CONTENT_TYPE = "application/cloudevents+json"

_SHORT = 255
"""Bytes that a property of AMQP can hold."""


class RabbitPublisher:
    """Implements `core.broker.Publisher`."""

    def __init__(
        self, settings: ConnectionSettings, topology: Topology, *, observer: Observer, clock: Clock
    ) -> None:
        self._settings = settings
        self._topology = replace(topology, providers=())  # a quarrel over a request queue stops no result
        self._clock = clock
        self._link = Link(
            "publish",
            settings,
            prepare=self._prepare,
            tend=self._tend,
            tell=broker_changes("publish", observer),
            clock=clock,
        )
        self._channel: AbstractChannel | None = None
        self._places = asyncio.Semaphore(settings.publishes_in_flight)

    async def run(self) -> NoReturn:
        """Keep the connection up until cancelled.

        Raises:
            ConfigurationError: at the very first start, the broker refuses the login.
            TopologyMismatch: at the very first start, the broker has other queues or exchanges than declared.
        """
        await self._link.run()

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self._link.connection is not None

    @property
    def blocked(self) -> str:
        """Why the broker takes no publishes now (memory or disk alarm), or ""."""
        connection = self._link.connection
        return connection.blocked if connection is not None else ""

    async def publish(self, body: bytes, *, event_id: str, event_type: str, routing_key: str) -> None:
        """Publish one result event, persistent and mandatory, and wait for the broker's confirmation.

        The properties mirror the event in the body. The message id is fresh on each try: the broker's returns carry
        nothing else to tell two publishes apart. The event id stays, in the body and in the header `event-id`.

        Raises:
            PublishUnconfirmed: unroutable, refused, not confirmed in time, or not connected; the text says which.
        """
        properties = Basic.Properties(
            message_id=uuid4().hex,
            headers={"event-id": event_id},
            message_type=_short(event_type),
            content_type=CONTENT_TYPE,
            delivery_mode=DeliveryMode.PERSISTENT,
            priority=0,
            **_mirrored(body),
        )
        try:
            async with answering(self._settings.operation_timeout, "publish"), self._places:
                await self._publish(body, properties, routing_key)
        except PublishUnconfirmed:
            raise
        except BrokerUnavailable as error:
            alarm = f"; the broker does not listen to publishers: {self.blocked}" if self.blocked else ""
            raise PublishUnconfirmed(f"{error}{alarm}") from error

    async def _publish(self, body: bytes, properties: Basic.Properties, routing_key: str) -> None:
        if self._channel is None or not self.connected:
            raise PublishUnconfirmed("publish: not connected")
        try:
            await self._channel.basic_publish(
                body,
                exchange=RESULTS,
                routing_key=routing_key,
                properties=properties,
                mandatory=True,
            )
        except PublishError:
            raise PublishUnconfirmed(
                f"publish: unroutable, no queue of {RESULTS} takes {routing_key}"
            ) from None
        except DeliveryError:
            raise PublishUnconfirmed(
                f"publish: refused by a queue that takes {routing_key}; is it full?"
            ) from None

    async def _prepare(self, connection: Connection) -> None:
        """One channel for the life of a connection, and its end is the connection's.

        Nothing would be gained by opening another: a publish that is still written to a channel which the broker has
        closed makes it close the connection too.
        """
        await settle(self._topology, connection, self._settings)
        self._adopt(
            await connection.channel(seconds=self._settings.operation_timeout, confirms=True), connection
        )

    def _adopt(self, channel: AbstractChannel, connection: Connection) -> None:
        channel.closing.add_done_callback(
            lambda closing: connection.give_up(f"the publish channel was closed: {reason_of(closing)}")
        )
        self._channel = channel

    async def _tend(self, connection: Connection) -> None:
        """Ask now and then whether the broker answers and the exchange is there. Under an alarm it would not answer.

        Raises:
            BrokerUnavailable: no answer, and no alarm that would explain it; or the exchange is gone.
        """
        while True:
            await self._clock.sleep(self._settings.watch_every)
            try:
                if not connection.blocked:
                    await connection.ask_for(RESULTS, seconds=self._settings.operation_timeout)
            except BrokerUnavailable:
                if not connection.blocked:
                    raise


def _mirrored(body: bytes) -> Mapping[str, Any]:
    """Source, correlation id and time of the event, for whoever reads properties only. None where there is none."""
    try:
        event = json.loads(body)
        return {
            "app_id": _short(event.get("source")),
            "correlation_id": _short(event.get("correlationid")),
            "timestamp": datetime.fromisoformat(event["time"]) if "time" in event else None,
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def _short(text: object) -> str | None:
    """A text that fits into a property; the body has it in any case."""
    return text if isinstance(text, str) and len(text.encode()) <= _SHORT else None

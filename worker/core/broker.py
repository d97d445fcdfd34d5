"""Ports: the door in and the door out. `worker/rabbitmq/` implements them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it lay in the queue. Nothing in it is trusted.

    Attributes:
        body: Bytes as published.
        queue: The queue it was taken from.
        routing_key: The key it was published with.
        headers: AMQP headers; values as the client library decoded them (str, bytes, int, datetime, list, dict ...).
        redelivered: Whether the broker handed it over before.
    """

    body: bytes = field(repr=False)
    queue: str
    routing_key: str = ""
    headers: Mapping[str, object] = field(default_factory=dict, repr=False)
    content_type: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    app_id: str | None = None
    type: str | None = None
    timestamp: datetime | None = None
    redelivered: bool = False


class Delivery(Protocol):
    """One handing-over by the broker; exactly one of the three verbs ends it.

    A channel that died meanwhile is not an error here: the broker delivers again, and the ledger knows the row.
    """

    @property
    def message(self) -> Message:
        """What was handed over."""
        ...

    @property
    def open(self) -> bool:
        """Whether the broker still waits for a verb.

        No longer so once a verb was used, the queue was closed (what is untouched went back) or the channel died:
        whoever waited before taking the message up should then let go of it.
        """
        ...

    async def ack(self) -> None:
        """The ledger has it."""
        ...

    async def reject(self) -> None:
        """To the dead-letter queue."""
        ...

    async def requeue(self) -> None:
        """Back to the queue, untouched."""
        ...


Handler = Callable[[Delivery], Awaitable[None]]
"""Called for each delivery in a task of its own. It ends the delivery by one of the three verbs, now or later."""


class Publisher(Protocol):
    """The way out."""

    async def publish(self, body: bytes, *, event_id: str, event_type: str, routing_key: str) -> None:
        """Publish one result event, persistent and mandatory, and wait for the broker's confirmation.

        Raises:
            PublishUnconfirmed: returned, refused, not confirmed in time, or no connection.
        """
        ...

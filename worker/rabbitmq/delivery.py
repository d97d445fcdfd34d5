"""One delivery: what was handed over, and the verbs that end it."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import MappingProxyType

from aiormq.abc import AbstractChannel, DeliveredMessage

from worker.core.broker import Message
from worker.core.errors import BrokerUnavailable
from worker.core.observer import Observer, Unsettled
from worker.rabbitmq.calls import answering


class Fate(StrEnum):
    """What became of a delivery."""

    OPEN = "open"  # the broker waits for a verb
    SETTLED = "settled"  # a verb was sent
    TAKEN_BACK = "taken back"  # its queue was closed: given back untouched
    LOST = "lost"  # its channel died: the broker hands the message over again


class BrokerDelivery:
    """Implements `core.broker.Delivery` on one channel; dies with it, and says so instead of raising."""

    def __init__(
        self,
        message: Message,
        tag: int,
        channel: AbstractChannel,
        *,
        seconds: float,
        observer: Observer,
        settled: Callable[[int], object],
    ) -> None:
        self._message = message
        self._tag = tag
        self._channel = channel
        self._seconds = seconds
        self._observer = observer
        self._settled = settled
        self._fate = Fate.OPEN

    @property
    def message(self) -> Message:
        return self._message

    @property
    def open(self) -> bool:
        return self._fate is Fate.OPEN

    async def ack(self) -> None:
        await self._settle("ack", lambda: self._channel.basic_ack(self._tag, wait=False))

    async def reject(self) -> None:
        await self._settle("reject", lambda: self._channel.basic_reject(self._tag, requeue=False, wait=False))

    async def requeue(self) -> None:
        await self._settle("requeue", lambda: self._channel.basic_nack(self._tag, requeue=True, wait=False))

    def give_up(self, fate: Fate) -> None:
        """From now on every verb does nothing; a lost one says so."""
        if self._fate is Fate.OPEN:
            self._fate = fate

    async def _settle(self, verb: str, send: Callable[[], Awaitable[None]]) -> None:
        """Written, not confirmed: AMQP knows no answer to these verbs, and what gets lost is delivered again."""
        queue = self._message.queue
        if self._fate is Fate.LOST:
            self._observer.tell(Unsettled(verb, queue, "its channel is gone", self._message.message_id))
        if self._fate is not Fate.OPEN:
            return
        self._fate = Fate.SETTLED
        self._settled(self._tag)
        try:
            async with answering(self._seconds, f"{verb} of a delivery from {queue}"):
                await send()
        except BrokerUnavailable as error:
            self._observer.tell(Unsettled(verb, queue, str(error), self._message.message_id))


def read_message(queue: str, raw: DeliveredMessage) -> Message:
    """The message as the core knows it. Whatever a publisher put into its properties, this does not fail."""
    properties = raw.header.properties
    return Message(
        body=raw.body,
        queue=queue,
        routing_key=raw.routing_key or "",
        headers=MappingProxyType(dict(properties.headers or {})),
        content_type=properties.content_type or None,
        message_id=properties.message_id or None,
        correlation_id=properties.correlation_id or None,
        app_id=properties.app_id or None,
        type=properties.message_type or None,
        timestamp=properties.timestamp,
        redelivered=bool(raw.redelivered),
    )

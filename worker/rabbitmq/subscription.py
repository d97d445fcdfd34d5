"""One consumer on one channel. Begun, ended, thrown away; never mended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from worker.core.broker import Handler
from worker.core.observer import Observer
from worker.rabbitmq.calls import answering
from worker.rabbitmq.connection import reason_of
from worker.rabbitmq.delivery import BrokerDelivery, Fate, read_message

_TAG = "provisioner"
_ALL = 0
"""The delivery tag that, with `multiple`, means all deliveries of the channel that have no verb yet."""

_TO_END = 3.0
"""Seconds at the most to end a consumer in good order: who closes a queue must not wait for one that nobody serves."""

_STUCK_LOOKS = 2
"""Looks of the watchdog in a row that must find a queue stuck: one may fall between two steps of the broker."""

_SILENT_LOOKS = 6
"""Looks in a row without a delivery after which a consumer is replaced on suspicion. Where a queue is deleted and at
once declared again, RabbitMQ 3.10 cancels nobody: it counts the consumer, shows no waiting message, and hands what
comes to that consumer without ever sending it. No look from outside tells this from an empty queue."""


@dataclass(frozen=True, slots=True)
class Consumption:
    """A queue that shall be consumed.

    Attributes:
        queue: Its name.
        handler: Who takes its deliveries.
        prefetch: Deliveries without a verb that the broker may leave with this consumer.
    """

    queue: str
    handler: Handler = field(compare=False)
    prefetch: int


class Subscription:
    """The consumer of one queue, and the deliveries it was handed and that have no verb yet.

    Args:
        consumption: What to consume.
        channel: A channel for this consumer alone.
        seconds: Deadline for each call.
        observer: Is told of verbs that came too late.
        take: Is given each delivery; must not wait.
        on_cancel: The broker ended the consumer, because its queue was deleted or moved.
        on_loss: The channel died; is given the reason.
    """

    def __init__(
        self,
        consumption: Consumption,
        channel: AbstractChannel,
        *,
        seconds: float,
        observer: Observer,
        take: Callable[[Consumption, BrokerDelivery], None],
        on_cancel: Callable[[], None],
        on_loss: Callable[[str], None],
    ) -> None:
        self.consumption = consumption
        self._channel = channel
        self._seconds = seconds
        self._observer = observer
        self._take = take
        self._on_cancel = on_cancel
        self._on_loss = on_loss
        self._over = False
        self._open: dict[int, BrokerDelivery] = {}
        self._received = 0
        self._received_before = 0
        self._stuck = 0
        self._silent = 0

    @property
    def worn(self) -> bool:
        """Whether nothing came for so long that a new consumer should take its place."""
        return self._silent >= _SILENT_LOOKS

    @property
    def flows(self) -> bool:
        """Whether the last look found nothing amiss."""
        return self.alive and self._stuck == 0

    @property
    def alive(self) -> bool:
        """Whether, as far as we were told, the broker hands deliveries to this consumer."""
        return not self._over

    def serves(self, consumption: Consumption) -> bool:
        """Whether this consumer is alive, and the one that is wished for."""
        return self.alive and self.consumption == consumption

    async def begin(self) -> None:
        """Consume, with a prefetch of its own.

        Raises:
            Refused: the queue is missing, or may not be read.
            BrokerUnavailable: no answer.
        """
        self._channel.on_consumer_cancel_callbacks.add(self._cancelled)
        async with answering(self._seconds, f"consuming {self.consumption.queue}"):
            await self._channel.basic_qos(prefetch_count=self.consumption.prefetch)
            await self._channel.basic_consume(self.consumption.queue, self._arrived, consumer_tag=_TAG)
        self._channel.closing.add_done_callback(self._closed)

    async def end(self) -> None:
        """Stop, and give every delivery that has no verb yet back to the queue.

        A nack and not just a closed channel: from RabbitMQ 4.3 on only the latter counts towards the delivery limit.

        Raises:
            BrokerUnavailable: no answer; the broker will find out by itself.
        """
        self._over = True
        if self._channel.is_closed:
            self._give_up(Fate.LOST)
            return
        try:
            async with answering(
                min(self._seconds, _TO_END), f"no longer consuming {self.consumption.queue}"
            ):
                await self._channel.basic_cancel(_TAG)
                self._give_up(Fate.TAKEN_BACK)
                await self._channel.basic_nack(_ALL, multiple=True, requeue=True, wait=False)
                await self._channel.close()
        finally:
            self._give_up(Fate.LOST)

    def abandon(self) -> None:
        """Its connection is gone: no verb can reach the broker any more."""
        self._over = True
        self._give_up(Fate.LOST)

    def stuck(self, *, ready: int, consumers: int) -> str | None:
        """What a look from the broker's side says: why this consumer must be taken for dead, or None.

        Args:
            ready: Messages of the queue that wait for a consumer.
            consumers: Consumers of the queue as the broker counts them.
        """
        quiet = self._received == self._received_before
        self._received_before = self._received
        self._silent = self._silent + 1 if quiet and not self._open else 0
        idle = quiet and len(self._open) < self.consumption.prefetch
        self._stuck = self._stuck + 1 if consumers == 0 or (ready and idle) else 0
        if self._stuck < _STUCK_LOOKS:
            return None
        return (
            f"connected but not consuming {self.consumption.queue}: "
            f"{ready} messages wait, {consumers} consumers known"
        )

    async def _arrived(self, raw: DeliveredMessage) -> None:
        """Only hand on: this task is cancelled when the channel dies."""
        if self._over or raw.delivery_tag is None:
            return
        self._received += 1
        self._open[raw.delivery_tag] = delivery = BrokerDelivery(
            read_message(self.consumption.queue, raw),
            raw.delivery_tag,
            self._channel,
            seconds=self._seconds,
            observer=self._observer,
            settled=self._open.pop,
        )
        self._take(self.consumption, delivery)

    def _cancelled(self, _frame: Basic.Cancel) -> None:
        self._over = True
        self._on_cancel()

    def _closed(self, closing: asyncio.Future[object]) -> None:
        self._give_up(Fate.LOST)
        if not self._over:
            self._over = True
            self._on_loss(f"the channel of {self.consumption.queue} was closed: {reason_of(closing)}")

    def _give_up(self, fate: Fate) -> None:
        for delivery in self._open.values():
            delivery.give_up(fate)
        self._open.clear()

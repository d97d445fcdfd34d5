"""One queue that shall be consumed, on a connection of its own.

RabbitMQ answers whoever consumes a queue that it cannot serve, or no longer consumes it, by closing the connection, or
not at all. On a connection that queues share, the sick one would take the others with it.
"""

import asyncio
from collections.abc import Callable

from worker.core.clock import Clock
from worker.core.errors import BrokerUnavailable
from worker.core.observer import Observer, QueueChanged, QueueRestored, QueueState
from worker.rabbitmq.calls import NOT_FOUND, Refused, answering
from worker.rabbitmq.connection import Connection, ConnectionSettings
from worker.rabbitmq.declaration import bind, restore
from worker.rabbitmq.delivery import BrokerDelivery
from worker.rabbitmq.link import Link, LinkChange
from worker.rabbitmq.subscription import Consumption, Subscription
from worker.rabbitmq.topology import Topology

_AFTER_A_CANCEL = 0.2
"""Seconds before a queue is consumed again whose consumer the broker ended, so that this cannot spin."""


class Door:
    """Keeps one queue consumed from `open` to `close`, whatever becomes of its connections.

    Args:
        consumption: What to consume; `change` changes it.
        settings: Where the broker is.
        topology: Declared anew where the queue is missing.
        settled: Waited for before every try: the broker can be reached, and the topology is there.
        take: Is given each delivery; must not wait.
        observer: Is told every change of state once.
        clock: For the pauses, and for the time of the next look.
    """

    def __init__(
        self,
        consumption: Consumption,
        settings: ConnectionSettings,
        topology: Topology,
        *,
        settled: asyncio.Event,
        take: Callable[[Consumption, BrokerDelivery], None],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._wanted = consumption
        self._settings = settings
        self._topology = topology
        self._settled = settled
        self._take = take
        self._observer = observer
        self._clock = clock
        self._link = Link(
            f"consume {consumption.queue}",
            settings,
            tend=self._tend,
            tell=self._changed,
            clock=clock,
            gate=self._until_settled,
            patient=True,
        )
        self._subscription: Subscription | None = None
        self._reason = ""
        # The last consumer got nothing, and nobody knows whether this one gets anything.
        self._was_stuck = False
        self._look_at = clock.monotonic()
        self._told: QueueChanged | None = None
        self._stirred = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str:
        """Why the queue is not consumed at this moment, or ""."""
        if self._subscription is not None and self._subscription.serves(self._wanted):
            return ""
        return self._reason or "not consumed yet"

    def open(self) -> None:
        """Consume from now on, in a task of its own: whoever opens a queue waits for no broker."""
        self._running = asyncio.create_task(self._link.run(), name=f"consume {self._wanted.queue}")

    def change(self, consumption: Consumption) -> None:
        """Consume in another way from now on; the same consumption changes nothing."""
        if consumption != self._wanted:
            self._wanted = consumption
            self._stirred.set()

    async def close(self) -> None:
        """Consume no longer. When this returns, what had no verb is back in the queue, or the connection ends."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
            self._tell(QueueState.CLOSED)

    def check(self) -> None:
        """Raise what ended this door, if anything did but `close`: that is a mistake of ours, and no broker's."""
        if self._running is not None and self._running.done() and not self._running.cancelled():
            self._running.result()

    async def _until_settled(self) -> None:
        """A reason is told only here: what the whole broker suffers from is told where that is noticed."""
        if self._reason and self._settled.is_set():
            self._tell(QueueState.NOT_SERVED, self._reason)
        await self._settled.wait()

    def _changed(self, change: LinkChange) -> None:
        if not change.up:
            self._reason = change.detail

    def _tell(self, state: QueueState, detail: str = "") -> None:
        fact = QueueChanged(self._wanted.queue, state, detail)
        if fact != self._told:
            self._told = fact
            self._observer.tell(fact)

    async def _tend(self, connection: Connection) -> None:
        subscription = await self._subscribe(connection)
        self._look_at = self._clock.monotonic() + self._settings.watch_every
        self._reason = ""
        if not self._was_stuck:
            self._tell(QueueState.CONSUMED)
        try:
            while True:
                await self._watch(connection, subscription)
                subscription = await self._renewed(connection, subscription)
        except asyncio.CancelledError:
            await self._end(connection, subscription)
            raise
        finally:
            subscription.abandon()

    async def _watch(self, connection: Connection, subscription: Subscription) -> None:
        """Wait until something changes, and look now and then whether the broker sees what we see.

        However often something changes: where workers trade slots, that is more often than a look is due.
        """
        left = self._look_at - self._clock.monotonic()
        if left > 0 and await self._stirs_within(left):
            return
        self._look_at = self._clock.monotonic() + self._settings.watch_every
        await self._look(connection, subscription)

    async def _stirs_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return False
        self._stirred.clear()
        return True

    async def _renewed(self, connection: Connection, old: Subscription) -> Subscription:
        """Another consumer in place of one that has ended, is not what is wished for, or is silent for long."""
        if not old.alive:
            await self._clock.sleep(_AFTER_A_CANCEL)
        if not old.serves(self._wanted):
            await old.end()
            return await self._subscribe_again(connection)
        if old.worn:
            new = await self._subscribe_again(connection)
            await old.end()
            return new
        return old

    async def _subscribe_again(self, connection: Connection) -> Subscription:
        """Somebody may have made the queue anew meanwhile, and left its bindings to us."""
        subscription = await self._subscribe(connection)
        if self._settings.declare:
            seconds = self._settings.operation_timeout
            await bind(self._topology, self._wanted.queue, connection, seconds=seconds)
        return subscription

    async def _subscribe(self, connection: Connection) -> Subscription:
        try:
            return await self._subscribe_once(connection)
        except Refused as refusal:
            if refusal.code != NOT_FOUND or not self._settings.declare:
                raise
        await restore(self._topology, self._wanted.queue, connection, self._settings)
        self._observer.tell(QueueRestored(self._wanted.queue))
        return await self._subscribe_once(connection)

    async def _subscribe_once(self, connection: Connection) -> Subscription:
        seconds = self._settings.operation_timeout
        subscription = Subscription(
            self._wanted,
            await connection.channel(seconds=seconds),
            seconds=seconds,
            observer=self._observer,
            take=self._take,
            on_cancel=self._stirred.set,
            on_loss=connection.give_up,
        )
        await subscription.begin()
        self._subscription = subscription
        return subscription

    async def _look(self, connection: Connection, subscription: Subscription) -> None:
        """Ask the broker, on another channel, what it sees of the consumer.

        Raises:
            BrokerUnavailable: it does not answer, or sees a queue stand still that should be consumed.
        """
        ready, consumers = await self._seen(connection)
        reason = subscription.stuck(ready=ready, consumers=consumers)
        if reason is not None and subscription.alive:
            self._was_stuck = True
            raise BrokerUnavailable(reason)
        if subscription.flows:
            self._was_stuck = False
            self._tell(QueueState.CONSUMED)

    async def _seen(self, connection: Connection) -> tuple[int, int]:
        """Messages that wait and consumers; none of either where the queue is gone."""
        seconds, queue = self._settings.operation_timeout, self._wanted.queue
        try:
            async with (
                connection.throwaway_channel(seconds=seconds) as channel,
                answering(seconds, f"looking at {queue}"),
            ):
                seen = await channel.queue_declare(queue, passive=True)
        except Refused:
            return 0, 0
        return seen.message_count or 0, seen.consumer_count or 0

    async def _end(self, connection: Connection, subscription: Subscription) -> None:
        """In good order, where the broker still answers."""
        if not connection.end.done():
            try:
                await subscription.end()
            except BrokerUnavailable as error:
                connection.give_up(str(error))

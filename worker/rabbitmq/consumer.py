"""The way in: which queues shall be consumed, and a connection that sees to it.

What is wished for outlives every connection. A loop compares it with what is, begins and ends consumers until both
agree, and asks the broker now and then whether it sees the same.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, NoReturn

from worker.core.clock import Clock
from worker.core.errors import BrokerUnavailable, ConfigurationError
from worker.core.observer import Observer, Surprised
from worker.rabbitmq.calls import NOT_FOUND, Refused, answering
from worker.rabbitmq.connection import Connection, ConnectionSettings
from worker.rabbitmq.declaration import declare, settle
from worker.rabbitmq.delivery import BrokerDelivery
from worker.rabbitmq.link import Link
from worker.rabbitmq.subscription import Handler, Subscription, Wish
from worker.rabbitmq.topology import Topology

_AFTER_A_CANCEL = 0.2
"""Seconds before a queue is consumed again whose consumer the broker ended, so that this cannot spin."""

_AFTER_A_FAILURE = 5.0
"""Seconds a delivery rests whose handler raised, before it goes back: requeued at once it would spin."""


class Consumer:
    """Consumes the queues that are open, on a connection of its own. Implements `core.intake.Doors`."""

    def __init__(
        self, settings: ConnectionSettings, topology: Topology, *, observer: Observer, clock: Clock
    ) -> None:
        self._settings = settings
        self._topology = topology
        self._observer = observer
        self._clock = clock
        self._link = Link(
            "consume", settings, prepare=self._prepare, tend=self._tend, observer=observer, clock=clock
        )
        self._wishes: dict[str, Wish] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._faults: dict[str, str] = {}
        self._handling: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._stirred = asyncio.Event()

    async def run(self) -> NoReturn:
        """Keep the connection and the consumers up until cancelled. Handlers that run are left alone.

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
    def consuming(self) -> bool:
        """Whether the connection is up and every open queue has its consumer."""
        return self.connected and all(self._alive(queue) for queue in self._wishes)

    async def open(self, queue: str, handler: Handler, prefetch: int) -> None:
        """Consume a queue from now on, on this connection and on every later one. Open already: nothing changes.

        Args:
            queue: Its name.
            handler: Called with each delivery in a task of its own, which no loss of a channel cancels.
            prefetch: Deliveries without a verb that the broker may leave here; about the handler's concurrency.
        """
        wish = Wish(queue, handler, prefetch)
        if self._wishes.get(queue) != wish:
            self._wishes[queue] = wish
            await self._agree_now()

    async def close(self, queue: str) -> None:
        """Consume a queue no longer. When this returns, what had no verb is back in the queue, or the connection ends.

        A handler that runs is not cancelled: it finds its delivery no longer `open`, and its verb does nothing.
        """
        if self._wishes.pop(queue, None):
            await self._agree_now()

    async def drain(self) -> None:
        """Wait until no handler runs. Close the queues first."""
        while self._handling:
            await asyncio.wait(tuple(self._handling))

    def _alive(self, queue: str) -> bool:
        subscription = self._subscriptions.get(queue)
        return subscription is not None and subscription.alive

    async def _prepare(self, connection: Connection) -> None:
        for subscription in self._subscriptions.values():
            subscription.abandon()
        self._subscriptions.clear()
        await settle(self._topology, connection, self._settings)

    async def _tend(self, connection: Connection) -> None:
        while True:
            await self._agree(connection)
            try:
                async with asyncio.timeout(self._settings.watch_every):
                    await self._stirred.wait()
            except TimeoutError:
                await self._look(connection)
            else:
                await self._clock.sleep(_AFTER_A_CANCEL)
                self._stirred.clear()

    async def _agree_now(self) -> None:
        """In a task of its own: whoever opens or closes a queue may be cancelled, and no half consumer must remain."""
        connection = self._link.connection
        if connection is not None:
            await asyncio.shield(
                _start(self._agree_or_give_up(connection), "open or close", self._background)
            )

    async def _agree_or_give_up(self, connection: Connection) -> None:
        try:
            await self._agree(connection)
        except BrokerUnavailable as error:
            connection.give_up(str(error))

    async def _agree(self, connection: Connection) -> None:
        """Begin and end consumers until they are what is wished for."""
        async with self._changing:
            for queue, subscription in list(self._subscriptions.items()):
                if not subscription.alive or subscription.wish != self._wishes.get(queue):
                    del self._subscriptions[queue]
                    await subscription.end()
            for queue, wish in list(self._wishes.items()):
                old = self._subscriptions.get(queue)
                if old is None or old.worn:
                    await self._begin(connection, wish)
                if old is not None and old.worn:
                    await old.end()

    async def _begin(self, connection: Connection, wish: Wish) -> None:
        """One queue that cannot be consumed does not stop the others; after the next look it is tried again."""
        try:
            self._subscriptions[wish.queue] = await self._subscribe(connection, wish)
        except (Refused, ConfigurationError) as error:
            if self._faults.get(wish.queue) != str(error):
                self._faults[wish.queue] = str(error)
                self._observer.tell(Surprised(f"consuming {wish.queue}", error))
        else:
            self._faults.pop(wish.queue, None)

    async def _subscribe(self, connection: Connection, wish: Wish) -> Subscription:
        try:
            return await self._subscribe_once(connection, wish)
        except Refused as refusal:
            if refusal.code != NOT_FOUND or not self._settings.declare:
                raise
        await declare(self._topology, connection, seconds=self._settings.operation_timeout)
        return await self._subscribe_once(connection, wish)

    async def _subscribe_once(self, connection: Connection, wish: Wish) -> Subscription:
        seconds = self._settings.operation_timeout
        subscription = Subscription(
            wish,
            await connection.channel(seconds=seconds),
            seconds=seconds,
            observer=self._observer,
            take=self._take,
            on_cancel=self._stirred.set,
            on_loss=connection.give_up,
        )
        await subscription.begin()
        return subscription

    async def _look(self, connection: Connection) -> None:
        """Ask the broker, on another channel, what it sees of each consumer.

        Raises:
            BrokerUnavailable: it does not answer, or sees a queue stand still that should be consumed.
        """
        for subscription in list(self._subscriptions.values()):
            ready, consumers = await self._seen(connection, subscription.wish.queue)
            reason = subscription.stuck(ready=ready, consumers=consumers)
            if reason is not None and subscription.alive:
                raise BrokerUnavailable(reason)

    async def _seen(self, connection: Connection, queue: str) -> tuple[int, int]:
        """Messages that wait and consumers; none of either where the queue is gone."""
        seconds = self._settings.operation_timeout
        try:
            async with (
                connection.throwaway_channel(seconds=seconds) as channel,
                answering(seconds, f"looking at {queue}"),
            ):
                seen = await channel.queue_declare(queue, passive=True)
        except Refused:
            return 0, 0
        return seen.message_count or 0, seen.consumer_count or 0

    def _take(self, wish: Wish, delivery: BrokerDelivery) -> None:
        """In a task of our own: aiormq's are cancelled with their channel, in the middle of whatever they do."""
        task = _start(self._handle(wish, delivery), f"delivery from {wish.queue}", self._handling)
        task.add_done_callback(partial(self._handled, delivery))

    async def _handle(self, wish: Wish, delivery: BrokerDelivery) -> None:
        await wish.handler(delivery)

    def _handled(self, delivery: BrokerDelivery, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._observer.tell(Surprised(f"handler of {delivery.message.queue}", error))
            _start(self._requeue_later(delivery), "requeue after a failure", self._background)

    async def _requeue_later(self, delivery: BrokerDelivery) -> None:
        await self._clock.sleep(_AFTER_A_FAILURE)
        await delivery.requeue()


def _start(work: Coroutine[Any, Any, None], name: str, kept: set[asyncio.Task[None]]) -> asyncio.Task[None]:
    """A task, and the reference that keeps it alive."""
    task = asyncio.create_task(work, name=name)
    kept.add(task)
    task.add_done_callback(kept.discard)
    return task

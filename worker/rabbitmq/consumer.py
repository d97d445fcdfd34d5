"""The way in: which queues shall be consumed, and whether the broker is there and as it should be.

What is wished for outlives every connection: each open queue has a door (`door.py`), which keeps it consumed.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, NoReturn

from worker.core.broker import Handler
from worker.core.clock import Clock
from worker.core.observer import Observer, Surprised, TopologyUncompared
from worker.rabbitmq.connection import Connection, ConnectionSettings
from worker.rabbitmq.declaration import Uncompared, settle
from worker.rabbitmq.delivery import BrokerDelivery
from worker.rabbitmq.door import Door
from worker.rabbitmq.link import Link, broker_changes
from worker.rabbitmq.subscription import Consumption
from worker.rabbitmq.topology import REQUESTS, Topology

_AFTER_A_FAILURE = 5.0
"""Seconds a delivery rests whose handler raised, before it goes back: requeued at once it would spin."""


class Consumer:
    """Consumes the queues that are open, each on a connection of its own. Implements `core.intake.Doors`.

    One more connection consumes nothing: it settles the topology before any queue is consumed, and shows whether the
    broker can be reached. It is what is told as the `consume` connection.
    """

    def __init__(
        self, settings: ConnectionSettings, topology: Topology, *, observer: Observer, clock: Clock
    ) -> None:
        self._settings = settings
        self._topology = topology
        self._observer = observer
        self._clock = clock
        self._link = Link(
            "consume",
            settings,
            prepare=self._prepare,
            tend=self._tend,
            tell=broker_changes("consume", observer),
            clock=clock,
        )
        self._settled = asyncio.Event()
        self._uncompared: list[Uncompared] = []
        self._doors: dict[str, Door] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._handling: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()

    async def run(self) -> NoReturn:
        """Keep connections and consumers up until cancelled. Handlers that run are left alone.

        Raises:
            ConfigurationError: at the very first start, the broker refuses the login.
            TopologyMismatch: at the very first start, the broker has other queues or exchanges than declared.
        """
        try:
            await self._link.run()
        finally:
            await self._close_all()

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached, and its topology is as it should be."""
        return self._link.connection is not None

    @property
    def consuming(self) -> bool:
        """Whether the broker can be reached and every open queue has its consumer."""
        return self.connected and not self.troubles

    @property
    def troubles(self) -> Mapping[str, str]:
        """Queues that are open and not consumed at this moment, and why."""
        return {queue: door.trouble for queue, door in self._doors.items() if door.trouble}

    async def open(self, queue: str, handler: Handler, prefetch: int) -> None:
        """Consume a queue from now on, over every loss of a connection. Open already: only its prefetch changes.

        This waits for no broker: a queue that cannot be served must not stop whoever opens the others.

        Args:
            queue: Its name.
            handler: Called with each delivery in a task of its own, which no loss of a channel cancels.
            prefetch: Deliveries without a verb that the broker may leave here; about the handler's concurrency.
        """
        consumption = Consumption(queue, handler, prefetch)
        if queue in self._doors:
            self._doors[queue].change(consumption)
            return
        self._doors[queue] = door = Door(
            consumption,
            self._settings,
            self._topology,
            settled=self._settled,
            take=self._take,
            observer=self._observer,
            clock=self._clock,
        )
        door.open()

    async def close(self, queue: str) -> None:
        """Consume a queue no longer. When this returns, what had no verb is back in the queue, or its connection ends.

        A handler that runs is not cancelled: it finds its delivery no longer `open`, and its verb does nothing.
        """
        door = self._doors.pop(queue, None)
        if door is not None:
            await asyncio.shield(self._closed(door))

    async def drain(self) -> None:
        """Wait until no handler runs. Close the queues first."""
        while self._handling:
            await asyncio.wait(tuple(self._handling))

    async def _close_all(self) -> None:
        for queue in tuple(self._doors):
            self._closed(self._doors.pop(queue))
        if self._closing:
            await asyncio.wait(tuple(self._closing))

    def _closed(self, door: Door) -> "asyncio.Task[None]":
        """In a task of its own: whoever closes a queue may be cancelled, and no half consumer must remain."""
        return _start(door.close(), "close a queue", self._closing)

    async def _prepare(self, connection: Connection) -> None:
        self._tell_uncompared(await settle(self._topology, connection, self._settings))

    def _tell_uncompared(self, found: list[Uncompared]) -> None:
        """Once, and not with every connection: it neither harms nor changes by itself."""
        if found and found != self._uncompared:
            told = tuple(str(uncompared) for uncompared in found)
            self._observer.tell(TopologyUncompared(told, found[0].remedy))
        self._uncompared = found

    async def _tend(self, connection: Connection) -> None:
        """Doors try while the broker answers; one that failed by a mistake of ours ends the process.

        Raises:
            BrokerUnavailable: no answer, or the exchange is gone.
        """
        self._settled.set()
        try:
            while True:
                await self._clock.sleep(self._settings.watch_every)
                await connection.ask_for(REQUESTS, seconds=self._settings.operation_timeout)
                for door in self._doors.values():
                    door.check()
        finally:
            self._settled.clear()

    def _take(self, consumption: Consumption, delivery: BrokerDelivery) -> None:
        """In a task of our own: aiormq's are cancelled with their channel, in the middle of whatever they do."""
        task = _start(
            self._handle(consumption, delivery), f"delivery from {consumption.queue}", self._handling
        )
        task.add_done_callback(partial(self._handled, delivery))

    async def _handle(self, consumption: Consumption, delivery: BrokerDelivery) -> None:
        await consumption.handler(delivery)

    def _handled(self, delivery: BrokerDelivery, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            where, message = f"handler of {delivery.message.queue}", delivery.message
            self._observer.tell(Surprised(where, error, message_id=message.message_id))
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

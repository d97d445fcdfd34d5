"""What the broker's tests share: a watcher of facts, a probe on the broker's side, handlers that keep what they get."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import aiormq
from aiormq.abc import AbstractChannel, ChannelFrame
from aiormq.exceptions import ChannelNotFoundEntity, ConnectionInternalError
from pamqp.commands import Basic, Queue

from tests.rabbitmq.members import Members
from worker.core.broker import Delivery
from worker.core.clock import SystemClock
from worker.core.errors import PublishUnconfirmed
from worker.core.observer import BrokerChanged, Fact, QueueChanged, QueueState, Surprised
from worker.local.rabbitmq_node import RabbitmqNode
from worker.rabbitmq.connection import ConnectionSettings
from worker.rabbitmq.consumer import Consumer
from worker.rabbitmq.publisher import RabbitPublisher
from worker.rabbitmq.subscription import Subscription
from worker.rabbitmq.topology import DEAD_LETTERS, Topology, request_key, request_queue

PROVIDER = "phone_com"
QUEUE = request_queue(PROVIDER)
KEY = request_key(PROVIDER)
RESULT = f"result.{PROVIDER}.provisioned"
TOPOLOGY = Topology(providers=(PROVIDER, "gateway360"))
BODY = json.dumps(
    {"source": "urn:test", "correlationid": "c-1", "time": "2026-03-01T12:00:00+00:00"}
).encode()
Result = TypeVar("Result")
WAIT = 40.0
"""Seconds after which something that should have happened did not."""


class Watcher:
    """An observer that can be waited on."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self._news = asyncio.Event()

    def tell(self, fact: Fact) -> None:
        """Keep it, and wake whoever waits."""
        self.facts.append(fact)
        self._news.set()

    @property
    def changes(self) -> list[BrokerChanged]:
        """Connections that came and went."""
        return [fact for fact in self.facts if isinstance(fact, BrokerChanged)]

    @property
    def surprises(self) -> list[Surprised]:
        """What should not have happened."""
        return [fact for fact in self.facts if isinstance(fact, Surprised)]

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until a fact makes something true."""
        async with asyncio.timeout(WAIT):
            while not true():
                self._news.clear()
                await self._news.wait()

    @property
    def losses(self) -> list[BrokerChanged | QueueChanged]:
        """Connections that were lost, and queues that were not served."""
        return [*self.connection_losses, *self.queue_losses]

    @property
    def connection_losses(self) -> list[BrokerChanged]:
        """Shared connections that were lost: the publisher's, and the one that shows whether the broker is there."""
        return [fact for fact in self.changes if not fact.up]

    @property
    def queue_losses(self) -> list[QueueChanged]:
        """Each time that an open queue was told not to be served.

        RabbitMQ counts neither messages nor consumers of a queue that did not answer it within a quarter of a second,
        which on a busy machine says nothing about the queue: such a time does not count.
        """
        told = [fact for fact in self.facts if isinstance(fact, QueueChanged)]
        lost = [fact for fact in told if fact.state is QueueState.NOT_SERVED]
        return [fact for fact in lost if "0 messages wait, 0 consumers known" not in fact.detail]

    def queue_changes(self, queue: str) -> list[tuple[str, str]]:
        """States that a queue went through, each with its reason."""
        told = [fact for fact in self.facts if isinstance(fact, QueueChanged) and fact.queue == queue]
        return [(fact.state.value, fact.detail) for fact in told]

    async def until_state(self, queue: str, state: str) -> str:
        """Wait until a queue is in a state; its reason."""
        await self.until(lambda: [one for one, _ in self.queue_changes(queue)[-1:]] == [state])
        return self.queue_changes(queue)[-1][1]

    async def next_change(self, connection: str, *, up: bool) -> BrokerChanged:
        """Wait for the next change of a connection to up or down."""
        known = len(self.facts)

        def new() -> list[BrokerChanged]:
            later = [fact for fact in self.facts[known:] if isinstance(fact, BrokerChanged)]
            return [fact for fact in later if fact.connection == connection and fact.up is up]

        await self.until(new)
        return new()[0]


class Inbox:
    """A handler that keeps every delivery and leaves the verb to the test."""

    def __init__(self) -> None:
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self.seen = 0

    async def __call__(self, delivery: Delivery) -> None:
        """Take one."""
        self.seen += 1
        self._deliveries.put_nowait(delivery)

    async def next(self) -> Delivery:
        """The next delivery that came or comes."""
        async with asyncio.timeout(WAIT):
            return await self._deliveries.get()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._deliveries.empty()


class Probe:
    """The broker seen from outside the code under test, on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """A channel with confirms."""
        async with asyncio.timeout(WAIT):
            connection = await aiormq.connect(self._url)
        try:
            yield await connection.channel()
        finally:
            await connection.close()

    async def publish(
        self, body: bytes, key: str, exchange: str = "provisioning.requests", **properties: Any
    ) -> None:
        """Publish one message as an upstream system would: again, where the broker fails before it confirms."""
        chosen = Basic.Properties(delivery_mode=2, **properties)
        await self._done(
            lambda channel: channel.basic_publish(body, exchange=exchange, routing_key=key, properties=chosen)
        )

    async def publish_raw(self, properties: bytes, key: bytes = KEY.encode(), body: bytes = b"{}") -> None:
        """Publish with properties and routing key no proper client library would send."""
        async with self.channel() as channel:
            frames = [
                (
                    1,
                    struct.pack(">HHH", 60, 40, 0) + _short(b"provisioning.requests") + _short(key) + b"\x00",
                ),
                (2, struct.pack(">HHQ", 60, 0, len(body)) + properties),
                (3, body),
            ]
            payload = b"".join(
                struct.pack(">BHI", kind, channel.number, len(frame)) + frame + b"\xce"
                for kind, frame in frames
            )
            await channel.connection.write_queue.put(ChannelFrame(payload=payload, should_close=False))
            await channel.basic_qos(prefetch_count=1)  # answered in order, so the publish was taken

    async def declared(self, queue: str) -> Queue.DeclareOk:
        """Counters of a queue."""
        async with self.channel() as channel:
            return await channel.queue_declare(queue, passive=True)

    async def ready(self, queue: str) -> int:
        """Messages that wait for a consumer."""
        return (await self.declared(queue)).message_count or 0

    async def until_ready(self, queue: str, count: int) -> None:
        """Wait until so many messages wait in a queue."""

        async def so_many() -> bool:
            return await self.ready(queue) == count

        await eventually(so_many)

    async def delete(self, queue: str) -> None:
        """Delete a queue under everybody's feet."""
        async with self.channel() as channel:
            await channel.queue_delete(queue)

    async def declare(self, queue: str, arguments: dict[str, Any]) -> None:
        """Declare a queue as somebody else would."""
        await self._done(lambda channel: channel.queue_declare(queue, durable=True, arguments=arguments))

    async def _done(self, work: Callable[[AbstractChannel], Awaitable[object]]) -> None:
        """Do it; once more, where RabbitMQ 3.10 fails (541) at the first publish to a queue that was just declared, or
        at the declaration of one whose namesake still ends.
        """
        try:
            async with self.channel() as channel:
                await work(channel)
        except ConnectionInternalError:
            async with self.channel() as channel:
                await work(channel)


@dataclass(frozen=True)
class Rig:
    """One virtual host of the node, and everything to talk to it."""

    node: RabbitmqNode
    vhost: str
    watcher: Watcher
    probe: Probe
    settings: ConnectionSettings

    @classmethod
    def on(cls, node: RabbitmqNode, url: str) -> Self:
        """A rig on the virtual host of this address; it looks and tries again often, and waits long for an answer, so
        that a busy machine is not taken for a broker that is silent.
        """
        settings = ConnectionSettings(url, heartbeat=30, longest_pause=0.5, watch_every=0.3)
        return cls(node, url.rpartition("/")[2], Watcher(), Probe(url), settings)

    def hurried(self, seconds: float = 2.0) -> Self:
        """The same for tests in which the broker is silent."""
        quick = replace(self.settings, connect_timeout=seconds, operation_timeout=seconds)
        return replace(self, settings=quick)

    def consumer(self, topology: Topology = TOPOLOGY, settings: ConnectionSettings | None = None) -> Consumer:
        """A consumer on this virtual host."""
        return Consumer(settings or self.settings, topology, observer=self.watcher, clock=SystemClock())

    def publisher(
        self, topology: Topology = TOPOLOGY, settings: ConnectionSettings | None = None
    ) -> RabbitPublisher:
        """A publisher on this virtual host."""
        return RabbitPublisher(
            settings or self.settings, topology, observer=self.watcher, clock=SystemClock()
        )

    @asynccontextmanager
    async def running(self, *edges: Consumer | RabbitPublisher) -> AsyncIterator[None]:
        """Run them, wait until all are connected, and end them with the block."""
        tasks = [asyncio.create_task(edge.run()) for edge in edges]
        try:
            await self.watcher.until(
                lambda: all(edge.connected for edge in edges) or any(t.done() for t in tasks)
            )
            yield
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends

    async def sooner_or_later(self, publisher: RabbitPublisher, event_id: str = "e") -> None:
        """Publish a result as upkeep does it: again, where the connection is lost or the broker slow on its feet."""
        async with asyncio.timeout(WAIT):
            while True:
                await self.watcher.until(lambda: publisher.connected)
                with suppress(PublishUnconfirmed):
                    return await publisher.publish(
                        BODY, event_id=event_id, event_type="t", routing_key=RESULT
                    )
                await asyncio.sleep(0.05)

    async def ctl(self, *arguments: str) -> str:
        """What rabbitmqctl says."""
        return await asyncio.to_thread(self.node.rabbitmqctl, *arguments)

    async def close_connections(self) -> None:
        """Close every connection of this virtual host from the broker's side."""
        await self.ctl("close_all_connections", "--vhost", self.vhost, "the test wants it")

    @property
    def members(self) -> Members:
        """The processes behind this virtual host's queues."""
        return Members(self.node, self.vhost)

    async def until_consuming(self, consumer: Consumer) -> None:
        """Wait until every queue that is open is consumed."""

        async def consuming() -> bool:
            with suppress(ChannelNotFoundEntity):  # not declared yet
                await self.probe.ready(DEAD_LETTERS)  # some way to the broker and back
            return consumer.consuming

        await eventually(consuming)

    async def consumed(self) -> set[str]:
        """Queues that have a consumer, as the broker counts."""
        found = set()
        for queue in TOPOLOGY.queues:
            with suppress(ChannelNotFoundEntity):
                if (await self.probe.declared(queue.name)).consumer_count:
                    found.add(queue.name)
        return found

    async def until_consumed(self, *queues: str) -> None:
        """Wait until these queues have a consumer and no other has, as the broker counts.

        A busy broker counts none for a moment, where the process behind the queue has not answered it in time.
        """

        async def so() -> bool:
            return await self.consumed() == set(queues)

        await eventually(so)

    async def consumers(self) -> list[dict[str, Any]]:
        """The broker's own list of consumers."""
        columns = ("queue_name", "prefetch_count", "ack_required")
        listed = await self.ctl("list_consumers", "--vhost", self.vhost, *columns, "--formatter", "json")
        return list(json.loads(listed))


def channel_of(consumer: Consumer, queue: str) -> AbstractChannel:
    """The channel on which a queue is consumed."""
    return subscription_of(consumer, queue)._channel


def subscription_of(consumer: Consumer, queue: str) -> Subscription:
    """The consumer of a queue."""
    subscription = consumer._doors[queue]._subscription
    assert subscription is not None
    return subscription


async def soon(true: Callable[[], object]) -> None:
    """Look at each turn of the loop until it is true."""
    async with asyncio.timeout(WAIT):
        while not true():
            await asyncio.to_thread(lambda: None)


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is true, now and then, so that the broker finds time for something else than questions."""
    async with asyncio.timeout(WAIT):
        while not await true():
            await asyncio.sleep(0.05)


async def within(work: Awaitable[Result], seconds: float = WAIT) -> Result:
    """The result, or a failure when it takes longer than anybody should wait."""
    async with asyncio.timeout(seconds):
        return await work


def properties(**raw: bytes) -> bytes:
    """Flags and property list, byte by byte; a name stands for its flag."""
    flags = sum(1 << _FLAGS[name] for name in raw)
    return struct.pack(">H", flags) + b"".join(raw[name] for name in _FLAGS if name in raw)


def text(value: bytes) -> bytes:
    """A short string."""
    return _short(value)


def table(*entries: tuple[bytes, bytes]) -> bytes:
    """Headers: name, and value with its type letter."""
    listed = b"".join(_short(name) + value for name, value in entries)
    return struct.pack(">I", len(listed)) + listed


def long_text(value: bytes) -> bytes:
    """A header's value of type long string."""
    return b"S" + struct.pack(">I", len(value)) + value


def moment(seconds: int) -> bytes:
    """A timestamp, without a type letter."""
    return struct.pack(">Q", seconds)


def values(letter: bytes, raw: bytes) -> bytes:
    """A header's value: a list (A) or a table (F) of what lies in `raw`."""
    return letter + struct.pack(">I", len(raw)) + raw


def nested(depth: int) -> bytes:
    """A header's value: a list in a list in a list ..."""
    value = b"V"
    for _ in range(depth):
        value = values(b"A", value)
    return value


def _short(value: bytes) -> bytes:
    return bytes([len(value)]) + value


_FLAGS = {
    "content_type": 15,
    "content_encoding": 14,
    "headers": 13,
    "delivery_mode": 12,
    "priority": 11,
    "correlation_id": 10,
    "reply_to": 9,
    "expiration": 8,
    "message_id": 7,
    "timestamp": 6,
    "message_type": 5,
    "user_id": 4,
    "app_id": 3,
    "cluster_id": 2,
}

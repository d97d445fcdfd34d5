"""The other side: lays out requests in a queue and counts the results that come back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from tests.bench.peers.work import CONTENT_TYPE, new_request
from worker.rabbitmq.topology import AUDIT, REQUESTS, RESULTS, request_key, request_queue

_AT_ONCE = 200  # publishes that wait for their confirmation side by side

_COMES_BACK = 1.0  # seconds in which RabbitMQ takes back what a dead worker had not acknowledged

Noticed = Callable[[AbstractIncomingMessage, float], None]


class Upstream:
    """Publishes requests; knows how many results came and when the last one did.

    Attributes:
        came: Results since `begin`.
        noticed: Is told each result with its monotonic time, where somebody wants to know.
    """

    def __init__(self, channel: AbstractChannel, requests: AbstractExchange, broker_version: str) -> None:
        self._channel = channel
        self._requests = requests
        self._wanted = 0
        self._stirred = asyncio.Event()
        self._other: str | None = None
        self._last = 0.0
        self.broker_version = broker_version
        self.came = 0
        self.noticed: Noticed | None = None

    async def publish(self, provider: str, count: int) -> None:
        """Publish that many requests, each one confirmed."""
        for begin in range(0, count, _AT_ONCE):
            batch = range(begin, min(begin + _AT_ONCE, count))
            await asyncio.gather(*(self.publish_one(provider) for _ in batch))

    async def publish_one(self, provider: str, key: str | None = None) -> None:
        """Publish one request and wait for its confirmation."""
        message = aio_pika.Message(
            new_request(provider, key),
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self._requests.publish(message, request_key(provider), mandatory=True)

    def begin(self) -> None:
        """Count results from now on."""
        self.came = 0
        self._other = None

    async def reached(self, count: int, seconds: float) -> float:
        """Wait until that many results came since `begin`; the monotonic time of the last one.

        Raises:
            TimeoutError: fewer came in time.
            RuntimeError: a request ended otherwise than with an account.
        """
        self._wanted = count
        try:
            async with asyncio.timeout(seconds):
                while self.came < count and self._other is None:
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.came} of {count} results came within {seconds:.0f} s") from None
        if self._other is not None:
            raise RuntimeError(f"a request of the bench ended otherwise than with an account: {self._other}")
        return self._last

    async def forget(self) -> None:
        """Empty the queue that keeps a copy of every result."""
        queue = await self._channel.get_queue(AUDIT, ensure=False)
        await queue.purge()

    async def drop(self, provider: str) -> None:
        """Empty a queue of requests whose worker has just ended."""
        await asyncio.sleep(_COMES_BACK)
        queue = await self._channel.get_queue(request_queue(provider), ensure=False)
        await queue.purge()

    async def receive(self, message: AbstractIncomingMessage) -> None:
        """Count one result."""
        self.came += 1
        self._last = time.monotonic()
        if self.noticed is not None:
            self.noticed(message, self._last)
        if not (message.routing_key or "").endswith(".provisioned"):
            self._other = message.routing_key
        if self.came >= self._wanted or self._other is not None:
            self._stirred.set()


@asynccontextmanager
async def upstream(broker_url: str) -> AsyncIterator[Upstream]:
    """Connect for as long as the block runs. The topology must exist."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.get_exchange(REQUESTS, ensure=False)
        found = Upstream(channel, exchange, _version(connection))
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(RESULTS, "result.#")
        await queue.consume(found.receive, no_ack=True)
        yield found


def _version(connection: aio_pika.abc.AbstractConnection) -> str:
    transport = connection.transport
    told = transport.connection.server_properties if transport is not None else {}
    version = told.get("version", "")
    return version.decode() if isinstance(version, bytes) else str(version)

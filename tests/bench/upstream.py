"""The other side: lays out requests in a queue and counts the results that come back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from worker.demo.cast import postcode_eu
from worker.rabbitmq.topology import AUDIT, REQUESTS, RESULTS, request_key

_AT_ONCE = 200  # publishes that wait for their confirmation side by side


class Upstream:
    """Publishes requests; knows how many results came and when the last one did."""

    def __init__(self, channel: AbstractChannel, requests: AbstractExchange) -> None:
        self._channel = channel
        self._requests = requests
        self._wanted = 0
        self._stirred = asyncio.Event()
        self._other: str | None = None
        self._last = 0.0
        self.came = 0
        """Results since `begin`."""

    async def publish(self, provider: str, count: int) -> None:
        """Publish that many requests, each one confirmed."""
        for begin in range(0, count, _AT_ONCE):
            batch = range(begin, min(begin + _AT_ONCE, count))
            await asyncio.gather(*(self._publish(provider) for _ in batch))

    def begin(self) -> None:
        """Count results from now on."""
        self.came = 0

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

    async def receive(self, message: AbstractIncomingMessage) -> None:
        """Count one result."""
        self.came += 1
        self._last = time.monotonic()
        if not (message.routing_key or "").endswith(".provisioned"):
            self._other = message.routing_key
        if self.came >= self._wanted or self._other is not None:
            self._stirred.set()

    async def _publish(self, provider: str) -> None:
        key = uuid4().hex
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "urn:bench",
            "type": "account.requested.v1",
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "data": {
                "idempotency_key": key,
                "provider": provider,
                "parameters": postcode_eu(f"Company {key}"),
            },
        }
        message = aio_pika.Message(
            json.dumps(event).encode(),
            content_type="application/cloudevents+json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=key,
        )
        await self._requests.publish(message, request_key(provider), mandatory=True)


@asynccontextmanager
async def upstream(broker_url: str) -> AsyncIterator[Upstream]:
    """Connect for as long as the block runs. The topology must exist."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        found = Upstream(channel, await channel.get_exchange(REQUESTS, ensure=False))
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(RESULTS, "result.#")
        await queue.consume(found.receive, no_ack=True)
        yield found

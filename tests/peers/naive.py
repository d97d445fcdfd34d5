"""The control: what a good programmer writes in an afternoon, straight on aio-pika and aiohttp.

Nothing is made worse than usual. It reconnects by itself, limits its prefetch, waits for publisher confirms, tries
again with growing pauses, never retries a refusal, acknowledges only when the result is out, and gives back what
failed. It has no memory beyond the queue, and that is the whole difference.

Started with `python -m tests.peers.naive` and the worker's own environment. With `--ack-first` it acknowledges before
it asks the provider, as people do who have found the surplus accounts; then it loses requests instead.
"""

import asyncio
import logging
import os
import random
import signal
import sys
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from tests.peers.aiohttp_client import WORTH_ANOTHER_TRY, AiohttpClient
from tests.peers.creates import ProviderRefused
from tests.peers.settings import Settings, read_settings
from tests.peers.wire import (
    CONTENT_TYPE,
    RESULTS,
    Request,
    provisioned,
    read_request,
    rejected,
    request_queue,
)

_ATTEMPTS = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Naive:
    """One request after the other, as many at once as the prefetch allows."""

    client: AiohttpClient
    results: AbstractExchange
    retry_base: float
    room: asyncio.Semaphore

    async def work_first(self, message: AbstractIncomingMessage) -> None:
        """Acknowledge after the work.

        `process` is aio-pika's own context manager: it acknowledges at the end of the block, and with `requeue` gives
        the message back to the queue when the block raises.
        """
        async with message.process(requeue=True):
            await self._work(message.body)

    async def ack_first(self, message: AbstractIncomingMessage) -> None:
        """Acknowledge before the work, yet only when there is room: what is acknowledged counts for no prefetch."""
        async with self.room:
            await message.ack()
            await self._work(message.body)

    async def _work(self, body: bytes) -> None:
        request = read_request(body)
        try:
            result = provisioned(request, await self._create(request))
        except ProviderRefused as refused:
            result = rejected(request, str(refused))
        outgoing = aio_pika.Message(
            result.body,
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=request.id,
        )
        await self.results.publish(outgoing, result.routing_key)

    async def _create(self, request: Request) -> str:
        """The create with retries: exponential pauses with jitter, as every guide on retries has them."""
        for attempt in range(_ATTEMPTS - 1):
            try:
                return await self.client.create(request)
            except WORTH_ANOTHER_TRY as error:
                _log.warning("%s: attempt %d failed: %r", request.key, attempt + 1, error)
                await asyncio.sleep(self.retry_base * 2**attempt * random.uniform(0.5, 1.5))
        return await self.client.create(request)


async def main(settings: Settings, *, ack_first: bool) -> None:
    """Run until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    connection = await aio_pika.connect_robust(settings.broker_url)
    async with connection, AiohttpClient(settings) as client:
        publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        results = await publishing.get_exchange(RESULTS)
        consuming = await connection.channel()
        worker = Naive(client, results, settings.retry_base, asyncio.Semaphore(settings.at_once))
        handle = worker.ack_first if ack_first else worker.work_first
        for name, provider in settings.providers.items():
            # Without `global` the prefetch counts for each consumer that follows: one for each queue.
            await consuming.set_qos(prefetch_count=provider.at_once)
            queue = await consuming.get_queue(request_queue(name))
            await queue.consume(handle)
        await stopping.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(read_settings(os.environ), ack_first="--ack-first" in sys.argv))

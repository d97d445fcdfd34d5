"""The same work on FastStream 0.7, written as its documentation teaches. Needs the dependency group `peers`.

What the documents say, and what is done here:

- *Acknowledgement*: the message is acknowledged when the function has returned. For at-least-once delivery there is the
  policy `NACK_ON_ERROR` ("Nack message on unhandled exceptions"); the default, `REJECT_ON_ERROR`, would make a dead
  letter of every time-out.
- *Retries*: `subscriber` has no argument for them any more; to give back is the retry, and the broker delivers at once.
- *Prefetch*: `Channel(prefetch_count=...)`, "limit the number of unacknowledged messages on a channel"; left out, one
  process is handed the whole queue.
- *Existing queues*: `declare=False`.
- *Publishing*: confirms are on by default; `on_return_raises` is off by default and switched on here.

Started with `python -m tests.peers.faststream_worker` and the worker's own environment.
"""

import asyncio
import os

from faststream import FastStream
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitExchange, RabbitQueue

from tests.peers.aiohttp_client import AiohttpClient
from tests.peers.creates import ProviderRefused
from tests.peers.settings import Settings, read_settings
from tests.peers.wire import CONTENT_TYPE, RESULTS, provisioned, read_request, rejected, request_queue


async def main(settings: Settings) -> None:
    """Run until SIGTERM, which FastStream handles itself."""
    async with AiohttpClient(settings) as client:
        broker = RabbitBroker(settings.broker_url, default_channel=Channel(on_return_raises=True))
        _subscribe(broker, client, settings)
        await FastStream(broker).run()


def _subscribe(broker: RabbitBroker, client: AiohttpClient, settings: Settings) -> None:
    results = RabbitExchange(RESULTS, declare=False)

    async def handle(body: bytes) -> None:
        request = read_request(body)
        try:
            result = provisioned(request, await client.create(request))
        except ProviderRefused as refused:
            result = rejected(request, str(refused))
        await broker.publish(
            result.body,
            exchange=results,
            routing_key=result.routing_key,
            content_type=CONTENT_TYPE,
            persist=True,
        )

    for name, provider in settings.providers.items():
        broker.subscriber(
            RabbitQueue(request_queue(name), declare=False),
            channel=Channel(prefetch_count=provider.at_once),
            ack_policy=AckPolicy.NACK_ON_ERROR,
        )(handle)


if __name__ == "__main__":
    asyncio.run(main(read_settings(os.environ)))

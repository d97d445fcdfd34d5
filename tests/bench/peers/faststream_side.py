"""FastStream, started as its documentation teaches: `faststream run tests.bench.peers.faststream_side:app`.

What the documents say, and what is done here:

- *Acknowledgement*: after the function has returned; `NACK_ON_ERROR` gives back what failed.
- *Prefetch*: `Channel(prefetch_count=...)`, "limit the number of unacknowledged messages on a channel".
- *Existing queues*: `declare=False`. The queue is a quorum queue with the arguments of the worker's own.
- *Publishing*: confirms are on by default; persistent on request.
- Its command runs on uvloop where that is installed.
"""

import asyncio
import json

import aiohttp
from faststream import FastStream
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitExchange, RabbitQueue

from tests.bench.peers.work import (
    CONTENT_TYPE,
    RESULTS,
    body_of,
    loop_name,
    result_of,
    say_ready,
    surroundings,
)

_where = surroundings()
_results = RabbitExchange(RESULTS, declare=False)
_sessions: list[aiohttp.ClientSession] = []  # one, once there is a loop

broker = RabbitBroker(_where.broker_url)
app = FastStream(broker)


@app.on_startup
async def open_session() -> None:
    """One pool of kept-alive connections."""
    pool = aiohttp.TCPConnector(limit=_where.in_flight)
    _sessions.append(aiohttp.ClientSession(headers=_where.headers, connector=pool))


@app.after_startup
async def ready() -> None:
    """The subscriber is there."""
    say_ready(loop_name(asyncio.get_running_loop()))


@app.after_shutdown
async def close_session() -> None:
    """Close what was opened."""
    await _sessions.pop().close()


@broker.subscriber(
    RabbitQueue(_where.queue, declare=False),
    channel=Channel(prefetch_count=_where.in_flight),
    ack_policy=AckPolicy.NACK_ON_ERROR,
)
async def handle(body: bytes) -> None:
    """From the delivery to the result."""
    request = json.loads(body)
    async with _sessions[0].post(_where.url, json=body_of(request)) as answer:
        answer.raise_for_status()
        account = await answer.json()
    result = result_of(request, account, "faststream")
    await broker.publish(
        result.body,
        exchange=_results,
        routing_key=result.routing_key,
        content_type=CONTENT_TYPE,
        message_id=result.message_id,
        correlation_id=result.correlation_id,
        timestamp=result.at,
        persist=True,
    )

"""The yardstick: the loop that any team would write straight on aio-pika and aiohttp.

It takes a request, calls the provider, publishes the result with a confirmation and acknowledges. No ledger, no
validation, no encryption, no logs, one pool of kept-alive connections: it loses and duplicates accounts, and is fast.
It runs on uvloop, as the worker does.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

import aio_pika
import aiohttp
import uvloop
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from tests.bench.peers.outgoing import outgoing
from tests.bench.peers.work import (
    RESULTS,
    body_of,
    loop_name,
    result_of,
    say_ready,
    surroundings,
)


@dataclass(frozen=True, slots=True)
class Loop:
    """One request after the other, as many at once as the prefetch allows."""

    session: aiohttp.ClientSession
    url: str
    results: AbstractExchange

    async def handle(self, message: AbstractIncomingMessage) -> None:
        """From the delivery to the acknowledgement."""
        async with message.process(requeue=True):
            request = json.loads(message.body)
            async with self.session.post(self.url, json=body_of(request)) as answer:
                answer.raise_for_status()
                account = await answer.json()
            result = result_of(request, account, "bare")
            await self.results.publish(outgoing(result), result.routing_key)


Make = Callable[[aiohttp.ClientSession, str, AbstractExchange], Loop]


async def work(make: Make, *, keeps_connections: bool = True) -> None:
    """Run a loop until killed. Where everything is stands in the environment.

    Args:
        make: Makes the loop.
        keeps_connections: Whether a connection to the provider serves many requests.
    """
    where = surroundings()
    connection = await aio_pika.connect(where.broker_url)
    # aiohttp would open no more than a hundred connections by itself.
    pool = aiohttp.TCPConnector(limit=where.in_flight, force_close=not keeps_connections)
    async with connection, aiohttp.ClientSession(headers=where.headers, connector=pool) as session:
        publishing = await connection.channel(publisher_confirms=True)
        consuming = await connection.channel()
        await consuming.set_qos(prefetch_count=where.in_flight)
        results = await publishing.get_exchange(RESULTS)
        queue = await consuming.get_queue(where.queue)
        await queue.consume(make(session, where.url, results).handle)
        say_ready(loop_name(asyncio.get_running_loop()))
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(Loop))

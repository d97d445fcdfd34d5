"""Taskiq on aio-pika, started as its documentation teaches: `taskiq worker tests.bench.peers.taskiq_side:broker`.

What the documents say, and what is done here:

- *Queue*: `Queue(type=QueueType.QUORUM)`, which is the default since 0.6.
- *Prefetch*: `qos`, "number of messages that worker can prefetch"; the worker runs `--max-async-tasks` at once.
- *Acknowledgement*: `--ack-type when_executed`, after the function has ended.
- Its command runs on uvloop where that is installed, in a child of the process that watches over it.
- It reads only its own messages: `python -m tests.bench.peers.taskiq_side feed COUNT` lays them out, with confirms.
"""

import asyncio
import json
import sys

import aio_pika
import aiohttp
from aio_pika.abc import AbstractExchange
from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType

from tests.bench.peers.outgoing import outgoing
from tests.bench.peers.work import (
    RESULTS,
    body_of,
    loop_name,
    new_request,
    result_of,
    say_ready,
    surroundings,
)

_AT_ONCE = 200  # publishes that wait for their confirmation side by side

_where = surroundings()

broker = AioPikaBroker(
    _where.broker_url,
    qos=_where.in_flight,
    exchange=Exchange(name=_where.queue),
    task_queues=[Queue(name=_where.queue, type=QueueType.QUORUM)],
    dead_letter_queue=Queue(name=f"{_where.queue}.dead", type=QueueType.QUORUM),
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_session(state: TaskiqState) -> None:
    """One pool of kept-alive connections, and a channel for the results."""
    pool = aiohttp.TCPConnector(limit=_where.in_flight)
    state.session = aiohttp.ClientSession(headers=_where.headers, connector=pool)
    state.connection = await aio_pika.connect_robust(_where.broker_url)
    channel = await state.connection.channel(publisher_confirms=True)
    state.results = await channel.get_exchange(RESULTS)
    say_ready(loop_name(asyncio.get_running_loop()))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_session(state: TaskiqState) -> None:
    """Close what was opened."""
    await state.session.close()
    await state.connection.close()


@broker.task(task_name="provision")
async def provision(body: str, context: Context = TaskiqDepends()) -> None:  # noqa: B008 - as it is done
    """From the delivery to the result."""
    request = json.loads(body)
    session: aiohttp.ClientSession = context.state.session
    async with session.post(_where.url, json=body_of(request)) as answer:
        answer.raise_for_status()
        account = await answer.json()
    result = result_of(request, account, "taskiq")
    results: AbstractExchange = context.state.results
    await results.publish(outgoing(result), result.routing_key)


async def feed(count: int) -> None:
    """Lay out that many tasks, each one confirmed."""
    await broker.startup()
    for begin in range(0, count, _AT_ONCE):
        batch = range(begin, min(begin + _AT_ONCE, count))
        await asyncio.gather(*(provision.kiq(new_request("taskiq").decode()) for _ in batch))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(feed(int(sys.argv[2])))

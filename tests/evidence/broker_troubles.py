"""What RabbitMQ does to a worker: it dies, freezes, runs short of memory, loses queues and bindings, loses patience.

Each disturbance is a function that ends in a `RunResult`. The tests run them short; all of them at length:

    python -m tests.evidence.broker_troubles --restarts 50
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel

from tests.evidence.broker_side import Place, wanted
from tests.evidence.broker_weather import spells, weather
from tests.evidence.result import RunResult, to_its_end
from tests.evidence.troubled_house import BACK_WITHIN, TroubledHouse
from tests.evidence.watching import PATIENCE, is_ready, page, shows, until
from worker.local.rabbitmq_node import RabbitmqNode
from worker.rabbitmq.topology import AUDIT, DEAD_LETTERS, RESULTS, Topology, request_queue
from worker.sandbox import Fault, Rule

_PROVIDER = "phone_com"
_LOST = "canary_speech"
_USUAL: Mapping[str, str] = {}
_QUEUE = request_queue(_PROVIDER)
_NONE_RETURNED = 'provisioner_events_published_total{result="unconfirmed",type="account.provisioned.v1"} 0.0'


async def killed(place: Place, *, restarts: int, away: float = 0.0) -> RunResult:
    """The node dies by SIGKILL while requests flow, stays away so many seconds and comes back; again and again."""
    async with place.house() as house:
        for _ in range(restarts):
            async with house.requests_flow():
                await asyncio.to_thread(place.node.kill)
                house.faults["broker killed"] += 1
                await house.shown("killed")
                await asyncio.sleep(away)
                await asyncio.to_thread(place.node.start)
                await house.back("killed")
            await _all_stands(place, house)
        return await house.result(f"broker killed {restarts} times, away for {away:g} s")


async def frozen(place: Place, *, seconds: float, settings: Mapping[str, str] = _USUAL) -> RunResult:
    """The node stands still while requests flow, for longer than heartbeats allow, and moves on."""
    async with place.house(settings=settings) as house:
        async with house.requests_flow():
            place.node.pause()
            house.faults["broker frozen"] += 1
            thaw_at = time.monotonic() + seconds
            try:
                await house.shown("frozen")
                await asyncio.sleep(thaw_at - time.monotonic())
            finally:
                place.node.resume()
            await house.back("frozen")
        await _all_stands(place, house)
        return await house.result(f"broker frozen for {seconds:g} s")


async def short_of_memory(place: Place, *, requests: int, settings: Mapping[str, str] = _USUAL) -> RunResult:
    """An alarm blocks publishers: accounts are opened and deliveries acknowledged all the same, results come later."""
    async with place.house(settings=settings) as house:
        async with _provider_waits(house, "alarm"):
            keys = [await house.ask() for _ in range(requests)]
            await place.ctl("set_vm_memory_high_watermark", "0")
            house.faults["memory alarm"] += 1
        try:
            await until(lambda: shows(house.worker, f"provisioner_results_unpublished {requests}.0"))
            assert await place.side(house).unacknowledged() == 0
            assert not any(house.upstream.outcome(key) for key in keys)
        finally:
            await place.ctl("set_vm_memory_high_watermark", "0.4")
        over = time.monotonic()
        await house.told(*keys)
        house.note("memory alarm: seconds until every result came", over)
        return await house.result(f"memory alarm over {requests} requests")


async def queues_deleted(place: Place, *, declared_again: bool = False, at_once: bool = False) -> RunResult:
    """A request queue and the dead-letter queue are deleted under their consumers.

    Args:
        place: Where.
        declared_again: Somebody else declares the request queue in the same moment, whereupon RabbitMQ 3.10 may keep a
            consumer to which it never hands anything.
        at_once: A request is refused while the dead-letter queue may still be missing. RabbitMQ keeps it and tries
            again after some minutes.
    """
    async with place.house() as house:
        await house.told(await house.ask(_PROVIDER))
        async with _channel(house) as channel:
            await _delete(channel, _QUEUE, house, declared_again=declared_again)
            since = time.monotonic()
            await house.told(await house.ask(_PROVIDER))
            house.note("request queue deleted: seconds until a request went through", since)
            await _delete(channel, DEAD_LETTERS, house)
        if not at_once:
            await _all_stands(place, house, PATIENCE if declared_again else BACK_WITHIN)
        since = time.monotonic()
        await house.upstream.ask("order-refused", _PROVIDER, {"username": "order-refused"})
        await house.told("order-refused", outcome="rejected", seconds=300 if at_once else PATIENCE)
        house.note("dead-letter queue deleted: seconds until a refusal was told", since)
        await _all_stands(place, house)
        return await house.result("queues deleted under their consumers")


async def queue_lost(place: Place, *, patience: float) -> RunResult:
    """The broker cannot serve one request queue any more, as when a quorum queue has lost its leader for good.

    The others must go on, and the worker must say which queue it is and why; when it is served again, so is the worker.
    """
    lost = request_queue(_LOST)
    async with place.house() as house:
        await house.told(await house.ask(_LOST), await house.ask(_PROVIDER))
        async with place.side(house).members.stopped(lost):
            house.faults["queue without a leader"] += 1
            await place.side(house).close_connections()
            since = time.monotonic()
            await house.told(await house.ask(_PROVIDER), seconds=patience)
            house.note("queue without a leader: seconds until another was served", since)
            await until(lambda: shows(house.worker, f'provisioner_queue_not_served{{queue="{lost}"}} 1.0'))
            await until(lambda: _ails(house, f"consuming ({lost}: closed by the broker: 541 INTERNAL_ERROR"))
        since = time.monotonic()
        await house.told(await house.ask(_LOST))
        house.note("queue without a leader: seconds until it was served again", since)
        await until(lambda: is_ready(house.worker))
        return await house.result("a queue without a leader")


async def unroutable(place: Place) -> RunResult:
    """No queue takes results any more: they are returned, kept unpublished and counted; later the same one is told."""
    async with place.house() as house, _channel(house) as channel:
        await house.told(await house.ask(_PROVIDER))
        audit = await channel.get_queue(AUDIT, ensure=False)
        async with _provider_waits(house, "unbound"):
            key = await house.ask(_PROVIDER)
            await audit.unbind(RESULTS, "result.#")
            house.faults["results unbound"] += 1
        await until(lambda: _was_returned(house))
        await until(lambda: shows(house.worker, "provisioner_results_unpublished 1.0"))
        kept = (await house.house.operator(house.worker, "explain", key))["entry"]["event_id"]
        assert house.upstream.outcome(key) is None
        await audit.bind(RESULTS, "result.#")
        since = time.monotonic()
        await house.told(key)
        house.note("results unbound: seconds until the result came", since)
        await until(lambda: shows(house.worker, "provisioner_results_unpublished 0.0"))
        assert [told.event_id for told in house.upstream.told[key]] == [kept]
        return await house.result("results unroutable for a while")


async def impatient(
    place: Place, *, consumer_timeout: float, provider_takes: float, requests: int
) -> RunResult:
    """The node closes channels that hold a delivery for too long, and the provider takes longer than that."""
    async with _patience_of(place, consumer_timeout), place.house(settings=_SLOW_PROVIDER) as house:
        sandbox, held = house.house.sandbox, "held"
        sandbox.faults.add(Rule(fault=Fault.SLOW, until=held))
        keys = [await house.ask(_PROVIDER) for _ in range(requests)]
        under_way = min(requests, 8)
        asked_at = await until(lambda: _asked(house, under_way))
        house.notes["deliveries held while the provider works"] = await place.side(house).unacknowledged()
        sandbox.faults.clear()
        sandbox.faults.add(Rule(fault=Fault.SLOW, seconds=provider_takes))
        await asyncio.sleep(asked_at + provider_takes - time.monotonic())
        sandbox.gate(held).set()
        await house.told(*keys, seconds=60 + 10 * provider_takes)
        return await house.result(
            f"{requests} requests, provider takes {provider_takes:g} s, consumer_timeout {consumer_timeout:g} s"
        )


_SLOW_PROVIDER = {
    "PROVIDERS__PHONE_COM__ANSWER_WITHIN": "60",
    "PROVIDERS__PHONE_COM__LISTEN_FOR": "90",
    "PROVIDERS__PHONE_COM__SETTLE": "150",
}
_USUAL_PATIENCE = (1_800_000, 60_000)  # milliseconds, as RabbitMQ ships


def _set_patience(timeout: int, tick: int) -> str:
    """In milliseconds: how long a channel may hold a delivery, and how often the node looks."""
    set_env = "ok = application:set_env(rabbit, {}, {})"
    settings = {"consumer_timeout": timeout, "channel_tick_interval": tick}
    return ", ".join(set_env.format(name, value) for name, value in settings.items()) + "."


@asynccontextmanager
async def _patience_of(place: Place, seconds: float) -> AsyncIterator[None]:
    """How long a channel opened meanwhile may hold a delivery, and how often the node looks (both usually longer)."""
    await place.ctl("eval", _set_patience(int(seconds * 1000), 1000))
    try:
        yield
    finally:
        await place.ctl("eval", _set_patience(*_USUAL_PATIENCE))


@asynccontextmanager
async def _provider_waits(house: TroubledHouse, gate: str) -> AsyncIterator[None]:
    """No create is answered before the block ends."""
    faults = house.house.sandbox.faults
    faults.add(Rule(fault=Fault.SLOW, until=gate))
    yield
    faults.clear()
    house.house.sandbox.gate(gate).set()


@asynccontextmanager
async def _channel(house: TroubledHouse) -> AsyncIterator[AbstractChannel]:
    """A channel to change the broker's things with."""
    async with await aio_pika.connect(house.broker_url) as connection:
        yield await connection.channel()


async def _delete(
    channel: AbstractChannel, queue: str, house: TroubledHouse, *, declared_again: bool = False
) -> None:
    arguments: Mapping[str, Any] = next(
        one.arguments for one in Topology((_PROVIDER,)).queues if one.name == queue
    )
    await channel.queue_delete(queue)
    if declared_again:
        await channel.declare_queue(queue, durable=True, arguments=dict(arguments))
    house.faults[f"{queue} deleted"] += 1


async def _all_stands(place: Place, house: TroubledHouse, seconds: float = BACK_WITHIN) -> None:
    """Queues, bindings, prefetch and consumers are as they should be, as the broker sees it."""
    expected, side = wanted(house.house.sandbox.provider_names), place.side(house)

    async def stands() -> bool:
        return await side.standing() == expected

    try:
        await until(stands, seconds)
    except TimeoutError:
        assert await side.standing() == expected


async def _ails(house: TroubledHouse, complaint: str) -> bool:
    """Whether the worker's readiness complains of it."""
    return complaint in (await page(house.worker, "readyz"))[1]


async def _was_returned(house: TroubledHouse) -> bool:
    return not await shows(house.worker, _NONE_RETURNED)


async def _asked(house: TroubledHouse, count: int) -> bool:
    return house.house.sandbox.creates(_PROVIDER).attempted >= count


def _runs(place: Place, chosen: argparse.Namespace) -> Iterator[Coroutine[Any, Any, RunResult]]:
    """All of it, at length."""
    yield killed(place, restarts=chosen.restarts)
    for away in (20.0, 60.0, 120.0):
        yield killed(place, restarts=1, away=away)
    yield frozen(place, seconds=40.0)
    yield short_of_memory(place, requests=200)
    yield queues_deleted(place)
    yield queues_deleted(place, declared_again=True)
    for _ in range(5):
        yield queues_deleted(place, at_once=True)
    yield queue_lost(place, patience=60.0)
    yield unroutable(place)
    yield impatient(place, consumer_timeout=20.0, provider_takes=30.0, requests=8)
    yield impatient(place, consumer_timeout=20.0, provider_takes=30.0, requests=30)
    yield weather(place, spells(short=5.0, long=30.0), settings={})


def main() -> int:
    """Run all of it at length, one JSON for each; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--restarts", type=int, default=50)
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the requesters' client library tells every loss of a connection
    with RabbitmqNode() as node, tempfile.TemporaryDirectory(prefix="evidence-") as folder:
        results = [asyncio.run(_told(run)) for run in _runs(Place(node, Path(folder)), chosen)]
    return 0 if all(result.good for result in results) else 1


async def _told(run: Coroutine[Any, Any, RunResult]) -> RunResult:
    """Write down what came of one."""
    result = await to_its_end(run, "broker")
    command = f"python -m tests.evidence.broker_troubles {' '.join(sys.argv[1:])}"
    sys.stdout.write(json.dumps(asdict(replace(result, command=command)), indent=1) + "\n")
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    sys.exit(main())

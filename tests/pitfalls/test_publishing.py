"""Publishing: results that no queue takes, results that a full queue refuses, and answers too large for any event."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.core.world import Place
from tests.pitfalls.works import CLOUD_EVENT, PATIENCE, Works, at_work, until
from tests.providers.bench import PHONE, START, Bench, SetClock, example_of
from tests.rabbitmq.rig import Probe, Rig
from tests.scenarios.conftest import House
from worker.core.observer import Published
from worker.core.provider import Doubt, Found
from worker.core.states import State
from worker.demo.cast import canary_speech
from worker.demo.worker_process import WorkerProcess
from worker.http_client import HttpClient
from worker.rabbitmq.topology import RESULTS, Topology, request_key
from worker.sandbox import Fault, Operation, Rule, Sandbox

pytestmark = pytest.mark.rabbitmq

UNHEARD = Topology(providers=("acme",), audit=False)
SMALLEST_LIMIT = 16 * 1024 * 1024
"""Bytes of a message that RabbitMQ 4 takes by default; one more closes the channel."""


async def test_a_result_that_nobody_takes_is_told_and_delivered_once_somebody_does(house: House) -> None:
    """Pitfall 1: the results' binding is deleted while the create runs; the metric shows it, nothing is lost."""
    worker = await house.worker(BROKER__AUDIT_QUEUE="false", UPKEEP__REPUBLISH_AFTER="0.5")
    probe = Probe(house.broker_url)
    await listen(probe, "team")
    house.sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, until="the binding is gone", times=1))
    await probe.publish(asked("unheard"), request_key("canary_speech"), content_type=CLOUD_EVENT)
    await until(lambda: made(house, 1))
    await unbind(probe, "team")
    house.sandbox.gate("the binding is gone").set()
    await until(lambda: metric(worker, "provisioner_results_unpublished 1.0"))
    shown = await house.operator(worker, "requests", "show", "unheard")
    assert shown["state"] == "provisioned"
    assert await probe.ready("team") == 0

    await listen(probe, "team")
    assert await event_ids(probe, "team", 1) == {shown["event_id"]}
    await until(lambda: metric(worker, "provisioner_results_unpublished 0.0"))
    assert house.sandbox.creates("canary_speech").attempted == 1


async def test_results_refused_by_a_full_queue_wait_in_the_ledger(place: Place, rig: Rig) -> None:
    """Pitfall 10: a consumer's queue is full; no result is dropped, and each arrives once there is room."""
    keys = [f"order-{number}" for number in range(4)]
    async with at_work(place, rig, UNHEARD) as works:
        await listen(rig.probe, "full", {"x-queue-type": "quorum", "x-max-length": 1} | _REFUSING)
        for key in keys:
            await works.ask(key)
            await works.until_state(State.PROVISIONED, key)
        assert await works.world.desk.tasks.wait(PATIENCE)
        refused = place.watch.all(Published, confirmed=False)
        assert refused
        assert all("is it full?" in fact.detail for fact in refused)
        assert works.intake.reading, "intake goes on: what waits is rows, and they have room"
        told = await drained_round_by_round(works, "full", len(keys))
        wanted = {entry.event_id for entry in await works.world.entries()}
    assert told == wanted
    assert len(place.acme.sent) == len(keys)


async def test_a_huge_answer_becomes_a_small_event(house: House) -> None:
    """Pitfall 9: of 50 MB nothing travels on: the account is found by a look-up and told in a few hundred bytes."""
    await house.worker()
    probe = Probe(house.broker_url)
    house.sandbox.faults.add(Rule(fault=Fault.HUGE_BODY, times=1))
    await listen(probe, "team")
    await probe.publish(asked("huge"), request_key("canary_speech"), content_type=CLOUD_EVENT)
    (body,) = await taken(probe, "team", 1)
    told = json.loads(body)["data"]
    assert (told["outcome"], told["evidence"]) == ("provisioned", "look_up")
    assert len(body) < 4096
    assert house.sandbox.creates("canary_speech").attempted == 1


async def test_a_huge_field_of_a_list_is_not_told() -> None:
    """Pitfall 9: a list may be read up to 32 MiB; what is told of an account from it must fit RabbitMQ's limit."""
    clock = SetClock()
    async with Sandbox(now=clock.now) as sandbox, HttpClient() as http:
        bench = Bench(sandbox, http, clock)
        handler = bench.handler(PHONE)
        sent = example_of(PHONE)
        contact = {name: sent["contact"][name] for name in ("name", "primary_email")}
        item = {"id": 7, "username": sent["username"], "contact": contact, "name": "x" * SMALLEST_LIMIT}
        page = json.dumps({"total": 1, "items": [item]})
        named = {"Content-Type": "application/json"}
        bench.break_reads(Fault.STATUS, Operation.LOOK_UP, status=200, body=page, headers=named)
        finding = await handler.look_up(bench.order(handler), Doubt(START, {}))
    assert isinstance(finding, Found)
    told = len(json.dumps(dict(finding.created.account)))
    assert told < SMALLEST_LIMIT / 2


_REFUSING = {"x-overflow": "reject-publish"}


async def listen(probe: Probe, queue: str, arguments: dict[str, Any] | None = None) -> None:
    """A durable queue of some team, bound to all results."""
    async with probe.channel() as channel:
        await channel.queue_declare(queue, durable=True, arguments=arguments or {})
        await channel.queue_bind(queue, RESULTS, "result.#")


async def unbind(probe: Probe, queue: str) -> None:
    """Nobody listens any more."""
    async with probe.channel() as channel:
        await channel.queue_unbind(queue, RESULTS, "result.#")


async def taken(probe: Probe, queue: str, count: int) -> list[bytes]:
    """So many messages of a queue, as soon as they are there."""
    bodies: list[bytes] = []

    async def enough() -> bool:
        bodies.extend(await _waiting(probe, queue))
        return len(bodies) >= count

    await until(enough)
    return bodies


async def event_ids(probe: Probe, queue: str, count: int) -> set[str]:
    """Ids of so many events."""
    return {json.loads(body)["id"] for body in await taken(probe, queue, count)}


async def drained_round_by_round(works: Works, queue: str, wanted: int) -> set[str]:
    """Take what waits, let upkeep publish again, until so many different events came; their ids."""
    told: set[str] = set()
    async with asyncio.timeout(PATIENCE):
        while len(told) < wanted:
            told |= {json.loads(body)["id"] for body in await _waiting(works.rig.probe, queue)}
            await works.go_round(after=11)
    return told


async def _waiting(probe: Probe, queue: str) -> list[bytes]:
    bodies: list[bytes] = []
    async with probe.channel() as channel:
        while (message := await channel.basic_get(queue, no_ack=True)).body:
            bodies.append(message.body)
    return bodies


def asked(key: str) -> bytes:
    """A good request in structured form."""
    data = {"idempotency_key": key, "provider": "canary_speech", "parameters": canary_speech(key)}
    envelope = {"specversion": "1.0", "id": key, "source": "urn:test", "type": "account.requested.v1"}
    return json.dumps({**envelope, "data": data}).encode()


async def made(house: House, count: int) -> bool:
    """Whether so many accounts exist."""
    return house.sandbox.creates("canary_speech").made == count


async def metric(worker: WorkerProcess, line: str) -> bool:
    """Whether the worker shows this line."""
    async with aiohttp.ClientSession() as session, session.get(f"{worker.metrics_url}/metrics") as answer:
        return line in await answer.text()

"""The topology against a real broker: declared, compared, imported."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.rabbitmq.rig import PROVIDER, QUEUE, TOPOLOGY, Rig, within
from worker.core.errors import ConfigurationError, TopologyMismatch
from worker.core.observer import TopologyUncompared
from worker.rabbitmq.admin import Admin
from worker.rabbitmq.connection import ConnectionSettings
from worker.rabbitmq.declaration import Uncompared
from worker.rabbitmq.topology import AUDIT, DEAD_LETTERS, REQUESTS, RESULTS, Topology

pytestmark = pytest.mark.rabbitmq


async def test_declared_topology_shows_no_difference(rig: Rig) -> None:
    """Declared twice, nothing differs: a second worker starts as well."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        await admin.declare()
        await admin.declare()
        assert await admin.check() == []


async def test_fresh_broker_lacks_everything(rig: Rig) -> None:
    """Looking creates nothing."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        missing = await admin.check()
        assert [difference.name for difference in missing] == [entity.name for entity in TOPOLOGY.entities]
        assert str(missing[0]) == f"exchange {DEAD_LETTERS} is missing"
        assert await admin.check() == missing


async def test_bindings_are_declared(rig: Rig) -> None:
    """Every queue gets what the design's table says, as the broker lists it."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        await admin.declare()
    columns = ("source_name", "destination_name", "routing_key")
    listed = json.loads(await rig.ctl("list_bindings", "--vhost", rig.vhost, *columns, "--formatter", "json"))
    found = {tuple(binding[column] for column in columns) for binding in listed if binding["source_name"]}
    assert found == {
        (DEAD_LETTERS, DEAD_LETTERS, ""),
        (REQUESTS, QUEUE, f"request.{PROVIDER}"),
        (REQUESTS, f"{REQUESTS}.gateway360", "request.gateway360"),
        (RESULTS, AUDIT, "result.#"),
    }


@dataclass(frozen=True)
class Case:
    """Something that is on the broker already, and what is said about it."""

    reason: str
    said: str
    queue: dict[str, Any] = field(default_factory=dict)
    exchange: dict[str, Any] = field(default_factory=dict)


_OURS = dict(TOPOLOGY.queues[1].arguments)
_MISMATCHES = [
    Case(
        "another delivery limit",
        f"queue {QUEUE} has x-delivery-limit 5 where 1000 is wanted",
        queue={"queue": QUEUE, "durable": True, "arguments": _OURS | {"x-delivery-limit": 5}},
    ),
    Case(
        "no delivery limit",
        f"queue {QUEUE} has x-delivery-limit none where 1000 is wanted",
        queue={
            "queue": QUEUE,
            "durable": True,
            "arguments": {k: v for k, v in _OURS.items() if "limit" not in k},
        },
    ),
    Case(
        "a length limit of somebody's own",
        f"queue {QUEUE} has x-max-length 9 where none is wanted",
        queue={"queue": QUEUE, "durable": True, "arguments": _OURS | {"x-max-length": 9}},
    ),
    Case(
        "at-most-once dead-lettering",
        f"queue {QUEUE} has x-dead-letter-strategy at-most-once where at-least-once is wanted",
        queue={
            "queue": QUEUE,
            "durable": True,
            "arguments": _OURS | {"x-dead-letter-strategy": "at-most-once"},
        },
    ),
    Case(
        "a classic queue",
        f"queue {DEAD_LETTERS} has x-queue-type classic where quorum is wanted",
        queue={"queue": DEAD_LETTERS, "durable": True, "arguments": {"x-queue-type": "classic"}},
    ),
    Case(
        "a queue that does not last",
        f"queue {AUDIT} has durable false where true is wanted",
        queue={"queue": AUDIT, "exclusive": False},
    ),
    Case(
        "another kind of exchange",
        f"exchange {RESULTS} has type direct where topic is wanted",
        exchange={"exchange": RESULTS, "exchange_type": "direct", "durable": True},
    ),
    Case(
        "no alternate exchange",
        f"exchange {REQUESTS} has alternate-exchange none where {DEAD_LETTERS} is wanted",
        exchange={"exchange": REQUESTS, "exchange_type": "topic", "durable": True},
    ),
]


@pytest.mark.parametrize("case", _MISMATCHES, ids=lambda case: case.reason)
async def test_mismatch_names_what_differs(rig: Rig, case: Case) -> None:
    """Pitfall 21: entity, argument, both values and what helps; the connection lives on."""
    async with rig.probe.channel() as channel:
        if case.queue:
            await channel.queue_declare(**case.queue)
        if case.exchange:
            await channel.exchange_declare(**case.exchange)
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        with pytest.raises(TopologyMismatch) as raised:
            await admin.declare()
        assert case.said in str(raised.value)
        assert "rabbitmq" in str(raised.value).partition(case.said)[2]
        assert case.said in [str(difference) for difference in await admin.check()]


async def test_every_mismatch_is_named_at_once(rig: Rig) -> None:
    """Two wrong queues are two sentences, not two starts."""
    async with Admin.connect(rig.settings, replace(TOPOLOGY, delivery_limit=5)) as admin:
        await admin.declare()
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        with pytest.raises(TopologyMismatch) as raised:
            await admin.declare()
    assert str(raised.value).count("has x-delivery-limit 5 where 1000 is wanted") == 2


async def test_worker_that_may_not_declare_says_what_is_missing(rig: Rig) -> None:
    """With declaring switched off a fresh broker is a mismatch, and nothing is created."""
    settings = replace(rig.settings, declare=False)
    with pytest.raises(TopologyMismatch, match=f"queue {QUEUE} is missing"):
        await within(rig.consumer(settings=settings).run())
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        assert len(await admin.check()) == len(TOPOLOGY.entities)


async def test_user_without_the_right_to_declare(rig: Rig) -> None:
    """A clear sentence at the first try, with both ways out; checking still finds what is missing."""
    async with unable_to_configure(rig) as settings, Admin.connect(settings, TOPOLOGY) as admin:
        with pytest.raises(
            ConfigurationError, match=r"access to exchange .* refused.*PROVISIONER_BROKER__DECLARE=false"
        ):
            await within(rig.consumer(settings=settings).run())
        assert [str(deviation) for deviation in await admin.check()] == [
            *(f"exchange {exchange.name} is missing" for exchange in TOPOLOGY.exchanges),
            *(f"queue {queue.name} is missing" for queue in TOPOLOGY.queues),
        ]


async def test_what_may_not_be_compared_is_never_as_wanted(rig: Rig) -> None:
    """RabbitMQ compares for no user without the configure right, so a queue that loses messages might be among it."""
    await with_a_queue_that_loses_what_is_refused(rig)
    async with unable_to_configure(rig) as settings, Admin.connect(settings, TOPOLOGY) as admin:
        found = await admin.check()
    assert [(type(deviation), deviation.name) for deviation in found] == [
        (Uncompared, entity.name) for entity in TOPOLOGY.entities
    ]
    (told,) = (deviation for deviation in found if deviation.name == QUEUE)
    assert str(told) == (
        f"queue {QUEUE} is there and could not be compared: the user has no configure right on it"
    )
    assert "`provisioner topology check` once with a user that has it" in told.remedy


async def test_a_start_that_could_not_compare_says_so_once_and_goes_on(rig: Rig) -> None:
    """With declaring switched off such a user is the documented one: the worker starts, and warns of each of them."""
    await with_a_queue_that_loses_what_is_refused(rig)
    async with unable_to_configure(rig) as allowed:
        settings = replace(allowed, declare=False)
        async with rig.running(rig.consumer(settings=settings), rig.publisher(settings=settings)):
            await rig.close_connections()
            await rig.watcher.next_change("consume", up=True)
    (told,) = (fact for fact in rig.watcher.facts if isinstance(fact, TopologyUncompared))
    assert len(told.what) == len(TOPOLOGY.entities)
    assert f"queue {QUEUE} is there and could not be compared" in "; ".join(told.what)
    assert "`provisioner topology check` once with a user that has it" in told.remedy


@asynccontextmanager
async def unable_to_configure(rig: Rig) -> AsyncIterator[ConnectionSettings]:
    """The settings of a user that may write and read everything, while the block runs."""
    user = f"reader-{rig.vhost}"
    await rig.ctl("add_user", user, "secret-canary")
    await rig.ctl("set_permissions", "--vhost", rig.vhost, user, "", ".*", ".*")
    url = rig.settings.url.replace(rig.settings.url.split("@")[0], f"amqp://{user}:secret-canary")
    try:
        yield replace(rig.settings, url=url)
    finally:
        await rig.ctl("delete_user", user)


async def with_a_queue_that_loses_what_is_refused(rig: Rig) -> None:
    """Somebody else declared it, and without a place for dead letters; all else is as wanted."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        await admin.declare()
    await rig.probe.delete(QUEUE)
    await rig.probe.declare(QUEUE, {"x-queue-type": "quorum"})


async def test_definitions_import_cleanly(rig: Rig, tmp_path: Path) -> None:
    """What is exported is, once imported, exactly what would have been declared."""
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(TOPOLOGY.definitions(rig.vhost)))
    await rig.ctl("import_definitions", str(file))
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        assert await admin.check() == []
        await admin.publish_request(b"{}", routing_key=f"request.{PROVIDER}")
        await admin.publish_request(b"{}", routing_key="request.nobody")
    await rig.probe.until_ready(QUEUE, 1)
    await rig.probe.until_ready(DEAD_LETTERS, 1)


async def test_two_workers_declare_at_the_same_time(rig: Rig) -> None:
    """On a fresh broker whole fleets start at once."""
    consumers = [rig.consumer(Topology((PROVIDER, "gateway360", "postcode_eu"))) for _ in range(4)]
    publishers = [rig.publisher() for _ in range(4)]
    async with rig.running(*consumers, *publishers):
        assert all(consumer.connected for consumer in consumers)
        assert all(publisher.connected for publisher in publishers)
    assert all(change.up for change in rig.watcher.changes)

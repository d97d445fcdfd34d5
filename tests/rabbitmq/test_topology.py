"""The topology as data; no broker needed."""

import json

import pytest

from worker.rabbitmq.topology import (
    AUDIT,
    DEAD_LETTERS,
    REQUESTS,
    RESULTS,
    Queue,
    Topology,
    request_key,
    request_queue,
)

TOPOLOGY = Topology(providers=("canary_speech", "phone_com"))


def test_names_are_those_of_the_design() -> None:
    """Upstream, monitoring and runbooks know these names."""
    assert [exchange.name for exchange in TOPOLOGY.exchanges] == [
        "provisioning.dead-letters",
        "provisioning.requests",
        "provisioning.results",
    ]
    assert [queue.name for queue in TOPOLOGY.queues] == [
        "provisioning.dead-letters",
        "provisioning.requests.canary_speech",
        "provisioning.requests.phone_com",
        "provisioning.results.audit",
    ]
    assert request_queue("x") == "provisioning.requests.x"
    assert request_key("x") == "request.x"


@pytest.mark.parametrize("queue", TOPOLOGY.queues, ids=lambda queue: queue.name)
def test_every_queue_is_safe(queue: Queue) -> None:
    """Quorum, with an explicit limit that is no -1 (3.10 drops then) and not left to RabbitMQ 4's default of 20."""
    assert queue.arguments["x-queue-type"] == "quorum"
    assert int(queue.arguments["x-delivery-limit"]) >= 1000
    if "x-dead-letter-exchange" in queue.arguments:
        assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
        assert queue.arguments["x-overflow"] == "reject-publish"


def test_dead_letters_have_no_way_out_but_the_worker() -> None:
    """Neither a limit, nor an age, nor another exchange takes a dead letter away."""
    (queue,) = (queue for queue in TOPOLOGY.queues if queue.name == DEAD_LETTERS)
    assert dict(queue.arguments) == {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000}


def test_nothing_published_is_unroutable_where_it_matters() -> None:
    """Unknown request keys go to the dead letters; results go to the audit queue if it is wanted."""
    exchanges = {exchange.name: exchange for exchange in TOPOLOGY.exchanges}
    assert exchanges[REQUESTS].arguments == {"alternate-exchange": DEAD_LETTERS}
    assert exchanges[DEAD_LETTERS].kind == "fanout"
    assert {(binding.exchange, binding.queue, binding.routing_key) for binding in TOPOLOGY.bindings} == {
        (DEAD_LETTERS, DEAD_LETTERS, ""),
        (REQUESTS, "provisioning.requests.canary_speech", "request.canary_speech"),
        (REQUESTS, "provisioning.requests.phone_com", "request.phone_com"),
        (RESULTS, AUDIT, "result.#"),
    }


def test_audit_queue_is_optional() -> None:
    """Without it, neither queue nor binding is left."""
    bare = Topology(providers=(), audit=False)
    assert [queue.name for queue in bare.queues] == [DEAD_LETTERS]
    assert [binding.queue for binding in bare.bindings] == [DEAD_LETTERS]


def test_limit_is_a_setting() -> None:
    """The outer net against a message that kills its worker, as wide as the operator says."""
    (queue,) = (
        queue for queue in Topology(("x",), delivery_limit=77).queues if queue.name == request_queue("x")
    )
    assert queue.arguments["x-delivery-limit"] == 77


def test_definitions_are_json_with_every_entity() -> None:
    """The same entities, in the form RabbitMQ imports."""
    definitions = json.loads(json.dumps(TOPOLOGY.definitions("v")))
    assert [exchange["name"] for exchange in definitions["exchanges"]] == [e.name for e in TOPOLOGY.exchanges]
    assert [queue["name"] for queue in definitions["queues"]] == [queue.name for queue in TOPOLOGY.queues]
    assert len(definitions["bindings"]) == len(TOPOLOGY.bindings)
    assert {entity["vhost"] for entities in definitions.values() for entity in entities} == {"v"}

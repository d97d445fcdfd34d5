"""The AsyncAPI document: whole in itself, and about the exchanges, keys and messages that there are."""

from collections.abc import Iterator
from typing import Any

import pytest

from contracts.asyncapi import document
from contracts.examples import messages
from contracts.providers import discover
from contracts.request import REQUEST_TYPE, request_routing_key
from contracts.result import EVENT_MODELS, TYPE_OF_OUTCOME, routing_key
from contracts.schemas import schemas
from worker.rabbitmq.topology import Topology

DOCUMENT = document()
CHANNELS: dict[str, Any] = DOCUMENT["channels"]


def references(value: object) -> Iterator[str]:
    """Every reference in a part of the document."""
    if isinstance(value, dict):
        yield from (one for name, one in value.items() if name == "$ref")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from references(inner)


def target(reference: str) -> Any:
    """What a reference within the document leads to."""
    place: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def test_every_reference_leads_somewhere() -> None:
    """Parts of the document are there, and the payloads are schemas that are exported beside it."""
    found = set(references(DOCUMENT))
    files = {one for one in found if one.startswith("./")}
    assert files <= {f"./schemas/{name}.json" for name in schemas()}
    assert all(isinstance(target(one), dict) for one in found - files)


def test_every_kind_of_message_has_its_place() -> None:
    """Each provider's request and each event type is a message of its channel, with its own schema."""
    told = {
        name: {target(one["$ref"])["name"] for one in channel["messages"].values()}
        for name, channel in CHANNELS.items()
    }
    assert told == {
        "requests": {f"{REQUEST_TYPE}.{name}" for name in discover()},
        "results": set(EVENT_MODELS),
    }
    assert told["requests"] | told["results"] == set(DOCUMENT["components"]["messages"])
    assert {f"./schemas/{name}.json" for names in told.values() for name in names} <= set(
        references(DOCUMENT)
    )


def test_the_worker_receives_requests_and_sends_results() -> None:
    """Each operation goes by its channel, in the right direction."""
    ways = {name: (one["action"], one["channel"]["$ref"]) for name, one in DOCUMENT["operations"].items()}
    assert ways == {
        "receiveRequest": ("receive", "#/channels/requests"),
        "sendResult": ("send", "#/channels/results"),
    }


def test_the_exchanges_are_those_that_are_declared() -> None:
    """Name, kind and durability are the topology's."""
    declared = {one.name: one.kind for one in Topology(tuple(discover())).exchanges}
    for channel in CHANNELS.values():
        exchange = channel["bindings"]["amqp"]["exchange"]
        assert (declared[exchange["name"]], exchange["durable"]) == (exchange["type"], True)


@pytest.mark.parametrize("provider", [*discover(), None])
def test_the_addresses_are_the_routing_keys(provider: str | None) -> None:
    """With its parameters filled in, an address is the key that is published under."""
    requests, results = CHANNELS["requests"], CHANNELS["results"]
    for outcome in TYPE_OF_OUTCOME:
        values = {"provider": provider or "unknown", "outcome": outcome.value}
        assert results["address"].format(**values) == routing_key(provider, outcome)
        assert all(value in results["parameters"][name]["enum"] for name, value in values.items())
    if provider is not None:
        assert requests["address"].format(provider=provider) == request_routing_key(provider)
        assert provider in requests["parameters"]["provider"]["enum"]


def test_the_correlation_stands_where_the_document_says() -> None:
    """Every golden message has the attribute at the place that the document names."""
    places = {one["correlationId"]["location"] for one in DOCUMENT["components"]["messages"].values()}
    assert places == {"$message.payload#/correlationid"}
    assert all("correlationid" in message for message in messages().values())

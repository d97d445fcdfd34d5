"""The wire as an AsyncAPI document: which messages go where, for whoever has tools that read it.

It describes the worker, which receives requests and sends results; a publisher or consumer does the opposite. The
payloads are the exported JSON Schemas, by reference. Queues and their arguments are the deployment's business.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from contracts import WIRE_VERSION
from contracts.providers import discover
from contracts.request import REQUEST_CONTENT_TYPE, REQUEST_TYPE, request_routing_key
from contracts.result import RESULT_CONTENT_TYPE, TYPE_OF_OUTCOME, UNKNOWN_PROVIDER

ASYNCAPI: Final = "3.1.0"
REQUESTS: Final = "provisioning.requests"
RESULTS: Final = "provisioning.results"

_BINDING: Final = "0.3.0"

Part = dict[str, Any]


def document() -> Part:
    """Give the whole document."""
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Provisioning worker",
            "version": WIRE_VERSION,
            "description": "Opens one account for each request and says what became of it; README.md says how.",
        },
        "defaultContentType": RESULT_CONTENT_TYPE,
        "channels": {"requests": _requests(), "results": _results()},
        "operations": {
            "receiveRequest": _operation("receive", "requests", {"ack": True}),
            "sendResult": _operation("send", "results", {"deliveryMode": 2, "mandatory": True}),
        },
        "components": {"messages": dict(_messages())},
    }


def _requests() -> Part:
    names = list(discover())
    return {
        "address": request_routing_key("{provider}"),
        "description": "Requests, published persistent and with confirms.",
        "parameters": {"provider": {"enum": names, "description": "The same as `data.provider`."}},
        "messages": {name: _ref(f"components/messages/{REQUEST_TYPE}.{name}") for name in names},
        "bindings": _exchange(REQUESTS),
    }


def _results() -> Part:
    return {
        "address": "result.{provider}.{outcome}",
        "description": "Results, persistent; bind a durable queue of your own before the first request is sent.",
        "parameters": {
            "provider": {
                "enum": [*discover(), UNKNOWN_PROVIDER],
                "description": f"`{UNKNOWN_PROVIDER}` where it could not be read from the request.",
            },
            "outcome": {"enum": [outcome.value for outcome in TYPE_OF_OUTCOME]},
        },
        "messages": {
            outcome.value: _ref(f"components/messages/{event_type}")
            for outcome, event_type in TYPE_OF_OUTCOME.items()
        },
        "bindings": _exchange(RESULTS),
    }


def _exchange(name: str) -> Part:
    exchange = {"name": name, "type": "topic", "durable": True, "autoDelete": False}
    return {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": _BINDING}}


def _operation(action: str, channel: str, how: Mapping[str, object]) -> Part:
    return {
        "action": action,
        "channel": _ref(f"channels/{channel}"),
        "bindings": {"amqp": {**how, "bindingVersion": _BINDING}},
    }


def _messages() -> Iterator[tuple[str, Part]]:
    for name in discover():
        yield f"{REQUEST_TYPE}.{name}", _message(f"{REQUEST_TYPE}.{name}", REQUEST_CONTENT_TYPE)
    for event_type in TYPE_OF_OUTCOME.values():
        yield event_type, _message(event_type, RESULT_CONTENT_TYPE)


def _message(name: str, content_type: str) -> Part:
    """One message, in structured form."""
    return {
        "name": name,
        "contentType": content_type,
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": {"$ref": f"./schemas/{name}.json"},
    }


def _ref(place: str) -> Part:
    return {"$ref": f"#/{place}"}

"""Exchanges, queues and bindings, as data. Declared, checked and exported from here; nothing else names one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

REQUESTS = "provisioning.requests"
RESULTS = "provisioning.results"
AUDIT = "provisioning.results.audit"
DEAD_LETTERS = "provisioning.dead-letters"

UNLIMITED_DELIVERIES = 1_000_000_000
"""A delivery limit nobody reaches. Said, because RabbitMQ 4 assumes 20 and drops what has no dead-letter exchange;
not -1, because RabbitMQ 3.10 takes that for "drop at the first requeue"."""

Argument = str | int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange; `kind` is topic or fanout."""

    name: str
    kind: str
    arguments: Mapping[str, Argument] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue."""

    name: str
    arguments: Mapping[str, Argument]


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages of an exchange whose key fits go to a queue."""

    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True)
class Topology:
    """Everything the worker needs on the broker.

    Attributes:
        providers: Names of the configured providers; each has a queue of its own.
        audit: Whether a queue keeps a copy of every result, so that none is unroutable where nobody listens yet.
        delivery_limit: Deliveries of one request after which RabbitMQ makes it a dead letter, a net against a message
            that kills its worker again and again.
    """

    providers: tuple[str, ...]
    audit: bool = True
    delivery_limit: int = 1000

    @cached_property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Dead letters first: the others name them."""
        unroutable = MappingProxyType({"alternate-exchange": DEAD_LETTERS})
        return (
            Exchange(DEAD_LETTERS, "fanout"),
            Exchange(REQUESTS, "topic", unroutable),
            Exchange(RESULTS, "topic"),
        )

    @cached_property
    def queues(self) -> tuple[Queue, ...]:
        """Quorum queues all of them."""
        requests = (Queue(request_queue(name), self._request_arguments) for name in self.providers)
        audit = (Queue(AUDIT, _KEPT),) if self.audit else ()
        return (Queue(DEAD_LETTERS, _KEPT), *requests, *audit)

    @property
    def entities(self) -> tuple[Exchange | Queue, ...]:
        """Exchanges and queues, in the order in which they are declared."""
        return (*self.exchanges, *self.queues)

    @cached_property
    def bindings(self) -> tuple[Binding, ...]:
        """Which keys go where."""
        requests = (Binding(REQUESTS, request_queue(name), request_key(name)) for name in self.providers)
        audit = (Binding(RESULTS, AUDIT, "result.#"),) if self.audit else ()
        return (Binding(DEAD_LETTERS, DEAD_LETTERS, ""), *requests, *audit)

    @property
    def _request_arguments(self) -> Mapping[str, Argument]:
        """At-least-once dead-lettering needs `reject-publish`; with another overflow it falls back without a word."""
        return MappingProxyType(
            {
                "x-queue-type": "quorum",
                "x-dead-letter-exchange": DEAD_LETTERS,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                "x-delivery-limit": self.delivery_limit,
            }
        )

    def definitions(self, virtual_host: str = "/") -> dict[str, Any]:
        """The same as a RabbitMQ definitions file, for `rabbitmqctl import_definitions` and `load_definitions`."""
        where = {"vhost": virtual_host}
        return {
            "exchanges": [
                where
                | {"name": exchange.name, "type": exchange.kind, "durable": True, "auto_delete": False}
                | {"internal": False, "arguments": dict(exchange.arguments)}
                for exchange in self.exchanges
            ],
            "queues": [
                where
                | {
                    "name": queue.name,
                    "durable": True,
                    "auto_delete": False,
                    "arguments": dict(queue.arguments),
                }
                for queue in self.queues
            ],
            "bindings": [
                where
                | {"source": binding.exchange, "destination": binding.queue, "destination_type": "queue"}
                | {"routing_key": binding.routing_key, "arguments": {}}
                for binding in self.bindings
            ],
        }


def request_queue(provider: str) -> str:
    """The queue with the requests for one provider."""
    return f"{REQUESTS}.{provider}"


def request_key(provider: str) -> str:
    """The routing key that leads there."""
    return f"request.{provider}"


_KEPT: Mapping[str, Argument] = MappingProxyType(
    {"x-queue-type": "quorum", "x-delivery-limit": UNLIMITED_DELIVERIES}
)

"""RabbitMQ as it is configured: where it is, and what must be there."""

from typing import Any

from worker import providers
from worker.rabbitmq.connection import ConnectionSettings
from worker.rabbitmq.topology import Topology
from worker.settings import Settings


def connection(configured: Settings) -> ConnectionSettings:
    """Where RabbitMQ is.

    Raises:
        ConfigurationError: it is not configured.
    """
    broker = configured.broker
    return ConnectionSettings(
        broker.address(),
        declare=broker.declare,
        heartbeat=broker.heartbeat,
        connect_timeout=broker.connect_timeout,
        operation_timeout=broker.operation_timeout,
    )


def topology(configured: Settings) -> Topology:
    """The exchanges and queues of the configured providers; of all there are, where none is configured."""
    names = tuple(sorted(configured.providers)) or tuple(sorted(providers.discover()))
    return Topology(
        names, audit=configured.broker.audit_queue, delivery_limit=configured.broker.delivery_limit
    )


def definitions(configured: Settings) -> dict[str, Any]:
    """The same as a RabbitMQ definitions file, for the virtual host in the broker's address; ``/`` without one."""
    where = connection(configured).virtual_host if configured.broker.url is not None else "/"
    return topology(configured).definitions(where)

"""Dramatiq, started as its documentation teaches: `dramatiq tests.bench.peers.dramatiq_side --processes 1`.

What the documents say, and what is done here:

- *Acknowledgement*: after the function has returned; that is how it always is.
- *confirm_delivery*: "Wait for RabbitMQ to confirm that messages have been committed on every call to enqueue"; the
  broker's channel of the thread then confirms the results as well.
- *dramatiq_queue_prefetch*: the environment sets it to the number of threads.
- There is no option for quorum queues: the arguments are those of the broker's method, overridden below.
- It reads only its own messages: `python -m tests.bench.peers.dramatiq_side feed COUNT` lays them out, with confirms.
"""

import json
import sys
from typing import Any

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import Middleware

from tests.bench.peers.threads import Sessions, feed
from tests.bench.peers.work import (
    CONTENT_TYPE,
    RESULTS,
    body_of,
    result_of,
    say_ready,
    surroundings,
)

_where = surroundings()
_sessions = Sessions(_where)


class QuorumBroker(RabbitmqBroker):
    """RabbitMQ with quorum queues for tasks and for delayed ones."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        arguments: dict[str, Any] = super()._build_queue_arguments(queue_name)
        return arguments | {"x-queue-type": "quorum"}


class SayReady(Middleware):
    """Tells the bench when the worker is up."""

    def after_worker_boot(self, broker: object, worker: object) -> None:
        """The threads are there."""
        del broker, worker
        say_ready("threads")


broker = QuorumBroker(url=_where.broker_url, confirm_delivery=True)
broker.add_middleware(SayReady())
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=_where.queue)
def provision(body: str) -> None:
    """From the delivery to the result."""
    request = json.loads(body)
    answer = _sessions.mine().post(_where.url, json=body_of(request), timeout=30)
    answer.raise_for_status()
    result = result_of(request, answer.json(), "dramatiq")
    broker.channel.basic_publish(
        exchange=RESULTS,
        routing_key=result.routing_key,
        body=result.body,
        properties=pika.BasicProperties(
            content_type=CONTENT_TYPE,
            delivery_mode=2,
            message_id=result.message_id,
            correlation_id=result.correlation_id,
            timestamp=int(result.at.timestamp()),
        ),
    )


if __name__ == "__main__":
    feed(provision.send, "dramatiq", int(sys.argv[2]))

"""Celery, started as its documentation teaches: `celery -A tests.bench.peers.celery_side worker --pool=threads`.

What the documents say, and what is done here:

- *Quorum queues*: `task_queues` with `x-queue-type`; the worker finds that out by itself and limits its prefetch for
  each consumer instead of for the channel. Delayed tasks then need a topic exchange.
- *confirm_publish* among the transport's options, since without it Celery does not wait for the broker.
- *acks_late*: acknowledge after the function has returned, not before.
- *worker_prefetch_multiplier* = 1, as the guide "Optimizing" advises together with late acknowledgement.
- *broker_pool_limit*: as many connections as threads publish, else they wait for one another.
- Threads instead of processes, as the work is waiting for the network.
- Gossip, mingle and the heartbeat of events are for workers that look for one another; this one is alone.
- It reads only its own messages: `python -m tests.bench.peers.celery_side feed COUNT` lays them out, with confirms.
"""

import json
import sys

from celery import Celery
from celery.signals import worker_ready
from kombu import Exchange, Queue

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

app = Celery("bench", broker=_where.broker_url)
app.conf.update(
    task_queues=[
        Queue(
            _where.queue,
            Exchange(_where.queue, type="topic"),
            routing_key=_where.queue,
            queue_arguments={"x-queue-type": "quorum"},
        )
    ],
    task_default_queue=_where.queue,
    task_default_exchange=_where.queue,
    task_default_exchange_type="topic",
    task_default_routing_key=_where.queue,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_pool_limit=_where.in_flight,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)


@worker_ready.connect
def ready(**_: object) -> None:
    """The worker consumes."""
    say_ready("threads")


@app.task(name="provision")
def provision(body: str) -> None:
    """From the delivery to the result."""
    request = json.loads(body)
    answer = _sessions.mine().post(_where.url, json=body_of(request), timeout=30)
    answer.raise_for_status()
    result = result_of(request, answer.json(), "celery")
    with app.producer_or_acquire() as producer:
        producer.publish(
            result.body,
            exchange=RESULTS,
            routing_key=result.routing_key,
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            delivery_mode="persistent",
            message_id=result.message_id,
            correlation_id=result.correlation_id,
            timestamp=int(result.at.timestamp()),
            retry=True,
        )


if __name__ == "__main__":
    feed(provision.delay, "celery", int(sys.argv[2]))

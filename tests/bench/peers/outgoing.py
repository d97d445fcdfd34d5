"""A result as the sides publish it that use aio-pika themselves."""

import aio_pika

from tests.bench.peers.work import CONTENT_TYPE, Result


def outgoing(result: Result) -> aio_pika.Message:
    """Persistent, with the properties that every side sets."""
    return aio_pika.Message(
        result.body,
        content_type=CONTENT_TYPE,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=result.message_id,
        correlation_id=result.correlation_id,
        timestamp=result.at,
    )

"""The requesters' mailbox of the show, where the broker fails under it."""

import json

import pytest
from aio_pika import Message
from aiormq.exceptions import ConnectionInternalError
from pamqp.commands import Connection

from tests.rabbitmq.rig import KEY, QUEUE, RESULT, TOPOLOGY, WAIT, Rig
from worker.demo.mailbox import Mailbox
from worker.rabbitmq.admin import Admin

pytestmark = pytest.mark.rabbitmq


class Unlucky(Mailbox):
    """RabbitMQ 3.10 closes the connection at the first publish to a queue that was just declared."""

    unlucky = True

    async def _publish(self, message: Message, routing_key: str) -> None:
        if self.unlucky and self._outbox is not None:
            self.unlucky = False
            await self._outbox.close()
            raise ConnectionInternalError(Connection.Close(541, "INTERNAL_ERROR"))
        await super()._publish(message, routing_key)


async def test_a_request_is_published_again_and_results_are_heard_on(rig: Rig) -> None:
    """A publish at which the broker fails is made again on a new connection; the other one goes on listening."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        await admin.declare()
    async with Unlucky(rig.settings.url) as mailbox:
        await mailbox.send(b"{}", KEY, "application/json")
        await rig.probe.until_ready(QUEUE, 1)
        told = json.dumps({"id": "e-1", "data": {"idempotency_key": "k", "outcome": "provisioned"}})
        await rig.probe.publish(told.encode(), RESULT, exchange="provisioning.results")
        assert await mailbox.until(lambda: mailbox.outcomes("k") == ["provisioned"], WAIT)

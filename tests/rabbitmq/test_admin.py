"""What a person's command asks of the broker."""

import asyncio

import pytest

from tests.rabbitmq.rig import BODY, KEY, QUEUE, RESULT, TOPOLOGY, WAIT, Rig, eventually
from worker.core.errors import PublishUnconfirmed
from worker.rabbitmq.admin import Admin

pytestmark = pytest.mark.rabbitmq


async def test_request_and_its_result(rig: Rig) -> None:
    """Listen, publish a request, and get the result that is meant, not the one before it."""
    publisher = rig.publisher()
    async with rig.running(publisher), Admin.connect(rig.settings, TOPOLOGY) as admin:
        await admin.declare()
        async with admin.results() as results:
            await admin.publish_request(BODY, routing_key=KEY, headers={"a": 1}, message_id="m-1")
            for event_id in ("other", "mine"):
                await publisher.publish(BODY, event_id=event_id, event_type="t", routing_key=RESULT)
            found = await results.wait_for(
                lambda message: message.headers["event-id"] == "mine", seconds=WAIT
            )
        assert found is not None
        assert found.routing_key == RESULT
        await rig.probe.until_ready(QUEUE, 1)


async def test_no_result_in_time(rig: Rig) -> None:
    """Waiting ends; nothing is left on the broker."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        await admin.declare()
        async with admin.results() as results:
            assert await results.wait_for(lambda _message: True, seconds=0.05) is None

    async def nothing_left() -> bool:
        return "amq.gen" not in await rig.ctl("list_queues", "--vhost", rig.vhost, "name")

    await eventually(nothing_left)


async def test_request_on_a_broker_without_topology(rig: Rig) -> None:
    """A missing exchange is a publish that was not confirmed, and says which exchange."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        with pytest.raises(PublishUnconfirmed, match=r"no exchange 'provisioning\.requests'"):
            await admin.publish_request(BODY, routing_key=KEY)


async def test_many_requests_at_once_on_one_connection(rig: Rig) -> None:
    """Fifty publishes side by side are all confirmed."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        await admin.declare()
        await asyncio.gather(*(admin.publish_request(BODY, routing_key=KEY) for _ in range(50)))
        await rig.probe.until_ready(QUEUE, 50)

"""The broker of this run: the machine's own, or RabbitMQ 4 where `LOCAL_RABBITMQ_ROOT` names a root folder with it."""

import pytest

from tests.rabbitmq.rig import Rig
from worker.local.rabbitmq_node import RabbitmqNode


@pytest.fixture
def rig(rabbitmq_node: RabbitmqNode, broker_url: str) -> Rig:
    """A virtual host of this test's own."""
    return Rig.on(rabbitmq_node, broker_url)


@pytest.fixture
async def version(rig: Rig) -> tuple[int, ...]:
    """The broker's version, in its own words, such as (3, 10, 8)."""
    async with rig.probe.channel() as channel:
        said = str(channel.connection.server_properties["version"])
    return tuple(int(part) for part in said.split("."))

"""Each test has a virtual host of its own: on the run's node, or on a node that it may freeze, restart and starve."""

import pytest

from tests.rabbitmq.rig import Rig
from worker.local.rabbitmq_node import RabbitmqNode


@pytest.fixture
def rig(rabbitmq_node: RabbitmqNode, broker_url: str) -> Rig:
    """For tests that hurt nobody beyond their virtual host."""
    return Rig.on(rabbitmq_node, broker_url)


@pytest.fixture
def own_rig(own_rabbitmq_node: RabbitmqNode, own_broker_url: str) -> Rig:
    """For tests that hurt the node, which then is silent."""
    return Rig.on(own_rabbitmq_node, own_broker_url).hurried()

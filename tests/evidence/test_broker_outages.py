"""RabbitMQ dies or freezes under a real worker, which comes back by itself as soon as it does.

The same at length: `python -m tests.evidence.broker_troubles --restarts 50`.
"""

from pathlib import Path

import pytest

from tests.evidence import broker_troubles as troubles
from tests.evidence.broker_side import Place
from tests.evidence.promises import assert_back_in_time, assert_kept, longest
from tests.evidence.troubled_house import SHOWN_WITHIN
from worker.local.rabbitmq_node import RabbitmqNode

QUICK = {"BROKER__HEARTBEAT": "5", "BROKER__OPERATION_TIMEOUT": "3"}

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(300)]


@pytest.fixture
def place(own_rabbitmq_node: RabbitmqNode, tmp_path: Path) -> Place:
    """A node that these tests may hurt."""
    return Place(own_rabbitmq_node, tmp_path)


async def test_a_broker_killed_again_and_again(place: Place) -> None:
    """After each return queues, bindings, prefetch and consumers stand as before, and the same worker goes on."""
    result = await troubles.killed(place, restarts=3)
    assert result.faults == {"broker killed": 3}
    assert_kept(result)
    assert_back_in_time(result)


async def test_a_frozen_broker(place: Place) -> None:
    """Longer than heartbeats allow, nothing answers: readiness says so, and afterwards the same worker goes on."""
    result = await troubles.frozen(place, seconds=17, settings=QUICK)
    assert_kept(result)
    assert_back_in_time(result)
    assert longest(result, "until readiness showed it") <= SHOWN_WITHIN

"""RabbitMQ is disturbed on purpose under a real worker: nothing is lost, nothing is opened twice, and the worker comes
back by itself. The same at length: `python -m tests.evidence.broker_troubles --restarts 50`.
"""

from pathlib import Path

import pytest

from tests.evidence import broker_troubles as troubles
from tests.evidence.broker_side import Place
from tests.evidence.promises import assert_kept, longest
from tests.evidence.troubled_house import BACK_WITHIN
from worker.local.rabbitmq_node import RabbitmqNode

QUICK = {"BROKER__OPERATION_TIMEOUT": "3"}

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(300)]


@pytest.fixture
def place(own_rabbitmq_node: RabbitmqNode, tmp_path: Path) -> Place:
    """A node that these tests may hurt."""
    return Place(own_rabbitmq_node, tmp_path)


async def test_a_memory_alarm(place: Place) -> None:
    """Publishers are blocked, acknowledgements are not: accounts are opened, results wait and come when it ends."""
    result = await troubles.short_of_memory(place, requests=30, settings=QUICK)
    assert_kept(result)
    assert result.provisioned == 30


async def test_queues_deleted_under_their_consumers(place: Place) -> None:
    """They are declared and consumed again at once, and what is refused still becomes a dead letter and an event."""
    result = await troubles.queues_deleted(place)
    assert_kept(result)
    assert result.rejected == 1
    assert longest(result, "until a") <= BACK_WITHIN


async def test_a_queue_that_the_broker_cannot_serve_stops_no_other(place: Place) -> None:
    """One broken queue is one provider's trouble, and over within 15 seconds of the broker's."""
    result = await troubles.queue_lost(place, patience=BACK_WITHIN)
    assert_kept(result)
    assert longest(result, "until it was served again") <= BACK_WITHIN


async def test_results_that_no_queue_takes(place: Place) -> None:
    """A returned event stays unpublished and is counted; when a queue is bound again, it comes under the same id."""
    assert_kept(await troubles.unroutable(place))


async def test_a_broker_that_waits_for_no_acknowledgement(place: Place) -> None:
    """A delivery is held only while it waits for a slot, never while the provider works; what the broker takes back
    from there is not run twice.
    """
    result = await troubles.impatient(place, consumer_timeout=6, provider_takes=9, requests=12)
    assert_kept(result)
    assert result.notes["deliveries held while the provider works"] == 12 - 8

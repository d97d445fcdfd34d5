"""When a door asks the broker what it sees. What comes of it, on a real broker, is in the tests of sick queues."""

import asyncio
from typing import cast

import pytest

from tests.fakes import FixedClock, Watch
from worker.core.broker import Delivery
from worker.rabbitmq.connection import Connection, ConnectionSettings
from worker.rabbitmq.door import Door
from worker.rabbitmq.subscription import Consumption, Subscription
from worker.rabbitmq.topology import Topology, request_queue

QUEUE = request_queue("phone_com")
SETTINGS = ConnectionSettings("amqp://nowhere", watch_every=10.0)


async def nobody(_: Delivery) -> None:
    """Take nothing."""


@pytest.fixture
def clock() -> FixedClock:
    """Moved by the test alone."""
    return FixedClock()


@pytest.fixture
def door(clock: FixedClock) -> Door:
    """A door that was not opened."""
    return Door(
        Consumption(QUEUE, nobody, 1),
        SETTINGS,
        Topology(("phone_com",)),
        settled=asyncio.Event(),
        take=lambda consumption, delivery: None,
        observer=Watch(),
        clock=clock,
    )


async def test_the_broker_is_asked_however_often_the_prefetch_changes(
    door: Door, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that trade slots change it more often than a look is due; that a queue is served again must be told."""
    looks: list[float] = []

    async def look(_connection: Connection, _subscription: Subscription) -> None:
        looks.append(clock.monotonic())

    monkeypatch.setattr(door, "_look", look)
    anything = (cast("Connection", None), cast("Subscription", None))
    await door._watch(*anything)
    for second in range(3, 30, 3):
        clock.advance(3)
        door.change(Consumption(QUEUE, nobody, second))
        await door._watch(*anything)
    assert looks == [0, 12, 24]

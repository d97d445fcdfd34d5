"""The real core on a real ledger and a real RabbitMQ; only the provider and the time are the test's."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from tests.builders import make_request
from tests.core.world import Place, World, open_world
from tests.fakes import RecordingPublisher
from tests.rabbitmq.rig import Rig, within
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.intake import Intake
from worker.core.overview import LetterFilter
from worker.core.states import State
from worker.rabbitmq.consumer import Consumer
from worker.rabbitmq.publisher import RabbitPublisher
from worker.rabbitmq.topology import DEAD_LETTERS, Topology, request_key, request_queue

PROVIDER = "acme"
QUEUE, KEY = request_queue(PROVIDER), request_key(PROVIDER)
TOPOLOGY = Topology(providers=(PROVIDER,))
CLOUD_EVENT = "application/cloudevents+json"
PATIENCE = 60.0
"""Seconds after which something that should have happened did not, however busy the machine is."""


@dataclass(frozen=True)
class Works:
    """One worker in this process."""

    rig: Rig
    world: World
    consumer: Consumer
    publisher: RabbitPublisher
    intake: Intake

    async def ask(self, key: str, **data: Any) -> bytes:
        """Publish one request as an upstream system would; its body."""
        body = json.dumps(make_request(key, **data)).encode()
        await self.rig.probe.publish(body, KEY, content_type=CLOUD_EVENT)
        return body

    async def until_state(self, state: State, *keys: str) -> None:
        """Wait until each of these requests stands there."""

        async def all_there() -> bool:
            rows = {entry.idempotency_key: entry.state for entry in await self.world.entries()}
            return {key: rows.get(key) for key in keys} == dict.fromkeys(keys, state)

        await until(all_there)

    async def until_letters(self, count: int) -> list[DeadLetter]:
        """Wait until so many dead letters are open; they."""
        found: list[DeadLetter] = []

        async def so_many() -> bool:
            found[:] = await self.world.ledger.real.dead_letters(LetterFilter(state=LetterState.OPEN))
            return len(found) == count

        await until(so_many)
        return found

    async def go_round(self, after: float = 0.0) -> None:
        """Let time pass, one round of upkeep, and the end of everything that it began."""
        self.world.clock.advance(after)
        await self.world.upkeep.once()
        assert await self.world.desk.tasks.wait(PATIENCE)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is true, now and then: whoever makes it true needs the processor as well."""
    async with asyncio.timeout(PATIENCE):
        while not await true():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def at_work(
    place: Place, rig: Rig, topology: Topology = TOPOLOGY, **options: Any
) -> AsyncIterator[Works]:
    """Start a worker with its queues open; at the end nothing of it is left."""
    settings = replace(rig.settings, operation_timeout=5.0)
    consumer, publisher = rig.consumer(topology, settings), rig.publisher(topology, settings)
    place.publisher = cast("RecordingPublisher", publisher)
    async with rig.running(consumer, publisher), open_world(place, **options) as world:
        intake = Intake(
            world.desk,
            consumer,
            world.pipeline,
            world.burial,
            world.changed,
            lanes={request_queue(name): lane for name, lane in world.desk.lanes.items()},
            dead_letters=DEAD_LETTERS,
        )
        await intake.adjust()
        yield Works(rig, world, consumer, publisher, intake)
        for queue in intake.reading:
            await consumer.close(queue)
        await within(consumer.drain())

"""Intake: which queues are read at this moment. A queue that is not read fills on the broker, where it is visible."""

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from worker.core.broker import Delivery, Handler
from worker.core.burial import Burial
from worker.core.desk import Desk
from worker.core.errors import BrokerUnavailable
from worker.core.lanes import Lane
from worker.core.pipeline import Pipeline
from worker.core.tasks import FirstOf

# Any of them may be as large as the broker lets through, and is in memory several times while it is packed and sealed.
_DEAD_LETTERS_AHEAD = 2
_LOOK_AGAIN_AFTER = 1.0  # seconds; a lane may become free by mere passing of time


class Doors(Protocol):
    """The queues, as far as they can be opened and closed. What is open stays open over a reconnect."""

    async def open(self, queue: str, handler: Handler, *, prefetch: int) -> None:
        """Consume from now on; with another prefetch where it is open already."""
        ...

    async def close(self, queue: str) -> None:
        """Consume no more; what was delivered and is not settled goes back."""
        ...


class Intake:
    """Opens and closes the queues as lanes and ledger allow."""

    def __init__(
        self,
        desk: Desk,
        doors: Doors,
        pipeline: Pipeline,
        burial: Burial,
        changed: asyncio.Event,
        *,
        lanes: Mapping[str, Lane],
        dead_letters: str,
        prefetch: int | None = None,
    ) -> None:
        """`lanes` by queue name; `dead_letters` is the queue that is drained into rows.

        `prefetch` is how many deliveries a queue hands out ahead; None: as many as its lane has slots here.
        """
        self._doors = doors
        self._pipeline = pipeline
        self._burial = burial
        self._gate = desk.gate
        self._clock = desk.clock
        self._changed = changed
        self._lanes = lanes
        self._dead_letters = dead_letters
        self._prefetch = prefetch
        self._reading: dict[str, int] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow lanes and ledger until told to stop; then close every queue."""
        async with FirstOf(self._changed.wait, stopping.wait, self._rest) as reasons_to_look:
            while not stopping.is_set():
                self._changed.clear()
                await self.adjust()
                await reasons_to_look.next()
        await asyncio.gather(*(self._close(queue) for queue in tuple(self._reading)))

    @property
    def reading(self) -> frozenset[str]:
        """The queues that are read at this moment."""
        return frozenset(self._reading)

    async def adjust(self) -> None:
        """Open what may be read, close what may not.

        Side by side: a queue may take seconds to close, and the others, were they read meanwhile, would get every
        delivery back and hand it over again at once.
        """
        well = self._gate.well
        requests = (
            self._set(
                queue,
                partial(self._take, lane),
                self._prefetch or lane.slots,
                wanted=well and lane.takes_work,
            )
            for queue, lane in self._lanes.items()
        )
        dead_letters = self._set(self._dead_letters, self._burial.bury, _DEAD_LETTERS_AHEAD, wanted=well)
        await asyncio.gather(*requests, dead_letters)

    async def _take(self, lane: Lane, delivery: Delivery) -> None:
        await self._pipeline.take(delivery, lane)

    async def _set(self, queue: str, handler: Handler, prefetch: int, *, wanted: bool) -> None:
        # What fails is tried again at the next look; the connection tells its own story.
        with contextlib.suppress(BrokerUnavailable):
            if wanted and self._reading.get(queue) != prefetch:
                await self._doors.open(queue, handler, prefetch=prefetch)
                self._reading[queue] = prefetch
            elif not wanted and queue in self._reading:
                await self._doors.close(queue)
                del self._reading[queue]

    async def _close(self, queue: str) -> None:
        with contextlib.suppress(BrokerUnavailable):
            await self._doors.close(queue)

    async def _rest(self) -> None:
        await self._clock.sleep(_LOOK_AGAIN_AFTER)

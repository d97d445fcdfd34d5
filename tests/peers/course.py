"""One run of a schedule: a worker on its way through the requests, killed and started again until all is still."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq import spec

from tests.peers.orders import PROVIDERS, Order, publish
from tests.peers.process import Process
from tests.scenarios.conftest import House
from worker.demo.mailbox import Mailbox
from worker.rabbitmq.admin import Admin
from worker.rabbitmq.connection import ConnectionSettings
from worker.rabbitmq.topology import Topology, request_queue
from worker.sandbox import Sandbox

_READY_WITHIN = 60.0  # seconds
_STILL_FOR = 3.0
"""Seconds without anything new after which a run is over, once all is answered and the queues are empty."""


_REQUEST_QUEUES = tuple(request_queue(provider) for provider in PROVIDERS)


@dataclass(frozen=True, slots=True)
class Detour:
    """How requests get to a worker that does not read their queues.

    Attributes:
        command: Arguments for Python; run to its end before the worker is started, and killed by nobody.
        queue: Where they are then.
    """

    command: tuple[str, ...]
    queue: str


@dataclass(slots=True)
class Course:
    """One run of the schedule."""

    process: Process
    mailbox: Mailbox
    queues: "Queues"
    sandbox: Sandbox
    requests: int
    kills: int = field(default=0, init=False)
    _seen: tuple[int, int] = field(default=(0, 0), init=False)
    _seen_at: float = field(default_factory=time.monotonic, init=False)

    @classmethod
    @asynccontextmanager
    async def prepare(
        cls, command: Sequence[str], house: House, orders: Sequence[Order], detour: Detour | None
    ) -> AsyncIterator[Self]:
        """Everything for one run: the requests lie in their queues, the worker is not started."""
        async with AsyncExitStack() as stack:
            await _declare(house.broker_url)
            mailbox = await stack.enter_async_context(Mailbox(house.broker_url))
            await publish(mailbox, orders)
            connection = await stack.enter_async_context(await aio_pika.connect(house.broker_url))
            names = _REQUEST_QUEUES if detour is None else (detour.queue,)
            queues = Queues(await connection.channel(), names)
            log = house.folder / "worker.log"
            if detour is not None:
                await Process(detour.command, house.environment, log).run()
            process = await stack.enter_async_context(Process(command, house.environment, log))
            yield cls(process, mailbox, queues, house.sandbox, len(orders))

    async def run(self, gaps: Sequence[float], patience: float, give_up_after: float) -> bool:
        """Start, kill, start again, wait until all is still, and stop. Whether that was reached in time."""
        try:
            async with asyncio.timeout(give_up_after):
                await self._start()
                for gap in gaps:
                    if not await self._has_worked_for(gap, patience):
                        break
                    await self._kill()
                    await self._start()
                await self._until_still(patience)
        except TimeoutError:
            return False
        finally:
            await self.process.stop()
        return True

    async def _start(self) -> None:
        await self.process.start()
        deadline = time.monotonic() + _READY_WITHIN
        while not await self.queues.have_consumers():
            if self.process.ended or time.monotonic() > deadline:
                raise RuntimeError(f"the worker is not ready:\n{self.process.last_words()}")
            await asyncio.sleep(0.05)
        self._seen_at = time.monotonic()  # while nobody could work, nothing was still

    async def _kill(self) -> None:
        await self.process.kill()
        self.kills += 1
        while await self.queues.have_consumers():
            # The broker takes a moment to see that the connection is gone.
            await self.mailbox.until(self._all_answered, 0.05)

    async def _has_worked_for(self, gap: float, patience: float) -> bool:
        """Wait that long, and on until something happened; False when all is answered or nothing happens any more."""
        began = time.monotonic()
        if await self.mailbox.until(self._all_answered, gap):
            return False
        while self._still_since() < began:
            if self.process.ended:
                raise RuntimeError(f"the worker ended by itself:\n{self.process.last_words()}")
            if time.monotonic() - self._still_since() > patience:
                return False
            if await self.mailbox.until(self._all_answered, 0.2):
                return False
        return True

    async def _until_still(self, patience: float) -> None:
        while True:
            calm = self._all_answered() and await self.queues.are_empty()
            if time.monotonic() - self._still_since() >= (_STILL_FOR if calm else patience):
                return
            await asyncio.sleep(0.2)

    def _still_since(self) -> float:
        """When something new was seen for the last time."""
        if (progress := self._progress()) != self._seen:
            self._seen, self._seen_at = progress, time.monotonic()
        return self._seen_at

    def _progress(self) -> tuple[int, int]:
        return sum(len(events) for events in self.mailbox.events.values()), creates_of(self.sandbox)

    def _all_answered(self) -> bool:
        return sum(1 for events in self.mailbox.events.values() if events) >= self.requests


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues that the worker reads, as the broker sees them: the one witness that fits every make of worker."""

    channel: AbstractChannel
    names: Sequence[str]

    async def have_consumers(self) -> bool:
        """Whether somebody reads any of them."""
        return any(declared.consumer_count for declared in await self._look())

    async def are_empty(self) -> bool:
        """Whether no request waits to be delivered."""
        return not any(declared.message_count for declared in await self._look())

    async def _look(self) -> list[spec.Queue.DeclareOk]:
        queues = [await self.channel.declare_queue(name, passive=True) for name in self.names]
        return [queue.declaration_result for queue in queues]


async def _declare(broker_url: str) -> None:
    """As our worker would; the others find everything there, as they would where operators own the broker."""
    async with Admin.connect(ConnectionSettings(broker_url), Topology(PROVIDERS)) as admin:
        await admin.declare()


def creates_of(sandbox: Sandbox) -> int:
    """Creates that reached the providers, whatever came of them."""
    return sum(sandbox.creates(name).attempted for name in sandbox.provider_names)

"""A connection that is kept up: opened, prepared, and built anew whenever it is lost. Nothing is mended."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

from worker.core.clock import Clock
from worker.core.errors import BrokerUnavailable, ConfigurationError
from worker.core.observer import BrokerChanged, Observer
from worker.rabbitmq.connection import Connection, ConnectionSettings

_SHORTEST_PAUSE = 0.2


class Link:
    """One supervised connection: connecting, up, down, and again, for as long as `run` runs.

    Args:
        name: "consume" or "publish".
        settings: Where the broker is.
        prepare: Runs on every new connection before it counts as up.
        tend: Runs while it is up; a BrokerUnavailable it raises is the end of that connection.
        observer: Is told every change of state, and every new reason for staying down, once.
        clock: For the pauses.
    """

    def __init__(
        self,
        name: str,
        settings: ConnectionSettings,
        *,
        prepare: Callable[[Connection], Awaitable[None]],
        tend: Callable[[Connection], Coroutine[Any, Any, None]],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._name = name
        self._settings = settings
        self._prepare = prepare
        self._tend = tend
        self._observer = observer
        self._clock = clock
        self._connection: Connection | None = None
        self._was_up = False
        self._told: BrokerChanged | None = None

    @property
    def connection(self) -> Connection | None:
        """The connection, while it is up."""
        return self._connection

    async def run(self) -> NoReturn:
        """Keep a connection up until cancelled.

        Raises:
            ConfigurationError: the broker refuses the login, or the topology differs, before the connection was up
                for the first time. Later both are a reason to go on trying: somebody is at work on the broker.
        """
        failures = 0
        while True:
            began = self._clock.monotonic()
            self._tell(up=False, detail=await self._live())
            lasted = self._clock.monotonic() - began > self._settings.longest_pause
            failures = 0 if lasted else failures + 1
            await self._clock.sleep(self._pause(failures))

    async def _live(self) -> str:
        """One connection, from its first byte to its last; returns why it ended."""
        try:
            connection = await Connection.open(self._settings, self._name)
            try:
                return await self._use(connection)
            finally:
                self._connection = None
                await (connection.cut() if connection.end.done() else connection.close())
        except ConfigurationError as error:
            if not self._was_up:
                raise
            return str(error)
        except BrokerUnavailable as error:
            return str(error)

    async def _use(self, connection: Connection) -> str:
        await self._prepare(connection)
        self._connection, self._was_up = connection, True
        self._tell(up=True, detail=f"{connection.broker} at {self._settings.address}")
        tending = asyncio.create_task(self._tend(connection), name=f"tend the {self._name} connection")
        try:
            await _first_of(tending, connection.end)
        finally:
            tending.cancel()
            await asyncio.wait({tending})
        if not tending.cancelled() and (failure := tending.exception()) and not connection.end.done():
            raise failure
        return await connection.end

    def _pause(self, failures: int) -> float:
        """Doubled with each failure, half of it jitter: workers that lost the same broker do not return in step."""
        longest = min(self._settings.longest_pause, _SHORTEST_PAUSE * 2 ** min(failures, 16))
        return random.uniform(longest / 2, longest)

    def _tell(self, *, up: bool, detail: str) -> None:
        fact = BrokerChanged(connection=self._name, up=up, detail=detail)
        if fact != self._told:
            self._told = fact
            self._observer.tell(fact)


async def _first_of(task: asyncio.Task[None], end: asyncio.Future[str]) -> None:
    both: set[asyncio.Future[Any]] = {task, end}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)

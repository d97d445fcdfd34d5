"""A connection that is kept up: opened, prepared, and built anew whenever it is lost. Nothing is mended."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn

from worker.core.clock import Clock
from worker.core.errors import BrokerUnavailable, ConfigurationError
from worker.core.observer import BrokerChanged, Observer
from worker.rabbitmq.connection import Connection, ConnectionSettings

_SHORTEST_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class LinkChange:
    """A connection came up, or is down for the reason in `detail`."""

    up: bool
    detail: str


class Link:
    """One supervised connection: connecting, up, down, and again, for as long as `run` runs.

    Args:
        name: What the broker's own tools will show.
        settings: Where the broker is.
        tend: Runs while it is up; a BrokerUnavailable it raises is the end of that connection.
        tell: Is told every change of state, and every new reason for staying down, once.
        clock: For the pauses.
        prepare: Runs on every new connection before it counts as up.
        gate: Is waited for before every try to connect.
        patient: Whether a configuration that the broker refuses is waited out from the first try on.
    """

    def __init__(
        self,
        name: str,
        settings: ConnectionSettings,
        *,
        tend: Callable[[Connection], Coroutine[Any, Any, None]],
        tell: Callable[[LinkChange], None],
        clock: Clock,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
        gate: Callable[[], Awaitable[None]] | None = None,
        patient: bool = False,
    ) -> None:
        self._name = name
        self._settings = settings
        self._prepare = prepare
        self._tend = tend
        self._tell = tell
        self._clock = clock
        self._gate = gate
        self._patient = patient
        self._connection: Connection | None = None
        self._told: LinkChange | None = None

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
            if self._gate is not None:
                await self._gate()
            began = self._clock.monotonic()
            self._tell_once(LinkChange(up=False, detail=await self._live()))
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
            if not self._patient:
                raise
            return str(error)
        except BrokerUnavailable as error:
            return str(error)

    async def _use(self, connection: Connection) -> str:
        if self._prepare is not None:
            await self._prepare(connection)
        self._connection, self._patient = connection, True
        self._tell_once(LinkChange(up=True, detail=f"{connection.broker} at {self._settings.address}"))
        tending = asyncio.create_task(self._tend(connection), name=f"tend the {self._name} connection")
        try:
            await _first_of(tending, connection.end)
        finally:
            tending.cancel()
            await asyncio.wait({tending})
        if tending.cancelled() or connection.end.done():
            return await connection.end
        try:
            tending.result()
        except BrokerUnavailable as error:
            return connection.why(str(error))
        return await connection.end

    def _pause(self, failures: int) -> float:
        """Doubled with each failure, half of it jitter: workers that lost the same broker do not return in step."""
        longest = min(self._settings.longest_pause, _SHORTEST_PAUSE * 2 ** min(failures, 16))
        return random.uniform(longest / 2, longest)

    def _tell_once(self, change: LinkChange) -> None:
        if change != self._told:
            self._told = change
            self._tell(change)


def broker_changes(connection: str, observer: Observer) -> Callable[[LinkChange], None]:
    """What a link tells where it stands for the broker as a whole; `connection` is consume or publish."""
    return lambda change: observer.tell(BrokerChanged(connection, up=change.up, detail=change.detail))


async def _first_of(task: asyncio.Task[None], end: asyncio.Future[str]) -> None:
    both: set[asyncio.Future[Any]] = {task, end}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)

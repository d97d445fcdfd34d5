"""A TCP proxy that does to connections what networks do: it delays, cuts, resets, stalls and swallows, on purpose.

One proxy stands in front of one target. It knows nothing of what it carries, so the same one stands before a provider,
a broker and a database.
"""

import asyncio
import socket
from collections import Counter, deque
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Self

from tests.evidence.connection import Connection, Direction, Kind, Trouble

__all__ = ["Direction", "FaultProxy", "Kind", "Trouble"]

_BACKLOG = 1024


class FaultProxy:
    """Listens on a port of 127.0.0.1 and passes every connection on to the target; an async context manager.

    What happens to a connection is decided when it is accepted: by the oldest word of `next`, else by the weather,
    else nothing. A target that takes no connection resets the client's. Two proxies with one seed, told the same in
    the same order, do the same to the same connections.

    Attributes:
        host: Where it listens.
        port: On which port; the same for the whole life, also while connects are refused.
        applied: How often each kind came over a connection; a trouble whose `after_bytes` never came is not counted.

    Raises:
        OSError: On entering, the port cannot be bound.
    """

    def __init__(self, host: str, port: int, *, seed: int = 0, listen_port: int = 0) -> None:
        self.host = "127.0.0.1"
        self.port = listen_port
        self.applied: Counter[Kind] = Counter()
        self._target = (host, port)
        self._draws = Random(seed)
        self._next: deque[Trouble | None] = deque()
        self._weather: dict[Trouble, float] = {}
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._reserved: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reserve()
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        if self._reserved is not None:
            self._reserved.close()
        carrying = list(self._open.values())
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many are open right now; one that was cut counts until both ends have closed theirs, a second at most."""
        return len(self._open)

    def next(self, *troubles: Trouble | None) -> None:
        """One for each of the next connections, in order, behind what was said before; None leaves one alone."""
        self._next.extend(troubles)

    def weather(self, rates: Mapping[Trouble, float]) -> None:
        """From now on each further connection meets at most one of these, with its rate from 0 to 1.

        Raises:
            ValueError: A rate is negative, or they are more than 1 together.
        """
        if any(rate < 0 for rate in rates.values()) or sum(rates.values()) > 1 + 1e-9:
            raise ValueError("rates are not negative and at most 1 together")
        self._weather = dict(rates)

    def now(self, trouble: Trouble) -> None:
        """To every open connection; at once, unless bytes are still to come by its `after_bytes`."""
        for connection in list(self._open):
            connection.meet(trouble)

    def heal(self) -> None:
        """End every stall, delay and black hole, and forget all that was still to come."""
        self._next.clear()
        self._weather = {}
        for connection in self._open:
            connection.heal()

    async def refuse(self) -> None:
        """Refuse connects from now on. Open connections stay, and nobody else is given the port."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._reserve()

    async def accept(self) -> None:
        """Take connects again, on the same port."""
        if self._server is None:
            reserved, self._reserved = self._reserved, None
            self._server = await asyncio.start_server(self._carry, sock=reserved, backlog=_BACKLOG)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is true of `applied` or `connections`."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def _reserve(self) -> None:
        """Bound and not listening: connects are refused, and the port stays ours."""
        reserved = socket.socket()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setblocking(False)
        try:
            reserved.bind((self.host, self.port))
        except OSError:
            reserved.close()
            raise
        self._reserved, self.port = reserved, reserved.getsockname()[1]

    def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self._note)
        trouble = self._fate()
        if trouble is not None:
            connection.meet(trouble)
        self._open[connection] = asyncio.create_task(
            connection.carry(self._target), name="carried connection"
        )
        self._open[connection].add_done_callback(lambda _: self._ended(connection))
        self._changed.set()

    def _fate(self) -> Trouble | None:
        if self._next:
            return self._next.popleft()
        draw = self._draws.random() if self._weather else 0.0
        for trouble, rate in self._weather.items():
            if draw < rate:
                return trouble
            draw -= rate
        return None

    def _note(self, kind: Kind) -> None:
        self.applied[kind] += 1
        self._changed.set()

    def _ended(self, connection: Connection) -> None:
        del self._open[connection]
        self._changed.set()

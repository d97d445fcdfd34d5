"""A plain server and plain clients on both sides of a fault proxy, with which the proxy itself is measured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.evidence.proxy import Direction, FaultProxy

LARGE = bytes(range(256)) * 8192
"""Two megabytes: more than any buffer on the way."""

End: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Server:
    """A server whose ends of the connections a test holds in its hands."""

    accepted: asyncio.Queue[End] = field(default_factory=asyncio.Queue)
    port: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more connection."""
        await self.accepted.put((reader, writer))


@dataclass
class Line:
    """One connection through the proxy, seen from both ends."""

    client: End
    server: End

    def source(self, direction: Direction) -> asyncio.StreamWriter:
        """Where bytes of a direction are written."""
        return (self.client if direction is Direction.UP else self.server)[1]

    def sink(self, direction: Direction) -> asyncio.StreamReader:
        """Where they arrive."""
        return (self.server if direction is Direction.UP else self.client)[0]

    async def carries(self, direction: Direction, sent: bytes) -> None:
        """Bytes sent in a direction arrive whole."""
        self.source(direction).write(sent)
        arrived, _ = await asyncio.gather(
            self.sink(direction).readexactly(len(sent)), self.source(direction).drain()
        )
        assert arrived == sent


@dataclass
class Rig:
    """A server, a proxy in front of it, and every end that was opened."""

    server: Server
    proxy: FaultProxy
    ends: list[End] = field(default_factory=list)

    async def connect(self) -> Line:
        """One more connection through the proxy."""
        self.ends.append(await asyncio.open_connection(self.proxy.host, self.proxy.port))
        self.ends.append(await self.server.accepted.get())
        return Line(self.ends[-2], self.ends[-1])


@asynccontextmanager
async def open_rig() -> AsyncIterator[Rig]:
    """The rig; every end is closed when the block ends."""
    server = Server()
    listener = await asyncio.start_server(server.take, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        rig = Rig(server, proxy)
        yield rig
    for _, writer in rig.ends:
        writer.transport.abort()
    listener.close()


def other(direction: Direction) -> Direction:
    """The opposite way."""
    return Direction.DOWN if direction is Direction.UP else Direction.UP


async def turns(count: int = 20) -> None:
    """Let everything that can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)

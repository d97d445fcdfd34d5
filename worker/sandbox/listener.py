"""The provider port: a listening socket that can be closed for real and opened again on the same port."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

_BACKLOG = 1024
_LAST_ANSWERS = 0.2
"""Seconds that answers already being written get when the sandbox stops."""
_TURNS_TO_NOTICE = 5
"""Turns of the event loop after which a client in this process knows that its pooled connection has ended."""


class Listener:
    """Serves `answer` on a port. While it is closed, connections are refused and the port stays reserved."""

    def __init__(
        self, host: str, port: int, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> None:
        self._host = host
        self._port = port
        self._answer = answer
        self._busy: dict[web.RequestHandler, asyncio.Task[None]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._reserved: socket.socket | None = None
        self._listening: asyncio.Server | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def is_open(self) -> bool:
        return self._listening is not None

    async def start(self) -> None:
        """Binds the port (0 means any free one) and listens.

        Raises:
            OSError: The port cannot be bound.
        """
        self._server = web.Server(self._serve, access_log=None)
        self._reserve()
        await self.open()

    async def open(self) -> None:
        """Listens on the reserved port; does nothing if it does already."""
        if self._reserved is None:
            return
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._server, sock=self._reserved, backlog=_BACKLOG)
        self._reserved = None

    async def close(self) -> None:
        """Refuses new connections and drops the idle ones; requests under way are answered, then dropped."""
        self._stop_listening()
        for _ in range(_TURNS_TO_NOTICE):
            await asyncio.sleep(0)

    async def idle(self) -> None:
        """Waits until no request is under way."""
        await self._idle.wait()

    def cut_requests(self) -> None:
        """Drops every request under way, and with it what it would still have done."""
        for task in self._busy.values():
            task.cancel()

    async def stop(self) -> None:
        """Closes for good and gives the port back."""
        self._stop_listening()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        self.cut_requests()
        await self._server.shutdown(timeout=_LAST_ANSWERS)

    def _stop_listening(self) -> None:
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        self._reserve()
        for connection in self._server.connections:
            if connection not in self._busy:
                connection.force_close()

    def _reserve(self) -> None:
        """Binds without listening: connections are refused, and nobody else is given the port."""
        family, kind, protocol, _, address = socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        reserved = socket.socket(family, kind, protocol)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setblocking(False)
        try:
            reserved.bind(address)
        except OSError:
            reserved.close()
            raise
        self._reserved = reserved
        self._port = reserved.getsockname()[1]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy[request.protocol] = request.task
        self._idle.clear()
        try:
            response = await self._answer(request)
        finally:
            del self._busy[request.protocol]
            if not self._busy:
                self._idle.set()
        if not self.is_open:
            response.force_close()
        return response

"""The socket under one connection: ours, so that it can be cut at once, heard out, and mended."""

import asyncio
from typing import Any

from aiormq.connection import TransportFactory
from pamqp import constants
from yarl import URL

from worker.core.errors import ConfigurationError
from worker.rabbitmq import frames

_PORT = 5672
_TLS_GOODBYE = 2.0
"""Seconds the other side gets to end TLS properly, before the socket is closed anyway."""


class FrameReader(asyncio.StreamReader):
    """Bytes from the broker, as aiormq asks for them: the head of a frame, then its payload with the end mark."""

    farewell: tuple[int, str] | None = None
    blocked: str = ""
    _head = b""

    async def readexactly(self, n: int) -> bytes:
        data = await super().readexactly(n)
        if len(self._head) < constants.FRAME_HEADER_SIZE:
            self._head += data
            return data
        kind, self._head = self._head[0], b""
        if kind == constants.FRAME_BODY:
            return data
        return self._heard(kind, data[:-1]) + data[-1:]

    def _heard(self, kind: int, payload: bytes) -> bytes:
        self.farewell = frames.farewell(kind, payload) or self.farewell
        blocking = frames.blocking(kind, payload)
        if blocking is not None:
            self.blocked = blocking
        return frames.mend(kind, payload)


class Transport(TransportFactory):
    """Opens the socket for aiormq and keeps hold of it."""

    def __init__(self) -> None:
        self._reader: FrameReader | None = None
        self._transport: asyncio.Transport | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect; certificates and verification are as the URL's query says (`cafile`, `certfile`, `keyfile`).

        Raises:
            OSError: no such host, refused, or TLS failed.
            ConfigurationError: the files with the certificates cannot be read.
        """
        try:
            tls = await kwargs["ssl_context_provider"].get_context() if url.scheme == "amqps" else None
        except OSError as error:
            raise ConfigurationError(f"cannot read its cafile, certfile or keyfile: {error}") from error
        loop = asyncio.get_running_loop()
        reader = FrameReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(
            lambda: protocol,
            url.host or "localhost",
            url.port or _PORT,
            ssl=tls,
            ssl_shutdown_timeout=_TLS_GOODBYE if tls else None,
        )
        self._reader, self._transport = reader, transport
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    @property
    def farewell(self) -> tuple[int, str] | None:
        """Reply code and text with which the broker closed the connection, where it said any."""
        return self._reader.farewell if self._reader else None

    @property
    def blocked(self) -> str:
        """Why the broker does not listen to publishers now (an alarm), or ""."""
        return self._reader.blocked if self._reader else ""

    def abort(self) -> None:
        """Cut the socket without another word. Whatever waits on it ends, in whatever state it is."""
        if self._transport is not None:
            self._transport.abort()

"""The bytes that leave the provider port: honest answers, and the broken ones that no web framework would
send.

The broken ones are responses whose `prepare` writes to the transport itself and then raises
`ConnectionError`, which makes aiohttp flush what was written and close.
"""

import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from http.client import responses

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from worker.sandbox.provider import Answer

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CHUNK = b"x" * 65536


def respond(answer: Answer) -> web.Response:
    """The answer as it is."""
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def respond_text(status: int, text: str, content_type: str | None = None) -> web.Response:
    """A body as given; its content type, unless given, is guessed from its first character."""
    if content_type is None:
        content_type = {"{": "application/json", "[": "application/json", "<": "text/html"}.get(
            text.lstrip()[:1], "text/plain"
        )
    return web.Response(status=status, body=text.encode(), headers={"Content-Type": content_type})


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The status line and the headers, with the empty line after them."""
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Cut(web.StreamResponse):
    """Closes the connection without a byte."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        del request
        raise ConnectionAbortedError("cut")


class Reset(web.StreamResponse):
    """Closes the connection with a TCP reset, without a byte."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        transport = request.transport
        if transport is not None:
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
            transport.abort()
        raise ConnectionAbortedError("reset")


class RawBytes(web.StreamResponse):
    """Writes bytes as they are, holds the connection as long as `hold` takes, then closes it."""

    def __init__(self, data: bytes, hold: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__()
        self._data = data
        self._hold = hold

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if request.transport is not None:
            request.transport.write(self._data)
        if self._hold is not None:
            await self._hold()
        raise ConnectionAbortedError("raw bytes end here")


class Flood(web.StreamResponse):
    """A chunked answer of about `size` bytes: one JSON object, padding first, the true answer's fields
    last.
    """

    def __init__(self, answer: Answer, size: int) -> None:
        super().__init__(status=answer.status, headers=answer.headers)
        self.enable_chunked_encoding()
        self._tail = answer.body
        self._size = size

    async def write_eof(self, data: bytes = b"") -> None:
        await self.write(b'{"padding":"')
        for written in range(0, self._size, len(_CHUNK)):
            await self.write(_CHUNK[: self._size - written])
        await self.write(b'",' + self._tail[1:])
        await super().write_eof(data)

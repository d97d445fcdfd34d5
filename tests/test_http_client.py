"""The HTTP client at every moment of reliability.md b.2 that a raw server can make."""

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from worker import __version__
from worker.core.verdict import Moment
from worker.exchange import Exchange, Limits, Request
from worker.http_client import HttpClient

Connected = Callable[["Peer"], Awaitable[None]]

LIMITS = Limits(connect=60, total=120)
SHORT = Limits(connect=60, total=2)
BODY = b'{"name": "x"}'


@dataclass
class Peer:
    """One connection as a server sees it; `released` is set when the test ends."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    released: asyncio.Event
    heads: list[bytes]

    async def read(self) -> None:
        """Read one whole request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if b"Content-Length" in head:
            await self.reader.readexactly(len(BODY))

    def reset(self) -> None:
        """Close with a TCP reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def stall(self) -> None:
        """Stay silent until the test ends."""
        await self.released.wait()


@dataclass
class Servers:
    """Starts raw servers and ends them with the test."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    _servers: list[asyncio.Server] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, connected: Connected) -> str:
        """Serve every connection by `connected` and give the address."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = asyncio.create_task(
                self._serve(connected, Peer(reader, writer, self.released, self.heads))
            )
            self._tasks.add(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self.released.set()
        for server in self._servers:
            server.close()
        await asyncio.gather(*self._tasks)
        for server in self._servers:
            await server.wait_closed()

    async def _serve(self, connected: Connected, peer: Peer) -> None:
        try:
            await connected(peer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            peer.writer.transport.abort()


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    """Raw servers that end with the test."""
    servers = Servers()
    yield servers
    await servers.stop()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """An open client."""
    async with HttpClient() as client:
        yield client


def post(address: str, scheme: str = "http") -> Request:
    """A create."""
    return Request("POST", f"{scheme}://{address}/create", {"Content-Type": "application/json"}, BODY)


def answering(answer: bytes, *, then_stall: bool = False) -> Connected:
    """A server that reads the request, writes these bytes and closes, or stalls."""

    async def connected(peer: Peer) -> None:
        await peer.read()
        peer.writer.write(answer)
        await peer.writer.drain()
        if then_stall:
            await peer.stall()
        peer.writer.close()
        await peer.writer.wait_closed()

    return connected


async def close_at_once(peer: Peer) -> None:
    peer.writer.close()


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


async def close_after_reading(peer: Peer) -> None:
    await peer.read()


async def reset_after_reading(peer: Peer) -> None:
    await peer.read()
    peer.reset()


OK_10 = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SENT, READ, ALL = Moment.REQUEST_SENT, Moment.STATUS_READ, Moment.ANSWER_READ


@pytest.mark.parametrize(
    ("connected", "limits", "moment", "status", "failure", "reason"),
    [
        (close_at_once, LIMITS, SENT, None, "closed", "b.2 moment 4"),
        (reset_at_once, LIMITS, SENT, None, "closed", "b.2 moment 4, with a reset"),
        (close_after_reading, LIMITS, SENT, None, "closed", "b.2 moment 5"),
        (reset_after_reading, LIMITS, SENT, None, "closed", "b.2 moment 5, with a reset"),
        (answering(b"", then_stall=True), SHORT, SENT, None, "timeout", "b.2 moment 6"),
        (answering(b"NOT HTTP\r\n\r\n"), LIMITS, SENT, None, "garbled", "b.2 moment 9"),
        (answering(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), LIMITS, SENT, None, "garbled", "a bad header"),
        (answering(b"HTTP/1.1 200 OK\r\n"), LIMITS, SENT, None, "closed", "the head is cut"),
        (answering(b"HTTP/1.1 200 OK\r\n", then_stall=True), SHORT, SENT, None, "timeout", "the head stalls"),
        (answering(OK_10 + b'{"id"'), LIMITS, READ, 200, "body_cut", "b.2 moment 10"),
        (answering(OK_10 + b'{"id"', then_stall=True), SHORT, READ, 200, "timeout", "b.2 moment 10, stalled"),
        (answering(CHUNKED + b"5\r\n{'id'\r\n"), LIMITS, READ, 200, "body_cut", "no last chunk"),
        (answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_100_000), LIMITS, READ, 200, "too_large", "endless"),
        (answering(b"HTTP/1.1 200 OK\r\n\r\n{}"), LIMITS, ALL, 200, None, "a body until the close"),
        (
            answering(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 -\r\n\r\n"),
            LIMITS,
            ALL,
            204,
            None,
            "a 1xx first",
        ),
        (answering(b"HTTP/1.1 599 -\r\nContent-Length: 0\r\n\r\n"), LIMITS, ALL, 599, None, "any status"),
    ],
)
async def test_moment_after_the_send(  # noqa: PLR0917 - one row of the table
    servers: Servers,
    client: HttpClient,
    connected: Connected,
    limits: Limits,
    moment: Moment,
    status: int | None,
    failure: str | None,
    reason: str,
) -> None:
    """Whatever happens after the request left is written down with its moment, and the create is sent once."""
    exchange = await client.exchange(post(await servers.start(connected)), limits)
    assert (exchange.moment, exchange.status, exchange.failure) == (moment, status, failure), reason
    assert servers.connections == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_redirect_is_not_followed(servers: Servers, client: HttpClient, status: int) -> None:
    """Exactly one request is seen, and the redirect's status is what is reported."""
    head = f"HTTP/1.1 {status} -\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode()
    exchange = await client.exchange(post(await servers.start(answering(head))), LIMITS)
    assert (exchange.status, exchange.moment, len(servers.heads)) == (status, ALL, 1)


async def test_refused_connection_sends_nothing(client: HttpClient) -> None:
    """A port where nobody listens leaves the exchange at connecting."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        exchange = await client.exchange(post(f"127.0.0.1:{unused.getsockname()[1]}"), LIMITS)
    assert exchange == Exchange(Moment.CONNECTING, failure="refused")


@pytest.mark.parametrize("limits", [replace(LIMITS, connect=0.2), replace(LIMITS, total=0.2)])
async def test_full_backlog_sends_nothing(client: HttpClient, limits: Limits) -> None:
    """A connection that is never taken is a connect time-out, whichever limit ends it."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        exchange = await client.exchange(post(f"127.0.0.1:{full.getsockname()[1]}"), limits)
        for one in waiting:
            one.close()
    assert exchange == Exchange(Moment.CONNECTING, failure="connect_timeout")


async def test_a_request_that_is_too_late_is_not_sent(servers: Servers, client: HttpClient) -> None:
    """A worker that was frozen until its connection stood writes no byte to it when it wakes."""
    seen: list[bytes] = []

    async def connected(peer: Peer) -> None:
        seen.append(await peer.reader.read())

    limits = replace(LIMITS, in_time=lambda: False)
    exchange = await client.exchange(post(await servers.start(connected)), limits)
    await servers.stop()
    assert exchange == Exchange(Moment.CONNECTING, failure="too_late")
    assert seen in ([], [b""])


async def test_a_request_that_becomes_too_late_between_head_and_body_is_in_doubt(
    servers: Servers, client: HttpClient
) -> None:
    """Still no byte is written; but the head was on its way, so nobody claims that it was not sent."""
    seen: list[bytes] = []
    answers, arrived = iter([True, False]), asyncio.Event()

    async def connected(peer: Peer) -> None:
        arrived.set()
        seen.append(await peer.reader.read())

    limits = replace(LIMITS, in_time=lambda: next(answers))
    exchange = await client.exchange(post(await servers.start(connected)), limits)
    await arrived.wait()
    await servers.stop()
    assert exchange.moment is Moment.HEADERS_SENT
    assert exchange.failure is not None
    assert seen == [b""]


async def test_unknown_host_sends_nothing(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved leaves the exchange at connecting."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    exchange = await client.exchange(post("provider.example"), LIMITS)
    assert exchange == Exchange(Moment.CONNECTING, failure="dns")


async def test_stalled_tls_handshake_sends_nothing(servers: Servers, client: HttpClient) -> None:
    """The handshake belongs to connecting: a peer that never answers it has not seen the request."""
    address = await servers.start(Peer.stall)
    exchange = await client.exchange(post(address, "https"), replace(LIMITS, connect=0.2))
    assert exchange == Exchange(Moment.CONNECTING, failure="connect_timeout")


async def test_failed_tls_handshake_sends_nothing(servers: Servers, client: HttpClient) -> None:
    """A peer that speaks no TLS has not seen the request."""

    async def speak_plainly(peer: Peer) -> None:
        peer.writer.write(b"220 this is no TLS record\r\n")
        await peer.writer.drain()
        await peer.stall()

    exchange = await client.exchange(post(await servers.start(speak_plainly), "https"), LIMITS)
    assert exchange == Exchange(Moment.CONNECTING, failure="tls")


async def test_address_that_is_none_sends_nothing(client: HttpClient) -> None:
    """An address that cannot be used is no exception, and nothing left."""
    exchange = await client.exchange(post("127.0.0.1:99999"), LIMITS)
    assert exchange == Exchange(Moment.PREPARING, failure="broken")


async def test_every_create_has_a_connection_of_its_own(servers: Servers, client: HttpClient) -> None:
    """No connection is reused, so that a stale one cannot make a doubt; the headers are those documented."""
    address = await servers.start(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
    for _ in range(2):
        await client.exchange(post(address), LIMITS)
    assert servers.connections == 2
    head = servers.heads[0]
    assert head.startswith(b"POST /create HTTP/1.1\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert f"\r\nUser-Agent: provisioner/{__version__}\r\n".encode() in head


async def test_cookies_are_not_kept(servers: Servers, client: HttpClient) -> None:
    """A cookie that a provider sets is not sent back."""
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1; Path=/\r\nContent-Length: 2\r\n\r\n{}"
    address = await servers.start(answering(answer))
    for _ in range(2):
        await client.exchange(post(address), LIMITS)
    assert b"cookie" not in servers.heads[1].lower()


async def test_proxy_of_the_environment_is_not_used(
    servers: Servers, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment cannot divert a create to a proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    address = await servers.start(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
    assert (await client.exchange(post(address), LIMITS)).status == 200


async def test_decompression_bomb_is_cut_off(servers: Servers, client: HttpClient) -> None:
    """The limit counts bytes after decompression, and the status is kept."""
    bomb = gzip.compress(bytes(20_000_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    exchange = await client.exchange(post(await servers.start(answering(head + bomb))), LIMITS)
    assert exchange == Exchange(READ, 200, exchange.headers, b"", "too_large")


async def test_larger_limit_reads_more(servers: Servers, client: HttpClient) -> None:
    """A caller who expects a list may ask for more bytes."""
    address = await servers.start(answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_100_000))
    exchange = await client.exchange(post(address), replace(LIMITS, max_bytes=2_000_000))
    assert (exchange.failure, len(exchange.body)) == (None, 1_100_000)


async def test_what_was_read_of_a_cut_body_is_kept(servers: Servers, client: HttpClient) -> None:
    """A whole JSON object is proof even when the connection breaks after it."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b'{"id": 1}'
    exchange = await client.exchange(post(await servers.start(answering(whole))), LIMITS)
    assert (exchange.failure, exchange.json()) == ("body_cut", {"id": 1})


async def test_query_is_quoted_and_headers_found_in_any_case(servers: Servers, client: HttpClient) -> None:
    """What a query holds arrives unchanged, and headers of the answer have no case."""
    answer = b"HTTP/1.1 200 OK\r\nretry-AFTER: 7\r\nContent-Length: 2\r\n\r\n{}"
    request = Request(
        "GET", f"http://{await servers.start(answering(answer))}/list", query={"f[u]": "a+b c&d"}
    )
    exchange = await client.exchange(request, LIMITS)
    assert exchange.headers["Retry-After"] == "7"
    assert servers.heads[0].split()[1] == b"/list?f%5Bu%5D=a%2Bb+c%26d"


async def test_read_has_no_body_to_send(servers: Servers, client: HttpClient) -> None:
    """A GET ends at its headers; it alone may be sent twice, as reading changes nothing."""
    address = await servers.start(close_after_reading)
    exchange = await client.exchange(Request("GET", f"http://{address}/list"), LIMITS)
    assert (exchange.moment, exchange.failure) == (Moment.HEADERS_SENT, "closed")
    assert servers.connections <= 2


async def test_cancellation_is_passed_on(servers: Servers, client: HttpClient) -> None:
    """Who cancels the exchange is not told that it failed."""
    arrived = asyncio.Event()

    async def connected(peer: Peer) -> None:
        await peer.read()
        arrived.set()
        await peer.stall()

    task = asyncio.create_task(client.exchange(post(await servers.start(connected)), LIMITS))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_client_outside_its_context_is_a_mistake() -> None:
    """Using the client before it is entered is an error of ours and says so."""
    with pytest.raises(RuntimeError, match="outside its context"):
        await HttpClient().exchange(post("127.0.0.1:9"), LIMITS)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "nothing"),
        (b"<html>", "a page"),
        (b'{"a": 1,}', "a trailing comma"),
        (b'{"a": 1, "a": 2}', "a repeated key"),
        (b'{"a": NaN}', "not a number"),
        (b'{"a": 1e999}', "an infinity in disguise"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\\ud800"}', "half a surrogate pair"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    ],
)
def test_what_is_not_strict_json_is_none(body: bytes, reason: str) -> None:
    """A body that parsers could read differently, or not at all, is no JSON."""
    assert Exchange(ALL, 200, {}, body).json() is None, reason


def test_strict_json_is_read() -> None:
    """Whole JSON is given as plain values."""
    assert Exchange(ALL, 200, {}, b'{"a": [1, 2.5, null, "\\u00e9"]}').json() == {"a": [1, 2.5, None, "é"]}


def test_repr_shows_no_secret() -> None:
    """Neither a request nor an exchange shows its headers or its body."""
    request = Request("POST", "http://x/", {"Authorization": "canary-secret"}, b"canary-secret")
    exchange = Exchange(ALL, 200, {"Set-Cookie": "canary-secret"}, b"canary-secret")
    assert "canary-secret" not in f"{request!r} {exchange!r}"

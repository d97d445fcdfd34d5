"""One HTTP exchange, seen moment by moment. Nothing that happens on the wire is raised: it is written down.

The moment comes from aiohttp's trace hooks, never from an exception class: a time-out while connecting and
one while waiting for the answer raise the same class, and a garbled status line raises one that claims
status 400.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp

from worker import __version__
from worker.core.verdict import Moment
from worker.exchange import Exchange, Limits, Request


class HttpClient:
    """Sends requests to one provider; an async context manager. Implements `worker.exchange.Http`.

    Every exchange has a connection of its own: on a kept-alive one the provider's idle time-out would turn
    creates into doubts. No redirect is followed, no cookie kept, no proxy taken from the environment, and
    certificates are verified.

    Args:
        reached: Is told each moment of each exchange. Must not raise.
    """

    def __init__(self, reached: Callable[[Moment], None] = lambda _moment: None) -> None:
        self._reached = reached
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"provisioner/{__version__}"},
            trace_configs=[_trace()],
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def exchange(self, request: Request, limits: Limits) -> Exchange:
        """Send the request and say what was seen.

        Raises:
            RuntimeError: the client is used outside its context. Nothing else is raised, but a cancellation.
        """
        if self._session is None:
            raise RuntimeError("the HTTP client is used outside its context")
        seen = _Seen(limits.in_time, self._reached)
        try:
            async with self._send(self._session, request, limits, seen) as response:
                seen.reached(Moment.STATUS_READ)
                seen.status, seen.headers = response.status, response.headers
                await _read(response, seen, limits.max_bytes)
                seen.reached(Moment.ANSWER_READ)
        except Exception as problem:  # noqa: BLE001 - an unknown class after the send is a doubt, not an escape
            seen.failure = _name(problem, seen)
        return seen.exchange()

    def _send(
        self, session: aiohttp.ClientSession, request: Request, limits: Limits, seen: "_Seen"
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return session.request(
            request.method,
            request.url,
            headers=request.headers,
            params=request.query,
            data=request.body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=limits.total, connect=limits.connect),
            trace_request_ctx=seen,
        )


class _TooLargeError(Exception):
    pass


class _TooLateError(Exception):
    pass


class _Seen:
    """The notes taken while one exchange is under way."""

    def __init__(self, in_time: Callable[[], bool], told: Callable[[Moment], None]) -> None:
        self.in_time = in_time
        self._told = told
        self.moment = Moment.PREPARING
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.failure: str | None = None

    def reached(self, moment: Moment) -> None:
        """Later moments stay: a hidden second try of a read must not hide that the first one left."""
        self.moment = max(self.moment, moment)
        self._told(moment)

    def exchange(self) -> Exchange:
        return Exchange(self.moment, self.status, self.headers, bytes(self.body), self.failure)


async def _read(response: aiohttp.ClientResponse, seen: _Seen, max_bytes: int) -> None:
    async for chunk in response.content.iter_any():
        seen.body += chunk
        if len(seen.body) > max_bytes:
            seen.body.clear()
            raise _TooLargeError


def _trace() -> aiohttp.TraceConfig:
    # aiohttp fires both "sent" hooks just before it writes: where they are silent, nothing has left.
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_note(Moment.CONNECTING))
    for sent in (trace.on_request_headers_sent, trace.on_request_chunk_sent):
        sent.append(_refuse_too_late)
    trace.on_request_headers_sent.append(_note(Moment.HEADERS_SENT))
    trace.on_request_chunk_sent.append(_note(Moment.REQUEST_SENT))
    return trace


async def _refuse_too_late(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    if not context.trace_request_ctx.in_time():
        raise _TooLateError


def _note(moment: Moment) -> Any:
    async def note(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.reached(moment)

    return note


def _name(problem: Exception, seen: _Seen) -> str:
    if isinstance(problem, _TooLargeError):
        return "too_large"
    if seen.moment <= Moment.CONNECTING:
        return _name_unsent(problem)
    if isinstance(problem, TimeoutError):
        return "timeout"
    if seen.status is not None:
        return "body_cut"
    return _name_unanswered(problem)


def _name_unsent(problem: Exception) -> str:
    match problem:
        case _TooLateError():
            return "too_late"
        case TimeoutError():
            return "connect_timeout"
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return "tls"
        case OSError():
            return "refused"
        case _:
            return "broken"


def _name_unanswered(problem: Exception) -> str:
    match problem:
        case aiohttp.ClientResponseError():
            return "garbled"
        case aiohttp.ClientConnectionError() | OSError():
            return "closed"
        case _:
            return "broken"

"""What each fault does on the wire.

Every fault but two is in one of three tables: `REFUSALS` answer before any work is done, `MASKS` answer
something of their own whether work was done or not, `DISTORTIONS` spoil the provider's true answer, with the
work behind it done. `slow` and `delayed_create` only shift the work in time; the exchange sees to them.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from aiohttp import web

from worker.sandbox import strict_json, wire
from worker.sandbox.faults import Fault, Rule
from worker.sandbox.provider import Answer, Provider

HUGE_BODY_BYTES = 50_000_000
HTML_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Stage:
    """What a distortion needs besides its rule.

    `wait` lasts as long as the rule's `seconds` or `until` say, or not at all; `later` runs something after
    the answer.
    """

    provider: Provider
    wait: Callable[[Rule], Awaitable[None]]
    later: Callable[[Coroutine[Any, Any, None]], None]


def _rate_limited(rule: Rule, provider: Provider) -> web.StreamResponse:
    return wire.respond(provider.rate_limited(1 if rule.seconds is None else rule.seconds))


def _unavailable(rule: Rule, provider: Provider) -> web.StreamResponse:
    response = _error(rule, provider, status=503)
    if rule.seconds is not None:
        response.headers["Retry-After"] = str(ceil(rule.seconds))
    return response


def _server_error(rule: Rule, provider: Provider) -> web.StreamResponse:
    return _error(rule, provider, status=500)


def _cut_before(_rule: Rule, _provider: Provider) -> web.StreamResponse:
    return wire.Cut()


def _redirect(rule: Rule, _provider: Provider) -> web.StreamResponse:
    return web.Response(status=rule.status or 307, headers={"Location": rule.location or "/"})


def _unauthorized(_rule: Rule, provider: Provider) -> web.StreamResponse:
    return wire.respond(provider.error(401, "Not authorised."))


def _forbidden(_rule: Rule, provider: Provider) -> web.StreamResponse:
    return wire.respond(provider.error(403, "Not allowed."))


def _error(rule: Rule, provider: Provider, status: int) -> web.StreamResponse:
    status = rule.status or status
    if rule.body is not None:
        return wire.respond_text(status, rule.body)
    return wire.respond(provider.error(status, "An error occurred on the server."))


REFUSALS: Mapping[Fault, Callable[[Rule, Provider], web.StreamResponse]] = {
    Fault.RATE_LIMITED: _rate_limited,
    Fault.UNAVAILABLE: _unavailable,
    Fault.SERVER_ERROR_BEFORE_CREATE: _server_error,
    Fault.CUT_BEFORE_CREATE: _cut_before,
    Fault.REDIRECT: _redirect,
    Fault.UNAUTHORIZED: _unauthorized,
    Fault.FORBIDDEN: _forbidden,
}


def _garbled(_rule: Rule) -> web.StreamResponse:
    return wire.RawBytes(b"\x00\xffGATEWAY OVERRUN ~~ 200\r\n\r\n")


def _html(rule: Rule) -> web.StreamResponse:
    return wire.respond_text(200, HTML_PAGE if rule.body is None else rule.body, "text/html")


def _status(rule: Rule) -> web.StreamResponse:
    response = wire.respond_text(rule.status or 200, rule.body or "")
    response.headers.update(rule.headers or {})
    return response


MASKS: Mapping[Fault, Callable[[Rule], web.StreamResponse]] = {
    Fault.GARBLED_STATUS_LINE: _garbled,
    Fault.HTML_WITH_200: _html,
    Fault.STATUS: _status,
}


async def _server_error_after(rule: Rule, _answer: Answer, stage: Stage) -> web.StreamResponse:
    return _server_error(rule, stage.provider)


async def _cut_after(_rule: Rule, _answer: Answer, _stage: Stage) -> web.StreamResponse:
    return wire.Cut()


async def _reset_after(_rule: Rule, _answer: Answer, _stage: Stage) -> web.StreamResponse:
    return wire.Reset()


async def _truncated(rule: Rule, answer: Answer, stage: Stage) -> web.StreamResponse:
    head = wire.head(answer.status, {**answer.headers, "Content-Length": str(len(answer.body) + 1)})
    return wire.RawBytes(head + answer.body[: len(answer.body) // 2], hold=lambda: stage.wait(rule))


async def _empty(_rule: Rule, answer: Answer, _stage: Stage) -> web.StreamResponse:
    return web.Response(status=answer.status, headers=answer.headers)


async def _wrong_json(rule: Rule, answer: Answer, stage: Stage) -> web.StreamResponse:
    names = stage.provider.id_fields if rule.drop is None else frozenset(rule.drop)
    spoilt = stage.provider.answer(_without(strict_json.parse(answer.body), names), answer.status)
    return wire.respond(spoilt)


async def _huge(rule: Rule, answer: Answer, _stage: Stage) -> web.StreamResponse:
    return wire.Flood(answer, rule.size or HUGE_BODY_BYTES)


async def _late(rule: Rule, answer: Answer, stage: Stage) -> web.StreamResponse:
    await stage.wait(rule)
    return wire.respond(answer)


async def _lagging(rule: Rule, answer: Answer, stage: Stage) -> web.StreamResponse:
    if answer.made is not None:
        stage.provider.book.hide(answer.made.id)
        stage.later(_show_later(rule, answer.made.id, stage))
    return wire.Cut()


async def _show_later(rule: Rule, account_id: str, stage: Stage) -> None:
    await stage.wait(rule)
    stage.provider.book.show(account_id)


DISTORTIONS: Mapping[Fault, Callable[[Rule, Answer, Stage], Awaitable[web.StreamResponse]]] = {
    Fault.SERVER_ERROR_AFTER_CREATE: _server_error_after,
    Fault.CUT_AFTER_CREATE: _cut_after,
    Fault.RESET_AFTER_CREATE: _reset_after,
    Fault.TRUNCATED_BODY: _truncated,
    Fault.EMPTY_BODY: _empty,
    Fault.WRONG_JSON: _wrong_json,
    Fault.HUGE_BODY: _huge,
    Fault.LATE_ANSWER: _late,
    Fault.LAGGING_READ: _lagging,
}


def _without(value: Any, names: frozenset[str]) -> Any:
    """The value less the named fields, at any depth."""
    if isinstance(value, dict):
        return {name: _without(inner, names) for name, inner in value.items() if name not in names}
    if isinstance(value, list):
        return [_without(inner, names) for inner in value]
    return value

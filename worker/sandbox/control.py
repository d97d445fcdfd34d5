"""The control port: what an operator or a test in another process may ask of the sandbox.

| request | does | answers |
|---|---|---|
| `GET /health` | nothing | `{"status": "ok", "listening": true}` |
| `GET /state` | nothing | accounts with secrets masked, and counts, by provider |
| `POST /faults` | puts one rule or a list of rules in force | 201, their numbers |
| `GET /faults` | nothing | the rules in force and how often each has applied |
| `DELETE /faults` | drops every rule | 204 |
| `POST /reset` | forgets accounts, counts, rules, gates | 204 |
| `POST /listener` | `{"open": false}` refuses connections, `{"open": true}` takes them | the new state |
| `POST /gates/{name}` | opens a gate that a fault waits for | 204 |

Bad input gets 400 and `{"error": sentence}`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from worker.sandbox import strict_json
from worker.sandbox.fault_plan import FaultPlan, PlannedRule
from worker.sandbox.rule_json import read_rule, show_rule


class Controlled(Protocol):
    """The parts of a sandbox that the control port reaches."""

    faults: FaultPlan

    @property
    def listening(self) -> bool: ...
    def public_state(self) -> dict[str, Any]: ...
    def reset(self) -> None: ...
    def gate(self, name: str) -> asyncio.Event: ...
    async def open_listener(self) -> None: ...
    async def close_listener(self) -> None: ...


class Control:
    """Serves the control port of one sandbox."""

    def __init__(self, sandbox: Controlled) -> None:
        self._sandbox = sandbox
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Binds the port (0 means any free one) and serves.

        Raises:
            OSError: The port cannot be bound.
        """
        application = web.Application(middlewares=[_errors_as_json])
        application.add_routes(self._routes())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self.stop()
            raise
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.get("/state", self._state),
            web.get("/faults", self._show_faults),
            web.post("/faults", self._add_faults),
            web.delete("/faults", self._clear_faults),
            web.post("/reset", self._reset),
            web.post("/listener", self._set_listener),
            web.post("/gates/{name}", self._open_gate),
        ]

    async def _health(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok", "listening": self._sandbox.listening})

    async def _state(self, _request: web.Request) -> web.Response:
        return _json(self._sandbox.public_state())

    async def _show_faults(self, _request: web.Request) -> web.Response:
        planned = [_show(each) for each in self._sandbox.faults.planned()]
        return _json({"faults": planned})

    async def _add_faults(self, request: web.Request) -> web.Response:
        given = await _body(request)
        rules = [read_rule(each) for each in (given if isinstance(given, list) else [given])]
        return _json({"numbers": list(self._sandbox.faults.add(*rules))}, status=201)

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._sandbox.faults.clear()
        return web.Response(status=204)

    async def _reset(self, _request: web.Request) -> web.Response:
        self._sandbox.reset()
        return web.Response(status=204)

    async def _set_listener(self, request: web.Request) -> web.Response:
        given = await _body(request)
        if not isinstance(given, dict) or given.keys() != {"open"} or not isinstance(given["open"], bool):
            raise ValueError('the body is {"open": true} or {"open": false}')
        if given["open"]:
            await self._sandbox.open_listener()
        else:
            await self._sandbox.close_listener()
        return _json({"listening": self._sandbox.listening})

    async def _open_gate(self, request: web.Request) -> web.Response:
        self._sandbox.gate(request.match_info["name"]).set()
        return web.Response(status=204)


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValueError as error:
        return _json({"error": str(error)}, status=400)
    except web.HTTPError as error:
        return _json({"error": error.reason}, status=error.status)


def _show(planned: PlannedRule) -> dict[str, Any]:
    return {"number": planned.number, "applied": planned.applied, "rule": show_rule(planned.rule)}


async def _body(request: web.Request) -> Any:
    try:
        return strict_json.parse(await request.read())
    except ValueError:
        raise ValueError("the body is not JSON") from None


def _json(payload: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=strict_json.render(payload), content_type="application/json")

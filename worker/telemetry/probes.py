"""One small HTTP port for whoever watches: /metrics, /livez and /readyz.

/livez asks only whether this process still moves: a restart cures nothing at RabbitMQ, the ledger or a
provider, so none of them is in it. /readyz asks whether the worker does its work.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from worker.core.errors import ConfigurationError
from worker.telemetry.metrics import Metrics

Parts = Callable[[], Mapping[str, str]]
"""Asks how the parts of something are: the name of each, and what ails it, "" where it is well. Must neither block nor
raise."""


class Probes:
    """The port, open inside its async context.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        metrics: What /metrics shows.
        liveness: Parts of /livez beside the event loop, which answers or does not.
        readiness: Parts of /readyz.
    """

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        *,
        liveness: Parts = dict,
        readiness: Parts = dict,
    ) -> None:
        self._host = host
        self._wanted_port = port
        app = web.Application()
        app.router.add_get("/metrics", make_aiohttp_handler(metrics.registry))
        app.router.add_get("/livez", _Answer(liveness).give)
        app.router.add_get("/readyz", _Answer(readiness).give)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._runner.addresses[0][1])

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._wanted_port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"cannot listen on {self._host}:{self._wanted_port} (PROVISIONER_MONITORING__HOST and __PORT): "
                f"{error.strerror}"
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()


class _Answer:
    """200 when every part is well, else 503 and those that are not; ``?verbose`` lists all parts as JSON."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def give(self, request: web.Request) -> web.Response:
        parts = self._parts()
        status = 503 if any(parts.values()) else 200
        if "verbose" in request.query:
            listed = [{"name": name, "well": not ailing, "reason": ailing} for name, ailing in parts.items()]
            return web.json_response(listed, status=status)
        sick = [f"{name} ({ailing})" for name, ailing in parts.items() if ailing]
        return web.Response(status=status, text=f"not well: {', '.join(sick)}\n" if sick else "ok\n")

"""A real worker in a process of its own: started, awaited, killed, started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import aiohttp

from worker.local.loopback import free_ports

_READY_WITHIN = 60.0  # seconds


class WorkerProcess:
    """`provisioner run`, or another command of Python's, with these settings; what it logs goes to a file."""

    def __init__(
        self,
        environment: Mapping[str, str],
        log: Path,
        command: Sequence[str] = ("-m", "worker", "run"),
        *,
        port: int | None = None,
    ) -> None:
        """Watched on that port, or on any free one."""
        watched = {"PROVISIONER_MONITORING__PORT": str(port or free_ports(1)[0])}
        self._environment = {**os.environ, **environment, **watched}
        self._log = log
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    @property
    def folder(self) -> Path:
        """Where its log is; a place for files that belong to this run."""
        return self._log.parent

    @property
    def environment(self) -> Mapping[str, str]:
        """What the process sees; the operator's commands see the same."""
        return self._environment

    @property
    def metrics_url(self) -> str:
        """Where it is watched."""
        return f"http://127.0.0.1:{self._environment['PROVISIONER_MONITORING__PORT']}"

    @property
    def pid(self) -> int:
        """The process.

        Raises:
            RuntimeError: it was never started.
        """
        if self._process is None:
            raise RuntimeError("the worker was not started")
        return self._process.pid

    def log_text(self) -> str:
        """Everything it logged so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; the text holds the end of its log.
        """
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._command, env=dict(self._environment), stdout=log, stderr=log
            )
        try:
            async with asyncio.timeout(_READY_WITHIN):
                await self._until_ready(self._process)
        except TimeoutError:
            await self.kill()
            raise RuntimeError(f"the worker was not ready in time:\n{self._tail()}") from None

    async def kill(self) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM: drain and end; the exit code."""
        return await self._end(signal.SIGTERM)

    async def until_ended(self) -> int:
        """Wait until it ends by itself; the exit code."""
        return await self._process.wait() if self._process else 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                if process.returncode is not None:
                    raise RuntimeError(
                        f"the worker ended with exit code {process.returncode}:\n{self._tail()}"
                    )
                try:
                    async with session.get(f"{self.metrics_url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    def _tail(self) -> str:
        return "\n".join(self.log_text().splitlines()[-15:])

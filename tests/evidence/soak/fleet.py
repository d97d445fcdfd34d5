"""The workers of a run: processes that are killed and frozen on purpose, and started again whenever they end."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from worker.demo.worker_process import free_port

_STOPS_WITHIN = 30.0  # seconds


class Member:
    """One worker process, and the next one when it ends.

    Attributes:
        surprises: Exit codes of processes that ended without having been told to.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.port = free_port()
        self._environment = {
            **os.environ,
            **environment,
            "PROVISIONER_MONITORING__PORT": str(self.port),
        }
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._ended_on_purpose = False
        self._keeping: asyncio.Task[None] | None = None
        self.surprises: list[int] = []

    def start(self) -> None:
        """Start it, and keep one running from now on."""
        self._keeping = asyncio.create_task(self._keep(), name="a worker is kept")

    def kill(self) -> bool:
        """SIGKILL; whether there was one to kill."""
        return self._send(signal.SIGKILL)

    def freeze(self) -> bool:
        """SIGSTOP."""
        return self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    async def stop(self) -> int | None:
        """SIGTERM, and no further one is started; its exit code, None when it had to be killed."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        process = self._process
        if process is None:
            return 0
        self._send(signal.SIGCONT)
        self._send(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOPS_WITHIN):
                return await process.wait()
        except TimeoutError:
            self._send(signal.SIGKILL)
            await process.wait()
            return None

    async def _keep(self) -> None:
        while True:
            self._ended_on_purpose = False
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "worker", "run", env=self._environment, stdout=log, stderr=log
                )
            code = await self._process.wait()
            if not self._ended_on_purpose:
                self.surprises.append(code)
                await asyncio.sleep(1)

    def _send(self, number: signal.Signals) -> bool:
        process = self._process
        if process is None or process.returncode is not None:
            return False
        self._ended_on_purpose |= number in (signal.SIGKILL, signal.SIGTERM)
        with suppress(ProcessLookupError):
            process.send_signal(number)
            return True
        return False


class Fleet:
    """All workers of a run; an async context manager.

    Attributes:
        done: What was done to them, by kind.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]], folder: Path, draws: Random) -> None:
        self.members = [
            Member(environment, folder / f"worker-{number}.log")
            for number, environment in enumerate(environments, start=1)
        ]
        self.done: Counter[str] = Counter()
        self._draws = draws

    async def __aenter__(self) -> Self:
        for member in self.members:
            member.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(member.stop() for member in self.members))

    @property
    def surprises(self) -> list[int]:
        """Exit codes of workers that ended without having been told to."""
        return [code for member in self.members for code in member.surprises]

    def kill_one(self) -> None:
        """SIGKILL one of them."""
        self.done["worker killed"] += self._draws.choice(self.members).kill()

    async def freeze_one(self, seconds: float) -> None:
        """SIGSTOP one of them, and let it go on after so many seconds."""
        member = self._draws.choice(self.members)
        if member.freeze():
            self.done["worker frozen"] += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                member.thaw()

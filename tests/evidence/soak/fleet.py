"""The workers of a run: processes that are killed and frozen on purpose, and started again whenever they end."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from tests.nursery import Child, Kind, nursery
from worker.cli.output import Exit
from worker.local.loopback import free_ports

_STOPS_WITHIN = 30.0  # seconds
_LOOKS_AGAIN_AFTER = 0.1


class Member:
    """One worker process, and the next one when it ends.

    Attributes:
        surprises: Exit codes of processes that ended without having been told to.
        refusals: How often one did not begin because the ledger was away: it says so, ends, and is started again.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.port = free_ports(1)[0]
        self._environment = {
            **os.environ,
            **environment,
            "PROVISIONER_MONITORING__PORT": str(self.port),
        }
        self._log = log
        self._process: Child | None = None
        self._ended_on_purpose = False
        self._keeping: asyncio.Task[None] | None = None
        self._has_begun = False
        self.surprises: list[int] = []
        self.refusals = 0

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
            self._ended_on_purpose = self._has_begun = False
            self._process = await nursery().start(Kind.WORKER, self._environment, self._log)
            watching = asyncio.create_task(self._watch(), name="a worker begins")
            try:
                code = await self._process.wait()
            finally:
                watching.cancel()
            if not self._ended_on_purpose:
                self._note(code)
                await asyncio.sleep(1)

    async def _watch(self) -> None:
        """Its monitoring port is opened once its ledger is."""
        while not self._has_begun:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(_LOOKS_AGAIN_AFTER)
            else:
                writer.close()
                self._has_begun = True

    def _note(self, code: int) -> None:
        if code == Exit.UNAVAILABLE and not self._has_begun:
            self.refusals += 1
        else:
            self.surprises.append(code)

    def _send(self, number: signal.Signals) -> bool:
        if self._process is None or self._process.returncode is not None:
            return False
        self._ended_on_purpose |= number in (signal.SIGKILL, signal.SIGTERM)
        self._process.send_signal(number)
        return True


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

    @property
    def refusals(self) -> int:
        """How often a worker did not begin because the ledger was away."""
        return sum(member.refusals for member in self.members)

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

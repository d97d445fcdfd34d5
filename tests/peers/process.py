"""A worker of any make in a process of its own: started, killed, started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.local.loopback import free_ports

_ROOT = Path(__file__).parents[2]
_DRAINS_WITHIN = 20.0  # seconds
_LAST_LINES = 15


class Process:
    """Python with these arguments, from the project's folder. What it says goes to the log.

    It leads a group of its own, and signals go to all of it: whoever kills a container leaves no child behind.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROVISIONER_")}
        port = {"PROVISIONER_MONITORING__PORT": str(free_ports(1)[0])}
        self._environment = {**inherited, **port, **environment}
        self._command = command
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    @property
    def ended(self) -> bool:
        """Whether it is not running."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start it; it is not ready yet."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._command,
                cwd=_ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def run(self) -> None:
        """Run it to its end.

        Raises:
            RuntimeError: it did not end well.
        """
        async with self:
            await self.start()
            if self._process is not None and await self._process.wait() != 0:
                raise RuntimeError(f"it ended badly:\n{self.last_words()}")

    async def kill(self) -> None:
        """SIGKILL to all of it: no goodbye, nothing flushed."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL to what does not end in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAINS_WITHIN):
                await self._end(signal.SIGTERM)
        await self.kill()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        await self._process.wait()

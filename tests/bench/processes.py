"""Processes under measurement: what they cost, and how they are frozen while their work is laid out."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_READY_WITHIN = 30.0  # seconds
_LAST_LINES = 15


class Child:
    """One Python process of the bench's own."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._proc = Path("/proc") / str(process.pid)

    def cpu(self) -> float:
        """Seconds of processor time that all its threads used so far."""
        after_the_name = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(after_the_name[11]) + int(after_the_name[12])) / _TICKS

    def resident(self) -> float:
        """MiB of memory that it holds now."""
        return self._memory("VmRSS:")

    def peak(self) -> float:
        """MiB of memory that it held at most."""
        return self._memory("VmHWM:")

    def freeze(self) -> None:
        """Stop it where it is; its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        """Send any signal."""
        self._process.send_signal(number)

    def said(self, word: str) -> str | None:
        """What follows that word at the beginning of a line of its output; None before it was said."""
        lines = self._log.read_text(errors="replace").splitlines()
        return next((line.removeprefix(word).strip() for line in lines if line.startswith(word)), None)

    def last_words(self) -> str:
        """The end of its output without what is no more than information."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if '"level": "info"' not in line][-_LAST_LINES:])

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + _READY_WITHIN
        while not ready():
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError("a process of the bench did not get ready")
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _memory(self, name: str) -> float:
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"this system does not tell {name}")


@asynccontextmanager
async def child(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> AsyncIterator[Child]:
    """Python with these arguments; killed at the end of the block. What it says goes to the file.

    An error that leaves the block takes the end of that along as a note.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROVISIONER_")}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=inherited | dict(environment), stdout=output, stderr=output
        )
    running = Child(process, log)
    try:
        yield running
    except Exception as error:
        if words := running.last_words():
            error.add_note(f"{log.name} ends with\n{words}")
        raise
    finally:
        await running.kill()

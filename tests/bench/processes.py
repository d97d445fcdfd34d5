"""Processes under measurement: what they cost, and how they are frozen while their work is laid out."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_READY_WITHIN = 60.0  # seconds
_LAST_LINES = 15
_PROC = Path("/proc")
_COMPLAINTS = frozenset({"warning", "error", "critical"})


class Child:
    """One process of the bench's own with all that it starts."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self.log = log
        self.pid = process.pid

    def cpu(self) -> float:
        """Seconds of processor time that all threads of all its processes used so far, ended ones included."""
        return sum(_used(pid) for pid in _tree(self.pid))

    def resident(self) -> float:
        """MiB of memory that it holds now; what processes share is counted for each."""
        return sum(_memory(pid, "VmRSS:") for pid in _tree(self.pid))

    def peak(self) -> float:
        """MiB of memory that its processes held at most, each at its own time."""
        return sum(_memory(pid, "VmHWM:") for pid in _tree(self.pid))

    def processes(self) -> list[int]:
        """The ids of its processes, its own first."""
        return _tree(self.pid)

    def freeze(self) -> None:
        """Stop all of it where it is; its connections stay open."""
        self._send_to_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._send_to_all(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        """Send any signal to the process itself."""
        self._process.send_signal(number)

    def said(self, word: str) -> str | None:
        """What follows that word at the beginning of a line of its output; None before it was said."""
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line.removeprefix(word).strip() for line in lines if line.startswith(word)), None)

    def complaints(self) -> int:
        """Lines of its log, where it logs JSON, that are more than information."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum(line.startswith("{") and json.loads(line)["level"] in _COMPLAINTS for line in lines)

    def last_words(self) -> str:
        """The end of its output without what is no more than information."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if '"level": "info"' not in line][-_LAST_LINES:])

    async def until(self, ready: Callable[[], bool], every: float = 0.05) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + _READY_WITHIN
        while not ready():
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError("a process of the bench did not get ready")
            await asyncio.sleep(every)

    async def ended(self, seconds: float) -> int:
        """Wait for its end; its exit code.

        Raises:
            TimeoutError: it did not end in time.
        """
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def kill(self) -> None:
        """End all of it at once."""
        self._send_to_all(signal.SIGKILL)
        await self._process.wait()

    def _send_to_all(self, number: signal.Signals) -> None:
        """Its own process first: what descends from it may lead a session of its own."""
        for pid in _tree(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@asynccontextmanager
async def child(command: Sequence[str], environment: Mapping[str, str], log: Path) -> AsyncIterator[Child]:
    """A command; killed at the end of the block. What it says goes to the file.

    An error that leaves the block takes the end of that along as a note.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROVISIONER_")}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=inherited | dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
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


def _tree(pid: int) -> list[int]:
    """A process and all that descend from it; one that ends meanwhile is left out."""
    found = [pid]
    for parent in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            for thread in (_PROC / str(parent) / "task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):
                    found += map(int, (thread / "children").read_text().split())
    return found


def _used(pid: int) -> float:
    """Its own time and that of its children that ended."""
    try:
        after_the_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, after_the_name[11:15])) / _TICKS


def _memory(pid: int, name: str) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return 0.0

"""Worker processes that start at once: forked from one that has imported everything, and killed like any other.

Importing takes most of a second of processor time, which a test that kills workers would do little else with. Only the
imports are spared: a child reads its environment, opens its ledger and its connections as one from the shell.

Run as a program it tells a socket and listens there. Who connects writes a line of JSON, `{"kind": ..., "folder": ...,
"environment": ..., "log": ...}`, and gets one with the `pid` of the worker that was forked for it, and one with its
`code` when it ends. A worker does not outlive the connection, and none of them outlives the program's own input.
"""

import asyncio
import atexit
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from worker.demo.worker_process import WorkerProcess

_SOCKET: Final = "nursery"
_LONGEST_ORDER: Final = 1 << 20  # bytes
_READY_WITHIN: Final = 100.0  # seconds; below the limit of a test, so that the worker's log is shown


class Kind(StrEnum):
    """What a child runs."""

    WORKER = "worker"
    """`provisioner run`."""
    DOOMED = "doomed"
    """The same, ending itself at a point: `tests.evidence.doomed_worker`."""
    SLEEPER = "sleeper"
    """The same, freezing at a point: `tests.evidence.frozen_worker`."""


class Child:
    """A worker of the nursery, as `asyncio.subprocess` would show it, as far as anybody here looks."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.ended = asyncio.create_task(self._until_ended(reader, writer), name=f"worker {pid} ends")

    @property
    def returncode(self) -> int | None:
        """Its exit code, below 0 the signal; None while it runs."""
        return self.ended.result() if self.ended.done() else None

    async def wait(self) -> int:
        """Wait until it ends; its exit code."""
        return await asyncio.shield(self.ended)

    def send_signal(self, number: int) -> None:
        """Send a signal; one that has ended gets none."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _until_ended(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            told = await reader.readline()
        finally:
            writer.close()
        return int(json.loads(told)["code"]) if told else -signal.SIGKILL


class Nursery:
    """The program from outside, for any event loop; ended with this process at the latest."""

    def __init__(self) -> None:
        self._program = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._program.stdout is not None
        self.path = self._program.stdout.readline().strip()

    def close(self) -> None:
        """End it and all its workers."""
        self._program.communicate()

    async def start(self, kind: Kind, environment: Mapping[str, str], log: Path) -> Child:
        """A worker with this environment, in this folder, its output at the end of that file."""
        here = Path.cwd()
        order = {
            "kind": kind,
            "folder": str(here),
            "environment": dict(environment),
            "log": str(here / log),
        }
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(f"{json.dumps(order)}\n".encode())
        return Child(json.loads(await reader.readline())["pid"], reader, writer)


@cache
def nursery() -> Nursery:
    """The one of this process, begun when first asked for."""
    found = Nursery()
    atexit.register(found.close)
    return found


class ForkedWorker(WorkerProcess):
    """`provisioner run`, out of the nursery."""

    def __init__(self, environment: Mapping[str, str], log: Path, kind: Kind = Kind.WORKER) -> None:
        super().__init__(environment, log)
        self._kind = kind

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; the text holds the end of its log.
        """
        await self.begin()
        try:
            await self.until_ready(_READY_WITHIN)
        except TimeoutError:
            await self.kill()
            raise RuntimeError(f"the worker was not ready in time:\n{self._tail()}") from None

    async def begin(self) -> None:
        """Start it; it is not ready yet."""
        child = await nursery().start(self._kind, self._environment, self._log)
        self._process = cast("asyncio.subprocess.Process", child)  # it has all that is asked of one

    async def until_ready(self, seconds: float) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: it ended; the text holds the end of its log.
            TimeoutError: it was not ready in time.
        """
        assert self._process is not None
        async with asyncio.timeout(seconds):
            await self._until_ready(self._process)


# --- the program ----------------------------------------------------------------------------------------------


class _Program:
    """Forks on demand, tells deaths."""

    def __init__(self, path: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(128)
        self._children: dict[int, socket.socket] = {}
        deaths, bell = os.pipe()
        os.set_blocking(bell, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell)
        self._serve(deaths, lambda: self._bury(deaths))
        self._serve(self._listener, self._accept)

    def run(self, kinds: Mapping[Kind, Callable[[], object]]) -> None:
        """Until the input ends."""
        self._kinds = kinds
        self._serve(sys.stdin, None)
        sys.stdout.write(f"{self._listener.getsockname()}\n")
        sys.stdout.flush()
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._end()
                    return
                key.data()

    def _serve(self, source: Any, deed: Callable[[], object] | None) -> None:
        self._selector.register(source, selectors.EVENT_READ, deed)

    def _accept(self) -> None:
        """Who connects says at once what is wanted."""
        connection, _ = self._listener.accept()
        with connection.makefile("r") as lines:
            wanted = json.loads(lines.readline(_LONGEST_ORDER))
        pid = os.fork()
        if pid == 0:
            _live(wanted, self._kinds[Kind(wanted["kind"])])
        self._children[pid] = connection
        self._serve(connection, lambda: self._abandoned(pid))
        _tell(connection, {"pid": pid})

    def _abandoned(self, pid: int) -> None:
        """Nobody waits for it any more: an event loop was closed before its worker was."""
        if pid in self._children:  # or its death was heard of at the same moment
            self._selector.unregister(self._children[pid])
            os.kill(pid, signal.SIGKILL)

    def _bury(self, deaths: int) -> None:
        os.read(deaths, 4096)
        for pid in tuple(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                connection = self._children.pop(pid)
                with contextlib.suppress(KeyError):
                    self._selector.unregister(connection)
                _tell(connection, {"code": os.waitstatus_to_exitcode(status)})
                connection.close()

    def _end(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _live(wanted: Mapping[str, Any], main: Callable[[], object]) -> NoReturn:
    """The worker's whole life; nothing of the nursery's is left in it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for own in (1, 2):
            os.dup2(log, own)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.closerange(3, 256)
        os.chdir(wanted["folder"])
        os.environ.clear()
        os.environ.update(wanted["environment"])
        sys.argv = ["provisioner", "run"]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the log says it, as Python itself would
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _tell(connection: socket.socket, what: Mapping[str, int]) -> None:
    with contextlib.suppress(OSError):  # nobody is there to hear it
        connection.sendall(f"{json.dumps(what)}\n".encode())


def _main() -> None:
    import worker.bootstrap.worker  # noqa: F401, PLC0415 - what is spared every child
    from tests.evidence import doomed_worker, frozen_worker  # noqa: PLC0415
    from worker.cli import program  # noqa: PLC0415

    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="nursery-") as folder:
        kinds = {
            Kind.WORKER: program.main,
            Kind.DOOMED: doomed_worker.main,
            Kind.SLEEPER: frozen_worker.main,
        }
        _Program(str(Path(folder) / _SOCKET)).run(kinds)


if __name__ == "__main__":
    _main()

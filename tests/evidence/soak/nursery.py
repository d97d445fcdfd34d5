"""Worker processes that start at once: forked from one that has imported everything, and killed like any other.

Where one worker dies every second, importing would be most of what two cores do, and hardly a worker would ever be
ready. Only the imports are spared: a child reads its environment, opens its ledger and its connections as one from the
shell.

Run as a program it reads lines of JSON, `{"environment": ..., "log": ...}`, forks a worker for each, and writes
`{"pid": ...}` when one begins and `{"pid": ..., "code": ...}` when one ends. When its input ends, its workers do.
"""

import asyncio
import contextlib
import gc
import json
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Self


class Child:
    """A worker of the nursery. `ended` holds its exit code, as `subprocess` has it: below 0 the signal."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; whether there was somebody to get it."""
        if self.ended.done():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


class Nursery:
    """The program from outside; an async context manager. When it is left, all its workers are gone."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._children: dict[int, Child] = {}
        self._born: asyncio.Queue[Child] = asyncio.Queue()
        self._asking = asyncio.Lock()
        self._listening = asyncio.create_task(self._listen(), name="the nursery is listened to")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def start(self, environment: Mapping[str, str], log: Path) -> Child:
        """A worker with this environment, its output at the end of that file."""
        assert self._process.stdin is not None
        async with self._asking:
            wanted = json.dumps({"environment": dict(environment), "log": str(log)})
            self._process.stdin.write(f"{wanted}\n".encode())
            await self._process.stdin.drain()
            return await self._born.get()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "code" in told:
                self._children.pop(told["pid"]).ended.set_result(told["code"])
            else:
                child = self._children[told["pid"]] = Child(told["pid"])
                self._born.put_nowait(child)


# --- the program ----------------------------------------------------------------------------------------------


def _main() -> None:
    import worker.bootstrap.worker  # noqa: F401, PLC0415 - what is spared every child
    from worker.cli import program  # noqa: PLC0415

    gc.collect()
    gc.freeze()
    alive: set[int] = set()
    with selectors.DefaultSelector() as waiting:
        deaths, bell = os.pipe()
        os.set_blocking(bell, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell)
        waiting.register(deaths, selectors.EVENT_READ)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj == deaths:
                    os.read(deaths, 4096)
                    _bury(alive)
                elif line := sys.stdin.readline():
                    alive.add(_bear(json.loads(line), program))
                else:
                    _end(alive)
                    return


def _bear(wanted: dict[str, Any], program: Any) -> int:
    pid = os.fork()
    if pid == 0:
        _live(wanted, program)
    _tell({"pid": pid})
    return pid


def _live(wanted: dict[str, Any], program: Any) -> NoReturn:
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
        os.environ.clear()
        os.environ.update(wanted["environment"])
        sys.argv = ["provisioner", "run"]
        program.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the log says it, as Python itself would
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _bury(alive: set[int]) -> None:
    for pid in tuple(alive):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            alive.discard(pid)
            _tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})


def _end(alive: set[int]) -> None:
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _tell(what: Mapping[str, int]) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main()

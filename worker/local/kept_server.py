"""A server process that cannot outlive the process it was started for, not even when that one dies by SIGKILL."""

import json
import os
import select
import signal
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from worker.local.errors import ServerFailed
from worker.local.private_files import tail_of

_KEEPER = Path(__file__).with_name("keeper.py")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be kept.

    Attributes:
        commands: Started in this order; the last one is the server, the others only serve it.
        account: User and group id to run as; None: this process's own.
        farewell: Sent to the server when the process it was started for has ended ...
        patience: ... and this many seconds it has, until everything is killed.
        afterwards: Commands run when nothing is left, such as the removal of a container.
        temporary_folder: Removed as well when the process it was started for has ended without stopping it.
    """

    commands: Sequence[Sequence[str]]
    account: tuple[int, int] | None = None
    farewell: signal.Signals = signal.SIGKILL
    patience: float = 0.0
    afterwards: Sequence[Sequence[str]] = ()
    temporary_folder: str | None = None


class KeptServer:
    """A running server and the keeper that watches over it (`keeper.py`).

    Attributes:
        keeper: Process id of the keeper; once it is gone, nothing of the server is left.
        pid: Process id of the server.
    """

    def __init__(self, keeper: int, pid: int) -> None:
        """Take hold of a keeper and its server, which this or another process started."""
        self.keeper = keeper
        self.pid = pid
        self._keeper = _pidfd(keeper)
        self._server = _pidfd(pid)
        weakref.finalize(self, _close, self._keeper, self._server)

    @classmethod
    def start(
        cls,
        order: Order,
        log: Path,
        environment: Mapping[str, str],
        *,
        started_for: int | None = None,
        lock: int | None = None,
    ) -> Self:
        """Start the commands; they are running, not yet ready, when this returns.

        Args:
            order: What to start.
            log: Receives everything the commands print.
            environment: All of their environment.
            started_for: The process which everything must end with; None: this one.
            lock: A file descriptor that stays open as long as anything of the server lives.

        Raises:
            ServerFailed: a command cannot be started.
        """
        listening, announcing = os.pipe()
        watched = os.pidfd_open(started_for or os.getpid())
        handed_over = [watched, announcing] + ([] if lock is None else [lock])
        fields = asdict(order) | {"watched": watched, "announce_to": announcing}
        try:
            keeper = _spawn_keeper(json.dumps(fields), log, environment, handed_over)
        finally:
            os.close(announcing)
            os.close(watched)
        with os.fdopen(listening) as announcement:
            pid = announcement.readline()
        if not pid:
            os.waitpid(keeper, 0)
            raise ServerFailed(f"cannot start {order.commands[-1][0]}\n{tail_of(log)}")
        return cls(keeper, int(pid))

    @property
    def running(self) -> bool:
        return not _has_ended(self._keeper, 0)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Whether `ready` came true; false as soon as the server is dead, or after so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if ready():
                return True
            if _has_ended(self._keeper, 0.03):
                return False
        return False

    def pause(self) -> None:
        """Freeze the server, which stands still when this returns: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        self.wait_until(self._stands_still, 10.0)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self, request: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> None:
        """Ask the server to shut down; kill what is left after so many seconds."""
        self._signal(request)
        self.resume()
        if not _has_ended(self._keeper, seconds):
            self._signal(signal.SIGKILL)
        self._wait_for_the_keeper()

    def kill(self) -> None:
        """Kill the server and all it started; nothing of it is left when this returns."""
        self._signal(signal.SIGKILL)
        self._wait_for_the_keeper()

    def dismiss(self) -> None:
        """End the server the way it ends when the process it was started for is gone."""
        _send(self._keeper, signal.SIGTERM)
        self._wait_for_the_keeper()

    def _stands_still(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        with suppress(
            FileNotFoundError, ProcessLookupError
        ):  # a thread that ended meanwhile was not standing still
            return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)
        return False

    def _signal(self, number: signal.Signals) -> None:
        _send(self._server, number)

    def _wait_for_the_keeper(self) -> None:
        if not _has_ended(self._keeper, 60.0):
            raise ServerFailed(f"process {self.pid} or something it started does not end")
        if self._keeper is not None:
            with suppress(ChildProcessError):  # another process may have started it, or waited for it before
                os.waitid(os.P_PIDFD, self._keeper, os.WEXITED)


def _spawn_keeper(order: str, log: Path, environment: Mapping[str, str], handed_over: Sequence[int]) -> int:
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(_KEEPER), order],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in handed_over),
        ],
        # A session of its own: neither Ctrl-C in the terminal nor a signal to the caller's group reaches the server.
        setsid=True,
        setsigmask=(),
    )


def _pidfd(process: int) -> int | None:
    """Unlike a number, it can never mean another process later on; None: that process is gone."""
    with suppress(ProcessLookupError):
        return os.pidfd_open(process)
    return None


def _send(process: int | None, number: signal.Signals) -> None:
    if process is not None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, number)


def _has_ended(process: int | None, seconds: float) -> bool:
    if process is None:
        return True
    end = select.poll()
    end.register(process, select.POLLIN)
    return bool(end.poll(int(seconds * 1000)))


def _close(*descriptors: int | None) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)

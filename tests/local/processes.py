"""Watching processes end, without waiting for a time to pass."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Watch:
    """The processes below one process, and that process: watched through pidfds, so that no number can mislead."""

    def __init__(self, top: int) -> None:
        self._descriptors = {os.pidfd_open(top): top}
        self.names = {top: name_of(top)}
        for pid in descendants(top):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since it was found
                self._descriptors[os.pidfd_open(pid)] = pid
                self.names[pid] = name_of(pid)

    def still_running(self, seconds: float = 60.0) -> list[str]:
        """Names of those that have not ended within so many seconds; returns as soon as all have, and always looks."""
        poll = select.poll()
        for descriptor in self._descriptors:
            poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + seconds
        left = seconds
        while self._descriptors and left >= 0:
            for descriptor, _ in poll.poll(left * 1000):
                poll.unregister(descriptor)
                os.close(descriptor)
                del self._descriptors[descriptor]
            left = deadline - time.monotonic()
        return [self.names[pid] for pid in self._close()]

    def _close(self) -> Iterable[int]:
        for descriptor in self._descriptors:
            os.close(descriptor)
        return self._descriptors.values()


@contextmanager
def python_that(*lines: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process of its own that runs these lines; whatever happens, it is gone at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def environment_without_make() -> dict[str, str]:
    """This process's variables, without those with which `make test` would steer a `make` that a test runs."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ARGS", "PARALLEL"))
    }


def line_from(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def state_of(pid: int) -> str:
    """The letter that Linux gives the state of a process: R running, S sleeping, T stopped ..."""
    return after_the_name(pid)[0]


def descendants(top: int) -> list[int]:
    """Every process that `top` started, directly or not, zombies excepted."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, *_ = after_the_name(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            parents[int(folder.name)] = int(parent)
    return [pid for pid in parents if pid != top and is_below(pid, top, parents)]


def names_below(top: int) -> list[str]:
    """What the processes that `top` started are called, sorted; those that end meanwhile are left out."""
    found = []
    for pid in descendants(top):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(name_of(pid))
    return sorted(found)


def is_below(pid: int, top: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == top:
            return True
    return False


def after_the_name(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)

"""Keeps one server: starts it and sees to it that nothing of it outlives the process it was started for.

A script of its own, started by `kept_server.py`. It adopts whatever its server starts and abandons (daemons included),
watches the process that wanted the server through a pidfd, and when either of the two ends, ends everything else. The
watched process may be killed with SIGKILL: a pidfd tells of that as of any other end.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PRCTL = ctypes.CDLL(None).prctl


def main(order: dict[str, Any]) -> None:
    """Obey one order, whose fields `kept_server.Order` explains, until the server or the watched process has ended."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    _PRCTL(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    farewell = signal.Signals(order["farewell"])
    children: list[subprocess.Popen[bytes]] = []
    try:
        children.extend(_start(command, order["account"], farewell) for command in order["commands"])
        own = {child.pid for child in children}
        signal.signal(signal.SIGCHLD, lambda _number, _frame: _bury_orphans(own))
        _bury_orphans(own)
        _announce(children[-1].pid, order["announce_to"])
        _wait_for_either(children[-1].pid, order["watched"])
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if children:
            _say_farewell(children[-1], farewell, order["patience"])
        _end_all_descendants()
        for command in order["afterwards"]:
            subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
        if order["temporary_folder"] and _has_ended(order["watched"]):
            shutil.rmtree(order["temporary_folder"], ignore_errors=True)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _bury_orphans(own: set[int]) -> None:
    """Take note of adopted processes that ended; Erlang leaves some every minute, and each would stay a zombie."""
    while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in own:
        with suppress(
            ChildProcessError
        ):  # the next signal's call of this may come in between, and be quicker
            os.waitpid(ended.si_pid, 0)


def _start(command: Sequence[str], account: Sequence[int] | None, farewell: int) -> subprocess.Popen[bytes]:
    user, group = account or (None, None)

    def end_with_the_keeper() -> None:
        _PRCTL(_PR_SET_PDEATHSIG, int(farewell), 0, 0, 0)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        user=user,
        group=group,
        extra_groups=None if user is None else (),
        preexec_fn=end_with_the_keeper,  # noqa: PLW1509 - this script has no threads
    )


def _announce(server: int, pipe: int) -> None:
    os.write(pipe, f"{server}\n".encode())
    os.close(pipe)


def _wait_for_either(server: int, watched: int) -> None:
    ends = select.poll()
    ends.register(os.pidfd_open(server), select.POLLIN)
    ends.register(watched, select.POLLIN)
    ends.poll()


def _has_ended(process: int) -> bool:
    end = select.poll()
    end.register(process, select.POLLIN)
    return bool(end.poll(0))


def _say_farewell(server: subprocess.Popen[bytes], farewell: signal.Signals, patience: float) -> None:
    server.send_signal(farewell)
    server.send_signal(signal.SIGCONT)  # a server that was paused could not hear it
    with suppress(subprocess.TimeoutExpired):
        server.wait(patience)


def _end_all_descendants() -> None:
    while True:
        for process in _descendants():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        # Blocks only while something that was told to end is still ending; orphans meanwhile become our children.
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants() -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for process, parent in _parents():
        children.setdefault(parent, []).append(process)
    found = children.get(os.getpid(), [])
    while found:
        process = found.pop()
        found.extend(children.get(process, []))
        yield process


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            # "pid (name) state parent ...": the name may itself hold spaces and brackets.
            yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

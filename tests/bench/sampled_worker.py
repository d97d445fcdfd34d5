"""A worker that samples itself: SIGUSR1 begins, SIGUSR2 ends and writes what was seen to the file that is named.

Every few milliseconds of processor time each thread's stack is looked at and charged with what that thread used since
the last look. Threads that wait for the interpreter's lock are seen where they gave it up: what runs in the ledger's
thread is charged to the right statement of ours, but not always to the right line below it.
"""

import json
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType

from worker.cli.program import main as program

_EVERY = 0.004  # seconds of processor time

Stack = tuple[CodeType, ...]


class Sampler:
    """Seconds of processor time by stack, the innermost function first."""

    def __init__(self) -> None:
        self._seconds: dict[Stack, float] = defaultdict(float)
        self._used: dict[int, float] = {}

    def begin(self) -> None:
        """Look from now on."""
        self._charge({})
        self._seconds.clear()
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)

    def end(self, file: Path) -> None:
        """Look no more, and write every stack as ``[seconds, [[file, function], ...]]``."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        seen = [
            [seconds, [[code.co_filename, code.co_qualname] for code in stack]]
            for stack, seconds in self._seconds.items()
        ]
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(seen), encoding="utf-8")
        draft.replace(file)

    def _look(self, _number: int, interrupted: FrameType | None) -> None:
        self._charge({threading.main_thread().ident: _stack(interrupted)})

    def _charge(self, known: dict[int | None, Stack]) -> None:
        """Threads without the interpreter's lock cannot end meanwhile, so their clocks are there to be read."""
        for thread, frame in sys._current_frames().items():
            used = time.clock_gettime(time.pthread_getcpuclockid(thread))
            spent = used - self._used.get(thread, 0.0)
            self._used[thread] = used
            if spent > 0:
                self._seconds[known.get(thread) or _stack(frame)] += spent


def _stack(frame: FrameType | None) -> Stack:
    found = []
    while frame is not None:
        found.append(frame.f_code)
        frame = frame.f_back
    return tuple(found)


def main() -> None:
    """`provisioner run`, with a sampler that waits for its signals."""
    file = Path(sys.argv.pop())
    sampler = Sampler()
    signal.signal(signal.SIGUSR1, lambda *_: sampler.begin())
    signal.signal(signal.SIGUSR2, lambda *_: sampler.end(file))
    sys.argv[1:] = ["run"]
    program()


if __name__ == "__main__":
    main()

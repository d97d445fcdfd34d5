"""A process that moves a ledger and kills itself at a named step.

Run by ``test_moving``: ``python -m tests.ledger.killed_mover SOURCE TARGET STEP``.
"""

import os
import signal
import sys
from datetime import UTC, datetime

from worker.ledger.moving import Progress, move


def step_of(progress: Progress) -> str:
    """How a test names a step."""
    return progress.step if progress.table is None else f"{progress.table} {progress.done}"


def run(source: str, target: str, last: str) -> None:
    """Move until that step is done."""

    def told(progress: Progress) -> None:
        if step_of(progress) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    move(source, target, lambda: datetime.now(UTC), told)


if __name__ == "__main__":
    run(*sys.argv[1:])

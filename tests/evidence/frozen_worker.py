"""The real worker, which stops itself with SIGSTOP at a named point of its way, as a suspended machine would.

``python -m tests.evidence.frozen_worker``, with the worker's own settings and a `Doom` that lingers in its environment.
Whoever started it wakes it with SIGCONT, and it goes on as if no time had passed.
"""

import os
import signal
import threading
from functools import partial
from unittest.mock import patch

from tests.evidence.doomed_worker import Doom, DoomedWriter, Reaper
from worker import bootstrap
from worker.ledger import opening


class Freezer(Reaper):
    """Counts, and freezes the process once."""

    def __init__(self, doom: Doom) -> None:
        super().__init__(doom)
        self._has_frozen = False

    def strike(self, subject_id: str) -> None:
        """Leave the note and stand still. The signal is for this thread: it is frozen before this returns."""
        if not self._has_frozen:
            self._has_frozen = True
            super().strike(subject_id)
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def main() -> None:
    """Run, and freeze on the way."""
    freezer = Freezer(Doom.told(os.environ))
    configured = bootstrap.settings()
    bootstrap.require_runnable(configured)
    with patch.object(opening, "Writer", partial(DoomedWriter, freezer)):
        bootstrap.run(bootstrap.run_worker(configured, reached=freezer.reached))


if __name__ == "__main__":
    main()

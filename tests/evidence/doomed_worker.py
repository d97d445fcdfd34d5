"""The real worker, run as `provisioner run` does it, which ends itself with SIGKILL at a named point of its way.

``python -m tests.evidence.doomed_worker``, with the worker's own settings and a `Doom` in its environment. The kill
happens inside the call that tells the point, so nothing after the point runs: what is true then is what the point says.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from unittest.mock import patch

import sqlalchemy as sa

from worker import bootstrap
from worker.core.steps import Step
from worker.ledger import opening
from worker.ledger.store import Store
from worker.ledger.writer import Batch, Unit, Writer, _Written

T = TypeVar("T")


class Commit(StrEnum):
    """Points inside the thread that writes the ledger, which no step of the pipeline can name."""

    COMMITTING = "committing"
    """Every statement of the transaction was executed; COMMIT was not sent."""
    COMMITTED = "committed"
    """COMMIT came back; whoever waits for the write does not know it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doom:
    """Where a worker ends.

    Attributes:
        note: The file in which it leaves the id of the request (or dead letter) it was at, the moment it is there.
        after: Only what follows from this step counts: the task that told it, and the tasks that one started. So a
            create's exchange is told from a look-up's, and one request's commit from the heartbeat's.
        count: The how manieth time.
        lingers: Leave the note and go on: somebody else kills it, when the provider has done its part.
    """

    point: Step | Commit
    note: Path
    after: Step | None = None
    count: int = 1
    lingers: bool = False

    @property
    def environment(self) -> Mapping[str, str]:
        """As variables for the process."""
        found = {"DOOM_STEP": self.point, "DOOM_NOTE": str(self.note), "DOOM_COUNT": str(self.count)}
        found |= {"DOOM_AFTER": self.after} if self.after else {}
        return found | ({"DOOM_LINGERS": "yes"} if self.lingers else {})

    @classmethod
    def told(cls, environment: Mapping[str, str]) -> Self:
        """What the environment says.

        Raises:
            KeyError: it names no point, or no file.
            ValueError: there is no such point.
        """
        point = environment["DOOM_STEP"]
        after = environment.get("DOOM_AFTER")
        return cls(
            point=Commit(point) if point in list(Commit) else Step(point),
            note=Path(environment["DOOM_NOTE"]),
            after=Step(after) if after else None,
            count=int(environment.get("DOOM_COUNT", "1")),
            lingers="DOOM_LINGERS" in environment,
        )


class Reaper:
    """Counts, and strikes."""

    def __init__(self, doom: Doom) -> None:
        self._doom = doom
        self._seen = 0
        self._follows: ContextVar[bool] = ContextVar("follows", default=doom.after is None)
        self._subject: ContextVar[str] = ContextVar("subject", default="")

    def reached(self, step: Step, subject_id: str) -> None:
        """Be told a step, as `run_worker` tells it."""
        if subject_id and step not in {Step.CONFIRMED, Step.SETTLED}:  # these two name the event
            self._subject.set(subject_id)
        if step is self._doom.point and self._follows.get():
            self._seen += 1
            if self._seen == self._doom.count:
                self.strike(self.subject)
        if step is self._doom.after:
            self._follows.set(True)

    @property
    def subject(self) -> str:
        """What the running task works on, as far as it was told."""
        return self._subject.get()

    def awaits(self, commit: Commit) -> bool:
        """Whether a write that begins in the running task is the one to end at this point."""
        return self._doom.point is commit and self._follows.get()

    def strike(self, subject_id: str) -> None:
        """Leave the note; then SIGKILL, unless it lingers. The file outlives the process, whole or not at all."""
        if self._doom.note.exists():
            return
        unfinished = self._doom.note.with_suffix(".unfinished")
        unfinished.write_text(subject_id, encoding="utf-8")
        unfinished.rename(self._doom.note)
        if not self._doom.lingers:
            os.kill(os.getpid(), signal.SIGKILL)


class DoomedWriter(Writer):
    """The ledger's writer, which ends the process around the one COMMIT that is meant."""

    def __init__(self, reaper: Reaper, store: Store) -> None:
        self._reaper = reaper
        self._committing: list[str] = []  # what the transaction under way is about, if it is the one
        super().__init__(store)

    async def write(self, unit: Unit[T], *, slow: bool = False, alone: bool = False) -> T:
        """As ever; the unit that is meant carries its point with it."""
        if self._reaper.awaits(Commit.COMMITTING):
            unit = self._ending_before_commit(unit, self._reaper.subject)
        elif self._reaper.awaits(Commit.COMMITTED):
            unit = self._ending_after_commit(unit, self._reaper.subject)
        return await super().write(unit, slow=slow, alone=alone)

    def _ending_before_commit(self, unit: Unit[T], subject_id: str) -> Unit[T]:
        def watched(batch: Batch) -> T:
            sa.event.listen(batch.connection, "commit", lambda _: self._reaper.strike(subject_id))
            return unit(batch)

        return watched

    def _ending_after_commit(self, unit: Unit[T], subject_id: str) -> Unit[T]:
        def watched(batch: Batch) -> T:
            value = unit(batch)
            self._committing.append(subject_id)
            return value

        return watched

    def _write(self, jobs: Sequence[Any], *, lock_time_out: float) -> _Written:
        self._committing.clear()
        return super()._write(jobs, lock_time_out=lock_time_out)

    def _commit(self, written: _Written) -> list[Any]:
        outcomes = super()._commit(written)
        for subject_id in self._committing:
            self._reaper.strike(subject_id)
        return outcomes


def main() -> None:
    """Run until struck."""
    reaper = Reaper(Doom.told(os.environ))
    configured = bootstrap.settings()
    bootstrap.require_runnable(configured)
    with patch.object(opening, "Writer", partial(DoomedWriter, reaper)):
        bootstrap.run(bootstrap.run_worker(configured, reached=reaper.reached))


if __name__ == "__main__":
    main()

"""Group commit: one thread writes everything that queued up while the last commit was in progress, and syncs once.

A caller hands in a unit of work and gets its result when it is on the disk. A unit that refuses (a `WorkerError` raised
before it wrote anything) concerns its own caller only. A unit that breaks takes nobody with it: everything is rolled
back, and each unit runs again in a transaction of its own. When the database cannot be used, or a commit fails, no unit
of that commit reports success; what a commit left unknown is found out by the guards of whatever is tried next.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from worker.core.errors import LedgerUnavailable, WorkerError
from worker.ledger.faults import in_conflict, in_words
from worker.ledger.prepared import Prepared
from worker.ledger.store import Link, Store

T = TypeVar("T")

_MOST: Final = 200  # units in one commit: bounds how long the first of them waits
_TRIES: Final = 5  # runs of a unit that loses against another worker's transaction


class Batch:
    """What a unit of work sees: the connection, and a place for the rows that nobody has to wait for."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._rows: list[tuple[Prepared, Mapping[str, Any]]] = []

    def later(self, statement: Prepared, row: Mapping[str, Any]) -> None:
        """Write this row before the commit, together with all others of the same statement."""
        self._rows.append((statement, row))

    def run(self, unit: "Unit[T]") -> T:
        """Run one unit; of one that refuses nothing is kept."""
        kept = len(self._rows)
        try:
            return unit(self)
        except WorkerError:
            del self._rows[kept:]
            raise

    def flush(self) -> None:
        """Write them now."""
        together: dict[Prepared, list[Mapping[str, Any]]] = {}
        for statement, row in self._rows:
            together.setdefault(statement, []).append(row)
        self._rows.clear()
        for statement, rows in together.items():
            statement.many(self.connection, rows)


Unit = Callable[[Batch], T]


@dataclass(frozen=True, slots=True)
class _Job:
    unit: Unit[Any]
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


_Outcome = _Done | _Failed


class Writer:
    """The one thread that writes. Made and closed inside a running event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._link: Link | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._closed = self._loop.create_future()
        # A daemon, so that a process which ends without closing is not kept alive; what it promised is committed.
        threading.Thread(target=self._run, name="ledger-writer", daemon=True).start()

    @property
    def place(self) -> str:
        """Where the ledger lies."""
        return self._store.place

    async def write(self, unit: Unit[T]) -> T:
        """Run the unit in the next transaction; returns once it is committed. If the caller is cancelled the unit
        runs all the same.

        Raises:
            LedgerUnavailable: it could not be committed, or nobody knows whether it was.
            WorkerError: the unit refused.
        """
        if self._closing:
            raise LedgerUnavailable(f"the ledger {self._store.place} is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(unit, future))
        return await future

    async def close(self) -> None:
        """Commit what was handed in, then end the thread."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        await asyncio.shield(self._closed)

    def _run(self) -> None:
        ending = False
        while not ending:
            jobs, last = self._gather()
            heard = self._tell(_settle, jobs, self._outcomes(jobs))
            ending = last or not heard
        self._drop()
        self._tell(_settle_closed, self._closed)

    def _gather(self) -> tuple[list[_Job], bool]:
        """Wait for one job and take what else is there; and whether that was the last."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        try:
            while job is not None:
                jobs.append(job)
                if len(jobs) == _MOST:
                    return jobs, False
                job = self._jobs.get_nowait()
        except Empty:
            return jobs, False
        return jobs, True

    def _outcomes(self, jobs: Sequence[_Job]) -> list[_Outcome]:
        outcomes = self._run_together(jobs)
        if not isinstance(outcomes, _Failed):
            return outcomes
        if isinstance(outcomes.error, LedgerUnavailable):
            return [outcomes] * len(jobs)
        return self._run_alone(jobs)

    def _run_alone(self, jobs: Sequence[_Job]) -> list[_Outcome]:
        found: list[_Outcome] = []
        for job in jobs:
            outcomes = self._run_again(job)
            if isinstance(outcomes, _Failed) and isinstance(outcomes.error, LedgerUnavailable):
                return found + [outcomes] * (len(jobs) - len(found))
            found += [outcomes] if isinstance(outcomes, _Failed) else outcomes
        return found

    def _run_again(self, job: _Job) -> list[_Outcome] | _Failed:
        for _ in range(_TRIES):
            outcomes = self._run_together([job])
            if not (isinstance(outcomes, _Failed) and in_conflict(outcomes.error)):
                return outcomes
        return _Failed(LedgerUnavailable(f"the ledger {self._store.place} is contended by other workers"))

    def _run_together(self, jobs: Sequence[_Job]) -> list[_Outcome] | _Failed:
        """One transaction. A failure is that of all, already in words where the ledger cannot be used."""
        if not jobs:
            return []
        try:
            return self._transact(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers, not to this thread
            told = in_words(error, self._store.place)
            if isinstance(told, LedgerUnavailable):
                self._drop()
            return _Failed(told)

    def _transact(self, jobs: Sequence[_Job]) -> list[_Outcome]:
        link = self._link = self._link or self._store.connect()
        link.verify()
        with link.connection.begin():
            batch = Batch(link.connection)
            outcomes = [_outcome(batch, job.unit) for job in jobs]
            batch.flush()
        link.verify()
        return outcomes

    def _drop(self) -> None:
        """Let go of the connection; the next transaction makes a new one."""
        link, self._link = self._link, None
        if link is not None:
            close_quietly(link)

    def _tell(self, settle: Callable[..., None], *arguments: Any) -> bool:
        """Whether anybody still hears: not once the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(settle, *arguments)
        except RuntimeError:
            return False
        return True


def close_quietly(link: Link) -> None:
    """Close a connection that may be broken already: whatever it is in the middle of is rolled back."""
    link.connection.invalidate()
    link.connection.close()


def _outcome(batch: Batch, unit: Unit[Any]) -> _Outcome:
    try:
        return _Done(batch.run(unit))
    except WorkerError as refusal:
        return _Failed(refusal)


def _settle(jobs: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.future.done():
            continue  # its caller was cancelled
        if isinstance(outcome, _Done):
            job.future.set_result(outcome.value)
        elif isinstance(outcome.error, LedgerUnavailable):
            # One failure, many callers: each raises an exception of its own.
            job.future.set_exception(LedgerUnavailable(str(outcome.error)))
        else:
            job.future.set_exception(outcome.error)


def _settle_closed(closed: asyncio.Future[None]) -> None:
    if not closed.done():
        closed.set_result(None)

"""Group commit: what queued up while the last commit was in progress is written in one transaction, with one sync.

Where a statement is over in microseconds (SQLite) the statements run on the event loop and only the commit, which waits
for the disk, in a thread: two threads that take the interpreter from each other for every statement cost more than the
statements. A unit that may take long, and every unit where each statement waits for a server, runs in the thread.

A caller hands in a unit of work and gets its result when it is on the disk. A unit that refuses (a `WorkerError` raised
before it wrote anything) concerns its own caller only. A unit that breaks takes nobody with it: everything is rolled
back, and each unit runs again in a transaction of its own. When the database cannot be used, or a commit fails, no unit
of that commit reports success; what a commit left unknown is found out by the guards of whatever is tried next.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from worker.core.errors import LedgerUnavailable, WorkerError
from worker.ledger.faults import in_conflict, in_words
from worker.ledger.prepared import Prepared
from worker.ledger.store import LOCK_PATIENCE, Link, Store

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
    slow: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


_Outcome = _Done | _Failed


@dataclass(frozen=True, slots=True)
class _Written:
    """A transaction with everything in it, not yet committed."""

    link: Link
    outcomes: list[_Outcome]
    transaction: ExitStack


class Writer:
    """The one who writes. Made and closed inside a running event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Used by the loop or by the thread, never by both: there is one transaction at a time.
        self._link: Link | None = None
        self._jobs: deque[_Job] = deque()
        self._resting = True
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._closed = self._loop.create_future()
        self._handed_over: SimpleQueue[tuple[Sequence[_Job], _Written | None] | None] = SimpleQueue()
        # A daemon, so that a process which ends without closing is not kept alive; what it promised is committed.
        threading.Thread(target=self._run, name="ledger-writer", daemon=True).start()

    @property
    def place(self) -> str:
        """Where the ledger lies."""
        return self._store.place

    async def write(self, unit: Unit[T], *, slow: bool = False, alone: bool = False) -> T:
        """Run the unit in the next transaction; returns once it is committed. If the caller is cancelled the unit
        runs all the same.

        Args:
            unit: Reads and writes; may run more than once, in which case only the last run is kept.
            slow: Whether it may take longer than the event loop should stand still.
            alone: Whether it gets a transaction of its own: it locks what every other worker needs, and a worker that
                freezes while it writes anything else must not hold that.

        Raises:
            LedgerUnavailable: it could not be committed, or nobody knows whether it was.
            WorkerError: the unit refused.
        """
        if self._closing:
            raise LedgerUnavailable(f"the ledger {self._store.place} is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.append(_Job(unit, future, slow, alone))
        self._stir()
        return await future

    async def close(self) -> None:
        """Commit what was handed in, then end the thread."""
        if not self._closing:
            self._closing = True
            self._stir()
        await asyncio.shield(self._closed)

    def _stir(self) -> None:
        if self._resting:
            self._resting = False
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """Begin the next transaction with what is there, or rest."""
        jobs = self._gathered()
        if jobs:
            self._handed_over.put((jobs, self._written_here(jobs)))
        elif self._closing:
            self._handed_over.put(None)
        else:
            self._resting = True

    def _gathered(self) -> list[_Job]:
        jobs: list[_Job] = []
        while self._jobs and len(jobs) < _MOST and not (jobs and self._jobs[0].alone):
            jobs.append(self._jobs.popleft())
            if jobs[-1].alone:
                break
        return jobs

    def _written_here(self, jobs: Sequence[_Job]) -> _Written | None:
        """The transaction, but for its commit; None where the thread must do it: it has the time to wait for a lock,
        to connect, or to find out whose unit broke.
        """
        link = self._link
        if link is None or link.lock_time_out is None or any(job.slow for job in jobs):
            return None
        try:
            return self._write(jobs, lock_time_out=0.0)
        except Exception:  # noqa: BLE001 - all of it is tried again, and what fails then is told
            return None

    def _run(self) -> None:
        """In the thread."""
        while (work := self._handed_over.get()) is not None:
            jobs, written = work
            if not self._tell(self._go_on, jobs, self._outcomes(jobs, written)):
                break
        self._drop()
        self._tell(_settle_closed, self._closed)

    def _go_on(self, jobs: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
        """Whoever is told here runs before the next transaction begins, and may still be part of it."""
        _settle(jobs, outcomes)
        self._loop.call_soon(self._next)

    def _outcomes(self, jobs: Sequence[_Job], written: _Written | None = None) -> list[_Outcome]:
        outcomes = self._run_together(jobs, written)
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

    def _run_together(
        self, jobs: Sequence[_Job], written: _Written | None = None
    ) -> list[_Outcome] | _Failed:
        """One transaction. A failure is that of all, already in words where the ledger cannot be used."""
        try:
            return self._commit(written or self._write(jobs, lock_time_out=LOCK_PATIENCE))
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers, not to this thread
            told = in_words(error, self._store.place)
            if isinstance(told, LedgerUnavailable) or self._is_lost():
                self._drop()
            return _Failed(told)

    def _is_lost(self) -> bool:
        """Whether the connection would be made anew behind our back, without what makes its commits durable."""
        return self._link is not None and self._link.connection.invalidated

    def _write(self, jobs: Sequence[_Job], *, lock_time_out: float) -> _Written:
        link = self._link = self._link or self._store.connect()
        link.verify()
        if link.lock_time_out is not None:
            link.lock_time_out(lock_time_out)
        with ExitStack() as transaction:
            transaction.enter_context(link.connection.begin())
            batch = Batch(link.connection)
            outcomes = [_outcome(batch, job.unit) for job in jobs]
            batch.flush()
            return _Written(link, outcomes, transaction.pop_all())

    def _commit(self, written: _Written) -> list[_Outcome]:
        try:
            written.transaction.close()
        except Exception:
            self._drop()  # after a commit that failed nobody knows what the connection is in the middle of
            raise
        written.link.verify()
        return written.outcomes

    def _drop(self) -> None:
        """Let go of the connection; the next transaction makes a new one."""
        link, self._link = self._link, None
        if link is not None:
            close_quietly(link)

    def _tell(self, told: Callable[..., None], *arguments: Any) -> bool:
        """Whether anybody still hears: not once the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(told, *arguments)
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

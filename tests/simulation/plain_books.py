"""The ledger in plain dicts, for the many seeds: a transaction is one call, and everything else is as with SQLite.

That it does what the real one does is proven where the real ones are tested, and by seeds that are run on both.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

from tests.plain_ledger import PlainLedger, Tables
from tests.plain_ledger.claims import end_all
from tests.simulation.books import UNKNOWN, Books, GroupCommit, Line, Row, answer
from tests.simulation.life import Life
from tests.simulation.scene import Scene
from worker.core.clock import Clock
from worker.core.errors import LedgerUnavailable, WorkerError
from worker.core.ledger import Ledger
from worker.core.states import State
from worker.ledger.writer import _Done, _Failed, _Job, _Outcome

T = TypeVar("T")


class PlainBooks(Books):
    """Implements `Books` with dicts."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.tables = Tables()

    def close(self) -> None:
        self.tables = Tables()

    def open(self, life: Life, clock: Clock, *, alone: bool) -> Ledger:
        if alone:
            self.begin(life)
            end_all(self.tables)
            self.end(life)
        self.set(clock, begins=True)
        return PlainLedger(_Access(self, life), clock, timedelta(seconds=self.scene.weather.lease))

    def set(self, clock: Clock, *, begins: bool) -> None:
        self.tables.set(clock, begins=begins)

    # --- what stands in it --------------------------------------------------------------------------------------

    def knows(self, event_id: str) -> bool:
        return event_id in self.tables.events

    def unended(self) -> Sequence[str]:
        entries = [row.entry for row in self.tables.open.values()]
        return [f"{one.idempotency_key} is {one.state}" for one in entries if one.state is not State.HELD]

    def unpublished(self) -> Sequence[str]:
        subjects = [told.line.subject_id for told in self.tables.unconfirmed.values()]
        return [f"event of {self._name(subject_id)}" for subject_id in subjects]

    def _name(self, subject_id: str) -> str:
        row = self.tables.rows.get(subject_id)
        return row.entry.idempotency_key if row else subject_id

    def keyless(self) -> Iterable[tuple[str, str]]:
        held = [row.entry for row in self.tables.open.values() if row.entry.reason in UNKNOWN]
        return [(entry.idempotency_key, entry.provider) for entry in held]

    def rows(self) -> Sequence[Row]:
        return [
            Row(
                row.entry.request_id,
                row.entry.idempotency_key,
                row.entry.provider,
                row.entry.state,
                row.entry.reason,
                row.entry.account_id,
                row.entry.event_id,
                row.entry.dry_run,
                row.entry.doubted,
                row.pruned_at is not None,
            )
            for row in self.tables.rows.values()
        ]

    def count(self) -> int:
        return len(self.tables.rows)

    def steps(self) -> Iterable[tuple[str, Line]]:
        for subject_id, story in self.tables.stories.items():
            for line in story:
                if line.enters is not None:
                    event = line.detail.get("event")
                    yield subject_id, Line(line.name, line.leaves, line.enters, str(event) if event else None)

    def letters(self) -> Sequence[str | None]:
        return [known.letter.message_id for known in self.tables.dead_letters.values()]

    def touchable(self) -> Sequence[str]:
        def turn(request_id: str) -> tuple[bool, str]:
            return self.tables.rows[request_id].entry.state is State.PROVISIONED, request_id

        return sorted(self.tables.rows, key=turn)

    def open_letters(self) -> Sequence[str]:
        letters = self.tables.dead_letters.items()
        return sorted(dead_letter_id for dead_letter_id, known in letters if known.letter.state == "open")


class _Access:
    """One process's way to the tables. Implements `tests.plain_ledger.ledger.Access`."""

    def __init__(self, books: PlainBooks, life: Life) -> None:
        self._books = books
        self._life = life
        self._commits = GroupCommit[Tables](books.scene, life, self._outcomes)

    async def write(self, unit: Callable[[Tables], T]) -> T:
        return await self._commits.write(unit)

    async def ask(self, question: Callable[[Tables], T]) -> T:
        return await answer(self._books.scene, self._life, lambda: self._answer(question))

    def _answer(self, question: Callable[[Tables], T]) -> T:
        self._books.refuse_while_away()
        return question(self._books.tables)

    def _outcomes(self, jobs: Sequence[_Job]) -> Sequence[_Outcome]:
        """One transaction: either all that was written stays, told or untold, or nothing was written."""
        try:
            self._books.begin(self._life)
            outcomes = [self._outcome(job) for job in jobs]
            self._books.end(self._life)
        except LedgerUnavailable as error:
            return [_Failed(error)] * len(jobs)
        return outcomes

    def _outcome(self, job: _Job) -> _Outcome:
        try:
            return _Done(job.unit(self._books.tables))  # type: ignore[arg-type]  # a unit of this ledger
        except WorkerError as refusal:
            return _Failed(refusal)

"""The real ledger on SQLite in memory, without its threads: one transaction after the other, in virtual time.

Everything of `worker/ledger/` runs but the two threads: the statements, the group commit and what it does when a commit
fails. A fault is raised where a broken database raises: before the transaction begins, or once it is committed.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from tests.simulation.books import UNKNOWN, Books, GroupCommit, Line, Row, answer
from tests.simulation.life import Life
from tests.simulation.scene import Scene
from worker.core.clock import Clock
from worker.core.ledger import Ledger
from worker.ledger import claims, schema
from worker.ledger.fit import VERSION
from worker.ledger.ledger import SqlLedger
from worker.ledger.memory import MemoryStore, memory_uri
from worker.ledger.reader import Reader
from worker.ledger.sqlite import opened
from worker.ledger.store import Link
from worker.ledger.timekeeping import begin, come
from worker.ledger.writer import Batch, Unit, Writer, _Failed, _Job, close_quietly

T = TypeVar("T")

_NAME: Final = "simulation"

_ROWS: Final = (
    "SELECT request_id, idempotency_key, provider, state, reason, account_id, event_id, dry_run, doubted, "
    "pruned_at IS NOT NULL FROM requests"
)
_STEPS: Final = (
    "SELECT subject_id, name, leaves, enters, detail FROM history WHERE enters IS NOT NULL ORDER BY line"
)
_UNENDED: Final = (
    "SELECT idempotency_key || ' is ' || state FROM requests "
    "WHERE state NOT IN ('provisioned', 'rejected', 'abandoned', 'held')"
)
_KEYLESS: Final = f"SELECT idempotency_key, provider FROM requests WHERE reason IN {UNKNOWN}"  # noqa: S608 - ours
_UNPUBLISHED: Final = (
    "SELECT 'event of ' || COALESCE(idempotency_key, subject_id) "
    "FROM events LEFT JOIN requests ON request_id = subject_id WHERE published_at IS NULL"
)
_TOUCHABLE: Final = "SELECT request_id FROM requests ORDER BY (state = 'provisioned'), request_id"
_LETTERS: Final = "SELECT dead_letter_id FROM dead_letters WHERE state = 'open' ORDER BY dead_letter_id"


class SqlBooks(Books):
    """Implements `Books` with tables."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._raw = opened(memory_uri(_NAME))
        self._links: list[Link] = []
        _empty()

    def close(self) -> None:
        for link in self._links:
            if not link.connection.closed:
                close_quietly(link)
        self._raw.close()

    def open(self, life: Life, clock: Clock, *, alone: bool) -> Ledger:
        store = _Store(self, life)
        writer = _InlineWriter(store, self, life)
        if alone:
            writer.now(claims.end_all)
        self.set(clock, begins=True)
        lease = timedelta(seconds=self.scene.weather.lease)
        return SqlLedger(writer, _InlineReader(store, self, life), clock, lease)

    def set(self, clock: Clock, *, begins: bool) -> None:
        link = _memory().connect()
        with link.connection.begin():
            heard = begin(Batch(link.connection), clock) if begins else come(link.connection, clock)
        link.connection.close()
        for reading in heard:
            clock.agree(reading.at, reading.as_of)

    def link(self, connect: Callable[[], Link], verify: Callable[[], None]) -> Link:
        """A new connection, unless the ledger is away."""
        self.refuse_while_away()
        link = Link(connect().connection, verify)
        self._links.append(link)
        return link

    # --- what stands in it --------------------------------------------------------------------------------------

    def knows(self, event_id: str) -> bool:
        return bool(self._ask("SELECT 1 FROM events WHERE event_id = ?", event_id))

    def unended(self) -> Sequence[str]:
        return [words for (words,) in self._ask(_UNENDED)]

    def unpublished(self) -> Sequence[str]:
        return [words for (words,) in self._ask(_UNPUBLISHED)]

    def keyless(self) -> Iterable[tuple[str, str]]:
        return [(key, provider) for key, provider in self._ask(_KEYLESS)]

    def rows(self) -> Sequence[Row]:
        return [Row(*row) for row in self._ask(_ROWS)]

    def count(self) -> int:
        ((found,),) = self._ask("SELECT COUNT(*) FROM requests")
        return int(found)

    def steps(self) -> Iterable[tuple[str, Line]]:
        for subject_id, name, leaves, enters, detail in self._ask(_STEPS):
            yield subject_id, Line(name, leaves, enters, json.loads(detail).get("event"))

    def letters(self) -> Sequence[str | None]:
        return [message_id for (message_id,) in self._ask("SELECT message_id FROM dead_letters")]

    def touchable(self) -> Sequence[str]:
        return [request_id for (request_id,) in self._ask(_TOUCHABLE)]

    def open_letters(self) -> Sequence[str]:
        return [dead_letter_id for (dead_letter_id,) in self._ask(_LETTERS)]

    def _ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        return self._raw.execute(question, values).fetchall()


class _Store:
    """Where the ledger lies, for one process."""

    place = "in memory"

    def __init__(self, books: SqlBooks, life: Life) -> None:
        self._books = books
        self._life = life
        self._committed = False

    def prepare(self) -> None:
        """It is there."""

    def serialise(self, connection: sa.Connection) -> None:
        """Nobody migrates."""

    def connect(self) -> Link:
        self._committed = False
        return self._books.link(_memory().connect, self._verify)

    def connect_to_read(self) -> Link:
        return self._books.link(_memory().connect_to_read, self._books.refuse_while_away)

    def _verify(self) -> None:
        """Called by the writer before each transaction, and once it is committed."""
        committed, self._committed = self._committed, not self._committed
        if committed:
            self._books.end(self._life)
        else:
            self._books.begin(self._life)


class _InlineWriter(Writer):
    """The group commit without its thread."""

    def __init__(self, store: _Store, books: SqlBooks, life: Life) -> None:
        self._store = store
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop = life.loop
        self._commits = GroupCommit[Batch](books.scene, life, self._outcomes)

    async def write(self, unit: Unit[T], *, slow: bool = False, alone: bool = False) -> T:
        """Run the unit in the next transaction, unless the process is killed before."""
        del slow, alone  # nothing waits for a disk, or for another process's lock
        return await self._commits.write(unit)

    def now(self, unit: Unit[T]) -> T:
        """Run one unit at once."""
        (outcome,) = self._outcomes([_Job(unit, self._loop.create_future())])
        if isinstance(outcome, _Failed):
            raise outcome.error
        value: T = outcome.value
        return value

    async def close(self) -> None:
        """Nothing is to be ended."""


class _InlineReader(Reader):
    """Questions without a thread."""

    def __init__(self, store: _Store, books: SqlBooks, life: Life) -> None:
        self._store = store
        self._link: Link | None = None
        self._books = books
        self._life = life

    async def ask(self, question: Callable[[sa.Connection], T]) -> T:
        """The answer."""
        return await answer(self._books.scene, self._life, lambda: self._ask(question))

    async def close(self) -> None:
        """Nothing is to be ended."""


@cache
def _memory() -> MemoryStore:
    """One for all simulations of this process: what SQLAlchemy compiles once need not be compiled again."""
    return MemoryStore(_NAME)


def _empty() -> None:
    """The tables as the newest migration leaves them, without a row."""
    link = _memory().connect()
    with link.connection.begin():
        schema.metadata.create_all(link.connection)
        for table in reversed(schema.metadata.sorted_tables):
            link.connection.execute(sa.delete(table))
        link.connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {VERSION.name} (version_num TEXT)")
        link.connection.execute(sa.delete(VERSION))
        link.connection.execute(sa.insert(VERSION), {"version_num": schema.REVISION})
    link.connection.close()

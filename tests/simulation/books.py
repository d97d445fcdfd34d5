"""The real ledger on SQLite in memory, without its threads: one transaction after the other, in virtual time.

Everything of `worker/ledger/` runs but the two threads: the statements, the group commit and what it does when a commit
fails. A fault is raised where a broken database raises: before the transaction begins, or once it is committed.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from tests.simulation.life import Life
from tests.simulation.scene import Scene
from tests.simulation.weather import Fault
from worker.core.clock import Clock
from worker.core.errors import LedgerUnavailable
from worker.ledger import claims, schema
from worker.ledger.ledger import SqlLedger
from worker.ledger.memory import MemoryStore, memory_uri
from worker.ledger.reader import Reader
from worker.ledger.sqlite import opened
from worker.ledger.store import Link
from worker.ledger.writer import Unit, Writer, _Failed, _Job, _settle, close_quietly

T = TypeVar("T")

_NAME: Final = "simulation"


class Books:
    """The database itself: it outlives every process, and may be away."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.away = False
        self._raw = opened(memory_uri(_NAME))
        self._links: list[Link] = []
        _empty()

    def close(self) -> None:
        """Forget everything."""
        for link in self._links:
            if not link.connection.closed:
                close_quietly(link)
        self._raw.close()

    def link(self, connect: Callable[[], Link], verify: Callable[[], None]) -> Link:
        """A new connection, unless the ledger is away."""
        self.refuse_while_away()
        link = Link(connect().connection, verify)
        self._links.append(link)
        return link

    def refuse_while_away(self) -> None:
        """As a database does that is away.

        Raises:
            LedgerUnavailable: always, while it is.
        """
        if self.away:
            raise LedgerUnavailable("the ledger in memory cannot be used: it is away")

    def ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """What stands in it, behind everybody's back."""
        return self._raw.execute(question, values).fetchall()

    def open(self, life: Life, clock: Clock, *, alone: bool) -> SqlLedger:
        """A process opens the ledger.

        Raises:
            LedgerUnavailable: it is away.
        """
        store = _Store(self, life)
        writer = _InlineWriter(store, self, life)
        if alone:
            writer.now(claims.end_all)
        lease = timedelta(seconds=self.scene.weather.lease)
        return SqlLedger(writer, _InlineReader(store, self, life), clock, lease)


class _Store:
    """Where the ledger lies, for one process."""

    place = "in memory"

    def __init__(self, books: Books, life: Life) -> None:
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
        scene, committed = self._books.scene, self._committed
        self._committed = not committed
        if not committed:
            self._books.refuse_while_away()
        fault = Fault.LEDGER_AFTER if committed else Fault.LEDGER_BEFORE
        if scene.strikes(fault):
            scene.trace.fault(fault, self._life.name)
            raise LedgerUnavailable(f"the ledger in memory cannot be used: {fault}")


class _InlineWriter(Writer):
    """The group commit without its thread: what is handed in while a commit takes its time is in the next one."""

    def __init__(self, store: _Store, books: Books, life: Life) -> None:
        self._store = store
        self._link: Link | None = None
        self._books = books
        self._life = life
        self._waiting: list[_Job] = []

    async def write(self, unit: Unit[T]) -> T:
        """Run the unit in the next transaction, unless the process is killed before."""
        await self._life.cross("write")
        future: asyncio.Future[T] = self._life.loop.create_future()
        if not self._waiting:
            scene = self._books.scene
            self._life.loop.after(scene.between(0.0001, scene.weather.slow_commit), self._commit)
        self._waiting.append(_Job(unit, future))
        found = await future
        await self._life.cross("written")
        return found

    def now(self, unit: Unit[T]) -> T:
        """Run one unit at once."""
        (outcome,) = self._outcomes([_Job(unit, self._life.loop.create_future())])
        if isinstance(outcome, _Failed):
            raise outcome.error
        value: T = outcome.value
        return value

    async def close(self) -> None:
        """Nothing is to be ended."""

    def _commit(self, *_: object) -> None:
        life = self._life
        if life.frozen and not life.dead:
            life.thawed().add_done_callback(self._commit)
            return
        jobs, self._waiting = self._waiting, []
        if not life.dead:
            _settle(jobs, self._outcomes(jobs))


class _InlineReader(Reader):
    """Questions without a thread."""

    def __init__(self, store: _Store, books: Books, life: Life) -> None:
        self._store = store
        self._link: Link | None = None
        self._books = books
        self._life = life

    async def ask(self, question: Callable[[sa.Connection], T]) -> T:
        """The answer."""
        await self._life.cross("ask")
        await self._life.pass_time(self._books.scene.between(0.0001, 0.002))
        await self._life.wake()
        answer = self._ask(question)
        await self._life.cross("asked")
        return answer

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
    link.connection.close()

"""Opening a ledger, and everything that must be true before anybody relies on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TypeVar

from worker.core.clock import Clock, SteadyClock, SystemClock
from worker.ledger import claims
from worker.ledger.fit import hold_fit, verify
from worker.ledger.ledger import SqlLedger
from worker.ledger.memory import MemoryStore
from worker.ledger.migrating import make_ready
from worker.ledger.postgresql import PostgresqlStore
from worker.ledger.reader import Reader
from worker.ledger.sqlite import SqliteStore, locked
from worker.ledger.timekeeping import begin, come
from worker.ledger.urls import store_at
from worker.ledger.writer import Batch, Unit, Writer

T = TypeVar("T")


@asynccontextmanager
async def open_ledger(
    url: str, *, clock: Clock | None = None, lease: float = 30.0, exclusive: bool = False
) -> AsyncIterator[SqlLedger]:
    """Open the ledger at a URL; leaving the block commits what was handed in and closes it.

    Args:
        url: ``sqlite:////PATH/FILE``, ``postgresql://USER@HOST/DATABASE``, or for tests ``sqlite:///:memory:NAME``.
        clock: For what the callers do not date themselves; it is set to go on where the ledger's time is.
        lease: Seconds after its last heartbeat at which a worker counts as dead.
        exclusive: For a worker, not for an operator's command: the ledger is created where there is none. On SQLite it
            is brought up to date, this is then the only worker, and every claim of an earlier one has ended.

    Raises:
        ConfigurationError: the URL names no ledger, another worker works on the file, the schema does not fit, or the
            ledger was moved.
        LedgerUnavailable: disk or server cannot be used.
    """
    store, clock = store_at(url), clock or SteadyClock(SystemClock())
    async with AsyncExitStack() as stack:
        if isinstance(store, MemoryStore):
            stack.enter_context(store.kept())
        elif exclusive and isinstance(store, SqliteStore):
            stack.enter_context(locked(store.path))
        if exclusive:
            await asyncio.to_thread(make_ready, store)
        writer = Writer(store) if exclusive else _GuestWriter(store)
        reader, counter = Reader(store), Reader(store)
        for one in (writer, reader, counter):
            stack.push_async_callback(one.close)
        await reader.ask(lambda connection: verify(connection, store.place))
        await _begin(clock, writer, reader, exclusive=exclusive)
        if exclusive and not isinstance(store, PostgresqlStore):
            await writer.write(claims.end_all, slow=True)
        yield SqlLedger(writer, reader, clock, timedelta(seconds=lease), counter)


class _GuestWriter(Writer):
    """Writes for who has locked nobody out: the ledger may be migrated or moved at any moment."""

    async def write(self, unit: Unit[T], *, slow: bool = False, alone: bool = False) -> T:
        """As ever, if this code may still use the ledger when the transaction begins.

        Raises:
            ConfigurationError: it may not; nothing was written.
        """

        def fit(batch: Batch) -> T:
            hold_fit(batch.connection, self.place)
            return unit(batch)

        return await super().write(fit, slow=slow, alone=alone)


async def _begin(clock: Clock, writer: Writer, reader: Reader, *, exclusive: bool) -> None:
    """Go on where the ledger's time is, and hear what time it is where it lies."""
    if exclusive:
        heard = await writer.write(lambda batch: begin(batch, clock))
    else:
        heard = await reader.ask(lambda connection: come(connection, clock))
    for reading in heard:
        clock.agree(reading.at, reading.as_of)

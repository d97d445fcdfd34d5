"""Opening a ledger, and everything that must be true before anybody relies on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from worker.core.clock import Clock, SystemClock
from worker.ledger import claims
from worker.ledger.ledger import SqlLedger
from worker.ledger.migrating import migrate_store, verify
from worker.ledger.reader import Reader
from worker.ledger.sqlite import SqliteStore, locked
from worker.ledger.urls import store_at
from worker.ledger.writer import Writer


@asynccontextmanager
async def open_ledger(
    url: str, *, clock: Clock | None = None, lease: float = 30.0, exclusive: bool = False
) -> AsyncIterator[SqlLedger]:
    """Open the ledger at a URL; leaving the block commits what was handed in and closes it.

    Args:
        url: ``sqlite:////PATH/FILE`` or ``postgresql://USER@HOST/DATABASE``.
        clock: For what the callers do not date themselves.
        lease: Seconds after its last heartbeat at which a worker counts as dead.
        exclusive: For a worker, not for an operator's command: the ledger is created or migrated where needed. On
            SQLite this is then the only worker, and every claim of an earlier one has ended.

    Raises:
        ConfigurationError: the URL names no ledger, another worker works on the file, or the schema does not fit.
        LedgerUnavailable: disk or server cannot be used.
    """
    store = store_at(url)
    async with AsyncExitStack() as stack:
        if exclusive and isinstance(store, SqliteStore):
            stack.enter_context(locked(store.path))
        if exclusive:
            await asyncio.to_thread(migrate_store, store)
        writer, reader = Writer(store), Reader(store)
        stack.push_async_callback(writer.close)
        stack.push_async_callback(reader.close)
        await reader.ask(lambda connection: verify(connection, store.place))
        if exclusive and isinstance(store, SqliteStore):
            await writer.write(claims.end_all)
        yield SqlLedger(writer, reader, clock or SystemClock(), timedelta(seconds=lease))

"""A ledger on which nobody works: what must be so before it is migrated or moved."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import sqlalchemy as sa

from worker.core.clock import Clock
from worker.core.errors import NotAllowed
from worker.ledger import timekeeping
from worker.ledger.memory import MemoryStore
from worker.ledger.migrating import lock_out, undisturbed
from worker.ledger.postgresql import PostgresqlStore
from worker.ledger.sqlite import AtWork, SqliteStore, locked
from worker.ledger.standing import living


@contextmanager
def at_rest(
    store: SqliteStore | MemoryStore | PostgresqlStore, clock: Clock, lease: timedelta
) -> Iterator[sa.Connection]:
    """One transaction in which no worker is alive and none can begin.

    Raises:
        NotAllowed: a worker is at work.
    """
    if isinstance(store, SqliteStore):
        with file_at_rest(store), undisturbed(store) as connection:
            yield connection
        return
    with undisturbed(store) as connection:
        lock_out(connection)
        now = timekeeping.now(connection, clock)
        alive = living(connection, now - lease)
        if alive:
            seconds = {
                seen.worker: max(0, round((now - seen.heartbeat_at).total_seconds())) for seen in alive
            }
            names = ", ".join(f"{worker} ({seconds[worker]} seconds ago)" for worker in seconds)
            raise NotAllowed(
                f"workers gave a sign of life at {store.place}: {names}. Stop them first; one that was killed counts "
                f"as alive for {round(lease.total_seconds())} seconds"
            )
        yield connection


@contextmanager
def file_at_rest(store: SqliteStore) -> Iterator[None]:
    """As long as the block lasts no worker works on the file.

    Raises:
        NotAllowed: one does.
    """
    try:
        with locked(store.path):
            yield
    except AtWork as error:
        raise NotAllowed(
            f"a worker (process {error.holder}) works on the ledger {store.place}: stop it first"
        ) from error

"""Errands about the ledger itself: how it stands, its schema, its place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from worker.bootstrap import parts
from worker.core.clock import SystemClock
from worker.ledger import backup, migrating, moving, timekeeping
from worker.ledger.migrating import MigrationStep
from worker.ledger.moving import Progress
from worker.ledger.reader import Reader
from worker.ledger.rest import at_rest
from worker.ledger.schema import REVISION
from worker.ledger.standing import LedgerStanding, standing
from worker.ledger.urls import store_at
from worker.settings import Settings

NEWEST = REVISION
"""The schema that this version of the worker needs."""


async def ledger_standing(configured: Settings) -> LedgerStanding:
    """How the ledger stands, of whatever schema it is.

    Raises:
        ConfigurationError: there is none.
        LedgerUnavailable: it cannot be read.
    """
    parts.require_ledger(configured)
    store = store_at(configured.ledger.url.get_secret_value())
    clock, lease = SystemClock(), timedelta(seconds=configured.ledger.lease)

    def look(connection: sa.Connection) -> LedgerStanding:
        return standing(connection, store.place, timekeeping.now(connection, clock) - lease)

    reader = Reader(store)
    try:
        return await reader.ask(look)
    finally:
        await reader.close()


def ledger_revisions() -> tuple[str, ...]:
    """Every schema that this version of the worker knows, the oldest first."""
    return migrating.revisions()


def migrate_ledger(
    configured: Settings, to: str, *, may_lose: bool, told: Callable[[MigrationStep], None]
) -> Sequence[MigrationStep]:
    """Bring the ledger up or down to a known schema; the steps that were taken. Blocks.

    Raises:
        ConfigurationError: there is no ledger, or it is of a newer version.
        NotAllowed: workers are at work, or the way down would lose what may not be lost.
        LedgerUnavailable: its disk or server cannot be used.
    """
    parts.require_ledger(configured)
    store = store_at(configured.ledger.url.get_secret_value())
    with at_rest(store, SystemClock(), timedelta(seconds=configured.ledger.lease)) as connection:
        return migrating.change(connection, store.place, to, may_lose=may_lose, told=told)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A copy of the ledger that was made.

    Attributes:
        requests: How many are in it.
        size: Its bytes.
        keys_file: File with the sealing keys, which are not in it; None where they are set in clear.
    """

    file: Path
    requests: int
    size: int
    keys_file: Path | None


def back_up_ledger(configured: Settings, to: Path) -> BackedUp:
    """Copy the ledger in its SQLite file, while a worker may be at work. Blocks.

    Raises:
        ConfigurationError: there is no ledger, it is on a server, or the file exists or cannot be made.
        LedgerUnavailable: a disk failed or is full.
        WorkerError: what was copied is damaged.
    """
    parts.require_ledger(configured)
    made = backup.back_up(configured.ledger.url.get_secret_value(), to)
    keys_file = configured.sealing_keys_file()
    return BackedUp(to, made.requests, made.size, keys_file.absolute() if keys_file else None)


@dataclass(frozen=True, slots=True)
class MovedLedger:
    """A ledger that was moved.

    Attributes:
        rows: Of each table.
        keys_file: File with the sealing keys, which must be brought along; None where they are set in clear.
    """

    place: str
    rows: Mapping[str, int]
    keys_file: Path | None


def move_ledger(configured: Settings, target: str, told: Callable[[Progress], None]) -> MovedLedger:
    """Move the ledger from its SQLite file to a PostgreSQL server. Blocks.

    Raises:
        ConfigurationError: there is no ledger in a file, or the target's URL names no server.
        NotAllowed: a worker is at work, the target is not empty, or the ledger went elsewhere.
        LedgerUnavailable: disk or server cannot be used.
    """
    parts.require_ledger(configured)
    rows = moving.move(configured.ledger.url.get_secret_value(), target, SystemClock().now, told)
    keys_file = configured.sealing_keys_file()
    return MovedLedger(store_at(target).place, rows, keys_file.absolute() if keys_file else None)


def cancel_move(configured: Settings, target: str) -> None:
    """Make the SQLite file the ledger again, as long as nothing has arrived. Blocks.

    Raises:
        NotAllowed: nothing is being moved, or all has arrived already.
    """
    parts.require_ledger(configured)
    moving.cancel(configured.ledger.url.get_secret_value(), target)

"""How a ledger stands: its schema, who works on it, how much is in it. Nothing here writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from worker.ledger.fit import moved_to, revision_of, unfit
from worker.ledger.schema import (
    attempts,
    dead_letters,
    events,
    history,
    metadata,
    requests,
    shares,
    workers,
)

_COUNTED: Final = (attempts, events, history)


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker that began and did not end.

    Attributes:
        alive: Whether its last sign of life is younger than the lease.
        slots: Its part of each provider's slots.
    """

    worker: str
    heartbeat_at: datetime
    alive: bool
    slots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LedgerStanding:
    """A ledger as it is found.

    Attributes:
        place: Without a password.
        schema: The revision it has; None where there are no tables yet.
        words: Why this version of the worker may not use it, and what helps; None when it may.
        moved_to: Where it went; None as long as it is here.
        requests: Their number by state.
        dead_letters: Their number by state.
        rows: Of other tables.
        size: Bytes on the disk.
    """

    place: str
    schema: str | None
    words: str | None
    moved_to: str | None
    workers: Sequence[WorkerSeen]
    requests: Mapping[str, int]
    dead_letters: Mapping[str, int]
    rows: Mapping[str, int]
    size: int


def standing(connection: sa.Connection, place: str, dead_since: datetime) -> LedgerStanding:
    """Look at a ledger, of whatever schema."""
    found = revision_of(connection)
    there = set(sa.inspect(connection).get_table_names())
    return LedgerStanding(
        place=place,
        schema=found,
        words=None if found is None else unfit(connection, place, found),
        moved_to=moved_to(connection),
        workers=_workers(connection, there, dead_since),
        requests=_by_state(connection, requests, there),
        dead_letters=_by_state(connection, dead_letters, there),
        rows={table.name: _count(connection, table) for table in _COUNTED if table.name in there},
        size=_size(connection),
    )


def living(connection: sa.Connection, dead_since: datetime) -> Sequence[WorkerSeen]:
    """The workers that may be at work."""
    there = set(sa.inspect(connection).get_table_names())
    return [seen for seen in _workers(connection, there, dead_since) if seen.alive]


def _workers(connection: sa.Connection, there: set[str], dead_since: datetime) -> list[WorkerSeen]:
    if workers.name not in there:
        return []
    slots: dict[str, dict[str, int]] = {}
    if shares.name in there:
        for row in connection.execute(sa.select(shares).order_by(shares.c.provider)):
            slots.setdefault(row.worker, {})[row.provider] = row.slots
    found = connection.execute(sa.select(workers).order_by(workers.c.heartbeat_at.desc(), workers.c.worker))
    return [
        WorkerSeen(row.worker, row.heartbeat_at, row.heartbeat_at > dead_since, slots.get(row.worker, {}))
        for row in found
    ]


def _by_state(connection: sa.Connection, table: sa.Table, there: set[str]) -> Mapping[str, int]:
    if table.name not in there:
        return {}
    state = sa.type_coerce(table.c.state, sa.Text)
    counted = sa.select(state, sa.func.count()).group_by(state).order_by(state)
    return {row[0]: row[1] for row in connection.execute(counted)}


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _size(connection: sa.Connection) -> int:
    """On PostgreSQL tables and indexes; on SQLite the file, without its log of recent writes."""
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    names = sa.select(sa.func.unnest(sa.bindparam("names", type_=sa.ARRAY(sa.Text))).label("name")).subquery()
    size = sa.func.pg_total_relation_size(sa.func.to_regclass(names.c.name))
    total = sa.select(sa.func.coalesce(sa.func.sum(size), 0))
    return int(connection.scalar(total, {"names": list(metadata.tables)}) or 0)

"""Moving a ledger from a SQLite file to a PostgreSQL server, without losing a row and without ever having two.

    mark      the file is marked as gone: from now on no worker starts on it
    prepare   the server's ledger is made and marked as not all there yet: no worker starts on it either
    copy      every row, in one transaction, which also proves that all arrived and takes the server's mark away
    end       the mark in the file says that it is done

Each step is durable before the next one begins and is skipped when it is found done, so a move that was interrupted
anywhere is finished by starting it again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from worker.core.errors import ConfigurationError, NotAllowed, WorkerError
from worker.ledger.copying import COPIED, content_of, copy, go_on_counting
from worker.ledger.fit import revision_of
from worker.ledger.migrating import bring_up, lock_out, undisturbed
from worker.ledger.postgresql import PostgresqlStore
from worker.ledger.rest import file_at_rest
from worker.ledger.schema import checks, clocks, moves, shares, waits, workers
from worker.ledger.sqlite import SqliteStore
from worker.ledger.urls import store_at

_m = moves.c

_EMPTIED: Final = (checks, waits, shares, clocks)
"""What looking at a new ledger may have written there; of no worth."""
_MUST_BE_EMPTY: Final = (*(table for table in COPIED if table not in _EMPTIED), workers)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: `table` is being copied, `done` of `total` rows so far; without a table another step is done."""

    step: str
    table: str | None = None
    done: int = 0
    total: int = 0


Told = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Move:
    """The mark of a move: where to (or from), and when it was begun, by which both sides know each other."""

    place: str
    begun_at: datetime
    ended_at: datetime | None


def move(source: str, target: str, now: Callable[[], datetime], told: Told) -> Mapping[str, int]:
    """Move a ledger; how many rows each table had. Blocks.

    Args:
        source: URL of a ledger in a SQLite file.
        target: URL of a database on a PostgreSQL server, without a ledger or with an empty one.
        now: Time of day.
        told: Hears of every step once it is done.

    Raises:
        NotAllowed: a worker is at work, the target is not empty, or the ledger went elsewhere.
        ConfigurationError: a URL names no such ledger, or the schema of one is of a newer version.
        LedgerUnavailable: disk or server cannot be used.
        WorkerError: what arrived is not what was sent; nothing was moved.
    """
    here, there = _ends(source, target)
    with file_at_rest(here):
        with undisturbed(here) as connection:
            _require_ledger(connection, here)
            bring_up(connection, here.place)
            begun = _going_to(connection, here, there)
        with undisturbed(there) as connection:
            _require_room(connection, there, begun)  # before the file is marked for nothing
        begun = begun or _mark(here, there, now())
        told(Progress("marked"))
        with undisturbed(there) as connection:
            _prepare(connection, here, there, begun)
        told(Progress("prepared"))
        with undisturbed(here) as leaving:
            rows = _arrive(leaving, there, begun, now, told)
            leaving.execute(sa.update(moves).where(_m.way == "to").values(ended_at=now()))
        told(Progress("ended"))
    return rows


def cancel(source: str, target: str) -> None:
    """Undo a move of which nothing has arrived: the file is the ledger again. Blocks.

    Raises:
        NotAllowed: nothing is being moved, or all has arrived already.
    """
    here, there = _ends(source, target)
    with file_at_rest(here):
        with undisturbed(here) as connection:
            _require_ledger(connection, here)
            begun = _going_to(connection, here, there)
        if begun is None:
            raise NotAllowed(f"the ledger at {here.place} is not being moved")
        with undisturbed(there) as connection:
            _forget_arrival(connection, there, begun)
        with undisturbed(here) as connection:
            connection.execute(sa.delete(moves).where(_m.way == "to"))


def _ends(source: str, target: str) -> tuple[SqliteStore, PostgresqlStore]:
    here, there = store_at(source), store_at(target)
    if not isinstance(here, SqliteStore):
        raise ConfigurationError(f"only a ledger in a SQLite file is moved; this one is at {here.place}")
    if not isinstance(there, PostgresqlStore):
        raise ConfigurationError("a ledger is moved to postgresql://USER@HOST/DATABASE")
    return here, there


# --- the file ---------------------------------------------------------------------------------------------------


def _require_ledger(connection: sa.Connection, here: SqliteStore) -> None:
    if revision_of(connection) is None:
        raise ConfigurationError(f"there is no ledger at {here.place}")


def _going_to(connection: sa.Connection, here: SqliteStore, there: PostgresqlStore) -> Move | None:
    """The move to there that was begun already, if one was."""
    begun = _mark_of(connection, "to")
    if begun is None:
        return None
    if begun.place != there.place:
        raise NotAllowed(
            f"the ledger at {here.place} was moved to {begun.place} already, not to {there.place}"
        )
    if begun.ended_at is not None:
        raise NotAllowed(f"the ledger at {here.place} was moved to {begun.place} already")
    return begun


def _mark_of(connection: sa.Connection, way: str) -> Move | None:
    if not sa.inspect(connection).has_table(moves.name):
        return None
    found = connection.execute(sa.select(moves).where(_m.way == way)).one_or_none()
    return None if found is None else Move(found.place, found.begun_at, found.ended_at)


def _mark(here: SqliteStore, there: PostgresqlStore, begun_at: datetime) -> Move:
    with undisturbed(here) as connection:
        connection.execute(sa.insert(moves), {"place": there.place, "way": "to", "begun_at": begun_at})
    return Move(there.place, begun_at, None)


# --- the server -------------------------------------------------------------------------------------------------


def _require_room(connection: sa.Connection, there: PostgresqlStore, begun: Move | None) -> None:
    """The database has no ledger, or an empty one on which nobody ever worked, or what is left of this very move."""
    if revision_of(connection) is None:
        return
    arriving = _mark_of(connection, "from")
    if arriving is None:
        for table in _MUST_BE_EMPTY:
            if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
                raise NotAllowed(
                    f"there is something in the table {table.name} at {there.place}; name an empty database"
                )
    elif begun is None or arriving.begun_at != begun.begun_at:
        raise NotAllowed(f"another ledger was moved to {there.place}, from {arriving.place}")


def _prepare(connection: sa.Connection, here: SqliteStore, there: PostgresqlStore, begun: Move) -> None:
    """Make the tables, and mark them as not to be used yet. No worker begins while that is decided."""
    lock_out(connection)
    _require_room(connection, there, begun)
    bring_up(connection, there.place)
    if _mark_of(connection, "from") is None:
        mark = {"place": here.place, "way": "from", "begun_at": begun.begun_at}
        connection.execute(sa.insert(moves), mark)


def _arrive(
    leaving: sa.Connection, there: PostgresqlStore, begun: Move, now: Callable[[], datetime], told: Told
) -> Mapping[str, int]:
    """Copy everything, unless it is there already; how many rows each table had."""
    with undisturbed(there) as arriving:
        mark = _mark_of(arriving, "from")
        if mark is None or mark.begun_at != begun.begun_at:
            raise NotAllowed(f"the ledger at {there.place} was changed meanwhile; start again")
        if mark.ended_at is not None:
            return {table.name: _count(leaving, table) for table in COPIED}
        for table in _EMPTIED:
            arriving.execute(sa.delete(table))
        rows = {table.name: _copied(leaving, arriving, table, told) for table in COPIED}
        go_on_counting(arriving)
        told(Progress("verified"))
        arriving.execute(sa.update(moves).where(_m.way == "from").values(ended_at=now()))
    told(Progress("copied"))
    return rows


def _copied(leaving: sa.Connection, arriving: sa.Connection, table: sa.Table, told: Told) -> int:
    total = _count(leaving, table)
    told(Progress("copying", table.name, 0, total))
    sent = copy(leaving, arriving, table, lambda done: told(Progress("copying", table.name, done, total)))
    found = content_of(arriving, table)
    if found != sent:
        raise WorkerError(
            f"{found.rows} rows of {table.name} arrived where {sent.rows} were sent, or not as they were; "
            "nothing was moved"
        )
    return sent.rows


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _forget_arrival(connection: sa.Connection, there: PostgresqlStore, begun: Move) -> None:
    arriving = _mark_of(connection, "from")
    if arriving is None or arriving.begun_at != begun.begun_at:
        return
    if arriving.ended_at is not None:
        raise NotAllowed(
            f"everything has arrived at {there.place} already; the same command without --cancel ends the move"
        )
    connection.execute(sa.delete(moves).where(_m.way == "from"))

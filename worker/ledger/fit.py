"""Whether a ledger may be used by this code: its schema, and whether this is still its place."""

from typing import Any, Final

import sqlalchemy as sa

from worker.core.errors import ConfigurationError
from worker.ledger.schema import REVISION, moves

VERSION: Final = sa.table("alembic_version", sa.column("version_num", sa.Text))
"""Where the migration tool keeps the revision."""

_AWAY: Final = sa.select(moves.c.place).where(moves.c.way == "to")
_COMING: Final = sa.select(moves.c.place).where(moves.c.way == "from", moves.c.ended_at.is_(None))


def verify(connection: sa.Connection, place: str) -> None:
    """Make sure that this code may use the ledger.

    Raises:
        ConfigurationError: it may not; the text says what helps.
    """
    found = revision_of(connection)
    if found is None:
        raise ConfigurationError(f"there is no ledger at {place} yet; a worker creates it when it starts")
    words = unfit(connection, place, found)
    if words is not None:
        raise ConfigurationError(words)


def hold_fit(connection: sa.Connection, place: str) -> None:
    """The same, and it stays so until the transaction ends. (One that writes to a file has locked all of it.)

    Raises:
        ConfigurationError: this code may not use the ledger (any more).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(VERSION.c.version_num).with_for_update(read=True))
    verify(connection, place)


def unfit(connection: sa.Connection, place: str, found: str) -> str | None:
    """Why this code may not use the ledger, and what helps; None when it may."""
    if found != REVISION:
        return misfit(place, found)
    elsewhere, source = connection.scalar(_AWAY), connection.scalar(_COMING)
    if elsewhere is not None:
        return (
            f"the ledger at {place} was moved to {elsewhere}: set PROVISIONER_LEDGER__URL to that. If the move was "
            "interrupted, `provisioner ledger move` finishes it"
        )
    if source is not None:
        return (
            f"the ledger at {place} is being filled from {source}: `provisioner ledger move` there, with the same "
            "--to, finishes that or, with --cancel, ends it"
        )
    return None


def revision_of(connection: sa.Connection) -> str | None:
    """The newest migration the ledger has seen; None before the first."""
    if not sa.inspect(connection).has_table(VERSION.name):
        return None
    found: str | None = connection.scalar(sa.select(VERSION.c.version_num))
    return found


def moved_to(connection: sa.Connection) -> str | None:
    """Where the ledger went, be it that the move is not ended yet; None as long as it is here."""
    return _place(connection, _AWAY)


def coming_from(connection: sa.Connection) -> str | None:
    """What the ledger is being filled from; None when it is all there."""
    return _place(connection, _COMING)


def _place(connection: sa.Connection, which: sa.Select[Any]) -> str | None:
    """None also in a schema that knows of no moves."""
    found: str | None = connection.scalar(which) if sa.inspect(connection).has_table(moves.name) else None
    return found


def misfit(place: str, found: str) -> str:
    """What helps with a ledger of another schema. Revisions are numbers of four digits."""
    told = f"the ledger at {place} has schema {found} and this version of the worker has {REVISION}; "
    if found < REVISION:
        return f"{told}stop all workers, then run `provisioner ledger migrate`"
    return (
        f"{told}start the newest version of the worker that ever used this ledger, or with that version stop all "
        f"workers and run `provisioner ledger migrate --to {REVISION}`"
    )

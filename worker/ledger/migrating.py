"""Bringing a ledger to the schema of this code, once, however many workers start at the same time."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from worker.core.errors import ConfigurationError
from worker.ledger.faults import in_words
from worker.ledger.schema import REVISION
from worker.ledger.store import Store
from worker.ledger.urls import store_at
from worker.ledger.writer import close_quietly

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_VERSION: Final = sa.table("alembic_version", sa.column("version_num", sa.Text))


def migrate(url: str) -> None:
    """Create the ledger or bring it up to date. Blocks; other workers that start meanwhile wait for it.

    Raises:
        ConfigurationError: the URL names no ledger, or the ledger was written by a newer version of this code.
        LedgerUnavailable: its disk or server cannot be used.
    """
    migrate_store(store_at(url))


def migrate_store(store: Store) -> None:
    """The same for a store that was found already."""
    store.prepare()
    try:
        _migrate(store)
    except Exception as error:
        told = in_words(error, store.place)
        if told is error:
            raise
        raise told from error


def _migrate(store: Store) -> None:
    link = store.connect()
    try:
        with link.connection.begin():
            store.serialise(link.connection)
            if revision_of(link.connection) != REVISION:
                _upgrade(link.connection, store.place)
    finally:
        close_quietly(link)


def verify(connection: sa.Connection, place: str) -> None:
    """Make sure that this code fits the ledger.

    Raises:
        ConfigurationError: it does not.
    """
    found = revision_of(connection)
    if found is None:
        raise ConfigurationError(f"there is no ledger at {place} yet; a worker creates it when it starts")
    if found != REVISION:
        raise ConfigurationError(_misfit(place, found))


def revision_of(connection: sa.Connection) -> str | None:
    """The newest migration the ledger has seen; None before the first."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    found: str | None = connection.scalar(sa.select(_VERSION.c.version_num))
    return found


def alembic_config(connection: sa.Connection) -> "Config":
    """What the migration tool is told: where the scripts lie, and to use this connection's transaction."""
    from alembic.config import Config  # noqa: PLC0415 - only a worker that really migrates pays for loading it

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _upgrade(connection: sa.Connection, place: str) -> None:
    from alembic import command  # noqa: PLC0415 - as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    config = alembic_config(connection)
    found = revision_of(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise ConfigurationError(_misfit(place, found))
    command.upgrade(config, "head")


def _misfit(place: str, found: str) -> str:
    return (
        f"the ledger at {place} has schema {found} and this version of the worker has {REVISION}; "
        "start the newest version of the worker that ever used this ledger, or a newer one"
    )

"""From a URL to the place of a ledger."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from worker.core.errors import ConfigurationError
from worker.ledger.memory import MEMORY, MemoryStore
from worker.ledger.postgresql import PostgresqlStore
from worker.ledger.sqlite import SqliteStore

_POSTGRESQL = {"postgresql", "postgres", "postgresql+psycopg"}


def store_at(url: str) -> SqliteStore | MemoryStore | PostgresqlStore:
    """The store a URL names: ``sqlite:////var/lib/x/ledger.db``, ``postgresql://user:password@host/database``, or for
    tests ``sqlite:///:memory:NAME``.

    Raises:
        ConfigurationError: it names none.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        named = parsed.database or ""
        if named.startswith(MEMORY):
            return MemoryStore(named.removeprefix(MEMORY))
        return SqliteStore(_file(named))
    if parsed.drivername not in _POSTGRESQL or not parsed.database:
        raise ConfigurationError(
            f"a ledger lies at sqlite:///FILE or postgresql://USER@HOST/DATABASE, not at {parsed.drivername}:"
        )
    return PostgresqlStore(parsed)


def sqlite_path(url: str) -> Path | None:
    """The file of a ledger in SQLite; None for any other ledger.

    Raises:
        ConfigurationError: the URL cannot be read, or names no file.
    """
    store = store_at(url)
    return store.path if isinstance(store, SqliteStore) else None


def _file(named: str) -> Path:
    if not named:
        raise ConfigurationError("the ledger's URL names no file; it looks like sqlite:////PATH/ledger.db")
    return Path(named)


def _parse(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except ArgumentError:
        # The text of the URL may hold a password, so neither it nor the library's words are shown.
        raise ConfigurationError(
            "the ledger's URL cannot be read; it looks like sqlite:////PATH/ledger.db"
        ) from None

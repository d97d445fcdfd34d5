"""A ledger in this process's memory, for tests and trials: the same SQL as in a file, and nothing that outlives it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final
from uuid import uuid4

import sqlalchemy as sa

from worker.core.errors import ConfigurationError
from worker.ledger.sqlite import engines, opened, raw
from worker.ledger.store import Link

MEMORY: Final = ":memory:"
"""Stands in a URL where otherwise a file is named; a word behind it names one ledger of several."""

_OLDEST: Final = (3, 36)  # the first SQLite whose databases in memory have several connections and locks
# (https://sqlite.org/releaselog/3_36_0.html, "memdb")


class MemoryStore:
    """One database that all connections of this process share; it is gone with the last of them."""

    def __init__(self, name: str = "") -> None:
        self._uri = memory_uri(name or uuid4().hex)
        self._writing, self._reading = engines(self._uri)

    @property
    def place(self) -> str:
        return "memory"

    def prepare(self) -> None:
        """Nothing is to be made."""
        if sqlite3.sqlite_version_info < _OLDEST:
            raise ConfigurationError(
                f"a ledger in memory needs SQLite 3.36; this is {sqlite3.sqlite_version}"
            )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is in it while no other connection is open."""
        with closing(opened(self._uri)):
            yield

    def connect(self) -> Link:
        """A connection that writes."""
        return _link(self._writing)

    def connect_to_read(self) -> Link:
        """A connection that refuses to write."""
        link = _link(self._reading)
        raw(link.connection).execute("PRAGMA query_only=ON")
        return link

    def serialise(self, connection: sa.Connection) -> None:
        """Nothing to do: every writing transaction locks the database."""


def memory_uri(name: str) -> str:
    """Under which SQLite knows it; only a name that begins with a slash is shared within the process."""
    return f"file:/{name}?vfs=memdb"


def _link(through: sa.Engine) -> Link:
    connection = through.connect()
    raw(connection).execute("PRAGMA foreign_keys=1")
    return Link(connection, _always)


def _always() -> None:
    """Nobody else can take it away."""

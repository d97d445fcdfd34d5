"""What the two databases have in common for the ledger: engines without surprises, and connections that are watched."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import sqlalchemy as sa

LOCK_PATIENCE: Final = 5.0
"""Seconds to wait for a lock that another process holds (an operator's command that writes)."""


@dataclass(frozen=True, slots=True)
class Link:
    """One open connection.

    Attributes:
        connection: To be used by one thread at a time.
        verify: Raises `LedgerUnavailable` when it no longer leads to the ledger (its file was taken away).
        lock_time_out: Sets how many seconds the next transaction waits for a lock. Only where nothing but the lock and
            the commit takes time (SQLite); None where every statement waits for a server.
    """

    connection: sa.Connection
    verify: Callable[[], None]
    lock_time_out: Callable[[float], None] | None = None


class Store(Protocol):
    """Where a ledger lies."""

    @property
    def place(self) -> str:
        """Its name in messages; never a password."""
        ...

    def prepare(self) -> None:
        """Make it possible to connect for the first time.

        Raises:
            ConfigurationError: a person must do something first.
        """
        ...

    def connect(self) -> Link:
        """A connection that writes durably.

        Raises:
            ConfigurationError: it would not be durable.
            sqlalchemy.exc.DBAPIError: there is none.
        """
        ...

    def connect_to_read(self) -> Link:
        """A connection that cannot write."""
        ...

    def serialise(self, connection: sa.Connection) -> None:
        """Let only one migration run at a time, until the transaction ends."""
        ...


def engine(url: str | sa.URL, **options: Any) -> sa.Engine:
    """An engine whose errors show no values, whose JSON takes everything, and which keeps no spare connections."""
    return sa.create_engine(
        url, poolclass=sa.NullPool, hide_parameters=True, json_serializer=_JSON.encode, **options
    )


def _plain(value: object) -> object:
    """What JSON does not know is written as words: evidence must never be lost because of its spelling."""
    return dict(value) if isinstance(value, Mapping) else str(value)


_JSON: Final = json.JSONEncoder(separators=(",", ":"), default=_plain)

"""A ledger on a PostgreSQL server, for several workers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from worker.ledger.store import Link, engine

if TYPE_CHECKING:
    from worker.ledger.silence import HeedfulConnection

_CONNECT: Final = 5  # seconds
_SILENCE: Final = 15  # seconds without a word after which either side gives the other up
_SETTINGS: Final = {
    "timezone": "UTC",
    "lock_timeout": "5s",
    # A worker that freezes in the middle of a transaction, or is cut off, must not keep the others from its rows.
    "idle_in_transaction_session_timeout": f"{_SILENCE}s",
    # The session of a worker that is cut off between two transactions ends too.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_WRITING: Final = {"statement_timeout": "10s"}  # a server that lives says so before it is given up
_READING: Final = {"statement_timeout": "30s", "default_transaction_read_only": "on"}
_KEEPALIVE: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_DURABLE: Final = """
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
_MIGRATING: Final = 0x7072_6F76  # the advisory lock of migrations, the same in every version


class PostgresqlStore:
    """One database on a server."""

    def __init__(self, url: sa.URL) -> None:
        own = url.query.get("options", "")
        self._place = f"{url.host or 'local'}:{url.port or 5432}/{url.database}"
        self._writing = _engine(url, str(own), _WRITING)
        self._reading = _engine(url, str(own), _READING)

    @property
    def place(self) -> str:
        return self._place

    def prepare(self) -> None:
        """Nothing to do: the database is made by whoever runs the server."""

    def connect(self) -> Link:
        """A connection whose commits reach the disk, however the server is set."""
        connection = self._writing.connect()
        try:
            with connection.begin():
                connection.exec_driver_sql(_DURABLE)
        except BaseException:
            connection.close()
            raise
        return Link(connection, _always)

    def connect_to_read(self) -> Link:
        """A connection that refuses to write. A long question may take its time, if only the server lives."""
        connection = self._reading.connect()
        _raw(connection).patient = True
        return Link(connection, _always)

    def serialise(self, connection: sa.Connection) -> None:
        """Wait until no other worker migrates, however long that takes a server that lives."""
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '60s'")
        _raw(connection).patient = True
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")


def _engine(url: sa.URL, own_options: str, more: Mapping[str, str]) -> sa.Engine:
    settings = {**_SETTINGS, **more}
    options = " ".join([own_options, *(f"-c {name}={value}" for name, value in settings.items())]).strip()
    arguments = {
        "connect_timeout": _CONNECT,
        "options": options,
        "application_name": "provisioner",
        **_KEEPALIVE,
    }
    made = engine(url.set(drivername="postgresql+psycopg"), connect_args=arguments)
    sa.event.listen(made, "do_connect", _connect)
    return made


def _connect(_dialect: object, _record: object, _arguments: object, named: dict[str, Any]) -> object:
    """In place of the driver's own way to connect."""
    from worker.ledger.silence import HeedfulConnection  # noqa: PLC0415 - a ledger in a file needs no driver

    return HeedfulConnection.open(named, _SILENCE)


def _raw(connection: sa.Connection) -> "HeedfulConnection":
    """The driver's own connection."""
    found: Any = connection.connection.driver_connection
    return found  # type: ignore[no-any-return]  # made above


def _always() -> None:
    """A server that is still connected is still the ledger."""

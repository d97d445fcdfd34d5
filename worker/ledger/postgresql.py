"""A ledger on a PostgreSQL server, for several workers."""

from typing import Final

import sqlalchemy as sa

from worker.ledger.store import Link, engine

_CONNECT: Final = 5  # seconds
_SETTINGS: Final = {
    "timezone": "UTC",
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    # A worker that freezes in the middle of a transaction must not keep the others from its rows.
    "idle_in_transaction_session_timeout": "60s",
}
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
        self._writing = _engine(url, str(own), read_only=False)
        self._reading = _engine(url, str(own), read_only=True)

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
        """A connection that refuses to write."""
        return Link(self._reading.connect(), _always)

    def serialise(self, connection: sa.Connection) -> None:
        """Wait until no other worker migrates, however long that takes."""
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")


def _engine(url: sa.URL, own_options: str, *, read_only: bool) -> sa.Engine:
    settings = _SETTINGS | ({"default_transaction_read_only": "on"} if read_only else {})
    options = " ".join([own_options, *(f"-c {name}={value}" for name, value in settings.items())]).strip()
    arguments = {
        "connect_timeout": _CONNECT,
        "options": options,
        "application_name": "provisioner",
        **_KEEPALIVE,
    }
    return engine(url.set(drivername="postgresql+psycopg"), connect_args=arguments)


def _always() -> None:
    """A server that is still connected is still the ledger."""

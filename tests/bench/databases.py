"""PostgreSQL for the sides and parts that need it: a durable server of our own, started when first asked for."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import psycopg

from worker.local.errors import ServerMissing
from worker.local.postgresql_files import postgresql_program
from worker.local.postgresql_server import PostgresqlServer

_ON_DISK = "/var/tmp"  # noqa: S108 - a folder of our own in it; root's server runs as a user who must get there


class Databases:
    """Makes databases; the server ends with the block, and its data are gone."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: PostgresqlServer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def there(self) -> bool:
        """Whether PostgreSQL is installed."""
        try:
            postgresql_program("postgres")
        except ServerMissing:
            return False
        return True

    def create(self) -> str:
        """The address of a new, empty database, password included.

        Raises:
            ServerMissing: PostgreSQL is not installed.
        """
        return self._started().create_database(f"bench_{uuid4().hex[:12]}")

    def version(self) -> str:
        """The server's version."""
        with psycopg.connect(self._started().url()) as connection:
            return f"{connection.info.server_version // 10000}.{connection.info.server_version % 10000}"

    def _started(self) -> PostgresqlServer:
        if self._server is None:
            folder = Path(
                self._stack.enter_context(tempfile.TemporaryDirectory(dir=_ON_DISK, prefix="bench-"))
            )
            folder.chmod(0o711)
            self._server = self._stack.enter_context(PostgresqlServer(folder / "server", durable=True))
        return self._server

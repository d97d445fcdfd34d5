"""A PostgreSQL server of our own: its own data, port and password, on 127.0.0.1, and gone when its user is gone."""

import re
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Self

from worker.local.errors import ServerFailed
from worker.local.kept_server import KeptServer, Order
from worker.local.loopback import HOST, free_ports, is_free
from worker.local.postgresql_files import (
    USER,
    ServerFiles,
    environment,
    postgresql_program,
    run,
    unprivileged_account,
)
from worker.local.private_files import is_locked, locked, tail_of

_SECONDS_TO_START = 60.0

_SETTINGS = (
    f"listen_addresses={HOST}",
    "unix_socket_directories=",
    "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap",  # files among the data, rather than what SIGKILL leaves in /dev/shm
    "jit=off",
)
_FORGETFUL = ("fsync=off", "full_page_writes=off")  # what was committed still survives SIGKILL


class PostgresqlServer:
    """A private server. As a context manager it is started, and gone at the end of the block.

    PostgreSQL refuses to run as root; root's server runs as the user `postgres`, or `nobody` if there is none.
    """

    def __init__(
        self, folder: Path | None = None, *, durable: bool = False, started_for: int | None = None
    ) -> None:
        """Nothing is started yet.

        Args:
            folder: Where the server keeps its data; a later one on the same folder finds it. None: a temporary one,
                which is removed with the server. Where root starts the server, every user must be able to get there.
            durable: Whether what was committed survives a power cut. Without it, it survives the server's death only,
                and tests are quicker.
            started_for: The process with which the server must end, however that ends; None: this one.
        """
        self._temporary = folder is None
        self._files = ServerFiles(folder or Path(tempfile.mkdtemp(prefix="postgresql-")))
        self._identity = self._files.read_identity()
        self._durable = durable
        self._started_for = started_for
        self._server: KeptServer | None = None

    @classmethod
    def attach(cls, folder: Path) -> Self:
        """The server that runs on this folder, started by whichever process.

        Raises:
            ServerFailed: none runs there.
        """
        server = cls(folder)
        # The keeper holds the lock to its end: as long as it does, the process ids in the folder mean what they did.
        if not is_locked(server._files.lock) or not server._identity.keeper or not server._identity.pid:
            raise ServerFailed(f"no PostgreSQL server runs in {folder}")
        server._server = KeptServer(server._identity.keeper, server._identity.pid)
        return server

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._temporary:
            shutil.rmtree(self._files.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Address of a database, password included."""
        return f"postgresql://{USER}:{self._identity.password}@{HOST}:{self._identity.port}/{database}"

    @property
    def pid(self) -> int:
        """Process id of the postmaster.

        Raises:
            ServerFailed: the server was not started, or stopped since.
        """
        if self._server is None:
            raise ServerFailed("the PostgreSQL server is not running")
        return self._server.pid

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.running

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            ServerMissing: PostgreSQL is not installed.
            ServerFailed: the server does not come up.
        """
        account = unprivileged_account()
        self._files.make_data(self._identity.password, account)
        if not is_free(self._identity.port):
            self._identity = replace(self._identity, port=free_ports(1)[0])
        order = Order(
            [self._command()],
            account=account,
            # An immediate shutdown frees the shared memory, which SIGKILL leaves behind.
            farewell=signal.SIGQUIT,
            patience=5.0,
            temporary_folder=str(self._files.folder) if self._temporary else None,
        )
        with locked(self._files.lock) as lock:
            self._server = KeptServer.start(
                order, self._files.log, environment(), started_for=self._started_for, lock=lock
            )
        self._identity = replace(self._identity, keeper=self._server.keeper, pid=self._server.pid)
        self._files.write_identity(self._identity)
        if not self._server.wait_until(lambda: self._files.is_ready(self.pid), _SECONDS_TO_START):
            self.kill()
            raise ServerFailed(f"the PostgreSQL server did not start\n{tail_of(self._files.log)}")

    def stop(self) -> None:
        """Shut down in good order, cutting open connections; nothing happens when it is not running."""
        if self._server is not None:
            self._server.stop(signal.SIGINT)
            self._server = None

    def kill(self) -> None:
        """SIGKILL; nothing happens when it is not running."""
        if self._server is not None:
            self._server.kill()
            self._server = None
            self._files.free_shared_memory()

    def restart(self) -> None:
        """Stop, then start with the same data on the same port."""
        self.stop()
        self.start()

    def create_database(self, name: str, *, template: str = "template0") -> str:
        """Make a database, a copy of `template`, and give its address, password included.

        Raises:
            ServerFailed: it exists, or somebody is connected to the template.
        """
        self._execute(f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists; its connections are cut."""
        self._execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def _command(self) -> list[str]:
        settings = (f"port={self._identity.port}", *_SETTINGS, *(() if self._durable else _FORGETFUL))
        options = [word for setting in settings for word in ("-c", setting)]
        return [postgresql_program("postgres"), "-D", str(self._files.data), *options]

    def _execute(self, statement: str) -> None:
        options = ["-X", "-q", "-h", HOST, "-p", str(self._identity.port), "-U", USER, "-d", "postgres"]
        run(
            [postgresql_program("psql"), *options, "-c", statement],
            more={"PGPASSWORD": self._identity.password},
        )


def _quoted(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise ValueError(f"not a name for a database: {name!r}")
    return f'"{name}"'

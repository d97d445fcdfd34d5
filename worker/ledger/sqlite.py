"""A ledger in one SQLite file: durable on every commit, private to its owner, one worker at a time."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from worker.core.errors import ConfigurationError, LedgerUnavailable
from worker.ledger.store import LOCK_PATIENCE, Link, engine

_WAL_LIMIT: Final = 64 * 1024 * 1024  # bytes the write-ahead log is cut back to after a burst
_OLDEST: Final = (3, 35)  # the first SQLite with RETURNING

_PRAGMAS: Final = (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1))
"""Set and read back. `synchronous` 2 is FULL: with WAL anything less may undo a commit when the power fails
(https://sqlite.org/pragma.html#pragma_synchronous)."""


class SqliteStore:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing, self._reading = engines(uri_of(path))

    @property
    def place(self) -> str:
        return str(self.path)

    def prepare(self) -> None:
        """Create the file if it is not there yet."""
        if sqlite3.sqlite_version_info < _OLDEST:
            raise ConfigurationError(f"the ledger needs SQLite 3.35; this is {sqlite3.sqlite_version}")
        # A file that exists is not even opened: closing it again would end the locks that SQLite holds on it for other
        # connections of this process (https://sqlite.org/howtocorrupt.html, 2.2).
        with suppress(FileExistsError):
            os.close(_open_private(self.path, os.O_EXCL))

    def connect(self) -> Link:
        """A connection that syncs on every commit."""
        return self._link(self._writing)

    def connect_to_read(self) -> Link:
        """A connection that refuses to write."""
        link = self._link(self._reading)
        raw(link.connection).execute("PRAGMA query_only=ON")
        return link

    def serialise(self, connection: sa.Connection) -> None:
        """Nothing to do: every writing transaction locks the file."""

    def _link(self, through: sa.Engine) -> Link:
        watch = _Watch(self.path)
        connection = through.connect()
        try:
            _configure(raw(connection))
            watch.verify()
        except BaseException:
            connection.close()
            raise
        return Link(connection, watch.verify, partial(_wait, raw(connection)))


class AtWork(ConfigurationError):
    """A worker works on the file; `holder` is its process."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"another worker (process {holder}) already works on the ledger {path}; "
            "several workers need PostgreSQL as their ledger"
        )
        self.holder = holder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that makes this process the only worker on this file; the system frees it when the process ends.

    Raises:
        AtWork: another worker holds it.
        ConfigurationError: there is no folder for it.
    """
    descriptor = _open_private(_lock_of(path))
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock_of(path: Path) -> Path:
    real = path.resolve()  # one file may have several names
    return real.with_name(real.name + ".lock")


def _open_private(path: Path, how: int = 0) -> int:
    """Open a file, made now if need be, that only its owner can read.

    A missing directory is left missing: it may be a volume that was not mounted, and what is written beside it would be
    lost with the container.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | how, 0o600)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise ConfigurationError(
            f"{path} cannot be created or opened ({error.strerror}); is the ledger's volume mounted?"
        ) from error
    except FileExistsError:
        raise
    except OSError as error:
        raise LedgerUnavailable(f"{path} cannot be created or opened: {error.strerror}") from error


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        found = os.read(descriptor, 20).decode(errors="replace").strip()
        raise AtWork(path, found or "unknown") from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())


class _Watch:
    """Notices that the file, or its log of recent writes, was removed or replaced under an open connection.

    SQLite itself would go on writing to the removed file, and every promise made from then on would be lost.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._log = self._path + "-wal"
        self._file = _identity(self._path)
        self._log_file: tuple[int, int] | None = None

    def verify(self) -> None:
        found = _identity(self._path)
        if found is None or found != self._file:
            gone = "is gone" if found is None else "was replaced"
            raise LedgerUnavailable(f"the ledger {self._path} cannot be used: the file {gone}")
        log = _identity(self._log)
        if self._log_file is not None and log != self._log_file:
            raise LedgerUnavailable(f"the ledger {self._path} cannot be used: {self._log} was taken away")
        self._log_file = log


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - twice per commit; a Path costs more than the call
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def engines(uri: str) -> tuple[sa.Engine, sa.Engine]:
    """One to write through and one to read through. The driver itself begins no transaction (isolation_level None)."""
    made = []
    for begin in ("BEGIN IMMEDIATE", "BEGIN"):
        through = engine("sqlite://", creator=partial(opened, uri))
        sa.event.listen(through, "begin", partial(_begin, begin))
        made.append(through)
    writing, reading = made
    return writing, reading


def _begin(begin: str, connection: sa.Connection) -> None:
    connection.exec_driver_sql(begin)


def uri_of(path: Path) -> str:
    """Names only a file that is there: a ledger that vanished must not be replaced by an empty one."""
    return f"file:{quote(os.fsencode(path.absolute()))}?mode=rw"


def opened(uri: str) -> sqlite3.Connection:
    """Open what a URI names."""
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=LOCK_PATIENCE,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def raw(connection: sa.Connection) -> sqlite3.Connection:
    """The driver's own connection."""
    found: Any = connection.connection.driver_connection
    return found  # type: ignore[no-any-return]  # the driver is known here


def _configure(own: sqlite3.Connection) -> None:
    own.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT}")
    for name, wanted in _PRAGMAS:
        _set_patiently(own, f"PRAGMA {name}={wanted}")
        (found,) = own.execute(f"PRAGMA {name}").fetchone()
        if found != wanted:
            raise ConfigurationError(f"this file system or SQLite gives {name} {found}, not {wanted}")


def _wait(own: sqlite3.Connection, seconds: float) -> None:
    own.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")


def _set_patiently(own: sqlite3.Connection, pragma: str) -> None:
    """The first change of the journal mode is the one thing for which SQLite does not wait by itself."""
    patience = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            own.execute(pragma)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return

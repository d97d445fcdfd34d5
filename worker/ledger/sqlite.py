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
from worker.ledger.store import Link, engine

_BUSY: Final = 5.0  # seconds to wait while another process (an operator's command) writes
_WAL_LIMIT: Final = 64 * 1024 * 1024  # bytes the write-ahead log is cut back to after a burst
_OLDEST: Final = (3, 35)  # the first SQLite with RETURNING

_PRAGMAS: Final = (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1))
"""Set and read back. `synchronous` 2 is FULL: with WAL anything less may undo a commit when the power fails
(https://sqlite.org/pragma.html#pragma_synchronous)."""


class SqliteStore:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = _engine(path, begin="BEGIN IMMEDIATE")
        self._reading = _engine(path, begin="BEGIN")

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
        _raw(link.connection).execute("PRAGMA query_only=ON")
        return link

    def serialise(self, connection: sa.Connection) -> None:
        """Nothing to do: every writing transaction locks the file."""

    def _link(self, through: sa.Engine) -> Link:
        watch = _Watch(self.path)
        connection = through.connect()
        try:
            _configure(_raw(connection))
            watch.verify()
        except BaseException:
            connection.close()
            raise
        return Link(connection, watch.verify)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that makes this process the only worker on this file; the system frees it when the process ends.

    Raises:
        ConfigurationError: another worker holds it.
    """
    real = path.resolve()  # one file may have several names
    lock = real.with_name(real.name + ".lock")
    descriptor = _open_private(lock)
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


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
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        raise ConfigurationError(
            f"another worker (process {holder}) already works on the ledger {path}; "
            "several workers need PostgreSQL as their ledger"
        ) from error
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


def _engine(path: Path, *, begin: str) -> sa.Engine:
    made = engine("sqlite://", creator=partial(_open, path))
    # The driver itself begins no transaction (isolation_level None), so this is the only one that does.
    sa.event.listen(made, "begin", lambda connection: connection.exec_driver_sql(begin))
    return made


def _open(path: Path) -> sqlite3.Connection:
    """Open the file if it is there. A ledger that vanished must not be replaced by an empty one."""
    return sqlite3.connect(
        f"file:{quote(os.fspath(path.absolute()))}?mode=rw",
        uri=True,
        timeout=_BUSY,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def _raw(connection: sa.Connection) -> sqlite3.Connection:
    raw: Any = connection.connection.driver_connection
    return raw  # type: ignore[no-any-return]  # the driver is known here


def _configure(raw: sqlite3.Connection) -> None:
    raw.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT}")
    for name, wanted in _PRAGMAS:
        _set_patiently(raw, f"PRAGMA {name}={wanted}")
        (found,) = raw.execute(f"PRAGMA {name}").fetchone()
        if found != wanted:
            raise ConfigurationError(f"this file system or SQLite gives {name} {found}, not {wanted}")


def _set_patiently(raw: sqlite3.Connection, pragma: str) -> None:
    """The first change of the journal mode is the one thing for which SQLite does not wait by itself."""
    patience = time.monotonic() + _BUSY
    while True:
        try:
            raw.execute(pragma)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return

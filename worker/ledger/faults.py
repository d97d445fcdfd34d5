"""What a failing database means, whoever reports it: SQLAlchemy or the driver below it."""

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError

from worker.core.errors import LedgerUnavailable

_SQLITE_WORDS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the file or its disk is read-only",
    sqlite3.SQLITE_CANTOPEN: "the file is gone or may not be opened",
    sqlite3.SQLITE_PERM: "the file may not be opened",
    sqlite3.SQLITE_BUSY: "another process locks the file for too long",
    sqlite3.SQLITE_LOCKED: "another connection locks the file for too long",
    sqlite3.SQLITE_PROTOCOL: "another process locks the file for too long",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no ledger",
}
_POSTGRESQL_AWAY: Final = frozenset({"08", "28", "3D", "53", "55", "57", "58", "XX"})
"""Classes: connection, login, no such database, no room, not in a fit state, an operator's doing, the system, a bug."""
_POSTGRESQL_UNFIT: Final = frozenset({"25006", "25P03", "25P04", "42501", "42P01"})
"""Read-only (a standby, say), a session that was ended for its silence, not permitted, no such table."""


class Silence(LedgerUnavailable):
    """The server was waited for long enough. What it was asked last, a commit for instance, it may do all the same."""


class RuleBroken(Exception):
    """A rule of the schema refused the write: a unique key that is taken, or a check."""


def in_words(error: Exception, place: str) -> Exception:
    """The same failure as the ledger's callers know it: `LedgerUnavailable`, `RuleBroken`, or itself."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.IntegrityError) or (_sqlstate(cause) or "").startswith("23"):
        return RuleBroken(_first_line(cause))
    if type(cause).__name__ == "NoAnswer":
        return Silence(f"the ledger {place} cannot be used: {cause}")
    if isinstance(cause, OSError):  # of the file's own folder or disk, before the database was asked
        return LedgerUnavailable(f"the ledger {place} cannot be used: {cause.strerror or cause}")
    words = _sqlite(cause) if isinstance(cause, sqlite3.Error) else _postgresql(cause)
    if words is None:
        return error
    return LedgerUnavailable(f"the ledger {place} cannot be used: {words}")


def in_conflict(error: Exception) -> bool:
    """Whether PostgreSQL sacrificed this transaction to another one (deadlock, serialisation): simply run it again."""
    return (_sqlstate(_cause(error)) or "").startswith("40")


def _cause(error: Exception) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _sqlite(cause: sqlite3.Error) -> str | None:
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return None
    if code == sqlite3.SQLITE_ERROR and str(cause).startswith("no such table"):
        return f"its tables are gone ({cause})"
    words = _SQLITE_WORDS.get(code & 0xFF)
    return None if words is None else f"{words} ({cause.sqlite_errorname})"


def _postgresql(cause: BaseException) -> str | None:
    sqlstate = _sqlstate(cause)
    if sqlstate is None:
        # Only the driver's own errors have none: no connection, or one that is lost.
        return f"{_first_line(cause)} (no answer)" if type(cause).__name__ in _LOST else None
    if sqlstate[:2] in _POSTGRESQL_AWAY or sqlstate in _POSTGRESQL_UNFIT:
        return f"{_first_line(cause)} ({sqlstate})"
    return None


_LOST: Final = frozenset({"OperationalError", "InterfaceError"})


def _sqlstate(cause: BaseException) -> str | None:
    found: str | None = getattr(cause, "sqlstate", None)
    return found


def _first_line(cause: BaseException) -> str:
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)

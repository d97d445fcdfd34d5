"""A copy of a ledger in a SQLite file: of one moment, while a worker writes on, and whole or not there at all."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from worker.core.errors import ConfigurationError, WorkerError
from worker.ledger.faults import in_words
from worker.ledger.sqlite import SqliteStore, opened, raw, uri_of
from worker.ledger.urls import store_at
from worker.ledger.writer import close_quietly


@dataclass(frozen=True, slots=True)
class BackUp:
    """What is in a copy: how many requests, in how many bytes."""

    requests: int
    size: int


def back_up(url: str, to: Path) -> BackUp:
    """Copy the ledger into a new file that only its owner can read. Blocks; workers go on meanwhile.

    Raises:
        ConfigurationError: the ledger is on a server, or the file exists or cannot be made.
        LedgerUnavailable: a disk failed or is full.
        WorkerError: what was copied is damaged.
    """
    store = store_at(url)
    if not isinstance(store, SqliteStore):
        raise ConfigurationError(
            "a ledger on a server is backed up by the server's own tool, while workers run: "
            f"pg_dump --format=custom --file={to} --dbname=postgresql://USER@{store.place}"
        )
    with _draft(to) as draft, _told_in_words(store, to):
        _copy(store, draft)
        return _checked(draft)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A file that gets its name in the end, unless something fails before, or the name was given away meanwhile."""
    draft = path.with_name(f".{path.name}.unfinished")
    with _plainly(path, f"{path} exists already and is not overwritten"):
        if os.path.lexists(path):
            raise FileExistsError
    with _plainly(path, f"{draft} is left of a backup that was interrupted; delete it if none is under way"):
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        yield draft
        with _plainly(path, f"{path} was made by somebody else meanwhile and is not overwritten"):
            os.link(draft, path)
            _sync_folder(path)
    finally:
        draft.unlink()


@contextmanager
def _plainly(path: Path, exists: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise ConfigurationError(exists) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _told_in_words(store: SqliteStore, to: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, sa.exc.DBAPIError) as error:
        told = in_words(error, f"{store.place}, or its copy {to},")
        if told is error:
            raise
        raise told from error


def _copy(store: SqliteStore, draft: Path) -> None:
    link = store.connect_to_read()
    try:
        with closing(opened(uri_of(draft))) as copy:
            raw(link.connection).backup(copy)  # in one step, hence of one moment
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
    finally:
        close_quietly(link)


def _checked(draft: Path) -> BackUp:
    with closing(opened(uri_of(draft))) as copy:
        (said,) = copy.execute("PRAGMA integrity_check").fetchone()
        if said != "ok":
            raise WorkerError(
                f"what was copied is damaged, as the ledger itself may be ({said}); it is not kept"
            )
        (requests,) = copy.execute("SELECT count(*) FROM requests").fetchone()
    return BackUp(requests, draft.stat().st_size)

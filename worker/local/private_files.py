"""Files of the private servers: those that hold a password, locks, and logs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.local.errors import ServerFailed

_LAST_LINES = 25


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read; a reader sees the old one or the new one, never a part."""
    draft = file.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)


@contextmanager
def locked(file: Path) -> Iterator[int]:
    """A descriptor of a lock that lasts as long as any copy of it: a server's keeper gets one and keeps it to its end.

    Raises:
        ServerFailed: the lock is taken.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(descriptor):
            raise ServerFailed(f"another server runs in {file.parent}")
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(file: Path) -> bool:
    """Whether a server runs in the folder of this lock."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return not _take(descriptor)
    finally:
        os.close(descriptor)


def tail_of(log: Path) -> str:
    """The last lines of a log file; empty when there is none."""
    with suppress(FileNotFoundError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
    return ""


def _take(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False

"""The file that holds the sealing keys: made whole or not at all, readable by the worker only.

Losing it means that nothing sealed can ever be opened again; a second one made by mistake means the same.
So a missing file is replaced only where the caller knows that nothing was sealed yet.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from worker.core.clock import Clock, SystemClock
from worker.core.errors import ConfigurationError
from worker.keyring.sealing_keys import Keyring, SealingKey, new_key, read_keys, write_keys

_OWNER_ONLY = 0o600
_TOO_OPEN = stat.S_IWGRP | stat.S_IRWXO
"""A group may read (that is how Kubernetes mounts a secret for a user who is not root); nobody else may."""


def load(path: Path, clock: Clock | None = None) -> Keyring:
    """The keyring of a file that a person put there; it may be a link, as in a mounted Kubernetes secret.

    Raises:
        ConfigurationError: the file is missing, others may read it, or it is no key file.
    """
    with _plainly(path):
        return Keyring(read_keys(_read(path).text, str(path)), clock)


def load_or_create(path: Path, *, may_create: bool, clock: Clock | None = None) -> Keyring:
    """The keyring of the worker's own file, which is made when it is missing and may be made.

    Args:
        path: The file; not a link, so that nobody can divert it.
        may_create: Whether nothing was sealed yet. False as soon as a ledger exists: a new key could not
            open what is in it.
        clock: Dates the new key.

    Raises:
        ConfigurationError: the file is missing and may not be made, is a link, others may read it, or it is
            no key file.
    """
    with _plainly(path):
        if not os.path.lexists(path):
            if not may_create:
                raise ConfigurationError(
                    f"the key file {path} is missing, but a ledger sealed with its keys exists. Bring the file "
                    "back from the backup; a new one could open nothing"
                )
            _create(path, (clock or SystemClock()).time_of_day())
        return Keyring(read_keys(_read(path, links=False).text, str(path)), clock)


def rotate(path: Path, *, seals_from: datetime) -> str:
    """Add a new key to the file and give its id; the old ones stay and keep opening.

    Args:
        path: The file; not a link.
        seals_from: When the new key begins to seal. With several workers take a time by which all of them
            have been started again with the new file.

    Raises:
        ConfigurationError: as for `load_or_create`, or another rotation is under way.
    """
    with _plainly(path), _draft(path) as draft:
        # Read under the lock: a rotation that ended just before it has added a key.
        old = _read(path, links=False)
        key = new_key(seals_from)
        _write(draft, write_keys([*read_keys(old.text, str(path)), key]), old.status)
    return key.key_id


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ConfigurationError(
                f"the key file {path} is a symbolic link; name the file itself"
            ) from None
        raise ConfigurationError(f"the key file {path}: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the key file {path} is not text") from None


class _Content:
    """What a file held and how it was protected."""

    def __init__(self, text: str, status: os.stat_result) -> None:
        self.text = text
        self.status = status


def _read(path: Path, *, links: bool = True) -> _Content:
    # Not blocking, or opening a pipe would wait for a writer. What is checked is what is read: the open file.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW)
    with os.fdopen(os.open(path, flags), encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        _check(path, status)
        return _Content(file.read(), status)


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"the key file {path} is not a regular file")
    if status.st_mode & _TOO_OPEN:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigurationError(
            f"the key file {path} has mode {mode:04o}: others than its owner and group may read or change it. "
            f"Run: chmod 600 {path}"
        )


def _create(path: Path, now: datetime) -> None:
    # Written under another name and then linked: whoever sees the file sees all of it, and of two workers
    # that start at once one wins and both read the winner's.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    keys: list[SealingKey] = [new_key(now)]
    _write_new(draft, write_keys(keys))
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path)


@contextmanager
def _draft(path: Path) -> Iterator[TextIO]:
    """What takes the file's place in the end, unless something fails before."""
    # The fixed name is the lock: two rotations at once would each drop the other's key.
    draft = path.with_name(f"{path.name}.new")
    try:
        file = _open_new(draft)
    except FileExistsError:
        raise ConfigurationError(
            f"{draft} exists: another rotation is under way, or one was interrupted. "
            "If none is, remove it and try again"
        ) from None
    with file, _removed_on_failure(draft):
        yield file
        draft.replace(path)
    _sync_folder(path)


def _write_new(path: Path, text: str) -> None:
    with _open_new(path) as file, _removed_on_failure(path):
        _write(file, text)


def _open_new(path: Path) -> TextIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, _OWNER_ONLY), "w", encoding="utf-8")


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink()
        raise


def _write(file: TextIO, text: str, like: os.stat_result | None = None) -> None:
    if like is not None:
        os.fchown(file.fileno(), like.st_uid, like.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""A disk under SQLite that forgets at a power cut what was not synced: for a process of its own, seen by no other.

SQLite reaches its files through a table of functions (https://sqlite.org/vfs.html). Here the ones that write, truncate
and sync are taken over: everything is still written to the real file, and beside it noted what a sync has made safe.
"""

import _sqlite3
import ctypes
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OK = 0
_POINTER, _INT, _TEXT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int64

_Open = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_Write = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, _LONG)
_Truncate = ctypes.CFUNCTYPE(_INT, _POINTER, _LONG)
_Sync = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)


class _Vfs(ctypes.Structure):
    """The beginning of `sqlite3_vfs`."""

    _fields_ = [
        ("iVersion", _INT),
        ("szOsFile", _INT),
        ("mxPathname", _INT),
        ("pNext", _POINTER),
        ("zName", _TEXT),
        ("pAppData", _POINTER),
        ("xOpen", _Open),
    ]


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods` of version 3."""

    _fields_ = [
        ("iVersion", _INT),
        ("xClose", _POINTER),
        ("xRead", _POINTER),
        ("xWrite", _Write),
        ("xTruncate", _Truncate),
        ("xSync", _Sync),
        *((f"more{number}", _POINTER) for number in range(13)),
    ]


@dataclass
class _File:
    """What is safe of one file, and what was written since."""

    safe: bytearray
    since: list[Callable[[bytearray], None]] = field(default_factory=list)


class Disk:
    """All files that SQLite writes in this process from now on."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()
        self._taken_over: list[Any] = []
        self._take_over()

    def after_a_power_cut(self, folder: Path, draw: random.Random) -> None:
        """Write into `folder` what a cut at this moment might leave: what was synced, and any part of the rest."""
        with self._lock:
            images = {path: (bytes(file.safe), list(file.since)) for path, file in self._files.items()}
        for path, (safe, since) in images.items():
            image = bytearray(safe)
            for change in draw.sample(since, draw.randint(0, len(since))):
                change(image)
            (folder / Path(path).name).write_bytes(image)

    def _note(self, path: str, change: Callable[[bytearray], None]) -> None:
        with self._lock:
            self._files[path].since.append(change)

    def _sync(self, path: str) -> None:
        with self._lock:
            file = self._files[path]
            for change in file.since:
                change(file.safe)
            file.since.clear()

    def _take_over(self) -> None:
        """From now on each file that SQLite opens is watched."""
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        vfs = library.sqlite3_vfs_find(None).contents
        open_really = _detached(vfs.xOpen)

        def opened(this: int, name: int | None, file: int, flags: int, out: int | None) -> int:
            # The name is handed on as an address: SQLite keeps it for as long as the file is open.
            found = int(open_really(this, name, file, flags, out))
            if found == _OK and name:
                self._watch(file, ctypes.string_at(name).decode())
            return found

        vfs.xOpen = self._kept(_Open(opened))

    def _watch(self, file: int, path: str) -> None:
        with self._lock:
            self._files.setdefault(path, _File(bytearray(Path(path).read_bytes())))
        slot = ctypes.cast(file, ctypes.POINTER(ctypes.POINTER(_Methods)))
        methods = _Methods.from_buffer_copy(slot.contents.contents)
        write_really, truncate_really = _detached(methods.xWrite), _detached(methods.xTruncate)

        def write(this: int, data: int, amount: int, offset: int) -> int:
            content = ctypes.string_at(data, amount)
            self._note(path, lambda image: _put(image, content, offset))
            return int(write_really(this, data, amount, offset))

        def truncate(this: int, size: int) -> int:
            self._note(path, lambda image: _cut(image, size))
            return int(truncate_really(this, size))

        def sync(_this: int, _flags: int) -> int:
            self._sync(path)
            return _OK

        methods.xWrite, methods.xTruncate = self._kept(_Write(write)), self._kept(_Truncate(truncate))
        methods.xSync = self._kept(_Sync(sync))
        slot[0] = ctypes.pointer(self._kept(methods))

    def _kept(self, value: Any) -> Any:
        """SQLite holds only an address: without a reference of ours there would soon be nothing at it."""
        self._taken_over.append(value)
        return value


def _detached(function: Any) -> Any:
    """The same function by its address, as what a table's own entry calls changes with the table."""
    return type(function)(ctypes.cast(function, _POINTER).value)


def _put(image: bytearray, content: bytes, offset: int) -> None:
    image.extend(bytes(max(0, offset - len(image))))
    image[offset : offset + len(content)] = content


def _cut(image: bytearray, size: int) -> None:
    del image[size:]

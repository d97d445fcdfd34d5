"""Disks that fill up, and disks that fail. Mounting one takes root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 8192  # bytes that a full disk may still have free: less than a page of PostgreSQL and its neighbour
_IMAGE = 48 * 1024 * 1024
_CHECKS = 10


class NotMountable(Exception):
    """This process may not mount file systems."""


@dataclass(frozen=True)
class SmallDisk:
    """A disk of a few megabytes, in memory."""

    folder: Path

    def fill(self) -> None:
        """Leave no room for anybody."""
        space = os.statvfs(self.folder)
        (self.folder / "ballast").write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - _BLOCK)))

    def clear(self) -> None:
        """There is room again."""
        (self.folder / "ballast").unlink()


@contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    """One on a folder of its own.

    Raises:
        NotMountable: this process may not mount it.
    """
    with _folder() as folder:
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder))
        try:
            yield SmallDisk(folder)
        finally:
            _run("umount", "--lazy", str(folder))


@dataclass(frozen=True)
class FailingDisk:
    """A disk whose file system turns read-only when it fails, as ext4 does, whatever is open on it."""

    folder: Path
    image: Path

    def fail(self) -> None:
        """From now on every write is refused, also by files that are open."""
        _run("mount", "-o", "remount,abort", str(self.folder))

    def repair(self) -> None:
        """Check a copy of it until nothing is left to mend, and mount that; nobody may have a file open on it.

        A copy, as the kernel may go on writing to the failed one for a while, and what it writes would turn the mended
        one read-only again, even after it could be written.
        """
        for _ in range(_CHECKS):
            _run("umount", str(self.folder))
            self._copy()
            self._check()
            self.mount()
            if self._can_be_written():
                return

    def _copy(self) -> None:
        copy = self.image.with_suffix(".copy")
        shutil.copyfile(self.image, copy)
        copy.replace(self.image)

    def _check(self) -> None:
        check = ["e2fsck", "-fy", str(self.image)]  # 0: it found nothing; else it mended something
        for _ in range(_CHECKS):
            if subprocess.run(check, check=False, capture_output=True).returncode == 0:
                return

    def _can_be_written(self) -> bool:
        probe = self.folder / "probe"
        try:
            with probe.open("wb") as file:
                file.write(b"?")
                os.fsync(file.fileno())
            probe.unlink()
        except OSError:
            return False
        return True

    def mount(self) -> None:
        """Mount it."""
        _run("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.folder))


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """One on a folder of its own.

    Raises:
        NotMountable: this process may not mount it, or there are no loop devices.
    """
    with _folder() as folder, tempfile.NamedTemporaryFile(prefix="evidence-", suffix=".image") as image:
        os.truncate(image.name, _IMAGE)
        _run("mkfs.ext4", "-q", "-F", image.name)
        disk = FailingDisk(folder, Path(image.name))
        disk.mount()
        try:
            yield disk
        finally:
            _run("umount", "--lazy", str(folder))


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that every user can get to, unlike those of a test: PostgreSQL may run as another one."""
    folder = Path(tempfile.mkdtemp(prefix="evidence-disk-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.rmdir()


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NotMountable(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        raise NotMountable(f"{' '.join(command)}: {error.stderr.strip()}") from error

"""Makes a folder with Debian 13 (trixie) and its RabbitMQ 4, beside a Debian that only has an older one.

    python3 -m worker.local.trixie

prints the folder, which is made once and kept outside the project. With its name in `LOCAL_RABBITMQ_ROOT` a private
node runs RabbitMQ from there (`trixie_runner.py`). Nothing is installed on this machine, and no service is started.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.local.errors import CannotInstall
from worker.local.private_files import tail_of
from worker.local.trixie_runner import has_rabbitmq

SUITE = "trixie"

_DYING_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_LEAVING_NOTHING = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
"""Debootstrap mounts, and packages may start services: in namespaces of its own, neither outlives it."""


def main() -> None:
    """The command line: the folder on stdout, what is done on stderr; status 1 and a sentence if it cannot be made."""
    try:
        made = make_root(default_folder(os.environ.get("XDG_CACHE_HOME")), _say_on_stderr)
    except CannotInstall as error:
        sys.exit(str(error))
    sys.stdout.write(f"{made}\n")


def default_folder(cache: str | None) -> Path:
    """Where the root is kept: below the user's caches, so that `make clean` and new clones find it again."""
    return (Path(cache) if cache else Path.home() / ".cache") / "provisioner" / SUITE


def make_root(root: Path, say: Callable[[str], object]) -> Path:
    """The root folder, made now if it is not there. Two callers at once make it once.

    Args:
        root: The folder; remove it to have it made anew, with newer packages.
        say: Told what is done, a line at a time.

    Raises:
        CannotInstall: not root, no debootstrap, no mirror known, or debootstrap failed.
    """
    if has_rabbitmq(root):
        return root
    if os.geteuid() != 0:
        raise CannotInstall(
            f"only root can make {root}: debootstrap makes devices and changes its root folder"
        )
    if shutil.which("debootstrap") is None:
        raise CannotInstall("debootstrap is not installed. As root: apt-get install debootstrap")
    root.parent.mkdir(parents=True, exist_ok=True)
    with _locked(root.with_suffix(".lock")):
        if not has_rabbitmq(root):
            _make(root, debian_mirror(), say)
    return root


def debian_mirror() -> str:
    """Address of the mirror from which apt gets this machine's own release.

    Raises:
        CannotInstall: apt is not there, or knows none.
    """
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    question = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    wanted = ["Created-By: Packages", "Component: main", f"Release: {release}"]
    listed: list[str] = []
    with suppress(FileNotFoundError):
        listed = subprocess.run(
            [*question, *wanted], capture_output=True, text=True, check=False
        ).stdout.split()
    if not listed:
        raise CannotInstall(
            f"apt knows no mirror of Debian's release {release!r}, so none to get {SUITE} from"
        )
    return listed[0]


def _make(root: Path, mirror: str, say: Callable[[str], object]) -> None:
    draft, log = root.with_suffix(".draft"), root.with_suffix(".log")
    # Left by a run that was killed; its mounts went with it, so nothing foreign lies below.
    shutil.rmtree(draft, ignore_errors=True)
    say(f"making {root} with debootstrap (once: about a minute, 400 MB; it says more in {log}) ...")
    if (status := _debootstrap(draft, mirror, log)) != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise CannotInstall(f"debootstrap failed with status {status}\n{tail_of(log)}")
    if not has_rabbitmq(draft):
        raise CannotInstall(f"debootstrap succeeded, but RabbitMQ is not where it is expected in {draft}")
    shutil.rmtree(root, ignore_errors=True)
    draft.rename(root)


def _debootstrap(target: Path, mirror: str, log: Path) -> int:
    # Without the second option, debootstrap checks no signature where Debian's keys are not installed.
    options = ["--variant=minbase", "--force-check-gpg", "--include=rabbitmq-server"]
    with log.open("w") as output:
        return subprocess.run(
            [*_DYING_WITH_US, *_LEAVING_NOTHING, "debootstrap", *options, SUITE, str(target), mirror],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _say_on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()

"""The root folder with RabbitMQ 4: made once, by debootstrap, from the mirror that apt uses."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.local.processes import ROOT
from worker.local.errors import CannotInstall
from worker.local.trixie import debian_mirror, default_folder, make_root

MIRROR = "file:///mirror/debian/"

# Stands for `unshare`: notes its arguments and runs what follows them, without namespaces, which only root may make.
UNSHARE = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do echo "unshare $1" >>"$LOG"; shift; done\nexec "$@"\n'
DEBOOTSTRAP = """\
#!/bin/sh
echo "debootstrap $*" >>"$LOG"
while [ "${1#--}" != "$1" ]; do shift; done
mkdir -p "$2/usr/lib/rabbitmq/bin"
"""
SUCCESS = 'touch "$2/usr/lib/rabbitmq/bin/rabbitmq-server"\n'
FAILURE = 'echo "E: no signature"; exit 7\n'

Say = Callable[[str], object]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that note how they were called, before the shell's tools on the PATH; the user is root."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"VERSION_CODENAME": "bookworm"})
    add(programs, "unshare", UNSHARE)
    add(programs, "apt-get", f'#!/bin/sh\necho "apt-get $*" >>"$LOG"\necho {MIRROR}\n')
    add(programs, "debootstrap", DEBOOTSTRAP + SUCCESS)
    return programs


def add(programs: Path, name: str, text: str) -> None:
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def calls(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_it_is_made_once(machine: Path, tmp_path: Path) -> None:
    """The first call runs debootstrap and says how long it takes; the second finds the folder and says nothing."""
    root, said = tmp_path / "cache" / "trixie", list[str]()
    assert make_root(root, said.append) == root
    assert (root / "usr/lib/rabbitmq/bin/rabbitmq-server").exists()
    before = calls(tmp_path)
    assert make_root(root, said.append) == root
    assert calls(tmp_path) == before
    assert len(said) == 1
    assert "about a minute" in said[0]


def test_signatures_are_checked_and_nothing_outlives_it(machine: Path, tmp_path: Path) -> None:
    """The program is told to insist on signatures, and runs where its mounts and processes end with it."""
    make_root(tmp_path / "trixie", lambda _line: None)
    noted = calls(tmp_path)
    assert {"unshare --mount", "unshare --pid", "unshare --kill-child"} <= set(noted)
    draft = tmp_path / "trixie.draft"
    assert noted[-1] == (
        f"debootstrap --variant=minbase --force-check-gpg --include=rabbitmq-server trixie {draft} {MIRROR}"
    )
    assert not draft.exists()


def test_a_failure_says_why_and_leaves_nothing(machine: Path, tmp_path: Path) -> None:
    """The error ends with debootstrap's own words; half a root is never taken for a whole one."""
    add(machine, "debootstrap", DEBOOTSTRAP + FAILURE)
    root = tmp_path / "trixie"
    with pytest.raises(CannotInstall, match=r"status 7\nE: no signature"):
        make_root(root, lambda _line: None)
    assert not root.exists()
    assert not (tmp_path / "trixie.draft").exists()


def test_a_root_without_rabbitmq_is_no_root(machine: Path, tmp_path: Path) -> None:
    """Where the package keeps its programs elsewhere, the error says so, and the next call tries again."""
    add(machine, "debootstrap", DEBOOTSTRAP)
    with pytest.raises(CannotInstall, match="not where it is expected"):
        make_root(tmp_path / "trixie", lambda _line: None)
    add(machine, "debootstrap", DEBOOTSTRAP + SUCCESS)
    assert make_root(tmp_path / "trixie", lambda _line: None).exists()


def test_only_root_can_make_it(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user is told who can, before anything is started."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotInstall, match="only root can make"):
        make_root(tmp_path / "trixie", lambda _line: None)
    assert calls(tmp_path) == []


def test_without_debootstrap_the_error_names_the_command(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says how to install it."""
    (machine / "debootstrap").unlink()
    monkeypatch.setenv("PATH", str(machine))
    with pytest.raises(CannotInstall, match="apt-get install debootstrap"):
        make_root(tmp_path / "trixie", lambda _line: None)


def test_the_mirror_is_the_one_of_this_release(machine: Path, tmp_path: Path) -> None:
    """What is asked for are the sources of the machine's own release: neither security updates nor somebody else's."""
    assert debian_mirror() == MIRROR
    assert calls(tmp_path)[-1].endswith("Created-By: Packages Component: main Release: bookworm")


@pytest.mark.parametrize(
    ("apt_get", "reason"),
    [
        ("#!/bin/sh\n", "apt knows no such source"),
        ("#!/bin/sh\necho 'E: broken list' >&2; exit 100\n", "apt cannot read its sources"),
        (None, "there is no apt"),
    ],
)
def test_without_a_mirror_nothing_is_tried(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apt_get: str | None, reason: str
) -> None:
    """No address is guessed: the error names the release for which apt has none."""
    monkeypatch.setenv("PATH", str(machine))
    (machine / "apt-get").unlink()
    if apt_get is not None:
        add(machine, "apt-get", apt_get)
    with pytest.raises(CannotInstall, match="no mirror of Debian's release 'bookworm'"):
        make_root(tmp_path / "trixie", lambda _line: None)
    assert calls(tmp_path) == [], reason


@pytest.mark.parametrize(
    ("cache", "expected", "reason"),
    [
        ("/somewhere/cache", Path("/somewhere/cache/provisioner/trixie"), "the user's choice"),
        (None, Path.home() / ".cache/provisioner/trixie", "the usual place"),
        ("", Path.home() / ".cache/provisioner/trixie", "an empty variable is none"),
    ],
)
def test_it_is_kept_among_the_users_caches(cache: str | None, expected: Path, reason: str) -> None:
    """The folder lies outside the project."""
    assert default_folder(cache) == expected, reason


def test_the_command_prints_the_folder_alone(machine: Path, tmp_path: Path) -> None:
    """What a Makefile reads is one line on stdout; everything for people is on stderr."""
    root = tmp_path / "provisioner" / "trixie"
    (root / "usr/lib/rabbitmq/bin").mkdir(parents=True)
    (root / "usr/lib/rabbitmq/bin/rabbitmq-server").touch()
    done = subprocess.run(
        [sys.executable, "-m", "worker.local.trixie"],
        cwd=ROOT,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{root}\n", "")

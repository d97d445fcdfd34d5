"""The Makefile, run for real on a copy of the project where Python and pip only note how they were called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.local.processes import ROOT, environment_without_make

VERBS = ["demo", "test", "repeat", "run", "lint", "evidence", "control", "rabbitmq4", "bench", "clean"]

FAKE_PYTHON = """\
#!/bin/sh
echo "python $*" >>"{log}"
case "$*" in
  "-c "*) exit {status} ;;
  "-m venv .venv") mkdir -p .venv/bin; for name in pip python pytest provisioner; do
      printf '#!/bin/sh\\necho "%s $*" >>"{log}"\\n' "$name" >.venv/bin/$name; chmod +x .venv/bin/$name; done ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    (folder / "tests" / "requirements.lock").touch()
    write_python(folder, status=0)
    return folder


def write_python(folder: Path, status: int) -> None:
    (folder / "fake-python").write_text(FAKE_PYTHON.format(log=folder / "log", status=status))
    (folder / "fake-python").chmod(0o755)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "PYTHON=./fake-python", *arguments],
        cwd=folder,
        env=environment_without_make(),
        capture_output=True,
        text=True,
        check=False,
    )


def calls(folder: Path) -> list[str]:
    """What was called since the last time."""
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.write_text("")
    return lines


def newer(file: Path, than: Path) -> None:
    later = than.stat().st_mtime + 10
    os.utime(file, (later, later))


def test_make_alone_lists_the_verbs(project: Path) -> None:
    """`make` prints one line for each verb and does nothing else."""
    lines = make(project).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["make", verb] for verb in VERBS]
    assert all(len(line.split()) > 4 for line in lines)
    assert calls(project) == []


def test_the_environment_is_made_once(project: Path) -> None:
    """The first verb builds .venv from the lock, hashes required, and the second finds it."""
    first = make(project, "demo")
    assert first.stdout.startswith("installing dependencies into .venv")
    assert calls(project)[1:] == [
        "python -m worker.local.install venv",
        "python -m venv .venv",
        "pip install --quiet --require-hashes --requirement tests/requirements.lock",
        "pip install --quiet --no-deps --no-build-isolation --editable .",
        "provisioner demo",
    ]
    assert make(project, "demo").stdout == ""
    assert calls(project) == ["provisioner demo"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("pyproject.toml", ["pip"]),
        ("tests/requirements.lock", ["python", "python", "python", "pip", "pip"]),
    ],
)
def test_a_change_rebuilds_what_depends_on_it(project: Path, changed: str, expected: list[str]) -> None:
    """A changed lock builds everything anew; a changed pyproject.toml installs the project only."""
    make(project, "venv")
    calls(project)
    newer(project / changed, than=project / ".venv" / "installed")
    assert make(project, "venv").returncode == 0
    assert [call.split()[0] for call in calls(project)] == expected


def test_an_installation_that_was_cut_off_is_repeated(project: Path) -> None:
    """A .venv without its stamp is not trusted: it is built anew."""
    make(project, "venv")
    (project / ".venv" / "locked").unlink()
    (project / ".venv" / "half").touch()
    make(project, "venv")
    assert not (project / ".venv" / "half").exists()


def test_an_old_python_is_refused(project: Path) -> None:
    """A Python that is too old ends in a sentence that says how to name another, before anything is installed."""
    write_python(project, status=1)
    refused = make(project, "demo")
    assert refused.returncode != 0
    assert "Python 3.11 or newer" in refused.stderr
    assert "make PYTHON=" in refused.stderr
    assert not (project / ".venv").exists()


def test_the_tests_get_their_servers_first(project: Path) -> None:
    """`make test` installs missing servers, then runs pytest with the given arguments."""
    make(project, "venv")
    calls(project)
    make(project, "test", "PARALLEL=", "ARGS=-k name")
    assert calls(project) == ["python -m worker.local.install rabbitmq postgresql promtool", "pytest -k name"]


def test_clean_leaves_the_sources(project: Path) -> None:
    """`make clean` removes what was built and cached, and nothing else."""
    before = {path for path in project.rglob("*") if path.name != "log"}
    make(project, "venv")
    for name in (".local", ".mypy_cache", "tests/__pycache__", "provisioner.egg-info"):
        (project / name).mkdir()
    make(project, "clean")
    assert {path for path in project.rglob("*") if path.name != "log"} == before

"""`.ci/run`, on a project whose verbs only pretend."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.local.processes import ROOT, environment_without_make, kill

PRETENDED = "venv lint test evidence demo:\n\t@echo did $@\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "Makefile").write_text(PRETENDED)
    return tmp_path


def run(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project / ".ci" / "run"], env=environment_without_make(), capture_output=True, text=True, check=False
    )


def test_everything_runs_in_order(project: Path) -> None:
    """Lint, tests and demo run one after the other, each with its time, and the end is a success."""
    done = run(project)
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("did")] == [
        "did venv",
        "did lint",
        "did test",
        "did evidence",
        "did demo",
    ]
    assert "== test: make test\n" in done.stdout
    assert re.search(r"^== test: \d+ s$", done.stdout, re.MULTILINE)


def test_the_first_failure_ends_it(project: Path) -> None:
    """A verb that fails ends the run with its status, and the verbs behind it are not run."""
    (project / "Makefile").write_text(PRETENDED.replace("did $@", "did $@; test $@ != lint"))
    done = run(project)
    assert done.returncode != 0
    assert "did lint" in done.stdout
    assert "did test" not in done.stdout


def test_a_process_that_is_left_is_a_failure(project: Path) -> None:
    """A daemon that a verb leaves behind fails the run and is named."""
    (project / "Makefile").write_text(
        PRETENDED + "demo: daemon\ndaemon:\n\t@setsid sleep 1001 >/dev/null 2>&1 &\n"
    )
    done = run(project)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "sleep 1001" in line]
    kill(int(line.split()[0]))


def test_nobody_is_asked_anything(project: Path) -> None:
    """Verbs find no terminal to ask on: their input is at its end."""
    (project / "Makefile").write_text(PRETENDED.replace("did $@", "did $@; cat"))
    assert run(project).returncode == 0

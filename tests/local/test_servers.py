"""The fixtures: one server for a whole run of tests, however many processes run them, and gone with the run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.processes import ROOT

WRITES_DOWN = """
from pathlib import Path

def test_it(rabbitmq_node, broker_url, postgresql_server, postgresql_url, worker_id):
    Path({file!r}).write_text(f"{{worker_id}} {{rabbitmq_node.pid}} {{postgresql_server.pid}}")
"""

NOT_INSTALLED = """
import shutil
import pytest

@pytest.fixture(autouse=True, scope="session")
def nothing_installed():
    shutil.which = lambda *_args, **_kwargs: None

def test_rabbitmq(broker_url):
    pass

def test_postgresql(postgresql_url):
    pass
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.servers",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
    ]
    return subprocess.run(
        [*command, f"--rootdir={folder}", *arguments, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_two_processes_share_the_servers(tmp_path: Path) -> None:
    """Test files that run side by side use the same two servers, which are gone when the run has ended."""
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(WRITES_DOWN.format(file=str(tmp_path / name)))
    done = run_pytest(tmp_path, "-n", "2", "--dist", "loadfile")
    assert done.returncode == 0, done.stdout
    (one, *pids), (two, *same_pids) = ((tmp_path / name).read_text().split() for name in ("one", "two"))
    assert one != two
    assert pids == same_pids
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_a_missing_server_fails_the_test(tmp_path: Path) -> None:
    """Where a server is not installed, a test that needs it is not skipped, and the report names the command."""
    (tmp_path / "test_it.py").write_text(NOT_INSTALLED)
    done = run_pytest(tmp_path)
    assert done.returncode == 1
    assert "2 errors" in done.stdout
    assert "apt-get install rabbitmq-server" in done.stdout
    assert "apt-get install postgresql" in done.stdout

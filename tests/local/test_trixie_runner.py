"""RabbitMQ's programs of another root folder: laid over this machine's for themselves only."""

import os
import subprocess
from pathlib import Path

import pytest

from worker.local import trixie_runner
from worker.local.errors import ServerMissing
from worker.local.rabbitmq_node import RabbitmqNode, rabbitmq_command, rabbitmq_is_installed
from worker.local.trixie_runner import VARIABLE, runner


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root folder with a RabbitMQ that is only a name, and the variable that names it."""
    folder = tmp_path / "root"
    (folder / "usr/lib/rabbitmq/bin").mkdir(parents=True)
    (folder / "usr/lib/rabbitmq/bin/rabbitmq-server").touch()
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


@pytest.mark.parametrize("value", [None, ""])
def test_by_default_it_is_this_machines(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable, or with an empty one, nothing stands before a command."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert runner() == []


def test_the_programs_are_those_of_the_root(root: Path) -> None:
    """A command names the folder to lay over, and the program where it is once that was done."""
    before, after = runner(), rabbitmq_command("rabbitmqctl")
    assert before[:2] == ["unshare", "--mount"]
    assert before[-1] == str(root)
    assert after == [*before, "/usr/lib/rabbitmq/bin/rabbitmqctl"]
    assert rabbitmq_is_installed()


def test_a_relative_folder_is_made_absolute(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node's programs start in whichever folder the caller is in later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "root")
    assert runner()[-1] == str(root)


def test_a_root_without_rabbitmq_is_an_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's own RabbitMQ never takes the place of the one that was asked for."""
    monkeypatch.setenv(VARIABLE, str(root / "nowhere"))
    with pytest.raises(ServerMissing, match=f"{VARIABLE} names .*nowhere, and no RabbitMQ"):
        RabbitmqNode(tmp_path / "node").start()
    assert not rabbitmq_is_installed()


def test_only_root_may_use_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user gets a sentence instead of a mount that is not permitted."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ServerMissing, match="only root can"):
        runner()


def test_nothing_is_mounted_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself sees the other /usr, as the process that was started; nobody else does, then or later."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("only root may mount, and not in every container")
    (tmp_path / "usr").symlink_to("/usr")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(trixie_runner, "has_rabbitmq", lambda _root: True)
    here = over_usr(Path("/proc/self/mountinfo").read_text())
    show = [*runner(), "sh", "-c", "echo $$; cat /proc/self/mountinfo"]
    with subprocess.Popen(show, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, _, inside = process.stdout.read().partition("\n")
    assert (int(pid), process.returncode) == (process.pid, 0)
    assert over_usr(inside) == here + 1
    assert over_usr(Path("/proc/self/mountinfo").read_text()) == here


def over_usr(table: str) -> int:
    """How much is mounted on /usr, by the kernel's table; what others mount elsewhere meanwhile does not count."""
    return sum(1 for line in table.splitlines() if line.split()[4] == "/usr")

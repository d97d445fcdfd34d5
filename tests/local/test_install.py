"""Installing packages: only what is missing, no service started, everything put back."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.processes import ROOT
from worker.local import install as module
from worker.local.errors import CannotInstall
from worker.local.install import install, services_stay_down

FAKE = '#!/bin/sh\necho "$(basename "$0") $* frontend=$DEBIAN_FRONTEND" >>"{log}"\n{body}\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def machine(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that note how they were called, and nothing else on the PATH but a shell's tools."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.defpath}")
    monkeypatch.setattr(module, "_POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setitem(module._NEEDS, "promtool", need("prometheus", tmp_path / "there", "prometheus"))
    add(programs, "systemctl", log, "")
    return programs


def need(package: str, when: Path, service: str) -> module._Need:
    return module._Need(package, when.exists, (service,))


def add(programs: Path, name: str, log: Path, body: str) -> None:
    (programs / name).write_text(FAKE.format(log=log, body=body))
    (programs / name).chmod(0o755)


def test_nothing_is_done_when_nothing_is_missing(machine: Path, log: Path, tmp_path: Path) -> None:
    """When the program is there, no command is run and nothing is said."""
    (tmp_path / "there").touch()
    said: list[str] = []
    install(["promtool"], said.append)
    assert said == []
    assert not log.exists()


def test_what_is_missing_is_installed_without_its_service(machine: Path, log: Path, tmp_path: Path) -> None:
    """The package is installed without questions and extras; while that runs, services are told no; none is enabled."""
    ask = f'"{tmp_path}/policy-rc.d"; echo "policy=$?" >>"{log}"'
    add(machine, "apt-get", log, f'case "$*" in *install*) touch "{tmp_path}/there"; {ask};; esac')
    install(["promtool"], lambda _line: None)
    update, installation, policy, disable = log.read_text().splitlines()
    assert " update " in update
    assert "install --yes --no-install-recommends prometheus frontend=noninteractive" in installation
    assert policy == "policy=101"
    assert disable.startswith("systemctl --quiet disable prometheus")
    assert not (tmp_path / "policy-rc.d").exists()


def test_a_failed_update_is_no_reason_to_give_up(machine: Path, log: Path, tmp_path: Path) -> None:
    """The package lists that are there may do, so the installation is tried all the same."""
    add(machine, "apt-get", log, f'case "$*" in *update*) exit 100;; esac; touch "{tmp_path}/there"')
    said: list[str] = []
    install(["promtool"], said.append)
    assert "update failed" in said[1]


def test_a_failed_installation_says_why(machine: Path, log: Path) -> None:
    """The error ends with what `apt-get` said, and services may start again."""
    add(machine, "apt-get", log, "echo 'E: no space left' >&2; exit 100")
    with pytest.raises(CannotInstall, match="no space left"):
        install(["promtool"], lambda _line: None)
    assert not module._POLICY.exists()


def test_who_may_not_install_is_told_the_command(
    machine: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who is neither root nor may become root without a password gets the command to run as root."""
    add(machine, "apt-get", log, "")
    add(machine, "sudo", log, "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotInstall, match="As root: apt-get install prometheus"):
        install(["promtool"], lambda _line: None)
    assert log.read_text().splitlines() == ["sudo -n true frontend=noninteractive"]


def test_sudo_runs_the_same_installation(
    machine: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who may become root without a password has the same module run as root."""
    add(machine, "apt-get", log, "")
    add(machine, "sudo", log, f'case "$*" in *install*) touch "{tmp_path}/there";; esac')
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    install(["promtool"], lambda _line: None)
    assert "-m worker.local.install promtool" in log.read_text().splitlines()[-1]


def test_the_machines_own_policy_comes_back(tmp_path: Path) -> None:
    """A policy that the machine has is back after the block, content and mode."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o750)
    with services_stay_down(policy):
        assert "exit 101" in policy.read_text()
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert stat.S_IMODE(policy.stat().st_mode) == 0o750
    assert list(tmp_path.iterdir()) == [policy]


@pytest.mark.parametrize("own", ["#!/bin/sh\nexit 0\n", None])
def test_a_killed_installation_is_put_right_by_the_next(own: str | None, tmp_path: Path) -> None:
    """What an installation that was killed left behind does not become the machine's policy."""
    policy = tmp_path / "policy-rc.d"
    if own is not None:
        policy.write_text(own)
    killed = services_stay_down(policy)
    killed.__enter__()
    with services_stay_down(policy):
        assert "exit 101" in policy.read_text()
    assert (policy.read_text() if policy.exists() else None) == own


def test_it_runs_with_a_bare_python() -> None:
    """The command line works without any installed package, and knows what it can install."""
    asked = subprocess.run(
        [sys.executable, "-S", "-m", "worker.local.install", "everything"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 2
    assert "everything: not one of rabbitmq, postgresql, promtool, debootstrap, venv" in asked.stderr

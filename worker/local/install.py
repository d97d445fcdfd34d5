"""Installs the Debian packages that the demo, the tests and `make run` need, if they are missing.

    python3 -m worker.local.install [rabbitmq] [postgresql] [promtool] [debootstrap] [venv]

Runs with the system's Python before anything else is installed. No service is started or enabled: what is needed of the
packages are their programs, which run as private servers.
"""

import argparse
import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.local.errors import CannotInstall, ServerMissing
from worker.local.postgresql_files import postgresql_program
from worker.local.rabbitmq_node import rabbitmq_is_installed

_ROOT = Path(__file__).resolve().parents[2]
_POLICY = Path("/usr/sbin/policy-rc.d")
_OUR_POLICY = "#!/bin/sh\n# Until worker.local.install has finished: no package starts a service.\nexit 101\n"
_QUIETLY = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",  # no service that ran before is restarted
}
_LAST_LINES = 15


def main() -> None:
    """The command line; ends with status 1 and a sentence if a package cannot be installed."""
    parser = argparse.ArgumentParser(
        prog="python3 -m worker.local.install", description="Installs what is missing."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_NEEDS))
    names = parser.parse_args().names or ["rabbitmq", "postgresql", "promtool"]
    if unknown := set(names) - set(_NEEDS):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(_NEEDS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was changed is put back
    try:
        install(names, _say_on_stderr)
    except CannotInstall as error:
        sys.exit(str(error))


def install(names: Sequence[str], say: Callable[[str], object]) -> None:
    """Install what is missing of `rabbitmq`, `postgresql`, `promtool`, `debootstrap` and `venv` (for this very Python).

    Args:
        names: What is needed; nothing is touched when all of it is there.
        say: Told what is done, a line at a time.

    Raises:
        CannotInstall: no `apt-get`, no right to use it, or it failed.
    """
    missing = [_NEEDS[name] for name in names if not _NEEDS[name].is_there()]
    if not missing:
        return
    packages = [need.package for need in missing]
    if not can_install():
        raise CannotInstall(f"missing: {', '.join(packages)}. As root: apt-get install {' '.join(packages)}")
    say(f"installing {', '.join(packages)} with apt-get (once; it may take a minute) ...")
    if os.geteuid() == 0:
        _install_as_root(missing, say)
    else:
        _install_with_sudo(names)
    if absent := [need.package for need in missing if not need.is_there()]:
        raise CannotInstall(
            f"{', '.join(absent)} was installed, but its programs are not where they are expected"
        )


def can_install() -> bool:
    """Whether this is Debian or one of its kin, and this user is root or may become root without a password."""
    if shutil.which("apt-get") is None:
        return False
    return os.geteuid() == 0 or (
        shutil.which("sudo") is not None and _run(["sudo", "-n", "true"]).returncode == 0
    )


@dataclass(frozen=True, slots=True)
class _Need:
    package: str
    is_there: Callable[[], bool]
    services: tuple[str, ...] = ()


def _install_as_root(needs: Sequence[_Need], say: Callable[[str], object]) -> None:
    with services_stay_down(_POLICY):
        if _apt_get("update").returncode != 0:
            say("apt-get update failed; going on with the package lists that are there")
        done = _apt_get("install", "--yes", "--no-install-recommends", *(need.package for need in needs))
    if done.returncode != 0:
        raise CannotInstall(f"apt-get install failed\n{_end_of(done.stdout)}")
    if shutil.which("systemctl") is not None:
        for service in (service for need in needs for service in need.services):
            if _run(["systemctl", "--quiet", "disable", service]).returncode != 0:
                say(f"{service} could not be disabled: it will start when the machine starts")


def _install_with_sudo(names: Sequence[str]) -> None:
    command = ["sudo", "-n", "env", f"PYTHONPATH={_ROOT}", "PYTHONDONTWRITEBYTECODE=1", sys.executable]
    done = _run([*command, "-m", "worker.local.install", *names])
    if done.returncode != 0:
        raise CannotInstall(_end_of(done.stdout))


@contextmanager
def services_stay_down(policy: Path) -> Iterator[None]:
    """Within the block, a package that wants to start its service is told no: Debian asks the program `policy` first.

    What was there before comes back at the end, and also if an earlier call was killed in the middle.
    """
    aside = policy.with_name(f"{policy.name}.before-install")
    _put_back(policy, aside)
    if policy.exists():
        policy.rename(aside)
    try:
        policy.write_text(_OUR_POLICY)
        policy.chmod(0o755)
        yield
    finally:
        _put_back(policy, aside)


def _put_back(policy: Path, aside: Path) -> None:
    if policy.exists() and policy.read_text() == _OUR_POLICY:
        policy.unlink()
    if aside.exists():
        aside.rename(policy)


def _apt_get(*arguments: str) -> subprocess.CompletedProcess[str]:
    patience = ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]
    return _run(["apt-get", "--quiet", *patience, *arguments])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=os.environ | _QUIETLY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _end_of(output: str) -> str:
    return "\n".join(output.splitlines()[-_LAST_LINES:])


def _has_postgresql() -> bool:
    try:
        postgresql_program("postgres")
        postgresql_program("psql")
    except ServerMissing:
        return False
    return True


def _has_promtool() -> bool:
    return shutil.which("promtool") is not None


def _has_ensurepip() -> bool:
    importlib.invalidate_caches()
    return importlib.util.find_spec("ensurepip") is not None


_NEEDS = {
    "rabbitmq": _Need("rabbitmq-server", rabbitmq_is_installed, ("rabbitmq-server",)),
    "postgresql": _Need("postgresql", _has_postgresql, ("postgresql",)),
    "promtool": _Need("prometheus", _has_promtool, ("prometheus",)),
    "debootstrap": _Need("debootstrap", lambda: shutil.which("debootstrap") is not None),
    "venv": _Need("python3-venv", _has_ensurepip),
}


def _say_on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()

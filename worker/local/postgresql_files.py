"""What a private PostgreSQL server keeps in its folder: who it is, its data and its log; and the user who owns them."""

import ctypes
import json
import os
import pwd
import re
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from worker.local.errors import ServerFailed, ServerMissing
from worker.local.loopback import free_ports
from worker.local.private_files import write_private

USER = "provisioner"
_NOT_INHERITED = ("PG", "PROVISIONER_")
_IPC_RMID = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes one server: kept in its folder, so that it is the same server after a restart.

    Attributes:
        keeper: Process id of the keeper of the latest start; None before the first.
        pid: Process id of the postmaster of the latest start; None before the first.
    """

    port: int
    password: str = field(repr=False)
    keeper: int | None = None
    pid: int | None = None


class ServerFiles:
    """The folder of one server."""

    def __init__(self, folder: Path) -> None:
        """The folder is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.log = self.folder / "postgresql.log"
        self.lock = self.folder / "lock"

    def read_identity(self) -> Identity:
        """Who runs here, or a new identity for a new folder."""
        try:
            return Identity(**json.loads((self.folder / "server.json").read_text()))
        except FileNotFoundError:
            return Identity(free_ports(1)[0], secrets.token_hex(16))

    def write_identity(self, identity: Identity) -> None:
        write_private(self.folder / "server.json", json.dumps(asdict(identity)))

    def make_data(self, password: str, account: tuple[int, int] | None) -> None:
        """Run `initdb` as the user who is to own the data; nothing happens when there are data.

        Raises:
            ServerMissing: PostgreSQL is not installed.
            ServerFailed: `initdb` failed.
        """
        if (self.data / "PG_VERSION").exists():
            return
        password_file = self.folder / "password"
        write_private(password_file, password)
        self.data.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            self.folder.chmod(0o711)  # to walk through, not to look around
            os.chown(password_file, *account)
            os.chown(self.data, *account)
        initdb = [
            postgresql_program("initdb"),
            "-D",
            str(self.data),
            "-U",
            USER,
            "--pwfile",
            str(password_file),
        ]
        try:
            run(
                [*initdb, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
                account=account,
            )
        finally:
            password_file.unlink()

    def is_ready(self, pid: int) -> bool:
        """Whether the postmaster with this process id said that it takes connections."""
        return self._line_of_pid_file(0) == str(pid) and self._line_of_pid_file(7).strip() == "ready"

    def free_shared_memory(self) -> None:
        """Free the segment that marks the data as in use: it outlives SIGKILL, and the kernel allows only so many."""
        with suppress(IndexError):
            ctypes.CDLL(None).shmctl(int(self._line_of_pid_file(6).split()[1]), _IPC_RMID, None)

    def _line_of_pid_file(self, number: int) -> str:
        """One line of `postmaster.pid`, whose format PostgreSQL documents under "Database File Layout"."""
        with suppress(FileNotFoundError, IndexError):
            return (self.data / "postmaster.pid").read_text().splitlines()[number]
        return ""


def unprivileged_account() -> tuple[int, int] | None:
    """User and group a server runs as, because PostgreSQL refuses to run as root; None: this process's own.

    Raises:
        ServerFailed: this process is root's and there is no other user.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_uid, user.pw_gid
    raise ServerFailed("PostgreSQL refuses to run as root, and there is no user `postgres` to run it as")


def postgresql_program(name: str) -> str:
    """Path of one of PostgreSQL's programs: on the PATH, or the newest that Debian's packages installed.

    Raises:
        ServerMissing: PostgreSQL is not installed.
    """
    # Asked for first: Debian's `psql` on the PATH is a wrapper, and `initdb` and `postgres` are not on it.
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    places = [str(place) for place in packaged if (place / "postgres").exists()]
    found = shutil.which(name, path=os.pathsep.join([*places, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise ServerMissing(
            "PostgreSQL is not installed. `make test` installs it, and so does: apt-get install postgresql"
        )
    return found


def _version(place: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", place.parent.name)]


def environment() -> dict[str, str]:
    """What PostgreSQL's programs are told: nothing that names another server, and none of our secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


def run(
    command: Sequence[str],
    *,
    account: tuple[int, int] | None = None,
    more: dict[str, str] | None = None,
) -> None:
    """Run one of PostgreSQL's programs to its end.

    Args:
        command: The program and its arguments.
        account: User and group to run it as; None: this process's own.
        more: Variables added to the environment.

    Raises:
        ServerFailed: it failed; the message is what it printed.
    """
    user, group = account or (None, None)
    done = subprocess.run(
        command,
        env=environment() | (more or {}),
        cwd="/",  # not where the caller stands: the other user may have no right to be there
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=user,
        group=group,
        extra_groups=None if user is None else (),
    )
    if done.returncode != 0:
        raise ServerFailed(f"{Path(command[0]).name} failed\n{done.stdout}{done.stderr}")

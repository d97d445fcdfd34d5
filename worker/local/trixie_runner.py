"""Runs the programs of another Debian, whose root folder a variable names, as if they were this machine's."""

import os
from pathlib import Path

from worker.local.errors import ServerMissing

# Not PROVISIONER_...: the worker, which inherits it in tests, refuses variables of its own that it does not know.
VARIABLE = "LOCAL_RABBITMQ_ROOT"

PROGRAMS = Path("/usr/lib/rabbitmq/bin")

# All of Debian's programs and libraries lie below /usr. Laid over this machine's, in a mount namespace of its own, they
# run with the same files, ports and process ids as any other program, and the mount ends with the last of them. The
# shell and then the program replace each other, so that the process is the one that was started.
_LAY_OVER = 'mount --bind "$0/usr" /usr && exec "$@"'


def other_root() -> Path | None:
    """The folder that `LOCAL_RABBITMQ_ROOT` names; None: RabbitMQ is this machine's own."""
    named = os.environ.get(VARIABLE)
    return Path(named).absolute() if named else None


def has_rabbitmq(root: Path) -> bool:
    """Whether RabbitMQ is installed in a root folder."""
    return (root / PROGRAMS.relative_to("/") / "rabbitmq-server").exists()


def runner() -> list[str]:
    """What stands before a command so that it runs on the other root; nothing when there is none.

    Raises:
        ServerMissing: there is one, and RabbitMQ is not in it or this user may not use it.
    """
    root = other_root()
    if root is None:
        return []
    if not has_rabbitmq(root):
        raise ServerMissing(f"{VARIABLE} names {root}, and no RabbitMQ is installed there")
    if os.geteuid() != 0:
        raise ServerMissing(f"{VARIABLE} names {root}: only root can run programs from another root folder")
    return ["unshare", "--mount", "sh", "-c", _LAY_OVER, str(root)]

"""On what it was measured: the machine, and the version of everything that takes part."""

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench.environment import ROOT, PeersMissing, locked_versions, peers_python
from tests.bench.scene import Scene

_OURS = ("aio-pika", "aiormq", "aiohttp", "sqlalchemy", "psycopg", "pydantic", "cryptography", "joserfc")
_PEERS = (
    "faststream",
    "taskiq",
    "taskiq-aio-pika",
    "celery",
    "kombu",
    "dramatiq",
    "pika",
    "requests",
    "uvloop",
)


def machine() -> dict[str, Any]:
    """Processors, memory, system, and how busy it was before."""
    return {
        "processors": len(os.sched_getaffinity(0)),
        "processor": _told("/proc/cpuinfo", "model name"),
        "memory_mib": int(_told("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        "system": platform.platform(),
        "load": os.getloadavg()[0],
    }


def versions(scene: Scene) -> dict[str, str]:
    """Of programs and libraries."""
    found = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "rabbitmq": scene.upstream.broker_version,
        "provider": scene.provider.what,
        "state of the code": _state(),
        **{name: version(name) for name in _OURS},
    }
    if scene.databases.there:
        found["postgresql"] = scene.databases.version()
    try:
        peers_python()
    except PeersMissing:
        return found
    locked = locked_versions()
    return found | {name: locked[name] for name in _PEERS}


def _state() -> str:
    """The commit, and whether something was changed since; nothing where this is no repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _told(file: str, name: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "0"

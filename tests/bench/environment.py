"""The optional environment with the other workers and the plots: `.venv-bench`, built from a lock with hashes.

The lock is made by `uv pip compile --universal --python-version 3.11 --generate-hashes --no-header
--no-emit-index-url pyproject.toml --group bench --output-file tests/bench/requirements.lock`, with the worker's own
lock as what the file holds before: so all sides have the same versions of what they have in common.
"""

import hashlib
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-bench"
INSTALL = "python -m tests.bench --install-peers"

_LOCK = Path(__file__).with_name("requirements.lock")
_STAMP = FOLDER / "locked"
_PYTHON = FOLDER / "bin" / "python"


class PeersMissing(Exception):
    """The environment is not there, or it is that of another lock."""


def peers_python() -> Path:
    """The Python of the environment.

    Raises:
        PeersMissing: with what to do about it.
    """
    if not _STAMP.exists():
        raise PeersMissing(f"{FOLDER.name} is not there; build it with: {INSTALL}")
    if _STAMP.read_text(encoding="utf-8") != _digest():
        raise PeersMissing(f"{FOLDER.name} is not that of {_LOCK.name}; build it anew with: {INSTALL}")
    return _PYTHON


def install_peers() -> None:
    """Build the environment anew.

    Raises:
        subprocess.CalledProcessError: pip failed; it said why.
    """
    sys.stderr.write(f"installing the bench's other workers into {FOLDER.name} (about a minute) ...\n")
    venv.create(FOLDER, clear=True, symlinks=True, with_pip=True)
    # Nothing that looks through the project's files should look in here.
    (FOLDER / ".gitignore").write_text("*\n", encoding="utf-8")
    pip = [str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([*pip, "--requirement", str(_LOCK)], check=True)
    _STAMP.write_text(_digest(), encoding="utf-8")


def locked_versions() -> dict[str, str]:
    """Version by package, as the lock has them."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", _LOCK.read_text(encoding="utf-8"), re.MULTILINE))


def _digest() -> str:
    return hashlib.sha256(_LOCK.read_bytes()).hexdigest()

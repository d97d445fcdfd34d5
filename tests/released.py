"""The wire as it was released: `python -m tests.released` freezes schemas and examples under the wire's version.

A frozen version is never written again; the exporter does not know the folder.
"""

import shutil
import sys
from pathlib import Path

import contracts
from contracts import WIRE_VERSION

CONTRACTS = Path(contracts.__file__).parent
RELEASED = CONTRACTS / "released"
VERSIONS = sorted(folder.name for folder in RELEASED.iterdir()) if RELEASED.exists() else []


def freeze(version: str) -> None:
    """Copy what is exported now.

    Raises:
        FileExistsError: this version was frozen before.
    """
    for folder in ("schemas", "examples"):
        shutil.copytree(CONTRACTS / folder, RELEASED / version / folder)


if __name__ == "__main__":
    if WIRE_VERSION in VERSIONS:
        sys.exit(f"{WIRE_VERSION} is frozen already; a changed wire needs a higher WIRE_VERSION")
    freeze(WIRE_VERSION)

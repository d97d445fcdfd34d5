"""`python -m tests.bench [throughput] [ledger] [memory] [profile] [--json]`: what the worker costs.

Absolute figures depend on the machine and on what else it does, so the worker is measured against a bare loop in the
same run, in turns; what counts is the ratio. Needs Linux. `profile` is run only when it is named.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import ledger, memory, profile, throughput
from tests.bench.report import Table
from tests.bench.scene import furnished
from worker.local.find_broker import find_broker

_USUAL = ("throughput", "ledger", "memory")
_TABLES: dict[str, Callable[[dict[str, Any]], Table]] = {
    "throughput": throughput.table,
    "ledger": ledger.table,
    "memory": memory.table,
    "profile": profile.table,
}
_HERE = Path(".local")  # on the disk of the project: a folder in memory would make every sync free


def main() -> None:
    """Measure and print."""
    wanted = _arguments()
    _HERE.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_HERE, prefix="bench-") as name:
        folder = Path(name).absolute()
        # Never the configured broker: its queues may be those of a worker that opens real accounts.
        with find_broker(folder / "rabbitmq", environment={}) as broker:
            figures = asyncio.run(_measure(wanted, broker.url, folder))
    if wanted.json:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"{', '.join(_TABLES)}; the first three if none"
    )
    parser.add_argument("--json", action="store_true", help="JSON on standard output instead of tables")
    parser.add_argument("--requests", type=int, default=1000, help="requests in a round of throughput")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of throughput, at most")
    parser.add_argument("--queued", type=int, default=10_000, help="requests in the queue for memory")
    wanted = parser.parse_args()
    if unknown := set(wanted.what) - set(_TABLES):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(_TABLES)}")
    return wanted


async def _measure(wanted: argparse.Namespace, broker_url: str, folder: Path) -> dict[str, Any]:
    """Each part has its own bound of time, so that all of them together end within three minutes."""
    figures: dict[str, Any] = {"machine": _machine()}
    if not wanted.json:
        sys.stdout.write(
            "{processors} processors, load {load:.1f} before, Python {python}\n".format(**figures["machine"])
        )
    async with furnished(broker_url, folder) as scene:
        parts: dict[str, Callable[[], Any]] = {
            "throughput": lambda: throughput.run(
                scene, requests=wanted.requests, rounds=wanted.rounds, seconds=40
            ),
            "ledger": lambda: ledger.run(folder, requests=5000, seconds=16),
            "memory": lambda: memory.run(scene, queued=wanted.queued, seconds=75),
            "profile": lambda: profile.run(scene, requests=wanted.requests * 4),
        }
        for name in wanted.what or _USUAL:
            figures[name] = await parts[name]()
            if not wanted.json:
                sys.stdout.write(f"\n{_TABLES[name](figures[name])}")
                sys.stdout.flush()
    return figures


def _machine() -> dict[str, Any]:
    return {
        "processors": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()

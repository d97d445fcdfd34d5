"""`python -m tests.peers`: the same schedule for our worker and for others, side by side.

A suite that finds nothing wrong with our worker proves something only if it finds much wrong with a worker that has no
ledger. The exit code is 1 if ours opened a surplus account or lost a request, or if another one did neither.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.peers.report import judge, table
from tests.peers.schedule import (
    DETOURS,
    WORKERS,
    ScheduleResult,
    missing,
    new_house,
    run_schedule,
    usual_faults,
)
from worker.local.rabbitmq_node import RabbitmqNode

_HERE = Path(".local")  # on the disk of the project: a folder in memory would make every sync free


def main() -> int:
    """Run them all, print the table; the exit code."""
    wanted = _arguments()
    _HERE.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_HERE, prefix="peers-") as name, RabbitmqNode() as node:
        results = {
            worker: asyncio.run(
                _run(worker, node.add_vhost(worker), _new(Path(name).absolute() / worker), wanted)
            )
            for worker in wanted.workers
        }
    sys.stdout.write(f"{table(results, wanted.seed)}")
    if wanted.json is not None:
        wanted.json.write_text(
            json.dumps({worker: asdict(result) for worker, result in results.items()}, indent=2) + "\n",
            encoding="utf-8",
        )
    objections = judge(results)
    sys.stdout.writelines(f"{objection}\n" for objection in objections)
    return 1 if objections else 0


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _run(worker: str, broker_url: str, folder: Path, wanted: argparse.Namespace) -> ScheduleResult:
    sys.stderr.write(f"{worker} ...\n")
    async with new_house(broker_url, folder, seed=wanted.seed) as house:
        return await run_schedule(
            WORKERS[worker],
            house,
            requests=wanted.requests,
            kill_every=wanted.kill_every,
            seed=wanted.seed,
            faults=usual_faults(wanted.faults),
            detour=DETOURS.get(worker),
        )


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    parser.add_argument(
        "--worker",
        dest="workers",
        action="append",
        choices=list(WORKERS),
        help="may be repeated; none: all that can run",
    )
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--kill-every", type=float, default=2.0, help="seconds, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--faults",
        type=float,
        default=0.01,
        help="share of creates cut afterwards, and of those with a 500",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    wanted = parser.parse_args(given)
    for worker in wanted.workers or ():
        if module := missing(worker):
            parser.error(f"{worker} needs {module}: install the dependency group `peers`")
    wanted.workers = wanted.workers or [worker for worker in WORKERS if missing(worker) is None]
    return wanted


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.evidence.soak`: one soak by itself, with its numbers as JSON at the end."""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tests.evidence.soak.run import Plan, soak
from tests.evidence.soak.troubles import EVERYTHING, KILLS, KILLS_SETTINGS, KILLS_SUCCESSOR_WITHIN


def main() -> int:
    """Run it; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--pause", type=float, nargs=2, default=(0.3, 1.5))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only-kills", action="store_true", help="nothing goes wrong but workers that die")
    parser.add_argument("--folder", type=Path, default=None)
    chosen = parser.parse_args()
    if chosen.ledger == "sqlite" and chosen.workers > 1:
        parser.error("several workers need --ledger postgresql")
    plan = Plan(
        f"soak, {chosen.ledger}, {chosen.workers} worker(s)",
        f"python -m tests.evidence.soak {' '.join(sys.argv[1:])}",
        chosen.ledger,
        chosen.workers,
        chosen.rounds,
        chosen.seconds,
        chosen.requests,
        tuple(chosen.pause),
        chosen.seed,
        KILLS if chosen.only_kills else EVERYTHING,
        KILLS_SETTINGS if chosen.only_kills else {},
        KILLS_SUCCESSOR_WITHIN if chosen.only_kills else None,
    )
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="evidence-"))
    folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)  # the harness's own client library tells every loss of a connection
    console = Console(soft_wrap=True)
    result = asyncio.run(soak(plan, folder, console.print))
    console.print_json(json.dumps(asdict(result)))
    console.print(f"logs and ledger: {folder}")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Many seeds, one after the other: `python -m tests.simulation --seeds 1000`; one of them again: `--seed 42`."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.simulation.climates import CLIMATES, MIXED
from tests.simulation.result import PLAIN, SimulationResult, Totals
from tests.simulation.run import LEDGERS, simulate
from tests.simulation.seeds import SEEDS_FILE, keep

_EVERY: Final = 10.0  # seconds between two words on how far it has come


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; 1 when a promise was not kept."""
    wanted = _parser().parse_args(arguments)
    seeds = [wanted.seed] if wanted.seed is not None else range(wanted.first, wanted.first + wanted.seeds)
    totals = _run(seeds, wanted.requests, wanted.weather, wanted.ledger)
    _summarise(totals)
    if wanted.json is not None:
        wanted.json.write_text(json.dumps(totals.as_json(), indent=2) + "\n")
    return 1 if totals.failing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="just this one")
    parser.add_argument("--requests", type=int, default=200, help="accounts that are asked for, per seed")
    parser.add_argument("--weather", choices=CLIMATES, default=MIXED, help="which faults there are")
    parser.add_argument(
        "--ledger", choices=LEDGERS, default=PLAIN, help="the quick one, or the real one on SQLite"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary there")
    return parser


def _run(seeds: Iterable[int], requests: int, climate: str, ledger: str) -> Totals:
    totals, told = Totals(), time.monotonic()
    for seed in seeds:
        result = simulate(seed, requests, climate, ledger)
        totals.add(result)
        if not result.kept:
            _tell_failure(result)
        if time.monotonic() - told > _EVERY:
            told = time.monotonic()
            _say(f"{totals.seeds} seeds, {totals.sums['requests']} requests, {len(totals.failing)} failing")
    return totals


def _tell_failure(result: SimulationResult) -> None:
    _say("".join(result.tail))
    for broken in result.broken:
        _say(f"seed {result.seed}: {broken}")
    _say(f"again: {result.command}")
    if keep(result):
        _say(f"kept in {SEEDS_FILE.name}")


def _summarise(totals: Totals) -> None:
    for name, value in totals.as_json().items():
        if isinstance(value, dict):
            _say(f"{name}:")
            for kind, times in value.items():
                _say(f"  {times:>9}  {kind}")
        else:
            _say(f"{name}: {value}")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""`make repeat`: every test again and again, in another order each time, until the first failure.

A run is noted in `tests/evidence/results/runs.json` with the state of product and tests that it was about, so that a
row may be gone on with after a break: only runs of the same state count, and one that failed begins the row anew. The
list to read is `RUNS.md` beside it.
"""

import argparse
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.digests import digest_of

ROOT: Final = Path(__file__).resolve().parents[1]
_RESULTS: Final = ROOT / "tests/evidence/results"
NOTED: Final = _RESULTS / "runs.json"
LIST: Final = _RESULTS / "RUNS.md"
_LONGEST: Final = 600.0
"""Seconds that a run may take to count."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of every test.

    Attributes:
        state: Digest of product and tests.
        began: When, UTC.
        seed: Of the order: `make test ARGS="--randomly-seed=..."`.
        seconds: It took so long.
        tests: How many there were, without those that were left out.
        skipped: How many were left out.
        failed: Names of those that failed.
        complete: Whether it came to its end.
    """

    state: str
    began: str
    seed: int
    seconds: float
    tests: int
    skipped: int
    failed: tuple[str, ...]
    complete: bool

    @property
    def good(self) -> bool:
        """Whether it counts."""
        return self.complete and not self.failed and self.seconds < _LONGEST


def state_of(root: Path = ROOT) -> str:
    """Digest of all that a test runs on or is."""
    kinds = ("worker", "contracts", "tests", "deploy")
    found = (file for kind in kinds for file in root.glob(f"{kind}/**/*"))
    files = [file for file in found if file.is_file() and _counts(file.relative_to(root))]
    files += [root / "requirements.lock", root / "Makefile"]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    settings = json.dumps([project["project"], project["tool"]["pytest"]], sort_keys=True)
    return digest_of(root, files, settings.encode())


def _counts(file: Path) -> bool:
    """Reports are no part of what they report."""
    return not {"__pycache__", "results"} & set(file.parts)


def row(runs: Sequence[Run], state: str) -> Sequence[Run]:
    """The runs of that state since the last one that does not count."""
    counting: list[Run] = []
    for run in runs:
        counting = [*counting, run] if run.good and run.state == state else []
    return counting


def read(junit: Path, *, state: str, began: datetime, seed: int, seconds: float, complete: bool) -> Run:
    """A run, out of the report that pytest wrote; one that wrote none came to no end."""
    if not junit.exists():
        return Run(state, _written(began), seed, seconds, 0, 0, (), complete=False)
    cases = list(ET.parse(junit).iter("testcase"))  # noqa: S314 - we wrote it ourselves
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    failed = tuple(sorted({f"{case.get('classname')}::{case.get('name')}" for case in bad}))
    return Run(state, _written(began), seed, seconds, len(cases) - skipped, skipped, failed, complete)


def as_markdown(runs: Sequence[Run], state: str) -> str:
    """The row to read."""
    longest = max((run.seconds for run in runs), default=0.0)
    lines = [
        "# Every test, again and again",
        "",
        (
            f"{len(runs)} runs in a row without a failure, each in another order, the longest in "
            f"{longest / 60:.1f} minutes. `make repeat` does it again; all are of one state of product and tests "
            f"(`{state}`)."
        ),
        "",
        "| began (UTC) | minutes | passed | left out | seed of the order |",
        "|---|---|---|---|---|",
        *(
            f"| {run.began} | {run.seconds / 60:.1f} | {run.tests} | {run.skipped} | {run.seed} |"
            for run in runs
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run until the row is long enough; 1 at the first run that does not count."""
    wanted = _arguments()
    while True:
        state, runs = state_of(), _noted()
        counting = row(runs, state)
        if counting:
            LIST.write_text(as_markdown(counting, state), encoding="utf-8")
        if len(counting) >= wanted.times:
            return 0
        _say(f"== run {len(counting) + 1} of {wanted.times}")
        run = _run(state, wanted.pytest)
        _note([*runs, run])
        _say(f"== {run.seconds / 60:.1f} minutes, {run.tests} tests, {len(run.failed)} failed {run.failed}")
        if not run.good:
            return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.repeat", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="runs in a row, those noted before counted in")
    parser.add_argument("pytest", nargs="*", metavar="ARGUMENT", help="for pytest, after --")
    return parser.parse_args()


def _run(state: str, arguments: Sequence[str]) -> Run:
    junit, seed = Path("build/repeat.xml"), time.time_ns() % 2**32
    junit.parent.mkdir(exist_ok=True)
    junit.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}", f"--randomly-seed={seed}"]
    began, clock = datetime.now(UTC), time.monotonic()
    code = subprocess.run([*command, *arguments], check=False).returncode
    seconds = time.monotonic() - clock
    return read(junit, state=state, began=began, seed=seed, seconds=seconds, complete=code in (0, 1))


def _noted() -> list[Run]:
    if not NOTED.exists():
        return []
    return [Run(**{**each, "failed": tuple(each["failed"])}) for each in json.loads(NOTED.read_text())]


def _note(runs: Sequence[Run]) -> None:
    NOTED.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n", encoding="utf-8")


def _written(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

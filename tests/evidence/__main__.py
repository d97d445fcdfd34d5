"""`make evidence`: the promises under crashes, faults and several workers, and the report of what came of it.

Every part is kept in `build/evidence/` as it ends, and the report is made of all that lie there: a part that was
stopped is run again by its name, without the others.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.evidence.parts import IN_CI, LONG, PARTS, SHORT, Part, Size
from tests.evidence.report import About, as_json, as_markdown, code_digest
from tests.evidence.result import RunResult

KEPT: Final = Path("build/evidence")
RELEASE: Final = Path(__file__).parent / "results"
_ENOUGH: Final = 50
"""Surplus accounts that the naive worker must have in the long form, or the suite proves nothing."""


def main() -> int:
    """Run, report; 1 when a promise was broken or the control found nothing."""
    wanted = _arguments()
    logging.disable(logging.CRITICAL)  # the requesters' client library tells every loss of a connection
    console = Console(soft_wrap=True, highlight=False)
    size = SHORT if wanted.short else LONG
    kept = KEPT / ("short" if wanted.short else "long")
    kept.mkdir(parents=True, exist_ok=True)
    for part in [part for part in PARTS if part.name in _chosen(wanted)]:
        _run(part, size, kept, console)
    return _report(kept, wanted.out, console, short=wanted.short)


def _chosen(wanted: argparse.Namespace) -> Sequence[str]:
    if wanted.report:
        return ()
    return wanted.part or (IN_CI if wanted.short else [part.name for part in PARTS])


def _run(part: Part, size: Size, kept: Path, console: Console) -> None:
    began = time.monotonic()
    console.print(f"[bold]{part.name}[/] ...")
    results = part.run(size, lambda line: console.print(f"  {line}", markup=False))
    found = {
        "control": part.control,
        "code": code_digest(),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "results": [asdict(result) for result in results],
    }
    (kept / f"{part.name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for result in results:
        good = part.control or result.good
        mark = "[green]kept[/]" if good else f"[red]BROKEN[/] {'; '.join(result.defects)}"
        console.print(
            f"  {result.name}: {result.requests} requests, {sum(result.faults.values())} faults: {mark}"
        )
    console.print(f"  {time.monotonic() - began:.0f} s")


def _report(kept: Path, out: Path | None, console: Console, *, short: bool) -> int:
    files = {part.name: kept / f"{part.name}.json" for part in PARTS}
    parts = {
        name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()
    }
    found = list(parts.values())
    if not found:
        console.print(f"[red]no part was run[/]: {kept} is empty")
        return 1
    ours = [RunResult.of(each) for part in found if not part["control"] for each in part["results"]]
    controls = [RunResult.of(each) for part in found if part["control"] for each in part["results"]]
    codes = {part["code"]: [name for name in parts if parts[name]["code"] == part["code"]] for part in found}
    about = About(max(part["ended"] for part in found)[:10], codes)
    folder = out or (kept if short else RELEASE)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evidence.json").write_text(
        json.dumps(as_json(ours, controls, about), indent=1) + "\n", encoding="utf-8"
    )
    report = folder / "README.md"
    report.write_text(as_markdown(ours, controls, about), encoding="utf-8")
    console.print(f"report: {report}", markup=False)
    broken = [result.name for result in ours if not result.good]
    weak = [result.name for result in controls if not _found_enough(result, short=short)]
    for name in broken:
        console.print(f"[red]a promise was broken[/]: {name}")
    if not about.is_of_one_code:
        console.print(
            f"[red]the parts ran on different code[/]: {', '.join(codes)}; run the older ones again"
        )
    for name in weak:
        console.print(f"[red]found too little wrong, so the suite proves too little[/]: {name}")
    return 1 if broken or weak or not about.is_of_one_code else 0


def _found_enough(result: RunResult, *, short: bool) -> bool:
    """Those that acknowledge first lose instead of doing twice."""
    return result.surplus + result.lost > (0 if short else _ENOUGH)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.evidence", description=__doc__)
    parser.add_argument("--short", action="store_true", help="minutes instead of more than an hour")
    parser.add_argument(
        "--part",
        action="append",
        choices=[part.name for part in PARTS],
        help="only this one; may be repeated",
    )
    parser.add_argument("--report", action="store_true", help="run nothing; only write the report")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the report goes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

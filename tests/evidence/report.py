"""The report: what was run, what went wrong on purpose, and what came of it, for people and for programs."""

import platform
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import worker
from tests.digests import digest_of
from tests.evidence.result import RunResult, total_faults
from worker import __version__

_OF_SEVERAL = (
    "**The parts ran on different states of the code, which are named at the end: this is no report for a release.** "
    "What follows is what was seen."
)

_COLUMNS = (
    ("run", lambda it: it.name),
    ("requests", lambda it: f"{it.requests:,}"),
    ("faults", lambda it: f"{sum(it.faults.values()):,}"),
    ("lost", lambda it: it.lost),
    ("surplus", lambda it: it.surplus),
    ("false events", lambda it: it.false_events),
    ("lost credentials", lambda it: it.lost_credentials),
    ("doubted", lambda it: f"{it.doubted:,}"),
    ("found by look-up", lambda it: f"{it.found_by_look_up:,}"),
    ("late answers", lambda it: f"{it.late_answers:,}"),
    ("proved absent", lambda it: f"{it.confirmed_absent:,}"),
    ("held", lambda it: f"{sum(it.held.values()):,}"),
    ("open at the end", lambda it: it.open),
    ("copies of events", lambda it: f"{it.copies:,}"),
    ("doubt lasted, s (50 %, 95 %, max)", lambda it: _seconds(it.resolve_seconds)),
    ("minutes", lambda it: f"{it.seconds / 60:.1f}"),
)


@dataclass(frozen=True, slots=True)
class About:
    """When the last of the runs ended, and which parts ran on which code, by its digest."""

    day: str
    codes: Mapping[str, Sequence[str]]

    @property
    def is_of_one_code(self) -> bool:
        """Whether it tells of one worker."""
        return len(self.codes) == 1


def code_digest() -> str:
    """Digest of everything that a worker runs on: its own code, the contracts, and what is locked."""
    root = Path(worker.__file__).parents[1]
    files = [*root.glob("worker/**/*.py"), *root.glob("contracts/**/*.py"), root / "requirements.lock"]
    return digest_of(root, files)


def as_json(ours: Sequence[RunResult], controls: Sequence[RunResult], about: About) -> dict[str, Any]:
    """Everything, as a program reads it."""
    return {
        "date": about.day,
        "code": {code: list(parts) for code, parts in about.codes.items()},
        "versions": versions(),
        "runs": [asdict(one) for one in ours],
        "negative_control": [asdict(one) for one in controls],
    }


def as_markdown(ours: Sequence[RunResult], controls: Sequence[RunResult], about: About) -> str:
    """The same to read."""
    return "\n".join(
        [
            f"# Evidence, {about.day}",
            "",
            *([] if about.is_of_one_code else [_OF_SEVERAL, ""]),
            *_summary(ours, controls),
            "",
            "## Runs",
            "",
            *_table(ours),
            "",
            *_how(ours),
            "",
            "## What went wrong on purpose",
            "",
            *_faults(ours),
            "",
            "## Why requests were held",
            "",
            *_held(ours),
            "",
            "## Negative control",
            "",
            *_control(controls),
            "",
            "## With what",
            "",
            *(
                f"- code of worker, contracts and lock `{code}`: {', '.join(parts)}"
                for code, parts in about.codes.items()
            ),
            *(f"- {name}: {number}" for name, number in versions().items()),
            "",
        ]
    )


def versions() -> dict[str, str]:
    """What the runs stood on."""
    names = ("aio-pika", "aiormq", "aiohttp", "sqlalchemy", "psycopg", "pydantic")
    return {
        "provisioner": __version__,
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "RabbitMQ": _said("dpkg-query", "--showformat=${Version}", "--show", "rabbitmq-server"),
        "PostgreSQL": _said("dpkg-query", "--showformat=${Version}", "--show", "postgresql"),
        **{name: version(name) for name in names},
    }


def _summary(ours: Sequence[RunResult], controls: Sequence[RunResult]) -> list[str]:
    requests, faults = sum(it.requests for it in ours), sum(total_faults(ours).values())
    real = [it for it in ours if not it.simulated]
    real_faults = sum(total_faults(real).values())
    doubted = sum(it.doubted for it in ours)
    sums = {
        name: sum(getattr(it, name) for it in ours)
        for name in ("lost", "surplus", "lost_credentials", "open")
    }
    headline = (
        f"{requests:,} requests under {faults:,} injected faults: **{sums['surplus']} surplus accounts, "
        f"{sums['lost']} lost requests, {sums['lost_credentials']} lost credentials**; {doubted:,} requests were "
        f"in doubt at some time, {sums['open']} still are. The others were settled by evidence or are held with a "
        f"reason. {sum(it.requests for it in real):,} of the requests and {real_faults:,} of the faults met real "
        "processes, a real RabbitMQ and a real ledger; the others ran through the same code in the simulation."
    )
    naive = ", ".join(f"{it.name}: {it.surplus} surplus, {it.lost} lost" for it in controls)
    bad = [f"- **{it.name}**: {words}" for it in ours for words in it.defects]
    return [
        headline,
        "",
        f"The same faults on ordinary workers: {naive}." if naive else "No negative control was run.",
        *(["", "What should not have happened:", "", *bad] if bad else []),
    ]


def _table(results: Iterable[RunResult]) -> list[str]:
    names = [name for name, _ in _COLUMNS]
    rows = [[str(cell(result)) for _, cell in _COLUMNS] for result in results]
    return [_row(names), _row(["---"] * len(names)), *map(_row, rows)]


def _how(results: Iterable[RunResult]) -> list[str]:
    lines = ["How to repeat each, and what else was measured:", ""]
    for result in results:
        seed = "" if result.seed is None else f", seed {result.seed}"
        notes = "".join(f"; {name}: {value}" for name, value in result.notes.items())
        lines.append(f"- {result.name}{seed}: `{result.command}`{notes}")
    return lines


def _faults(results: Sequence[RunResult]) -> list[str]:
    total = total_faults(results)
    rows = [_row([kind, f"{count:,}"]) for kind, count in sorted(total.items())]
    return [_row(["fault", "how often"]), _row(["---", "---"]), *rows]


def _held(results: Sequence[RunResult]) -> list[str]:
    reasons = sorted({reason for result in results for reason in result.held})
    rows = [_row([f"`{it}`", f"{sum(one.held.get(it, 0) for one in results):,}"]) for it in reasons]
    lost = sum(result.unreceived_credentials for result in results)
    sentence = (
        f"For {lost:,} of them the provider had sent a one-time credential into a connection that broke: the "
        "account is known, the credential never reached the worker, and a person is told so."
    )
    return [
        _row(["reason", "requests"]),
        _row(["---", "---"]),
        *rows,
        "",
        sentence,
    ]


def _control(controls: Sequence[RunResult]) -> list[str]:
    if not controls:
        return ["Not run."]
    rows = [
        _row([it.name, f"{it.requests:,}", f"{sum(it.faults.values()):,}", str(it.surplus), str(it.lost)])
        for it in controls
    ]
    head = ["worker", "requests", "faults", "surplus accounts", "lost requests"]
    lines = [_row(head), _row(["---"] * len(head)), *rows, ""]
    return [*lines, *(f"- {it.name}: `{it.command}`" for it in controls)]


def _seconds(percentiles: tuple[float, float, float] | None) -> str:
    return "-" if percentiles is None else " / ".join(f"{seconds:.1f}" for seconds in percentiles)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() or "unknown"
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

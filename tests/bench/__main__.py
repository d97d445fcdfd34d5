"""`python -m tests.bench [PART ...] [--short | --long] [--json]`: what the worker costs, and what others do.

Absolute figures depend on the machine and on what else it does, so the worker is measured against a bare loop and
workers of other makes in the same run, in turns; what counts is the ratio. Needs Linux. Everything that was measured is
in build/bench.json; plots of it are in build/bench. The others and the plots need an environment of their own, which
`--install-peers` builds; without it, they are left out. The long form takes most of a day.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench import (
    backlog,
    costs,
    growth,
    inflight,
    latency,
    ledger,
    memory,
    profile,
    retries,
    rows,
    start,
    throughput,
)
from tests.bench.databases import Databases
from tests.bench.environment import ROOT, PeersMissing, install_peers, peers_python
from tests.bench.machine import machine, versions
from tests.bench.report import Table
from tests.bench.scene import Scene, furnished
from tests.bench.sizes import LONG, SHORT, Sizes
from worker.local.errors import CannotInstall, ServerFailed, ServerMissing
from worker.local.find_broker import say_on_stderr
from worker.local.install import install
from worker.local.rabbitmq_node import RabbitmqNode

_HERE = ROOT / ".local"  # on the disk of the project: a folder in memory would make every sync free
_BUILD = ROOT / "build"
_FIGURES = _BUILD / "bench.json"
_PLOTS = _BUILD / "bench"
_VHOSTS = ("second", "third")  # beside the first one
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement.

    Attributes:
        says: What it measures, in a few words.
        run: Measures.
        tables: Its figures for people.
        usual: Whether it is run when none is named; in the long form all are that do not wait to be named.
        named: Whether it is run only when it is named.
    """

    says: str
    run: Callable[[Scene, Sizes], Awaitable[Figures]]
    tables: Callable[[Figures], Sequence[Table]]
    usual: bool = False
    named: bool = False


_PARTS: dict[str, Part] = {
    "throughput": Part(
        "requests per second of all sides, in turns",
        lambda scene, sizes: throughput.run(
            scene, requests=sizes.requests, rounds=sizes.rounds, seconds=sizes.throughput_within
        ),
        throughput.tables,
        usual=True,
    ),
    "latency": Part(
        "what the worker adds to the provider's time, at a steady pace",
        lambda scene, sizes: latency.run(scene, shares=sizes.shares, seconds=sizes.latency_seconds),
        latency.tables,
        usual=True,
    ),
    "costs": Part(
        "processor time of single pieces of the work",
        lambda _, sizes: costs.run(rounds=sizes.rounds_of_costs),
        costs.tables,
        usual=True,
    ),
    "inflight": Part(
        "100 and 1,000 requests in flight before a provider that takes a second",
        lambda scene, sizes: inflight.run(scene, counts=sizes.in_flight, waves=sizes.waves),
        inflight.tables,
    ),
    "start": Part(
        "from start to ready and first result, and how soon a killed worker's requests are taken over",
        lambda scene, sizes: start.run(scene, times=sizes.starts, lease=sizes.lease),
        start.tables,
    ),
    "backlog": Part(
        "a long queue worked off: rate and memory from its beginning to its end",
        lambda scene, sizes: backlog.run(scene, queued=sizes.backlog, seconds=sizes.backlog_within),
        backlog.tables,
    ),
    "rows": Part(
        "what a ledger with ten thousand, a million, ten million rows costs, with its plans",
        lambda scene, sizes: rows.run(scene, counts=sizes.rows),
        rows.tables,
    ),
    "retries": Part(
        "many retries that are due at about the same time",
        lambda scene, sizes: retries.run(scene, retries=sizes.retries, seconds=sizes.retries_within),
        retries.tables,
    ),
    "growth": Part(
        "bytes for each request, and what pruning and vacuuming give back",
        lambda scene, sizes: growth.run(scene, requests=sizes.grown),
        growth.tables,
    ),
    "ledger": Part(
        "how fast the ledger writes, without broker and provider",
        lambda scene, _: ledger.run(scene.folder, requests=5000, seconds=16),
        lambda figures: [ledger.table(figures)],
    ),
    "memory": Part(
        "memory before, with and after a long queue",
        lambda scene, sizes: memory.run(scene, queued=sizes.queued, seconds=75),
        lambda figures: [memory.table(figures)],
    ),
    "profile": Part(
        "where the worker's processor time goes",
        lambda scene, sizes: profile.run(scene, requests=sizes.requests * 4),
        lambda figures: [profile.table(figures)],
        named=True,
    ),
}


def main() -> None:
    """Measure and print."""
    wanted = _arguments()
    if wanted.install_peers:
        install_peers()
        return
    # Told to end, it ends as by Ctrl-C: nothing that it started is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        install(["rabbitmq"], say_on_stderr)
        figures = _measured(wanted)
    except (CannotInstall, ServerMissing, ServerFailed) as error:
        sys.exit(str(error))
    _draw()
    if wanted.json:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    if figures["failed"]:
        sys.exit(f"failed: {', '.join(figures['failed'])}")


def _arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:<12} {part.says}" for name, part in _PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=f"{__doc__}\n\nparts:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = ", ".join(name for name, part in _PARTS.items() if part.usual)
    parser.add_argument("what", nargs="*", metavar="PART", help=f"{usual} if none")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="small counts: the usual parts in two minutes")
    length.add_argument("--long", action="store_true", help="counts that count; without a name, all parts")
    parser.add_argument("--json", action="store_true", help="JSON on standard output instead of tables")
    parser.add_argument("--install-peers", action="store_true", help="build .venv-bench, with the others")
    parser.add_argument("--requests", type=int, help="requests in a round of throughput")
    parser.add_argument("--rounds", type=int, help="rounds of throughput, at most")
    parser.add_argument("--queued", type=int, help="requests in the queue for memory and backlog")
    wanted = parser.parse_args()
    if unknown := set(wanted.what) - set(_PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(_PARTS)}")
    return wanted


def _measured(wanted: argparse.Namespace) -> Figures:
    """Never on the configured broker: its queues may be those of a worker that opens real accounts."""
    _HERE.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_HERE, prefix="bench-") as name:
        folder = Path(name).absolute()
        with RabbitmqNode(folder / "rabbitmq") as node, Databases() as databases:
            broker_urls = (node.url, *map(node.add_vhost, _VHOSTS))
            return asyncio.run(_measure(wanted, broker_urls, folder, databases))


async def _measure(
    wanted: argparse.Namespace, broker_urls: Sequence[str], folder: Path, databases: Databases
) -> Figures:
    """Part by part; what was measured is written after each."""
    say = (lambda _: None) if wanted.json else _print
    form = "long" if wanted.long else "short"
    figures: Figures = {"form": form, "machine": machine(), "parts": {}, "failed": {}}
    async with furnished(broker_urls, folder, databases) as scene:
        figures["versions"] = versions(scene)
        say(_head(figures))
        for name in _names(wanted):
            try:
                found = await _PARTS[name].run(scene, _sizes(wanted))
            except Exception as error:  # noqa: BLE001 - what was measured before, and what comes after, is not lost
                figures["failed"][name] = repr(error)
                sys.stderr.write(f"\n{name} failed:\n{''.join(traceback.format_exception(error))}")
                await scene.clear()
            else:
                figures["parts"][name] = found
                say("".join(f"\n{table}" for table in _PARTS[name].tables(found)))
            _write(figures)
    return figures


def _names(wanted: argparse.Namespace) -> list[str]:
    named = [name for name, part in _PARTS.items() if part.usual or (wanted.long and not part.named)]
    return wanted.what or named


def _sizes(wanted: argparse.Namespace) -> Sizes:
    given = {
        "requests": wanted.requests,
        "rounds": wanted.rounds,
        "queued": wanted.queued,
        "backlog": wanted.queued,
    }
    sizes = LONG if wanted.long else SHORT
    return replace(sizes, **{name: count for name, count in given.items() if count is not None})


def _head(figures: Figures) -> str:
    on = figures["machine"]
    used = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    return f"{on['processors']} x {on['processor']}, load {on['load']:.1f} before\n{used}\n"


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _write(figures: Figures) -> None:
    _BUILD.mkdir(exist_ok=True)
    draft = _FIGURES.with_suffix(".draft")
    draft.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    draft.replace(_FIGURES)


def _draw() -> None:
    """Plots of the figures, where there is something to draw with."""
    try:
        python = peers_python()
    except PeersMissing as missing:
        sys.stderr.write(f"no plots: {missing}\n")
        return
    for old in _PLOTS.glob("*.svg"):
        old.unlink()
    subprocess.run([python, "-m", "tests.bench.plots", _FIGURES, _PLOTS], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()

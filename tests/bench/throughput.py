"""Requests per second and processor time per request: the worker against the bare loop, in turns, in one run."""

import asyncio
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.bench.processes import Child
from tests.bench.report import Table
from tests.bench.scene import BARE, PROVIDER, Scene

_WARM_UP = 300  # requests before anything counts
_ROUND_WITHIN = 40.0  # seconds
_TAIL = 0.3  # seconds for what follows the last result: acknowledgements, the mark that it was published


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one side.

    Attributes:
        per_second: Requests per second, from the first moment to the last result.
        cpu_ms: Milliseconds of processor time per request.
        cores: Processors that the process kept busy.
    """

    per_second: float
    cpu_ms: float
    cores: float


async def run(scene: Scene, *, requests: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds in turns, at most so many and no new one after so many seconds."""
    deadline = time.monotonic() + seconds
    worker_rounds: list[Sample] = []
    bare_rounds: list[Sample] = []
    async with scene.worker() as worker, scene.bare() as bare:
        for side, provider in ((worker, PROVIDER), (bare, BARE)):
            await measure(scene, side, provider, _WARM_UP)
        for number in range(rounds):
            if number and time.monotonic() > deadline:
                break
            turns = [(worker, PROVIDER, worker_rounds), (bare, BARE, bare_rounds)]
            for side, provider, kept in turns if number % 2 else reversed(turns):
                kept.append(await measure(scene, side, provider, requests))
    return _figures(requests, worker_rounds, bare_rounds)


async def measure(scene: Scene, side: Child, provider: str, requests: int) -> Sample:
    """One round: the side is frozen until all requests lie in its queue."""
    side.freeze()
    await scene.upstream.publish(provider, requests)
    scene.upstream.begin()
    cpu, began = side.cpu(), time.monotonic()
    side.thaw()
    seconds = await scene.upstream.reached(requests, _ROUND_WITHIN) - began
    await asyncio.sleep(_TAIL)
    cpu = side.cpu() - cpu
    await scene.upstream.forget()
    return Sample(requests / seconds, cpu / requests * 1000, cpu / seconds)


def _figures(requests: int, worker: list[Sample], bare: list[Sample]) -> dict[str, Any]:
    pairs = list(zip(worker, bare, strict=True))
    return {
        "requests_per_round": requests,
        "worker": _middle(worker),
        "bare_loop": _middle(bare),
        "ratio_of_requests_per_second": median(ours.per_second / theirs.per_second for ours, theirs in pairs),
        "ratio_of_cpu_per_request": median(ours.cpu_ms / theirs.cpu_ms for ours, theirs in pairs),
        "rounds": [{"worker": asdict(ours), "bare_loop": asdict(theirs)} for ours, theirs in pairs],
    }


def _middle(samples: list[Sample]) -> dict[str, float]:
    return {
        "per_second": median(sample.per_second for sample in samples),
        "cpu_ms": median(sample.cpu_ms for sample in samples),
        "cores": median(sample.cores for sample in samples),
    }


def table(figures: dict[str, Any]) -> Table:
    """The figures for people."""
    rows = [
        [name, f"{side['per_second']:.0f}", f"{side['cpu_ms']:.2f}", f"{side['cores']:.2f}"]
        for name, side in (("worker", figures["worker"]), ("bare loop", figures["bare_loop"]))
    ]
    speed, cost = figures["ratio_of_requests_per_second"], figures["ratio_of_cpu_per_request"]
    return Table(
        f"throughput: median of {len(figures['rounds'])} rounds of {figures['requests_per_round']} requests in turns",
        ("", "requests/s", "CPU ms per request", "cores busy"),
        [*rows, ["ratio (median of pairs)", f"{speed:.2f}", f"{cost:.2f}", ""]],
        "one provider, concurrency 100, quorum queues, confirms, SQLite with a sync per commit; "
        "the bare loop has no ledger and keeps its connections to the provider alive",
    )

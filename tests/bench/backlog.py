"""A long queue worked off: whether the worker is as quick at its end as at its beginning, and grows meanwhile."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from statistics import median
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from tests.bench.processes import Child
from tests.bench.report import Table
from tests.bench.scene import PROVIDER, Scene
from tests.bench.sides import Start, workers

_WARM_UP = 0.02  # share of all requests that does not count
_PARTS = 10
_EVERY = 1.0  # seconds between samples of memory
_SAMPLES = 500  # kept of them, at most

Sample = tuple[float, float]
"""Seconds since the worker was ready, and MiB that it held."""


async def run(scene: Scene, *, queued: int, seconds: float) -> dict[str, Any]:
    """The worker on each ledger; it is started when all requests lie in the queue, and has so many seconds for them."""
    return {
        "queued": queued,
        "sides": {
            name: await _measure(scene, start, queued, seconds) for name, start in workers(scene).items()
        },
    }


async def _measure(scene: Scene, start: Start, queued: int, seconds: float) -> dict[str, Any]:
    upstream, marks, passed = scene.upstream, _marks(queued), list[float]()
    samples: list[Sample] = []

    def seen(_: AbstractIncomingMessage, at: float) -> None:
        if len(passed) < len(marks) and upstream.came >= marks[len(passed)]:
            passed.append(at)

    await upstream.publish(PROVIDER, queued)
    upstream.begin()
    upstream.noticed = seen
    try:
        async with start() as worker:
            sampling = asyncio.create_task(_sample(scene, worker, samples))
            with suppress(TimeoutError):
                await upstream.reached(queued, seconds)
            sampling.cancel()
            peak = worker.peak()
    finally:
        upstream.noticed = None
    worked_off = upstream.came
    await upstream.drop(PROVIDER)
    await upstream.forget()
    return {
        "worked_off": worked_off,
        **_rates(marks, passed),
        "peak_mib": peak,
        "memory": samples[:: max(1, len(samples) // _SAMPLES)],
    }


def _marks(queued: int) -> list[int]:
    """Counts of results between which the rate is taken: tenths of what comes after the warm-up."""
    return [int(queued * (_WARM_UP + (1 - _WARM_UP) * part / _PARTS)) for part in range(_PARTS + 1)]


def _rates(marks: list[int], passed: list[float]) -> dict[str, Any]:
    rates = [
        (marks[part + 1] - marks[part]) / (passed[part + 1] - passed[part]) for part in range(len(passed) - 1)
    ]
    whole = len(rates) == _PARTS
    return {"per_second_by_tenth": rates, "last_to_first": rates[-1] / rates[0] if whole else None}


async def _sample(scene: Scene, worker: Child, samples: list[Sample]) -> None:
    """Look at the worker's memory until cancelled."""
    began = time.monotonic()
    while True:
        samples.append((time.monotonic() - began, worker.resident()))
        await scene.upstream.forget()  # the copies of the results would fill the disk
        await asyncio.sleep(_EVERY)


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people."""
    rows = [_row(name, side) for name, side in figures["sides"].items()]
    cut = any(side["worked_off"] < figures["queued"] for side in figures["sides"].values())
    head = (
        "",
        "worked off",
        "first tenth/s",
        "last tenth/s",
        "last to first",
        "MiB, first tenth",
        "last tenth",
        "at most",
    )
    return [
        Table(
            f"backlog of {figures['queued']:,} requests",
            head,
            rows,
            "stopped early: its time was over" if cut else "tenths after a warm-up of one in fifty",
        )
    ]


def _row(name: str, side: dict[str, Any]) -> list[str]:
    rates = side["per_second_by_tenth"]
    first = f"{rates[0]:.0f}" if rates else "-"
    last = f"{rates[-1]:.0f}" if len(rates) == _PARTS else "-"
    ratio = "-" if side["last_to_first"] is None else f"{side['last_to_first']:.2f}"
    held = [f"{mib:.1f}" for mib in _held(side["memory"])]
    return [name, f"{side['worked_off']:,}", first, last, ratio, *held, f"{side['peak_mib']:.0f}"]


def _held(memory: Sequence[Sample]) -> tuple[float, float]:
    """MiB in the middle of the first and of the last tenth of the time, after the warm-up."""
    counted = [mib for _, mib in memory[int(len(memory) * _WARM_UP) :]]
    tenth = max(1, len(counted) // _PARTS)
    return median(counted[:tenth]), median(counted[-tenth:])

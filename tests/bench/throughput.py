"""Requests per second and what they cost: all sides in turns, in one run, against the bare loop."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.processes import Child
from tests.bench.report import Table
from tests.bench.scene import Scene
from tests.bench.sides import BARE_LOOP, Side, all_sides, runs_on
from tests.bench.spread import Spread, spread
from tests.bench.upstream import Upstream

_WARM_UP = 200  # requests before anything counts
_ROUND_WITHIN = 60.0  # seconds
_TAIL = 0.3  # seconds for what follows the last result: acknowledgements, the mark that it was published


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one side.

    Attributes:
        per_second: Requests per second, from the first moment to the last result.
        cpu_ms: Milliseconds of processor time per request, of the process and all its children.
        cores: Processors that they kept busy.
    """

    per_second: float
    cpu_ms: float
    cores: float


@dataclass(frozen=True, slots=True)
class _Turns:
    """A side that runs, and its rounds so far."""

    side: Side
    running: Child
    samples: list[Sample]


async def run(scene: Scene, *, requests: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds in turns, at most so many and no new one after so many seconds.

    All sides run all the time; those whose turn it is not wait for messages.
    """
    sides, left_out = all_sides(scene)
    async with AsyncExitStack() as stack:
        turns = [_Turns(side, await stack.enter_async_context(side.start()), []) for side in sides]
        for one in turns:
            await measure(one.side, one.running, _WARM_UP)
        deadline = time.monotonic() + seconds
        for number in range(rounds):
            if number and time.monotonic() > deadline:
                break
            for one in turns if number % 2 else reversed(turns):
                one.samples.append(await measure(one.side, one.running, requests))
        figures = {one.side.name: _of_side(one) for one in turns}
    yardstick = next(one.samples for one in turns if one.side.name == BARE_LOOP)
    for one in turns:
        figures[one.side.name] |= _against(one.samples, yardstick)
    return {
        "requests_per_round": requests,
        "rounds": len(yardstick),
        "provider": scene.provider.what,
        "sides": figures,
        "left_out": left_out,
    }


async def measure(side: Side, running: Child, requests: int) -> Sample:
    """One round of a side."""
    return await drained(side.upstream, running, side.feed(requests), requests)


async def drained(upstream: Upstream, running: Child, feeding: Awaitable[None], requests: int) -> Sample:
    """One round: the side is frozen until all requests lie in its queue."""
    running.freeze()
    await feeding
    upstream.begin()
    cpu, began = running.cpu(), time.monotonic()
    running.thaw()
    seconds = await upstream.reached(requests, _ROUND_WITHIN) - began
    await asyncio.sleep(_TAIL)
    cpu = running.cpu() - cpu
    await upstream.forget()
    return Sample(requests / seconds, cpu / requests * 1000, cpu / seconds)


def _of_side(one: _Turns) -> dict[str, Any]:
    return {
        "lacks": one.side.lacks,
        "runs_on": runs_on(one.running),
        "processes": len(one.running.processes()),
        "peak_mib": one.running.peak(),
        "per_second": asdict(spread([sample.per_second for sample in one.samples])),
        "cpu_ms": asdict(spread([sample.cpu_ms for sample in one.samples])),
        "cores": asdict(spread([sample.cores for sample in one.samples])),
        "rounds": [asdict(sample) for sample in one.samples],
    }


def _against(samples: Sequence[Sample], yardstick: Sequence[Sample]) -> dict[str, Any]:
    """Ratios to the bare loop in the same round."""
    pairs = list(zip(samples, yardstick, strict=True))
    return {
        "ratio": asdict(spread([own.per_second / bare.per_second for own, bare in pairs])),
        "cpu_ratio": asdict(spread([own.cpu_ms / bare.cpu_ms for own, bare in pairs])),
    }


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people, and what each side lacks."""
    sides = figures["sides"]
    head = ("", "requests/s", "of the bare loop's", "CPU ms per request", "cores", "peak MiB", "runs on")
    rows = [
        [
            name,
            Spread(**side["per_second"]).text(0),
            Spread(**side["ratio"]).text(2),
            Spread(**side["cpu_ms"]).text(2),
            f"{side['cores']['median']:.2f}",
            f"{side['peak_mib']:.0f}",
            side["runs_on"] + (f", {side['processes']} processes" if side["processes"] > 1 else ""),
        ]
        for name, side in sides.items()
    ]
    title = f"throughput: {figures['rounds']} rounds of {figures['requests_per_round']} requests, all sides in turns"
    notes = [
        "median (least to most); ratios are of the same round; processor time and memory are of all its processes",
        f"provider: {figures['provider']}; 100 at once, quorum queues, confirms; a sync per commit",
        *(f"left out: {words}" for words in figures["left_out"]),
    ]
    lacks = [[name, side["lacks"]] for name, side in sides.items()]
    return [
        Table(title, head, rows, ";\n   ".join(notes)),
        Table("what each side lacks of what the worker does", ("", "lacks"), lacks, left=2),
    ]

"""Many requests in flight at once, before a provider that takes a second: what rate is sustained, and what it costs."""

from functools import partial
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from tests.bench.provider import SLOW
from tests.bench.report import Table
from tests.bench.scene import BARE, PROVIDER, Scene
from tests.bench.sides import BARE_LOOP, Start, workers

_LONGEST = 10  # times as long as it takes at best, after which the measurement is given up


async def run(scene: Scene, *, counts: tuple[int, ...], waves: int) -> dict[str, Any]:
    """Each side with each count; the queue holds that many requests some times over."""
    slow_url = scene.provider.slow_url
    if slow_url is None:
        return {"sides": [], "left_out": scene.provider.note}
    sides = [
        await _measure(scene, name, provider, start, count, waves)
        for count in counts
        for name, (provider, start) in _sides(scene, slow_url, count).items()
    ]
    return {"provider_seconds": SLOW, "waves": waves, "sides": sides, "left_out": ""}


def _sides(scene: Scene, url: str, count: int) -> dict[str, tuple[str, Start]]:
    started = workers(scene, {"CONCURRENCY": str(count), "BASE_URL": url})
    ours = {name: (PROVIDER, start) for name, start in started.items()}
    return ours | {BARE_LOOP: (BARE, partial(scene.bare, provider_url=url, in_flight=count))}


async def _measure(
    scene: Scene, name: str, provider: str, start: Start, count: int, waves: int
) -> dict[str, Any]:
    """The first two waves and the last one do not count: the worker has just begun, or has too little to do."""
    upstream, requests = scene.upstream, count * waves
    arrivals: list[float] = []

    def seen(_: AbstractIncomingMessage, at: float) -> None:
        arrivals.append(at)

    await upstream.publish(provider, requests)
    upstream.begin()
    upstream.noticed = seen
    try:
        async with start() as running:
            before, cpu = running.resident(), running.cpu()
            await upstream.reached(requests, SLOW * waves * _LONGEST)
            figures = {
                "side": name,
                "in_flight": count,
                "requests": requests,
                "per_second": (requests - 3 * count) / (arrivals[-count - 1] - arrivals[2 * count - 1]),
                "at_best": count / SLOW,
                "cpu_ms": (running.cpu() - cpu) / requests * 1000,
                "before_mib": before,
                "peak_mib": running.peak(),
                "complaints": running.complaints(),
            }
    finally:
        upstream.noticed = None
    await upstream.forget()
    return figures


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people."""
    rows = [
        [
            side["side"],
            f"{side['in_flight']}",
            f"{side['per_second']:.0f}",
            f"{side['per_second'] / side['at_best']:.0%}",
            f"{side['cpu_ms']:.2f}",
            f"{side['before_mib']:.0f}",
            f"{side['peak_mib']:.0f}",
            f"{side['complaints']}",
        ]
        for side in figures["sides"]
    ]
    note = figures["left_out"] or (
        f"{figures['waves']} times as many requests as are in flight, without the first two times and the last;\n"
        "   warnings are lines in the worker's log"
    )
    return [
        Table(
            f"in flight, before a provider that takes {SLOW:.0f} s",
            (
                "",
                "in flight",
                "requests/s",
                "of what is possible",
                "CPU ms per request",
                "MiB before",
                "MiB at most",
                "warnings",
            ),
            rows,
            note,
        )
    ]

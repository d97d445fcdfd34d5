"""Memory of a worker: after its start, before a long queue, and while and after it is worked off."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from tests.bench.processes import Child
from tests.bench.report import Table
from tests.bench.scene import PROVIDER, Scene

_PARTS = 4
_A_MOMENT = 0.5  # seconds in which the worker fills its slots


async def run(scene: Scene, *, queued: int, seconds: float) -> dict[str, Any]:
    """The queue is laid out while the provider is frozen, so that the worker stands before it with all slots taken."""
    deadline = time.monotonic() + seconds
    async with scene.worker() as worker:
        marks = [_mark("started", worker)]
        scene.provider.process.freeze()
        try:
            scene.upstream.begin()
            await scene.upstream.publish(PROVIDER, queued)
            await asyncio.sleep(_A_MOMENT)
            marks.append(_mark(f"{queued} queued, all slots taken", worker))
        finally:
            scene.provider.process.thaw()
        marks += await _work_off(scene, worker, queued, deadline)
        marks.append({"when": "at most", "mib": worker.peak()})
    await scene.upstream.forget()
    return {"queued": queued, "worked_off": scene.upstream.came, "marks": marks}


async def _work_off(scene: Scene, worker: Child, queued: int, deadline: float) -> list[dict[str, Any]]:
    marks = []
    with suppress(TimeoutError):
        for part in range(1, _PARTS + 1):
            await scene.upstream.reached(queued * part // _PARTS, deadline - time.monotonic())
            marks.append(_mark(f"{scene.upstream.came} worked off", worker))
    return marks


def _mark(when: str, worker: Child) -> dict[str, Any]:
    return {"when": when, "mib": worker.resident()}


def table(figures: dict[str, Any]) -> Table:
    """The figures for people."""
    rows = [[mark["when"], f"{mark['mib']:.0f}"] for mark in figures["marks"]]
    cut = figures["worked_off"] < figures["queued"]
    note = (
        "stopped early: its time was over" if cut else "what is queued waits in RabbitMQ, not in the worker"
    )
    return Table("memory of one worker", ("when", "MiB resident"), rows, note)

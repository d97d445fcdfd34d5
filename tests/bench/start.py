"""How long a worker takes to begin, from start to ready and first result, and how soon a killed one is replaced."""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.processes import Child
from tests.bench.provider import SLOW, answers
from tests.bench.report import Table
from tests.bench.scene import BARE, PROVIDER, Scene
from tests.bench.sides import BARE_LOOP, ledgers
from tests.bench.spread import Spread, spread
from worker.local.loopback import free_ports

_FIRST_WITHIN = 60.0  # seconds
_WORKERS = 3
_SLOTS = 30  # of the provider, for all workers together
_REQUESTS = 300
_MOMENT = 0.5  # seconds of work before the SIGKILL
_LOOK_EVERY = 0.02
_PATIENCE = 6  # leases after which nobody takes over any more


async def run(scene: Scene, *, times: int, lease: float) -> dict[str, Any]:
    """Starts on new ledgers, then one worker of three killed."""
    starts: dict[str, Any] = {}
    for name, new in ledgers(scene).items():
        starts[name] = _together([await _start(scene, new) for _ in range(times)])
    starts[BARE_LOOP] = _together([await _start_bare(scene) for _ in range(times)])
    return {"times": times, "starts": starts, "recovery": await _recovery(scene, lease)}


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process was started."""

    ready: float
    first_result: float


def _together(starts: list[Start]) -> dict[str, Any]:
    return {
        "ready": asdict(spread([start.ready for start in starts])),
        "first_result": asdict(spread([start.first_result for start in starts])),
    }


async def _start(scene: Scene, new: Callable[[], str]) -> Start:
    """A request waits already."""
    ledger, port = new(), free_ports(1)[0]
    await scene.upstream.publish(PROVIDER, 1)
    scene.upstream.begin()
    began = time.monotonic()
    async with scene.starting_worker(ledger=ledger, port=port) as worker:
        ready = asyncio.create_task(
            worker.until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), _LOOK_EVERY)
        )
        ready_at: list[float] = []
        ready.add_done_callback(lambda _: ready_at.append(time.monotonic()))
        first = await scene.upstream.reached(1, _FIRST_WITHIN)
        await ready
        await asyncio.sleep(0)  # so that the callback has run
    return Start(ready_at[0] - began, first - began)


async def _start_bare(scene: Scene) -> Start:
    await scene.upstream.publish(BARE, 1)
    scene.upstream.begin()
    began = time.monotonic()
    async with scene.bare():
        ready = time.monotonic()
        first = await scene.upstream.reached(1, _FIRST_WITHIN)
    return Start(ready - began, first - began)


async def _recovery(scene: Scene, lease: float) -> dict[str, Any]:
    """Three workers on one database, before a slow provider; one is killed with its hands full."""
    slow_url = scene.provider.slow_url
    if slow_url is None or not scene.databases.there:
        return {"left_out": scene.provider.note or "PostgreSQL is not installed"}
    ledger = scene.databases.create()
    pace = {"BASE_URL": slow_url, "CONCURRENCY": str(_SLOTS)}
    settings = {"PROVISIONER_LEDGER__LEASE": str(lease)}
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(scene.worker(ledger=ledger, settings=settings, pace=pace))
            for _ in range(_WORKERS)
        ]
        # Whoever came first lets go of slots only in the rounds of upkeep that follow.
        await asyncio.sleep(2 * lease / 3)
        await scene.upstream.publish(PROVIDER, _REQUESTS)
        await asyncio.sleep(_MOMENT)
        figures = await _killed(workers[0], ledger, lease)
    await scene.upstream.drop(PROVIDER)
    await scene.upstream.forget()
    return {"lease": lease, "workers": _WORKERS, "left_out": "", **figures}


async def _killed(worker: Child, ledger: str, lease: float) -> dict[str, Any]:
    """When the rows of the dead were let go, one by one."""
    name = _name_in(worker.log)
    async with await psycopg.AsyncConnection.connect(ledger, autocommit=True) as server:
        worker.send(signal.SIGKILL)
        killed = time.monotonic()
        left = held = await _held_by(server, name)
        first = None
        while left:
            if time.monotonic() - killed > lease * _PATIENCE:
                raise TimeoutError(f"{left} of {held} requests of a dead worker were not taken over")
            await asyncio.sleep(_LOOK_EVERY)
            now = await _held_by(server, name)
            if now < left and first is None:
                first = time.monotonic() - killed
            left = now
        return {"held": held, "first": first, "last": time.monotonic() - killed}


async def _held_by(server: psycopg.AsyncConnection[Any], worker: str) -> int:
    found = await server.execute("SELECT count(*) FROM requests WHERE worker = %s", [worker])
    row = await found.fetchone()
    return int(row[0]) if row else 0


def _name_in(log: Path) -> str:
    """The id that a worker calls itself by in its log."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and (name := json.loads(line).get("worker")):
            return str(name)
    raise RuntimeError("a worker of the bench said nothing before it was killed")


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people."""
    rows = [
        [name, Spread(**start["ready"]).text(2), Spread(**start["first_result"]).text(2)]
        for name, start in figures["starts"].items()
    ]
    started = Table(
        f"start, in seconds: median of {figures['times']} (least to most)",
        ("", "to ready", "to the first result"),
        rows,
        "a new ledger each time, a request waits already; a worker may give its first result before its probe says so",
    )
    recovery = figures["recovery"]
    if recovery["left_out"]:
        return [started, Table("recovery after SIGKILL", ("",), [["left out"]], recovery["left_out"])]
    first = "-" if recovery["first"] is None else f"{recovery['first']:.1f}"
    row = [f"{recovery['lease']:.0f}", f"{recovery['held']}", first, f"{recovery['last']:.1f}"]
    return [
        started,
        Table(
            f"recovery: one of {recovery['workers']} workers on PostgreSQL killed with SIGKILL, in seconds",
            ("lease", "requests it held", "first taken over after", "last"),
            [row],
            f"before a provider that takes {SLOW:.0f} s; taken over is a request that another worker let go or claimed",
        ),
    ]

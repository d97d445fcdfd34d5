"""What the worker adds to the provider's time: from the publish of a request to its result, at a steady pace.

Open loop: requests are published by a schedule that waits for nothing, and each is measured from the moment it was due,
so that what piles up while the worker is busy counts in full.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from aio_pika.abc import AbstractIncomingMessage

from tests.bench.peers.work import body_of, new_request
from tests.bench.processes import Child
from tests.bench.report import Table
from tests.bench.scene import BARE, LADEN, PROVIDER, Scene
from tests.bench.sides import BARE_LOOP, LADEN_LOOP, Start, workers
from tests.bench.spread import percentile
from tests.bench.throughput import drained

_WARM_UP = 200  # requests before anything counts
_TO_KNOW_THE_RATE = 400  # requests
_ASKED = 200  # times the provider is asked alone
_PATIENCE = 60.0  # seconds for results after the last request was published
_SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Pace:
    """One share of the measured rate, and what was seen at it, in milliseconds without the provider's own.

    Attributes:
        kept_up: Whether all results came within a second after the last request was due.
    """

    share: float
    per_second: float
    requests: int
    p50: float
    p90: float
    p99: float
    most: float
    kept_up: bool


async def run(scene: Scene, *, shares: Sequence[float], seconds: float) -> dict[str, Any]:
    """Each side alone, at each share of the rate that it reached just before."""
    provider_ms = await _provider_alone(scene) * 1000
    sides = {}
    for name, (start, provider) in _sides(scene).items():
        async with start() as running:
            rate = await _rate(scene, running, provider)
            paces = [await _at(scene, provider, rate, share, seconds, provider_ms) for share in shares]
        sides[name] = {"measured_rate": rate, "paces": [asdict(pace) for pace in paces]}
    return {"provider_ms": provider_ms, "provider": scene.provider.what, "sides": sides}


def _sides(scene: Scene) -> dict[str, tuple[Start, str]]:
    ours = {name: (start, PROVIDER) for name, start in workers(scene).items()}
    return ours | {BARE_LOOP: (scene.bare, BARE), LADEN_LOOP: (scene.laden, LADEN)}


async def _provider_alone(scene: Scene) -> float:
    """Seconds that the provider itself needs, over a connection that is there already: the median."""
    where = urlsplit(scene.provider.url)
    body = json.dumps(body_of(json.loads(new_request(PROVIDER)))).encode()
    head = f"POST /reseller/v1/client HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n"
    asked = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    took = []
    for _ in range(_ASKED):
        began = time.perf_counter()
        writer.write(asked)
        await reader.readuntil(b"}")
        took.append(time.perf_counter() - began)
    writer.close()
    return median(took)


async def _rate(scene: Scene, running: Child, provider: str) -> float:
    """Requests per second when they all wait in the queue."""
    publish = partial(scene.upstream.publish, provider)
    await drained(scene.upstream, running, publish(_WARM_UP), _WARM_UP)
    sample = await drained(scene.upstream, running, publish(_TO_KNOW_THE_RATE), _TO_KNOW_THE_RATE)
    return sample.per_second


async def _at(
    scene: Scene, provider: str, rate: float, share: float, seconds: float, provider_ms: float
) -> Pace:
    per_second = rate * share
    due: dict[str, float] = {}
    took: list[float] = []
    upstream = scene.upstream

    def seen(message: AbstractIncomingMessage, at: float) -> None:
        took.append(at - due.pop(json.loads(message.body)["data"]["idempotency_key"]))

    upstream.begin()
    upstream.noticed = seen
    try:
        count = max(1, int(per_second * seconds))
        end = await _publish_steadily(scene, provider, count, 1 / per_second, due)
        last = await upstream.reached(count, _PATIENCE)
    finally:
        upstream.noticed = None
    await upstream.forget()
    added = [second * 1000 - provider_ms for second in took]
    p50, p90, p99 = (percentile(added, part) for part in _SHARES)
    return Pace(share, per_second, count, p50, p90, p99, max(added), kept_up=last - end < 1)


async def _publish_steadily(
    scene: Scene, provider: str, count: int, pause: float, due: dict[str, float]
) -> float:
    """One after the other in equal steps, waiting for no confirmation in between; when the last one was due."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as publishing:
        for number in range(count):
            at = began + number * pause
            if (early := at - time.monotonic()) > 0:
                await asyncio.sleep(early)
            key = uuid4().hex
            due[key] = at
            publishing.create_task(scene.upstream.publish_one(provider, key))
    return began + (count - 1) * pause


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people."""
    rows = []
    for name, side in figures["sides"].items():
        for found in side["paces"]:
            pace = Pace(**found)
            figure = [f"{value:.1f}" for value in (pace.p50, pace.p90, pace.p99, pace.most)]
            kept_up = "yes" if pace.kept_up else "no"
            rows.append([name, f"{pace.share:.0%}", f"{pace.per_second:.0f}", *figure, kept_up])
    return [
        Table(
            "latency that a side adds, in milliseconds, at a share of the rate it reached before",
            ("", "share", "requests/s", "median", "90 %", "99 %", "most", "kept up"),
            rows,
            f"publish to result, less the provider's own {figures['provider_ms']:.2f} ms; open loop, each request "
            "measured from the moment it was due",
        )
    ]

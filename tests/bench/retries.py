"""Many retries due within a minute: how late they are, and what a new request waits meanwhile."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from aio_pika.abc import AbstractIncomingMessage

from contracts.model import reveal
from contracts.providers import postcode_eu
from contracts.reason import ReasonCode
from tests.bench.peers.work import new_request
from tests.bench.processes import Child
from tests.bench.report import Table
from tests.bench.scene import PROVIDER, Scene
from tests.bench.sides import ledgers
from tests.bench.spread import percentile
from worker import keyring
from worker.core import states
from worker.core.change import Change
from worker.core.entry import Accepted, Arrival
from worker.core.sealing import Sealer
from worker.ledger import SqlLedger, open_ledger, sqlite_path

_CALLERS = 100
_FILLER = "worker-filling"
_HEAD_START = 5.0  # seconds for the worker to start before the first one is due
_WRITTEN_A_SECOND = 5000  # times of rows, at least
_WORKED_OFF_A_SECOND = 10  # at least, or the measurement is given up
_NEW_EVERY = 1.0  # seconds


async def run(scene: Scene, *, retries: int, seconds: float) -> dict[str, Any]:
    """On each ledger so many, due evenly within so many seconds."""
    return {
        "retries": retries,
        "due_within": seconds,
        "sides": {
            name: await _measure(scene, new(), retries, seconds) for name, new in ledgers(scene).items()
        },
    }


async def _measure(scene: Scene, url: str, retries: int, seconds: float) -> dict[str, Any]:
    ids = await _fill(url, retries, keyring.load(scene.sealing_keys()))
    begins = time.time() + _HEAD_START + retries / _WRITTEN_A_SECOND
    due = {key: begins + number * seconds / retries for number, key in enumerate(ids.values())}
    await asyncio.to_thread(
        _make_due, url, {request_id: datetime.fromtimestamp(due[key], UTC) for request_id, key in ids.items()}
    )
    async with scene.worker(ledger=url) as worker:
        watch = _Watch(due, {}, [], [])
        scene.upstream.begin()
        scene.upstream.noticed = watch.seen
        try:
            await _until_done(scene, watch, retries, retries / _WORKED_OFF_A_SECOND + seconds)
        finally:
            scene.upstream.noticed = None
        figures = _figures(watch, begins, worker)
    await scene.upstream.forget()
    return figures


@dataclass(frozen=True, slots=True)
class _Watch:
    """What came when.

    Attributes:
        due: When each retry was due, by its key.
        published: When each new request was published, by its key.
        late: Seconds by which retries came after they were due, in their order.
        waited: Seconds that new requests took.
    """

    due: Mapping[str, float]
    published: dict[str, float]
    late: list[float]
    waited: list[float]

    def seen(self, message: AbstractIncomingMessage, _: float) -> None:
        """One result."""
        key, now = json.loads(message.body)["data"]["idempotency_key"], time.time()
        if key in self.due:
            self.late.append(now - self.due[key])
        else:
            self.waited.append(now - self.published[key])


async def _until_done(scene: Scene, watch: _Watch, retries: int, seconds: float) -> None:
    """A new request every second until the last retry came."""
    deadline = time.monotonic() + seconds
    while len(watch.late) < retries:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(watch.late)} of {retries} retries came within {seconds:.0f} s")
        key = uuid4().hex
        watch.published[key] = time.time()
        await scene.upstream.publish_one(PROVIDER, key)
        await asyncio.sleep(_NEW_EVERY)
    await scene.upstream.reached(retries + len(watch.published), seconds)


def _figures(watch: _Watch, begins: float, worker: Child) -> dict[str, Any]:
    """Retries come in the order in which they are due, or nearly: the last one's due time and lateness end it all."""
    took = max(watch.due.values()) - begins + watch.late[-1]
    shares = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    return {
        "seconds": took,
        "per_second": len(watch.late) / took,
        "late": {name: percentile(watch.late, share) for name, share in shares} | {"most": max(watch.late)},
        "new": {name: percentile(watch.waited, share) for name, share in shares}
        | {"most": max(watch.waited)},
        "peak_mib": worker.peak(),
        "complaints": worker.complaints(),
    }


async def _fill(url: str, retries: int, keys: Sealer) -> dict[str, str]:
    """Accept and put off so many requests, as the worker would; their ids and keys."""
    ids: dict[str, str] = {}
    async with open_ledger(url, exclusive=True) as ledger:
        await ledger.heartbeat(_FILLER, datetime.now(UTC))
        numbers = iter(range(retries))
        await asyncio.gather(*(_filler(ledger, keys, numbers, ids) for _ in range(_CALLERS)))
        await ledger.retire(_FILLER)
    return ids


async def _filler(ledger: SqlLedger, keys: Sealer, numbers: Iterator[int], ids: dict[str, str]) -> None:
    for _ in numbers:
        arrival = _arrival(keys)
        ids[arrival.request_id] = arrival.idempotency_key
        accepted = await ledger.accept(arrival, _FILLER)
        assert isinstance(accepted, Accepted)
        now = datetime.now(UTC)
        waits = Change(
            states.WAIT, now, ReasonCode.PROVIDER_BUSY, _FILLER, due_at=now + timedelta(days=1), counts=True
        )
        await ledger.record(accepted.claim, waits)


def _arrival(keys: Sealer) -> Arrival:
    """A request that the worker can open."""
    request_id, body = str(uuid4()), new_request(PROVIDER)
    request = json.loads(body)
    parameters = postcode_eu.Parameters.model_validate(request["data"]["parameters"])
    sealed = json.dumps({"parameters": reveal(parameters), "generated": []}).encode()
    return Arrival(
        request_id=request_id,
        source=request["source"],
        idempotency_key=request["data"]["idempotency_key"],
        provider=PROVIDER,
        fingerprint=keys.fingerprint(body),
        same=lambda stored: keys.same(stored, body),
        sealed_request=keys.seal(sealed, f"request:{request_id}"),
        context={"id": request["id"]},
        content_mode="structured",
        dry_run=False,
        deadline=None,
        received_at=datetime.now(UTC),
    )


def _make_due(url: str, due: Mapping[str, datetime]) -> None:
    """Only now is it known when the worker will be there."""
    path = sqlite_path(url)
    if path is None:
        with psycopg.connect(url) as server, server.cursor() as cursor:
            rows = [(at, request_id) for request_id, at in due.items()]
            cursor.executemany("UPDATE requests SET due_at = %s WHERE request_id = %s", rows)
    else:
        _make_due_in(path, due)


def _make_due_in(path: Path, due: Mapping[str, datetime]) -> None:
    file = sqlite3.connect(path)
    with file:
        rows = [(at.isoformat(timespec="microseconds"), request_id) for request_id, at in due.items()]
        file.executemany("UPDATE requests SET due_at = ? WHERE request_id = ?", rows)
    file.close()


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people."""
    rows = [
        [
            name,
            f"{side['per_second']:.0f}",
            f"{side['seconds']:.0f}",
            *(f"{side['late'][share]:.1f}" for share in ("p50", "p99", "most")),
            *(f"{side['new'][share]:.1f}" for share in ("p50", "most")),
            f"{side['peak_mib']:.0f}",
            f"{side['complaints']}",
        ]
        for name, side in figures["sides"].items()
    ]
    late = ("late: median", "99 %", "most")
    head = ("", "retries/s", "done after", *late, "new: median", "most", "MiB at most", "warnings")
    return [
        Table(
            f"retries: {figures['retries']:,} that wait, due evenly within {figures['due_within']:.0f} s",
            head,
            rows,
            "in seconds; late is the result after the retry was due, new is a request that is published meanwhile, "
            "one each second, until its result",
        )
    ]

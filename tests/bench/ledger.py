"""How fast the ledger writes: one request is accept, send, provision with its event, and published.

Every write waits for its commit, and every commit for the disk. Callers that write at the same time share commits.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, takewhile
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from contracts.reason import ReasonCode
from tests.bench.report import Table
from worker.core import states
from worker.core.change import Change, Event, Seen
from worker.core.entry import Accepted, Arrival
from worker.core.ledger import Ledger
from worker.core.sealing import Sealed
from worker.core.verdict import Moment
from worker.ledger import open_ledger

_BODY = Sealed("k1:" + "x" * 900)  # about what a sealed request and a sealed event weigh
_WORKER = "bench"
_CALLERS = (1, 100)

EVENT_TYPE = "account.provisioned.v1"
ANSWERED = Seen("done", "phone_com.201", Moment.ANSWER_READ, 201)
"""What an attempt saw that went well."""


async def run(folder: Path, *, requests: int, seconds: float) -> dict[str, Any]:
    """One caller, then many; each at most so many requests, and together at most so many seconds."""
    each = seconds / len(_CALLERS)
    return {
        "callers": [
            await _measure(f"sqlite:///{folder}/ledger-{callers}.db", callers, requests, each)
            for callers in _CALLERS
        ]
    }


async def _measure(url: str, callers: int, requests: int, seconds: float) -> dict[str, Any]:
    async with open_ledger(url, exclusive=True) as ledger:
        await ledger.heartbeat(_WORKER, datetime.now(UTC))
        deadline = time.monotonic() + seconds
        numbers = takewhile(lambda number: number < requests and time.monotonic() < deadline, count())
        with _commits() as commits:
            began, cpu = time.perf_counter(), time.process_time()
            done = sum(await asyncio.gather(*(_caller(ledger, numbers) for _ in range(callers))))
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "callers": callers,
        "requests": done,
        "per_second": done / took,
        "commits_per_request": commits[0] / done,
        "cpu_ms": cpu / done * 1000,
    }


@contextmanager
def _commits() -> Iterator[list[int]]:
    """Counts the commits of every database in this process; there is only the one ledger."""
    commits = [0]

    def tally(_: sa.Connection) -> None:
        commits[0] += 1

    sa.event.listen(sa.Engine, "commit", tally)
    try:
        yield commits
    finally:
        sa.event.remove(sa.Engine, "commit", tally)


async def _caller(ledger: Ledger, numbers: Iterator[int]) -> int:
    done = 0
    for _ in numbers:
        await _request(ledger)
        done += 1
    return done


async def _request(ledger: Ledger) -> None:
    request_id, event_id = str(uuid4()), str(uuid4())
    accepted = await ledger.accept(new_arrival(request_id, "phone_com"), _WORKER)
    assert isinstance(accepted, Accepted)
    intent = Change(states.SEND, datetime.now(UTC), ReasonCode.CREATED, _WORKER, counts=True)
    claim = await ledger.record(accepted.claim, intent)
    now = datetime.now(UTC)
    event = Event(event_id, EVENT_TYPE, "result.phone_com.provisioned", _BODY, now)
    provision = Change(states.PROVISION, now, ReasonCode.CREATED, _WORKER, ANSWERED)
    await ledger.record(claim, replace(provision, account_id=request_id, event=event))
    await ledger.mark_published(event_id, datetime.now(UTC))


def new_arrival(request_id: str, provider: str) -> Arrival:
    """A request that nobody sent before, with a body of the usual size that nobody can open."""
    return Arrival(
        request_id=request_id,
        source="urn:bench",
        idempotency_key=request_id,
        provider=provider,
        fingerprint="k1:" + "0" * 64,
        same=lambda _: False,
        sealed_request=_BODY,
        context={"id": request_id, "subject": "bench", "traceparent": "00-" + "0" * 50},
        content_mode="structured",
        dry_run=False,
        deadline=None,
        received_at=datetime.now(UTC),
    )


def table(figures: dict[str, Any]) -> Table:
    """The figures for people."""
    rows = [
        [
            f"{line['callers']}",
            f"{line['per_second']:.0f}",
            f"{line['commits_per_request']:.2f}",
            f"{line['cpu_ms']:.2f}",
        ]
        for line in figures["callers"]
    ]
    return Table(
        "ledger: SQLite, four writes a request, each durable before it returns",
        ("callers", "requests/s", "commits per request", "CPU ms per request"),
        rows,
        "no broker and no provider; group commit is what many callers gain",
    )

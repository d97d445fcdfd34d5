"""What a large ledger costs: the time of everything that is asked of it, with few rows and with many, and the plans."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import uuid4

from contracts.reason import ReasonCode
from tests.bench import filling
from tests.bench.ledger import ANSWERED, EVENT_TYPE, new_arrival
from tests.bench.plans import Plan, Watch, watched
from tests.bench.report import Table
from tests.bench.scene import PROVIDER, Scene
from tests.bench.sides import ledgers
from worker.core import states
from worker.core.change import Change, Event
from worker.core.entry import Accepted, Claim
from worker.core.errors import LedgerUnavailable
from worker.core.overview import Filter
from worker.core.sealing import Sealed
from worker.core.shares import Wish
from worker.core.states import State
from worker.ledger import SqlLedger, open_ledger

_TIMES = 300
_AT_MOST = 10.0  # seconds for one operation's times, what comes before each of them included
_SEEN = 12  # times while plans are watched: PostgreSQL makes a plan for all values after some for single ones
_WORKER = "bench"
_BATCH = 100  # rows, as many as upkeep takes at once
_FEW = 10  # rows, so that even a small ledger has enough of them
_BODY = Sealed("k1:" + "x" * 900)

Numbers = Iterator[int]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One thing that is asked of a ledger. `before` is not timed; what it gives is handed on."""

    name: str
    do: Callable[[SqlLedger, Any], Awaitable[object]]
    before: Callable[[SqlLedger, int], Awaitable[Any]]


async def run(scene: Scene, *, counts: tuple[int, ...]) -> dict[str, Any]:
    """Each kind of ledger with each number of rows, each the one before with more."""
    sides: dict[str, list[dict[str, Any]]] = {}
    for name, new in ledgers(scene).items():
        url, have = new(), 0
        sides[name] = []
        for want in counts:
            began = time.monotonic()
            await asyncio.to_thread(filling.fill, url, have, want)
            filled, have = time.monotonic() - began, want
            plans = await _plans(url, want)
            times = await _times(url, want)
            asked = {name: asdict(times[name]) | _of_plans(plans[name]) for name in times}
            sides[name].append({"rows": want, "filled_in": filled, "asked": asked})
    return {"sides": sides}


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds, or why the ledger gave up."""

    ms: float
    most_ms: float
    times: int
    failed: str = ""

    def text(self) -> str:
        """The middle and the most."""
        return "gives up" if self.failed else f"{self.ms:.2f} ({self.most_ms:.1f})"


async def _times(url: str, rows: int) -> dict[str, Took]:
    async with _opened(url) as ledger:
        return {asked.name: await _timed(ledger, asked, rows) for asked in _ASKED}


async def _timed(ledger: SqlLedger, asked: _Asked, rows: int) -> Took:
    took: list[float] = []
    end = time.monotonic() + _AT_MOST
    for number in range(_TIMES):
        if number and time.monotonic() > end:
            break
        prepared = await asked.before(ledger, _scattered(number, rows))
        began = time.perf_counter()
        try:
            await asked.do(ledger, prepared)
        except LedgerUnavailable as error:
            took.append((time.perf_counter() - began) * 1000)
            return Took(median(took), max(took), len(took), str(error))
        took.append((time.perf_counter() - began) * 1000)
    return Took(median(took), max(took), len(took))


async def _plans(url: str, rows: int) -> dict[str, list[Plan]]:
    with watched(url) as watch:
        async with _opened(url) as ledger:
            return {asked.name: await _watched(ledger, asked, rows, watch, url) for asked in _ASKED}


async def _watched(ledger: SqlLedger, asked: _Asked, rows: int, watch: Watch, url: str) -> list[Plan]:
    plans: list[Plan] = []
    for number in range(_SEEN):
        prepared = await asked.before(ledger, _scattered(number, rows))
        watch.take(url)
        with suppress(LedgerUnavailable):  # the times tell of it
            await asked.do(ledger, prepared)
        plans += watch.take(url)
    return plans


def _scattered(number: int, rows: int) -> int:
    """A row somewhere in the ledger, always the same for a number."""
    return number * 7_919_000 % (rows - 10) + 5


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[SqlLedger]:
    async with open_ledger(url, exclusive=True) as ledger:
        await ledger.heartbeat(_WORKER, datetime.now(UTC))
        yield ledger


def _of_plans(plans: list[Plan]) -> dict[str, Any]:
    found = {(plan.statement, plan.steps): plan for plan in plans if plan.steps}
    return {
        "scans": sorted({table for plan in found.values() for table in plan.scans}),
        "walks": sorted({index for plan in found.values() for index in plan.walks}),
        "plans": [{"statement": plan.statement, "steps": plan.steps} for plan in found.values()],
    }


# --- what is asked --------------------------------------------------------------------------------------------------


async def _nothing(_ledger: SqlLedger, number: int) -> int:
    return number


async def _arrival(_ledger: SqlLedger, _number: int) -> Any:
    return new_arrival(str(uuid4()), PROVIDER)


async def _known(ledger: SqlLedger, _number: int) -> Any:
    arrival = new_arrival(str(uuid4()), PROVIDER)
    await ledger.accept(arrival, _WORKER)
    return replace(arrival, request_id=str(uuid4()), same=lambda _: True)


async def _accepted(ledger: SqlLedger, _number: int) -> Claim:
    accepted = await ledger.accept(new_arrival(str(uuid4()), PROVIDER), _WORKER)
    assert isinstance(accepted, Accepted)
    return accepted.claim


async def _sent(ledger: SqlLedger, number: int) -> Claim:
    return await ledger.record(await _accepted(ledger, number), _send())


async def _provisioned(ledger: SqlLedger, number: int) -> str:
    change = _provision()
    await ledger.record(await _sent(ledger, number), change)
    assert change.event is not None
    return change.event.event_id


def _send() -> Change:
    return Change(states.SEND, datetime.now(UTC), ReasonCode.CREATED, _WORKER, counts=True)


def _provision() -> Change:
    now, event_id = datetime.now(UTC), str(uuid4())
    event = Event(event_id, EVENT_TYPE, f"result.{PROVIDER}.provisioned", _BODY, now)
    return Change(
        states.PROVISION, now, ReasonCode.CREATED, _WORKER, ANSWERED, account_id=event_id, event=event
    )


async def _claim_many(ledger: SqlLedger, _: Any) -> object:
    """As many as upkeep takes at once, where thousands are due: the clock is told that it is two days later."""
    return await ledger.claim_due(PROVIDER, _WORKER, _now() + timedelta(days=2), _BATCH)


async def _release_all(ledger: SqlLedger, number: int) -> int:
    """What was claimed by the last measurement is free again."""
    await ledger.retire(_WORKER)
    await ledger.heartbeat(_WORKER, _now())
    return number


def _now() -> datetime:
    return datetime.now(UTC)


_LONG_AGO = timedelta(days=1000)

_ASKED = (
    _Asked("accept", lambda ledger, arrival: ledger.accept(arrival, _WORKER), _arrival),
    _Asked("accept the same again", lambda ledger, arrival: ledger.accept(arrival, _WORKER), _known),
    _Asked("record: send", lambda ledger, claim: ledger.record(claim, _send()), _accepted),
    _Asked("record: provision", lambda ledger, claim: ledger.record(claim, _provision()), _sent),
    _Asked("mark published", lambda ledger, event_id: ledger.mark_published(event_id, _now()), _provisioned),
    _Asked(
        "claim, nothing due",
        lambda ledger, _: ledger.claim_due(PROVIDER, _WORKER, _now() - _LONG_AGO, _BATCH),
        _release_all,
    ),
    _Asked("claim 100 of many due", _claim_many, _release_all),
    _Asked(
        "claim look-ups, none due",
        lambda ledger, _: ledger.claim_look_ups(PROVIDER, _WORKER, _now() - _LONG_AGO, _BATCH),
        _release_all,
    ),
    _Asked("heartbeat", lambda ledger, _: ledger.heartbeat(_WORKER, _now()), _nothing),
    _Asked(
        "share slots", lambda ledger, _: ledger.share(_WORKER, {PROVIDER: Wish(100, 0)}, _now()), _nothing
    ),
    _Asked("rescue, nobody died", lambda ledger, _: ledger.rescue(_now(), _WORKER), _nothing),
    _Asked("forget, nothing", lambda ledger, _: ledger.forget(_WORKER, frozenset(), _WORKER), _release_all),
    _Asked(
        "unpublished, none due",
        lambda ledger, _: ledger.claim_unpublished(_now() - _LONG_AGO, _BATCH),
        _nothing,
    ),
    _Asked("prune, nothing old", lambda ledger, _: ledger.prune(_now() - _LONG_AGO, _BATCH), _nothing),
    _Asked("prune 10", lambda ledger, _: ledger.prune(_now(), _FEW), _nothing),
    _Asked("count for the gauges", lambda ledger, _: ledger.standings(), _nothing),
    _Asked("list the newest 100", lambda ledger, _: ledger.entries(Filter()), _nothing),
    _Asked(
        "list 100 held", lambda ledger, _: ledger.entries(Filter(states=frozenset({State.HELD}))), _nothing
    ),
    _Asked("list by source, none", lambda ledger, _: ledger.entries(Filter(source="urn:nobody")), _nothing),
    _Asked(
        "list by reason, none",
        lambda ledger, _: ledger.entries(Filter(reason=ReasonCode.NAME_TAKEN)),
        _nothing,
    ),
    _Asked("find by id", lambda ledger, number: ledger.find(filling.id_of(number)), _nothing),
    _Asked(
        "find by key",
        lambda ledger, number: ledger.find_by_key(None, f"key-{filling.id_of(number)}"),
        _nothing,
    ),
    _Asked(
        "find by account",
        lambda ledger, number: ledger.owner_of(PROVIDER, f"account-{filling.id_of(number)}"),
        _nothing,
    ),
    _Asked("a story", lambda ledger, number: ledger.history(filling.id_of(number)), _nothing),
)


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people: one table for each kind of ledger."""
    return [_table(name, sizes) for name, sizes in figures["sides"].items()]


def _table(name: str, sizes: list[dict[str, Any]]) -> Table:
    counts = (f"{size['rows']:,} rows" for size in sizes)
    rows = [
        [asked, _through(sizes[-1]["asked"][asked]), *(_took(size["asked"][asked]).text() for size in sizes)]
        for asked in sizes[0]["asked"]
    ]
    filled = ", ".join(f"{size['filled_in']:.0f} s" for size in sizes)
    return Table(
        f"{name}: what a large ledger costs",
        ("milliseconds, median (most)", "goes through, at the largest", *counts),
        rows,
        f"a tenth with content, one in a thousand each held, in doubt, waiting; filled in {filled}; what is gone\n"
        "   through is so from its beginning, for a list of the newest only as far as it takes",
        left=2,
    )


def _took(asked: dict[str, Any]) -> Took:
    return Took(asked["ms"], asked["most_ms"], asked["times"], asked["failed"])


def _through(asked: dict[str, Any]) -> str:
    return ", ".join([*(f"table {name}" for name in asked["scans"]), *asked["walks"]]) or "-"

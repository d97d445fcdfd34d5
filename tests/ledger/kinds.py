"""Ledgers of every kind under a URL each: the real ones, and the one in plain dicts."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final
from uuid import uuid4

from tests.plain_ledger import AtOnce, PlainLedger, Tables
from tests.plain_ledger.claims import end_all
from worker.core.clock import Clock, SteadyClock, SystemClock
from worker.core.ledger import Ledger
from worker.ledger import open_ledger

_PLAIN: Final = "plain:"
_KEPT: Final[dict[str, Tables]] = {}


@contextmanager
def kept_plain() -> Iterator[str]:
    """The URL of a new ledger in plain dicts; it is gone when the block ends."""
    url = f"{_PLAIN}{uuid4().hex}"
    _KEPT[url] = Tables()
    yield url
    del _KEPT[url]


def tables_at(url: str) -> Tables | None:
    """What is in a ledger of plain dicts; None where the URL is that of another kind."""
    return _KEPT.get(url)


def empty_plain(url: str) -> None:
    """Make a ledger of plain dicts as good as new."""
    _KEPT[url] = Tables()


@asynccontextmanager
async def open_any(
    url: str, *, clock: Clock | None = None, lease: float = 30.0, exclusive: bool = False
) -> AsyncIterator[Ledger]:
    """Open the ledger at a URL, whatever kind it is of."""
    tables = tables_at(url)
    if tables is None:
        async with open_ledger(url, clock=clock, lease=lease, exclusive=exclusive) as ledger:
            yield ledger
        return
    if exclusive:
        end_all(tables)
    clock = clock or SteadyClock(SystemClock())
    tables.set(clock, begins=exclusive)
    yield PlainLedger(AtOnce(tables), clock, timedelta(seconds=lease))

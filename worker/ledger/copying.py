"""Copying the rows of one ledger into another, and proving that all of them arrived as they were."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from worker.ledger.schema import (
    attempts,
    checks,
    clocks,
    dead_letters,
    events,
    history,
    pauses,
    requests,
    waits,
)

COPIED: Final = (requests, attempts, history, events, dead_letters, pauses, waits, checks, clocks)
"""Every table but those that tell of the living, who are gone, and of moves. What is referred to comes first.

With what the clocks showed, the ledger's time goes on at its new place where it was.
"""

_ROWS: Final = 200  # in one go; bounds the memory that large messages need
_EVERYTHING: Final = 2**256


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a table: its rows, and a digest of them in whatever order."""

    rows: int
    digest: str


def copy(
    source: sa.Connection, target: sa.Connection, table: sa.Table, told: Callable[[int], None]
) -> Content:
    """Copy all rows of a table; `told` hears how many so far. What was read is what comes back."""
    content = _Content()
    for rows in _read(source, table):
        target.execute(sa.insert(table), [row._asdict() for row in rows])
        content.add(rows)
        told(content.rows)
    return content.done()


def content_of(connection: sa.Connection, table: sa.Table) -> Content:
    """What is in a table."""
    content = _Content()
    for rows in _read(connection, table):
        content.add(rows)
    return content.done()


def go_on_counting(target: sa.Connection) -> None:
    """The next line of history comes after those that were copied."""
    sequence = sa.func.pg_get_serial_sequence(history.name, history.c.line.name)
    newest = sa.select(sa.func.max(history.c.line)).scalar_subquery()
    target.execute(sa.select(sa.func.setval(sequence, newest)).where(newest.is_not(None)))


def _read(connection: sa.Connection, table: sa.Table) -> Iterator[Sequence[sa.Row[Any]]]:
    with connection.execute(sa.select(table), execution_options={"yield_per": _ROWS}) as found:
        yield from found.partitions()


class _Content:
    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, rows: Sequence[sa.Row[Any]]) -> None:
        for row in rows:
            spelled = json.dumps(list(row), sort_keys=True, default=_spelled)
            self._sum += int.from_bytes(hashlib.sha256(spelled.encode()).digest())
        self.rows += len(rows)

    def done(self) -> Content:
        return Content(self.rows, f"{self._sum % _EVERYTHING:064x}")


def _spelled(value: object) -> str:
    """A time; everything else in a row is what JSON knows."""
    if not isinstance(value, datetime):
        raise TypeError(f"a row holds a {type(value).__name__}")
    return value.astimezone(UTC).isoformat(timespec="microseconds")

"""The time that rows are dated with. It goes on from one process to the next, whatever any machine's clock is set to.

Every sign of life notes what the worker's clock showed beside how long its machine is up. Whoever opens the ledger on
the same machine, before its next boot, goes on from there; whoever comes from elsewhere begins with what time it is
where the ledger lies: on PostgreSQL the server's, so that workers agree whose machines do not.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from worker.core.clock import Clock
from worker.ledger.schema import clocks
from worker.ledger.statements import hole, insert_once, time
from worker.ledger.writer import Batch

_KEPT: Final = timedelta(days=1)
_c = clocks.c

_FIRST: Final = insert_once(clocks)
_NOTED: Final = (
    sa.update(clocks)
    .where(_c.worker == hole("worker"))
    .values(era=hole("era"), uptime=hole("uptime"), at=time("at"))
)
_OLD: Final = sa.delete(clocks).where(
    _c.worker.in_(sa.select(_c.worker).where(_c.at < time("before")).with_for_update(skip_locked=True))
)
_NEWEST: Final = sa.select(_c.at, _c.uptime).where(_c.era == hole("era")).order_by(_c.uptime.desc()).limit(1)
_SERVER: Final = sa.select(sa.func.clock_timestamp(type_=sa.TIMESTAMP(timezone=True)))


@dataclass(frozen=True, slots=True)
class Reading:
    """What time it was where the ledger lies when `Clock.monotonic` showed `as_of`."""

    at: datetime
    as_of: float


def read(connection: sa.Connection, clock: Clock) -> Reading:
    """What time it is where the ledger lies: at the server, or for a file on this machine.

    The uptime is read last: who is held up in between is behind, which makes nothing seem older than it is.
    """
    here = connection.dialect.name == "sqlite"
    at = clock.time_of_day() if here else connection.execute(_SERVER).scalar_one()
    return Reading(at, clock.monotonic())


def continued(connection: sa.Connection, clock: Clock) -> Reading | None:
    """What the clock of the last process on this machine showed; None if there was none since its boot."""
    row = connection.execute(_NEWEST, {"p_era": clock.era}).one_or_none()
    return None if row is None else Reading(row.at, row.uptime)


def now(connection: sa.Connection, clock: Clock) -> datetime:
    """The ledger's time, of whatever schema it is, to somebody who only looks."""
    known = sa.inspect(connection).has_table(clocks.name)
    found = (continued(connection, clock) if known else None) or read(connection, clock)
    return found.at + timedelta(seconds=clock.monotonic() - found.as_of)


def note(batch: Batch, worker: str, era: str, shown: Reading) -> None:
    """Keep what a worker's clock shows, for who comes after it."""
    holes = {"p_worker": worker, "p_era": era, "p_uptime": shown.as_of, "p_at": shown.at}
    if batch.connection.execute(_NOTED, holes).rowcount == 0:
        _FIRST.count(batch.connection, {"worker": worker, "era": era, "uptime": shown.as_of, "at": shown.at})


def forget(batch: Batch, at: datetime) -> None:
    """Drop what was noted by those who are long gone."""
    batch.connection.execute(_OLD, {"p_before": at - _KEPT})

"""The time that rows are dated with. It goes on from one process to the next, whatever any machine's clock is set to.

Every sign of life notes what the worker's clock showed, how long its machine was up, and what time it was where the
ledger lies: at the server, or for a file on this machine. Whoever opens the ledger on the same machine, before its next
boot, goes on by the uptime. Whoever comes from elsewhere, or after a boot, goes on by the clock there, with what the
newest worker was off by. So workers agree whose machines do not, and a clock that is set moves nobody.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from worker.core.clock import Clock
from worker.ledger.schema import clocks
from worker.ledger.statements import hole, insert_once, time
from worker.ledger.writer import Batch

_KEPT: Final = timedelta(days=2)
_FARTHEST: Final = timedelta(days=2)
"""A clock that was off by more than that was not set but wrong, and is not made up for: whoever starts begins anew,
unless workers may be alive that go on with it."""
_ALIVE: Final = timedelta(hours=1)
"""Since the newest sign of life; longer than any lease."""

_c = clocks.c

_FIRST: Final = insert_once(clocks)
_NOTED: Final = (
    sa.update(clocks)
    .where(_c.worker == hole("worker"))
    .values(era=hole("era"), uptime=hole("uptime"), at=time("at"), there=time("there"))
)
_OLD: Final = sa.delete(clocks).where(
    _c.worker.in_(
        sa.select(_c.worker)
        .where(sa.or_(_c.at < time("before"), _c.worker == hole("opening")))
        .with_for_update(skip_locked=True)
    )
)
_HERE: Final = sa.select(_c.at, _c.uptime).where(_c.era == hole("era")).order_by(_c.uptime.desc()).limit(1)
_ANYWHERE: Final = sa.select(_c.at, _c.there).order_by(_c.at.desc()).limit(1)
_SERVER: Final = sa.select(sa.func.clock_timestamp(type_=sa.TIMESTAMP(timezone=True)))


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What time it was where the ledger lies when `Clock.monotonic` showed `as_of`."""

    at: datetime
    as_of: float


def read(connection: sa.Connection, clock: Clock) -> ClockReading:
    """What time it is where the ledger lies: at the server, or for a file on this machine.

    The uptime is read last: who is held up in between is behind, which makes nothing seem older than it is.
    """
    at = clock.time_of_day() if _is_file(connection) else connection.execute(_SERVER).scalar_one()
    return ClockReading(at, clock.monotonic())


def continued(connection: sa.Connection, clock: Clock, there: ClockReading) -> ClockReading:
    """Where the ledger's time is, to somebody who comes: gone on from those who were here, or what it is there."""
    here = connection.execute(_HERE, {"p_era": clock.era}).one_or_none()
    if here is not None:
        since = timedelta(seconds=there.as_of - here.uptime)
        found = ClockReading(here.at + since, there.as_of)
    elif (newest := connection.execute(_ANYWHERE).one_or_none()) is not None:
        # On another machine, or after a boot: nobody knows better than the clock there for how long nobody was here. A
        # clock that went back knows nothing, and what was dated already must not lie ahead.
        since = max(timedelta(), there.at - newest.there)
        found = ClockReading(newest.at + since, there.as_of)
    else:
        return there
    return found if since <= _ALIVE or abs(found.at - there.at) <= _FARTHEST else there


def come(connection: sa.Connection, clock: Clock) -> tuple[ClockReading, ClockReading]:
    """Where the ledger's time is, with which a clock begins, and what time it is where it lies, which it hears next."""
    there = read(connection, clock)
    return continued(connection, clock, there), there


def begin(batch: Batch, clock: Clock) -> tuple[ClockReading, ClockReading]:
    """The same to a worker that opens it: whoever comes next goes on from there, even if the clock is set before the
    first sign of life.
    """
    found, there = come(batch.connection, clock)
    note(batch, _opening(clock.era), clock.era, found, there)
    return found, there


def now(connection: sa.Connection, clock: Clock) -> datetime:
    """The ledger's time, of whatever schema it is, to somebody who only looks."""
    known = sa.inspect(connection).has_table(clocks.name)
    return (come(connection, clock)[0] if known else read(connection, clock)).at


def note(batch: Batch, worker: str, era: str, shown: ClockReading, there: ClockReading) -> None:
    """Keep what a worker's clock showed, and what time it was where the ledger lies, for who comes after it."""
    at = shown.at + timedelta(seconds=there.as_of - shown.as_of)
    row = {"worker": worker, "era": era, "uptime": there.as_of, "at": at, "there": there.at}
    if batch.connection.execute(_NOTED, {f"p_{name}": value for name, value in row.items()}).rowcount == 0:
        _FIRST.count(batch.connection, row)


def forget(batch: Batch, at: datetime, era: str) -> None:
    """Drop what was noted by those who are long gone, and at the opening by a worker that goes on to tell more."""
    batch.connection.execute(_OLD, {"p_before": at - _KEPT, "p_opening": _opening(era)})


def _opening(era: str) -> str:
    """Stands for a worker that has no name yet."""
    return f"opened in {era}"


def _is_file(connection: sa.Connection) -> bool:
    return connection.dialect.name == "sqlite"

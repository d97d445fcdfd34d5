"""Units of work on result events: they are recorded with the change they tell of, and wait until confirmed."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from worker.core.change import Event
from worker.core.states import ANNOUNCED
from worker.core.story import EventLine, HistoryLine
from worker.ledger import story
from worker.ledger.prepared import Prepared
from worker.ledger.schema import events, requests
from worker.ledger.statements import hole, in_states, insert_once, time
from worker.ledger.writer import Batch

_e = events.c

EVENT: Final = tuple(_e[field.name] for field in fields(Event))
EVENT_LINE: Final = (*EVENT, _e.subject_id, _e.published_at, _e.publishes)
"""The columns of an `Event` and then of its `EventLine`."""


_ADD: Final = insert_once(events)


_LONG_AGO: Final = timedelta(days=1)


def add(batch: Batch, event: Event, subject_id: str, *, for_upkeep: bool = False) -> None:
    """Record an event; the same id again (same row, outcome and occasion) keeps the first one.

    A worker publishes what it recorded itself. An operator's command does not: its events are left `for_upkeep`,
    which then takes them in its next round.
    """
    row = {
        "event_id": event.event_id,
        "subject_id": subject_id,
        "event_type": event.event_type,
        "routing_key": event.routing_key,
        "sealed_body": event.sealed_body,
        "recorded_at": event.recorded_at,
        "tried_at": event.recorded_at - _LONG_AGO if for_upkeep else event.recorded_at,
        "publishes": 0,
    }
    batch.later(_ADD, row)


def line_of(row: Sequence[Any]) -> EventLine:
    """The event in a row of the columns `EVENT_LINE`."""
    return EventLine(Event(*row[: len(EVENT)]), *row[len(EVENT) :])


def _unpublished() -> sa.Executable:
    stale = (
        sa.select(_e.event_id)
        .where(_e.published_at.is_(None), _e.tried_at < time("before"))
        .order_by(_e.tried_at)
        .limit(hole("limit", sa.Integer()))
        .with_for_update(skip_locked=True)
        .cte("stale")
    )
    return (
        sa.update(events)
        .where(_e.event_id.in_(sa.select(stale.c.event_id)))
        .values(tried_at=time("now"))
        .returning(*EVENT_LINE)
    )


_UNPUBLISHED: Final = _unpublished()


def claim_unpublished(batch: Batch, before: datetime, now: datetime, limit: int) -> Sequence[EventLine]:
    """Take events that are not confirmed, the oldest first; for a while nobody else is given them."""
    rows = batch.connection.execute(_UNPUBLISHED, {"p_before": before, "p_now": now, "p_limit": limit})
    return sorted(map(line_of, rows), key=lambda line: line.event.recorded_at)


_PUBLISHED: Final = Prepared(
    sa.update(events)
    .where(_e.event_id == hole("event_id"))
    .values(published_at=time("at"), tried_at=time("at"), publishes=_e.publishes + 1)
)


def mark_published(batch: Batch, event_id: str, at: datetime) -> None:
    """The broker confirmed it."""
    batch.later(_PUBLISHED, {"p_event_id": event_id, "p_at": at})


_AGAIN: Final = (
    sa.update(events)
    .where(
        _e.event_id
        == sa.select(requests.c.event_id)
        .where(requests.c.request_id == hole("request_id"), in_states(requests.c.state, ANNOUNCED))
        .scalar_subquery()
    )
    .values(published_at=None, tried_at=_e.recorded_at)
    .returning(_e.event_id)
)


def mark_unpublished(batch: Batch, request_id: str, line: HistoryLine) -> str | None:
    """Mark the newest event of a request unpublished, unless the request runs again and the event is no longer true."""
    batch.flush()  # the event may be a row of this very batch
    event_id: str | None = batch.connection.execute(_AGAIN, {"p_request_id": request_id}).scalar_one_or_none()
    if event_id is not None:
        story.tell(batch, request_id, line)
    return event_id


_ANEW: Final = (
    sa.update(events).where(_e.event_id == hole("event_id")).values(published_at=None, tried_at=time("at"))
)


def wait_anew(batch: Batch, event_id: str, at: datetime) -> None:
    """An event that is there waits to be confirmed once more: whoever says so publishes it, or upkeep if that fails."""
    batch.flush()  # it may be a row of this very batch, or be confirmed by one
    batch.connection.execute(_ANEW, {"p_event_id": event_id, "p_at": at})

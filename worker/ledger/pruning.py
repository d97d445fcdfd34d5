"""The unit of work that forgets: content of rows closed long ago goes, the keys that keep the promise stay."""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from worker.core.dead_letter import LetterState
from worker.ledger.schema import attempts, dead_letters, events, history, requests
from worker.ledger.statements import hole, time
from worker.ledger.writer import Batch

_r, _d = requests.c, dead_letters.c


def _announced(subject: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether every event about it is confirmed."""
    return ~sa.exists().where(events.c.subject_id == subject, events.c.published_at.is_(None))


# Only a final state has a closing time; asking for the state as well would make SQLite scan every closed row.
_CLOSED: Final = (
    sa.select(_r.request_id)
    .where(_r.closed_at.is_not(None), _r.pruned_at.is_(None), _r.closed_at < time("before"))
    .where(_announced(_r.request_id))
    .order_by(_r.closed_at)
    .limit(hole("limit", sa.Integer()))
    .with_for_update(skip_locked=True)
)
_SETTLED: Final = (
    sa.select(_d.dead_letter_id)
    .where(_d.state != LetterState.OPEN, _d.pruned_at.is_(None), _d.changed_at < time("before"))
    .where(_announced(_d.dead_letter_id))
    .order_by(_d.changed_at)
    .limit(hole("limit", sa.Integer()))
    .with_for_update(skip_locked=True)
)
_EMPTY_REQUEST: Final = (
    sa.update(requests)
    .where(_r.request_id == hole("subject_id"))
    .values(sealed_request="", context={}, baseline={}, pruned_at=time("now"))
)
_EMPTY_LETTER: Final = (
    sa.update(dead_letters)
    .where(_d.dead_letter_id == hole("subject_id"))
    .values(sealed_message="", problems=[], pruned_at=time("now"))
)
_ERASE: Final = (
    sa.delete(events).where(events.c.subject_id == hole("subject_id")),
    sa.delete(attempts).where(attempts.c.request_id == hole("subject_id")),
    sa.delete(history).where(history.c.subject_id == hole("subject_id")),
)


def prune(batch: Batch, closed_before: datetime, now: datetime, limit: int) -> int:
    """Erase the content of at most `limit` rows that are closed, announced and old enough."""
    batch.flush()  # a story that is told in this very batch is told before it is forgotten
    pruned = _prune(batch, _CLOSED, _EMPTY_REQUEST, (closed_before, now, limit))
    return pruned + _prune(batch, _SETTLED, _EMPTY_LETTER, (closed_before, now, limit - pruned))


def _prune(
    batch: Batch, old: sa.Select[Any], empty: sa.Update, bounds: tuple[datetime, datetime, int]
) -> int:
    before, now, limit = bounds
    found = batch.connection.scalars(old, {"p_before": before, "p_limit": limit}).all()
    if found:
        rows = [{"p_subject_id": subject_id, "p_now": now} for subject_id in found]
        batch.connection.execute(empty, rows)
        for statement in _ERASE:
            batch.connection.execute(statement, [{"p_subject_id": row["p_subject_id"]} for row in rows])
    return len(found)

"""Lines of history: what every change leaves behind, and what was seen when it was decided."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from worker.core.change import Change, Seen
from worker.core.entry import Arrival, Entry
from worker.core.states import State
from worker.core.story import HistoryLine
from worker.ledger.schema import history
from worker.ledger.statements import insert
from worker.ledger.writer import Batch

_h = history.c

LINE: Final = tuple(_h[field.name] for field in fields(HistoryLine))
"""The columns of a `HistoryLine`, in its order."""

_TELL: Final = insert(history)


def tell(batch: Batch, subject_id: str, line: HistoryLine) -> None:
    """Append one line to the story of a request, a dead letter or a provider."""
    row = {
        "subject_id": subject_id,
        "at": line.at,
        "actor": line.actor,
        "name": line.name,
        "leaves": line.leaves,
        "enters": line.enters,
        "reason": line.reason,
        "note": line.note,
        "detail": dict(line.detail),
    }
    batch.later(_TELL, row)


def accepted(arrival: Arrival, worker: str) -> HistoryLine:
    """The first line: what came, without its content."""
    detail = {
        "content_mode": arrival.content_mode,
        "event": arrival.context.get("id"),
        "dry_run": arrival.dry_run,
        "deadline": arrival.deadline.isoformat() if arrival.deadline else None,
    }
    return HistoryLine(arrival.received_at, worker, "accept", None, State.ACCEPTED, None, None, detail)


def changed(entry: Entry, came_from: State, number: int, change: Change) -> HistoryLine:
    """The line of one change, with the evidence it rests on."""
    transition = change.transition
    detail: dict[str, Any] = {"fence": entry.fence}
    if number:
        detail["attempt"] = number
    if transition.enters is State.SENDING:
        detail["baseline"] = dict(change.baseline)
    if change.seen is not None:
        detail |= evidence(change.seen)
    detail |= _consequences(change)
    return HistoryLine(
        change.at,
        change.actor,
        transition.name,
        came_from,
        transition.enters,
        change.reason,
        change.note,
        detail,
    )


def evidence(seen: Seen) -> Mapping[str, Any]:
    """What was seen, without what was not there to be seen."""
    known = {
        "verdict": str(seen.verdict),
        "rule": seen.rule_id,
        "moment": seen.moment.name.lower(),
        "status": seen.status,
        "error_id": seen.error_id,
        "message": seen.message,
        "detail": dict(seen.detail) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _consequences(change: Change) -> Mapping[str, Any]:
    known = {
        "due_at": change.due_at.isoformat() if change.due_at else None,
        "absent": change.absent or None,
        "account_id": change.account_id,
        "event": change.event.event_id if change.event else None,
    }
    return {name: value for name, value in known.items() if value is not None}

"""One row per create that was begun: its intent before the first byte leaves, then what became of it."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import sqlalchemy as sa

from worker.core import states
from worker.core.change import Change
from worker.core.entry import Entry
from worker.core.states import State
from worker.core.story import Attempt
from worker.core.verdict import Verdict
from worker.ledger.prepared import Prepared
from worker.ledger.schema import attempts
from worker.ledger.statements import hole, insert, time
from worker.ledger.writer import Batch

_a = attempts.c

ATTEMPT: Final = tuple(_a[field.name] for field in fields(Attempt))
"""The columns of an `Attempt`, in its order."""

_COMPLETED: Final = (
    _a.ended_at, _a.moment, _a.status, _a.verdict, _a.rule_id, _a.reason, _a.error_id, _a.message, _a.detail,
)  # fmt: skip
_ENDING: Final = frozenset(
    {
        states.NOT_DONE, states.DOUBT, states.RESCUE, states.PROVISION, states.REFUSE, states.HOLD,
        states.LATE_ANSWER, states.LATE_HOLD, states.LATE_REFUSAL, states.LATE_NOT_DONE, states.LATE_DOUBT,
        states.LATE_PROOF,
    }
)  # fmt: skip
"""The transitions that tell what became of an attempt. A late answer replaces what was known before."""
_SEEN_NOTHING: Final = frozenset({states.DOUBT, states.RESCUE})
"""Those that tell something although nothing was seen: nobody answered in time, or nobody was left to see it."""

_BEGIN: Final = insert(attempts)


def _ending(which: sa.ColumnElement[bool]) -> Prepared:
    completed = {column.name: hole(column.name, column.type) for column in _COMPLETED}
    return Prepared(sa.update(attempts).where(_a.request_id == hole("request_id"), which).values(completed))


_END: Final = _ending(_a.number == hole("number"))
_END_OF_OLDER: Final = _ending(_a.begun_at == time("begun_at"))


def write(batch: Batch, entry: Entry, number: int, change: Change) -> None:
    """Begin the attempt that a change announces, or complete the one of this number with what the change saw; number 0
    is one that only its time tells.
    """
    if change.transition.enters is State.SENDING:
        batch.later(_BEGIN, _begun(entry, number, change))
    elif change.transition in _ENDING and (change.seen or change.transition in _SEEN_NOTHING):
        own = {"p_request_id": entry.request_id} | _ended(change)
        if number:
            batch.later(_END, own | {"p_number": number})
        else:
            batch.later(_END_OF_OLDER, own | {"p_begun_at": change.sent_at})


def _begun(entry: Entry, number: int, change: Change) -> dict[str, Any]:
    return {
        "request_id": entry.request_id,
        "number": number,
        "fence": entry.fence,
        "worker": change.actor,
        "begun_at": change.at,
        "baseline": dict(change.baseline),
        "detail": {},
    }


def _ended(change: Change) -> dict[str, Any]:
    seen = change.seen
    return {
        "p_ended_at": change.at,
        "p_moment": seen.moment.name.lower() if seen else None,
        "p_status": seen.status if seen else None,
        "p_verdict": seen.verdict if seen else Verdict.IN_DOUBT,
        "p_rule_id": seen.rule_id if seen else None,
        "p_reason": change.reason,
        "p_error_id": seen.error_id if seen else None,
        "p_message": seen.message if seen else None,
        "p_detail": dict(seen.detail) if seen else {},
    }


def attempt_of(row: Sequence[Any]) -> Attempt:
    """The attempt in a row of the columns `ATTEMPT`."""
    return Attempt(*row)

"""Units of work on dead letters: messages that could not become requests."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from worker.core.change import Event
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.errors import NotAllowed, UnknownRequest
from worker.core.story import HistoryLine
from worker.ledger import events, story
from worker.ledger.schema import dead_letters
from worker.ledger.statements import hole, insert_once, time
from worker.ledger.writer import Batch

_d = dead_letters.c

DEAD_LETTER: Final = tuple(dead_letters.c[field.name] for field in fields(DeadLetter))
"""The columns of a `DeadLetter`, in its order."""

BY_ID: Final = sa.select(*DEAD_LETTER).where(_d.dead_letter_id == hole("dead_letter_id"))

_LOCKED: Final = BY_ID.with_for_update()

_BURY: Final = insert_once(dead_letters)
_CHANGE: Final = (
    sa.update(dead_letters)
    .where(_d.dead_letter_id == hole("dead_letter_id"), _d.state == LetterState.OPEN)
    .where(_d.changed_at.is_not_distinct_from(time("seen_at")))
    .values(state=hole("state", _d.state.type), changed_at=time("at"))
    .returning(*DEAD_LETTER)
)
_DIED_AGAIN: Final = (
    sa.update(dead_letters).where(_d.dead_letter_id == hole("dead_letter_id")).values(changed_at=time("at"))
)

_RENEWED: Final = tuple(column for column in DEAD_LETTER if column is not _d.changed_at)
_RENEW: Final = (
    sa.update(dead_letters)
    .where(_d.dead_letter_id == hole("dead_letter_id"))
    .values({column.name: hole(column.name, column.type) for column in _RENEWED})
    .values(changed_at=time("at"), pruned_at=None)
)
"""Everything is as it died now."""


def letter_of(row: Sequence[Any]) -> DeadLetter:
    """The dead letter in a row of the columns `DEAD_LETTER`."""
    letter = DeadLetter(*row)
    return replace(letter, problems=tuple(letter.problems))


def bury(batch: Batch, letter: DeadLetter, event: Event | None) -> bool:
    """Insert a dead letter with its event; where it is known, it is open again and as it died now.

    Of one that is open and died of the same before, just the time of this death is kept: a replay that is just being
    marked must see it. Its sender is answered again, as certainly as the first time.
    """
    row = {field.name: getattr(letter, field.name) for field in fields(letter)}
    row["problems"] = [dict(problem) for problem in letter.problems]
    known = None if _BURY.count(batch.connection, row) == 1 else _locked(batch, letter.dead_letter_id)
    if known is not None and event is not None:
        events.wait_anew(batch, event.event_id, letter.received_at)
    if known is not None and not _renew(batch, known, letter, row):
        return False
    came_from, queue = known.state if known else None, {"queue": letter.queue}
    line = HistoryLine(
        letter.received_at, "worker", "bury", came_from, LetterState.OPEN, letter.reason, None, queue
    )
    story.tell(batch, letter.dead_letter_id, line)
    if event is not None:
        events.add(batch, event, letter.dead_letter_id)
    return True


def _locked(batch: Batch, dead_letter_id: str) -> DeadLetter:
    """The row as it is; nobody else changes it before this batch is over."""
    return letter_of(batch.connection.execute(_LOCKED, {"p_dead_letter_id": dead_letter_id}).one())


def _renew(batch: Batch, known: DeadLetter, letter: DeadLetter, row: Mapping[str, Any]) -> bool:
    """Whether this death changes more than the time of the last one."""
    alike = known.died_alike(letter)
    if alike and known.state is LetterState.OPEN:
        again = {"p_dead_letter_id": letter.dead_letter_id, "p_at": letter.received_at}
        batch.connection.execute(_DIED_AGAIN, again)
        return False
    since = known.received_at if alike else letter.received_at
    holes = {f"p_{name}": value for name, value in row.items()}
    batch.connection.execute(_RENEW, {**holes, "p_received_at": since, "p_at": letter.received_at})
    return True


def change(
    batch: Batch, dead_letter_id: str, state: LetterState, line: HistoryLine, seen_at: datetime | None
) -> DeadLetter:
    """Close an open dead letter that is as it was looked at, or refuse before anything is written."""
    holes = {"p_dead_letter_id": dead_letter_id, "p_state": state, "p_at": line.at, "p_seen_at": seen_at}
    row = batch.connection.execute(_CHANGE, holes).one_or_none()
    if row is None:
        found = batch.connection.execute(BY_ID, {"p_dead_letter_id": dead_letter_id}).one_or_none()
        if found is None:
            raise UnknownRequest(f"there is no dead letter {dead_letter_id}")
        if found.state is LetterState.OPEN:
            raise NotAllowed(f"dead letter {dead_letter_id} died again since it was looked at; it stays open")
        raise NotAllowed(
            f"dead letter {dead_letter_id} is {found.state} already; only an open one can be {state}"
        )
    story.tell(batch, dead_letter_id, line)
    return letter_of(row)

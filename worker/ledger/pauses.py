"""Units of work on pauses: providers that are not asked, by whom and why."""

from dataclasses import fields
from typing import Final

import sqlalchemy as sa

from worker.core.overview import OPERATOR, Pause
from worker.core.story import HistoryLine
from worker.ledger import shares, story
from worker.ledger.schema import pauses
from worker.ledger.statements import hole, insert_once, time
from worker.ledger.writer import Batch

_p = pauses.c

PAUSE: Final = tuple(_p[field.name] for field in fields(Pause))
"""The columns of a `Pause`, in its order."""

_PAUSE: Final = insert_once(pauses)
_REPLACE: Final = (
    sa.update(pauses)
    .where(_p.provider == hole("provider"))
    .values(cause=hole("cause"), by=hole("by"), note=hole("note"), since=time("since"))
)
_FORGET: Final = sa.delete(pauses).where(_p.provider == hole("provider"))
_LIFT: Final = _FORGET.where(_p.cause == hole("cause"))


def subject(provider: str) -> str:
    """Under which a provider's story is told."""
    return f"provider:{provider}"


def pause(batch: Batch, wanted: Pause) -> None:
    """Remember a pause. One that is in force already stays as it is, unless a person pauses."""
    row = {column.name: getattr(wanted, column.name) for column in PAUSE}
    new = _PAUSE.count(batch.connection, row) == 1
    if not new and wanted.cause != OPERATOR:
        return
    if not new:
        batch.connection.execute(_REPLACE, {f"p_{name}": value for name, value in row.items()})
    line = HistoryLine(
        wanted.since, wanted.by, "pause", None, None, None, wanted.note, {"cause": wanted.cause}
    )
    story.tell(batch, subject(wanted.provider), line)


def resume(batch: Batch, provider: str, line: HistoryLine) -> bool:
    """A person's word: forget a pause; where there is none, a wait that the provider asked for."""
    paused = batch.connection.execute(_FORGET, {"p_provider": provider}).rowcount > 0
    if not paused and not shares.end_wait(batch, provider, line.at):
        return False
    story.tell(batch, subject(provider), line)
    return True


def lift(batch: Batch, provider: str, cause: str, line: HistoryLine) -> bool:
    """Forget a pause of this cause; one that a person put in its place meanwhile stays, and so does a wait."""
    if batch.connection.execute(_LIFT, {"p_provider": provider, "p_cause": cause}).rowcount == 0:
        return False
    story.tell(batch, subject(provider), line)
    return True

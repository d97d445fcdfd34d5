"""What can be asked about the ledger. Nothing here writes."""

import re
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from contracts.result import UNKNOWN_PROVIDER
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.entry import Entry
from worker.core.overview import Filter, LetterFilter, Pause, Standing
from worker.core.states import OPEN, State
from worker.core.story import Attempt, EventLine, HistoryLine
from worker.core.verdict import Verdict
from worker.ledger import dead_letters as letters
from worker.ledger import schema
from worker.ledger.attempts import ATTEMPT, attempt_of
from worker.ledger.entries import BY_ID, ENTRY, entry_of
from worker.ledger.events import EVENT_LINE, line_of
from worker.ledger.pauses import PAUSE, subject
from worker.ledger.statements import hole, in_states
from worker.ledger.story import LINE

_r, _a, _e, _h, _d, _p = (
    table.c
    for table in (
        schema.requests, schema.attempts, schema.events, schema.history, schema.dead_letters, schema.pauses,
    )
)  # fmt: skip

_NEWEST: Final = sa.select(*ENTRY).order_by(_r.received_at.desc(), _r.request_id)
_BY_KEY: Final = _NEWEST.where(_r.idempotency_key == hole("key"))
_ATTEMPTS: Final = sa.select(*ATTEMPT).where(_a.request_id == hole("request_id")).order_by(_a.number)
_EVENTS: Final = (
    sa.select(*EVENT_LINE).where(_e.subject_id == hole("subject_id")).order_by(_e.recorded_at, _e.event_id)
)
_STORY: Final = sa.select(*LINE).where(_h.subject_id == hole("subject_id"))
_OWNER: Final = sa.select(_r.request_id).where(
    _r.provider == hole("provider"), _r.account_id == hole("account_id")
)

_NO_DATABASE_TAKES: Final = re.compile("[\0\ud800-\udfff]")


def find(connection: sa.Connection, request_id: str) -> Entry | None:
    """The row with this id."""
    if not _may_lie_here(request_id):
        return None
    row = connection.execute(BY_ID, {"p_request_id": request_id}).one_or_none()
    return None if row is None else entry_of(row)


def find_by_key(connection: sa.Connection, source: str | None, key: str) -> Sequence[Entry]:
    """Rows with this key, newest first."""
    if not _may_lie_here(source, key):
        return []
    statement = _BY_KEY if source is None else _BY_KEY.where(_r.source == source)
    return [entry_of(row) for row in connection.execute(statement, {"p_key": key})]


def entries(connection: sa.Connection, wanted: Filter) -> Sequence[Entry]:
    """Rows a person wants to see, newest first."""
    if not _may_lie_here(wanted.provider, wanted.source):
        return []
    statement = _NEWEST.limit(wanted.limit)
    if wanted.states is not None:
        statement = statement.where(in_states(_r.state, wanted.states) if wanted.states else sa.false())
    equal = ((_r.provider, wanted.provider), (_r.reason, wanted.reason), (_r.source, wanted.source))
    statement = statement.where(*(column == value for column, value in equal if value is not None))
    if wanted.older_than is not None:
        statement = statement.where(_r.received_at < wanted.older_than)
    if wanted.newer_than is not None:
        statement = statement.where(_r.received_at >= wanted.newer_than)
    return [entry_of(row) for row in connection.execute(statement)]


def attempts(connection: sa.Connection, request_id: str) -> Sequence[Attempt]:
    """The attempts of a request, oldest first."""
    return [attempt_of(row) for row in connection.execute(_ATTEMPTS, {"p_request_id": request_id})]


def history(connection: sa.Connection, subject_id: str) -> Sequence[HistoryLine]:
    """A story, oldest line first."""
    rows = connection.execute(_STORY.order_by(_h.line), {"p_subject_id": subject_id})
    return [HistoryLine(*row) for row in rows]


def pause_history(connection: sa.Connection, provider: str, limit: int) -> Sequence[HistoryLine]:
    """The story of a provider's pauses, newest line first."""
    statement = _STORY.order_by(_h.line.desc()).limit(limit)
    return [HistoryLine(*row) for row in connection.execute(statement, {"p_subject_id": subject(provider)})]


def events(connection: sa.Connection, subject_id: str) -> Sequence[EventLine]:
    """The events about a request or a dead letter, oldest first."""
    return [line_of(row) for row in connection.execute(_EVENTS, {"p_subject_id": subject_id})]


def owner_of(connection: sa.Connection, provider: str, account_id: str) -> str | None:
    """The request that has this account."""
    found: str | None = connection.scalar(_OWNER, {"p_provider": provider, "p_account_id": account_id})
    return found


def dead_letters(connection: sa.Connection, wanted: LetterFilter) -> Sequence[DeadLetter]:
    """Dead letters a person wants to see, newest first."""
    if not _may_lie_here(wanted.provider, wanted.source, wanted.idempotency_key):
        return []
    equal = (
        (_d.state, wanted.state),
        (_d.reason, wanted.reason),
        (_d.provider, wanted.provider),
        (_d.source, wanted.source),
        (_d.idempotency_key, wanted.idempotency_key),
    )
    statement = (
        sa.select(*letters.DEAD_LETTER)
        .where(*(column == value for column, value in equal if value is not None))
        .order_by(_d.received_at.desc(), _d.dead_letter_id)
        .limit(wanted.limit)
    )
    if wanted.older_than is not None:
        statement = statement.where(_d.received_at < wanted.older_than)
    if wanted.newer_than is not None:
        statement = statement.where(_d.received_at >= wanted.newer_than)
    return [letters.letter_of(row) for row in connection.execute(statement)]


def dead_letter(connection: sa.Connection, dead_letter_id: str) -> DeadLetter | None:
    """The dead letter with this id."""
    if not _may_lie_here(dead_letter_id):
        return None
    row = connection.execute(letters.BY_ID, {"p_dead_letter_id": dead_letter_id}).one_or_none()
    return None if row is None else letters.letter_of(row)


def pauses(connection: sa.Connection) -> Sequence[Pause]:
    """The pauses in force."""
    return [Pause(*row) for row in connection.execute(sa.select(*PAUSE).order_by(_p.provider))]


def _may_lie_here(*asked: str | None) -> bool:
    """Whether a row may have these texts. What was typed in another encoding than UTF-8 comes as halves of characters:
    some columns fail on it, and in others lies something in its place, which is not what was asked for.
    """
    return not any(_NO_DATABASE_TAKES.search(text) for text in asked if text is not None)


def _count(provider: Any, kind: Any, oldest: Any) -> sa.Select[Any]:
    whose = sa.func.coalesce(provider, UNKNOWN_PROVIDER).label("whose")
    what = sa.type_coerce(kind, sa.Text).label("what")
    return sa.select(whose, what, sa.func.count(), sa.func.min(oldest)).group_by("whose", "what")


_UNDECIDED_SINCE: Final = (
    sa.select(sa.func.min(_a.begun_at))
    .where(_a.request_id == _r.request_id, _a.begun_at >= _r.since, _a.verdict != Verdict.NOT_DONE)
    .correlate(schema.requests)
    .scalar_subquery()
)
"""When the first attempt of this run was sent that may have opened an account. What look-ups have disproved since does
not make it younger: whose every answer is lost goes from one doubt into the next.
"""

_STANDS_SINCE: Final = sa.case(
    (_r.state == State.IN_DOUBT, sa.func.coalesce(_UNDECIDED_SINCE, _r.attempt_sent_at, _r.since)),
    else_=_r.since,
)
"""A doubt is as old as that attempt, however long the request waited before."""

_UNTOLD_SINCE: Final = sa.case((_e.publishes == 0, _e.recorded_at))
"""What was told once and is told again, perhaps years later, keeps nobody waiting."""

_STANDINGS: Final = (
    _count(_r.provider, _r.state, _STANDS_SINCE).where(in_states(_r.state, OPEN)),
    _count(sa.func.coalesce(_r.provider, _d.provider), sa.literal("unpublished"), _UNTOLD_SINCE)
    .select_from(
        schema.events.outerjoin(schema.requests, _r.request_id == _e.subject_id).outerjoin(
            schema.dead_letters, _d.dead_letter_id == _e.subject_id
        )
    )
    .where(_e.published_at.is_(None)),
    _count(_d.provider, sa.literal("dead_letter"), _d.received_at).where(_d.state == LetterState.OPEN),
)


def standings(connection: sa.Connection) -> Sequence[Standing]:
    """How much of each kind there is, and since when."""
    return [Standing(*row) for statement in _STANDINGS for row in connection.execute(statement)]

"""What the ledger itself says about a run: how many doubts, how they ended, and how long they lasted."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

import sqlalchemy as sa

from worker.core.states import FINAL, State
from worker.ledger.schema import events, history, requests

_HOW: Mapping[str, str] = {
    "found": "found_by_look_up",
    "late_answer": "late_answers",
    "late_refusal": "late_answers",
    "late_not_done": "late_answers",
    "late_hold": "late_answers",
    "late_proof": "late_answers",
    "confirm_absent": "confirmed_absent",
    "absent_for_good": "confirmed_absent",
}


def whereabouts(url: str, keys: Collection[str]) -> Counter[str]:
    """What the ledger says of requests that nobody was told about: their states, or that it knows nothing of them."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            chosen = sa.select(requests.c.idempotency_key, requests.c.state, events.c.published_at)
            joined = requests.outerjoin(events, events.c.event_id == requests.c.event_id)
            wanted = requests.c.idempotency_key.in_(list(keys))
            rows = connection.execute(chosen.select_from(joined).where(wanted)).all()
    finally:
        engine.dispose()
    found = Counter(f"{state}, {'published' if at else 'not published'}" for _, state, at in rows)
    return found + Counter({"not in the ledger": len(set(keys) - {key for key, _, _ in rows})})


_RESCUE = "rescue"
_IN_HAND = frozenset({State.ACCEPTED, State.SENDING})


@dataclass(frozen=True, slots=True)
class Books:
    """What stands in a ledger.

    Attributes:
        states: Requests by state.
        open: Requests that are neither final nor held.
        doubted: Requests that were ever in doubt.
        ended: How doubts ended, by the names of `RunResult`.
        durations: Seconds each doubt lasted.
        unpublished: Events that are not confirmed.
        forbidden: Requests whose history goes from in doubt to sending.
        rescue: The longest time from the last deed of a worker that died until what it was sending was found.
        takeover: The same until another went on with anything it had left, also where that then waited for its turn.
    """

    states: Counter[str]
    open: int
    doubted: int
    ended: Counter[str]
    durations: tuple[float, ...]
    unpublished: int
    forbidden: int
    rescue: "Takeover | None"
    takeover: "Takeover | None"


@dataclass(frozen=True, slots=True)
class Takeover:
    """How long a request waited for a successor, and its story with seconds since its first line."""

    seconds: float
    story: str


def read_books(url: str) -> Books:
    """Read a ledger that no worker uses any more."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            return _read(connection)
    finally:
        engine.dispose()


def _engine(url: str) -> sa.Engine:
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))


def _read(connection: sa.Connection) -> Books:
    counted = connection.execute(sa.select(requests.c.state, sa.func.count()).group_by(requests.c.state))
    states = Counter({State(state): count for state, count in counted})
    steps, takeovers = _doubts(connection), list(_takeovers(connection))
    unconfirmed = sa.select(sa.func.count()).where(events.c.published_at.is_(None))
    return Books(
        states=Counter({str(state): count for state, count in states.items()}),
        open=sum(count for state, count in states.items() if state not in FINAL | {State.HELD}),
        doubted=steps.doubted,
        ended=steps.ended,
        durations=tuple(steps.durations),
        unpublished=connection.scalar(unconfirmed) or 0,
        forbidden=steps.forbidden,
        rescue=_longest(connection, [one for one in takeovers if one[0] == _RESCUE]),
        takeover=_longest(connection, takeovers),
    )


def _longest(connection: sa.Connection, takeovers: Sequence[tuple[str, float, str]]) -> Takeover | None:
    if not takeovers:
        return None
    _, seconds, subject = max(takeovers, key=itemgetter(1))
    h = history.c
    lines = connection.execute(
        sa.select(h.at, h.actor, h.name).where(h.subject_id == subject).order_by(h.line)
    ).all()
    told = (f"{(line.at - lines[0].at).total_seconds():.1f} {line.name} by {line.actor}" for line in lines)
    return Takeover(seconds, "; ".join(told))


@dataclass
class _Doubts:
    doubted: int
    ended: Counter[str]
    durations: list[float]
    forbidden: int


def _doubts(connection: sa.Connection) -> _Doubts:
    """Walk through every step into and out of doubt, in the order in which they were taken."""
    h = history.c
    doubtful = sa.or_(h.enters == State.IN_DOUBT, h.leaves == State.IN_DOUBT)
    rows = connection.execute(
        sa.select(h.subject_id, h.at, h.name, h.leaves, h.enters).where(doubtful).order_by(h.line)
    )
    since: dict[str, datetime] = {}
    found = _Doubts(0, Counter(), [], 0)
    seen: set[str] = set()
    for subject, at, name, leaves, enters in rows:
        found.forbidden += (leaves, enters) == (State.IN_DOUBT, State.SENDING)
        if enters == State.IN_DOUBT:
            seen.add(subject)
            since.setdefault(subject, at)
        else:
            found.durations.append((at - since.pop(subject)).total_seconds())
            found.ended[_HOW.get(name, name)] += 1
    found.doubted = len(seen)
    return found


def _takeovers(connection: sa.Connection) -> Iterator[tuple[str, float, str]]:
    """What was done with what a dead worker left, how many seconds after its last deed, and for which request.

    Whoever never did anything again was dead by then: a busy worker does something every few milliseconds.
    """
    h = history.c
    told = sa.select(h.actor, sa.func.max(h.line)).group_by(h.actor)
    newest = {line: actor for actor, line in connection.execute(told)}
    last_deed: dict[str, datetime] = {}
    for line, at in connection.execute(sa.select(h.line, h.at).where(h.line.in_(list(newest)))):
        last_deed[newest[line]] = at
    left: dict[str, str] = {}
    rows = connection.execute(sa.select(h.subject_id, h.at, h.actor, h.enters, h.name).order_by(h.line))
    for subject, at, actor, enters, name in rows:
        before = left.pop(subject, actor)
        if before != actor and last_deed[before] < at:
            yield name, (at - last_deed[before]).total_seconds(), subject
        if enters in _IN_HAND or name == _RESCUE:
            left[subject] = actor if name != _RESCUE else before

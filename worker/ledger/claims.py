"""Units of work on claims: take one on what is due, give one back, free what the dead held."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from contracts.reason import ReasonCode
from worker.core import states
from worker.core.change import Change
from worker.core.entry import Claim
from worker.core.states import State
from worker.ledger import changes
from worker.ledger.entries import ENTRY, entry_of
from worker.ledger.prepared import Prepared
from worker.ledger.schema import requests, shares, workers
from worker.ledger.statements import hole, insert_once, time
from worker.ledger.writer import Batch

_r = requests.c
_LIMIT: Final = hole("limit", sa.Integer())


def _claim(*claimable: State) -> sa.Executable:
    """Claim rows nobody works on. On PostgreSQL, rows that another worker is claiming right now are passed over."""
    due = _longest_due(claimable)
    return (
        sa.update(requests)
        .where(_r.request_id.in_(sa.select(due.c.request_id)))
        .values(fence=_r.fence + 1, worker=hole("worker"), claimed_at=time("now"))
        .returning(*ENTRY)
    )


def _longest_due(claimable: Collection[State]) -> sa.CTE:
    """Each state by itself is read in the order of an index, and no further than wanted; both at once would be sorted,
    however many are due.
    """
    by_state = [sa.select(_due_in(state)) for state in claimable]
    return sa.union_all(*by_state).order_by("due_at").limit(_LIMIT).cte("due")


def _due_in(state: State) -> sa.Subquery:
    return (
        sa.select(_r.request_id, _r.due_at)
        .where(_r.state == state, _r.provider == hole("provider"))
        .where(_r.worker.is_(None), _r.due_at <= time("now"))
        .order_by(_r.due_at)
        .limit(_LIMIT)
        .with_for_update(skip_locked=True)
        .subquery()
    )


CLAIM_DUE: Final = _claim(State.ACCEPTED, State.WAITING)
CLAIM_LOOK_UPS: Final = _claim(State.IN_DOUBT)


def claim(batch: Batch, statement: sa.Executable, wanted: Mapping[str, Any]) -> Sequence[Claim]:
    """Claim what is due, the longest due first."""
    found = [entry_of(row) for row in batch.connection.execute(statement, wanted)]
    found.sort(key=lambda entry: entry.due_at or entry.received_at)
    return [Claim(entry, wanted["p_worker"]) for entry in found]


def wanted(provider: str, worker: str, now: datetime, limit: int) -> Mapping[str, Any]:
    """What a claim asks for."""
    return {"p_provider": provider, "p_worker": worker, "p_now": now, "p_limit": limit}


_RELEASE: Final = Prepared(
    sa.update(requests)
    .where(_r.request_id == hole("request_id"), _r.fence == hole("fence"), _r.worker == hole("worker"))
    .where(_r.state != State.SENDING)
    .values(worker=None, claimed_at=None)
)


def release(batch: Batch, claim: Claim) -> None:
    """Give an unsent claim back."""
    holes = {"p_request_id": claim.entry.request_id, "p_fence": claim.fence, "p_worker": claim.worker}
    batch.later(_RELEASE, holes)


# --- the living and the dead ----------------------------------------------------------------------------------

_HELLO: Final = insert_once(workers)
_HEARTBEAT: Final = (
    sa.update(workers).where(workers.c.worker == hole("worker")).values(heartbeat_at=time("now"))
)
_GOODBYE: Final = tuple(sa.delete(own).where(own.c.worker == hole("worker")) for own in (shares, workers))
_BURIAL: Final = sa.delete(workers).where(
    workers.c.worker.in_(
        sa.select(workers.c.worker)
        .where(workers.c.heartbeat_at <= time("dead_since"))
        .with_for_update(skip_locked=True)
    )
)

_dead: Final = _r.worker.not_in(
    sa.select(workers.c.worker).where(workers.c.heartbeat_at > time("dead_since"))
)


def _free(*which: sa.ColumnElement[bool]) -> sa.Update:
    """Let go of rows. An unsent one moves on, so that its old holder cannot send it any more; what was sent may still
    be told by the one who sent it, until somebody rescues it.
    """
    moved = sa.case((_r.state == State.SENDING, _r.fence), else_=_r.fence + 1)
    return (
        sa.update(requests)
        .where(_r.worker.is_not(None), *which)
        .values(worker=None, claimed_at=None, fence=moved)
    )


_FREE_ALL: Final = _free()
_FREE_OWN: Final = _free(_r.worker == hole("worker"))
# What a frozen worker has locked in the middle of a transaction is passed over: the others must not wait for it.
_FREE_DEAD: Final = _free(
    _r.request_id.in_(
        sa.select(_r.request_id)
        .where(_r.worker.is_not(None), _dead, _r.state != State.SENDING)
        .with_for_update(skip_locked=True)
    )
)
_FREE_ONE: Final = _free(_r.request_id == hole("request_id"), _r.fence == hole("fence"))
_HOLDS: Final = (
    sa.select(_r.request_id, _r.fence, _r.state)
    .where(_r.worker == hole("worker"), _r.claimed_at < time("claimed_before"))
    .with_for_update(skip_locked=True)
)
_ORPHANS: Final = (
    sa.select(_r.request_id, _r.fence, _r.worker)
    .where(_r.state == State.SENDING, sa.or_(_r.worker.is_(None), _dead))
    .with_for_update(skip_locked=True)
)


@dataclass(frozen=True, slots=True)
class Lease:
    """The moment of asking, and the one since when somebody must have given a sign of life to be alive."""

    now: datetime
    dead_since: datetime


def begin(batch: Batch, worker: str, now: datetime) -> None:
    """A worker starts: whatever was held under its name was held by one that is gone."""
    end(batch, worker)
    _HELLO.count(batch.connection, {"worker": worker, "heartbeat_at": now})


def heartbeat(batch: Batch, worker: str, now: datetime) -> None:
    """This worker lives."""
    if batch.connection.execute(_HEARTBEAT, {"p_worker": worker, "p_now": now}).rowcount == 0:
        _HELLO.count(batch.connection, {"worker": worker, "heartbeat_at": now})


def end(batch: Batch, worker: str) -> None:
    """A worker ends: its unsent claims and its slots are free, its rows left sending are nobody's."""
    for statement in (_FREE_OWN, *_GOODBYE):
        batch.connection.execute(statement, {"p_worker": worker})


def end_all(batch: Batch) -> None:
    """Nobody else can be alive: every lease is over."""
    for statement in (_FREE_ALL, sa.delete(shares), sa.delete(workers)):
        batch.connection.execute(statement)


def rescue(batch: Batch, lease: Lease, actor: str) -> Sequence[str]:
    """Free what the dead held; what they left sending goes in doubt."""
    holes = {"p_dead_since": lease.dead_since}
    batch.connection.execute(_FREE_DEAD, holes)
    orphans = batch.connection.execute(_ORPHANS, holes).all()
    for row in orphans:
        _doubt(batch, row, lease.now, actor, f"left sending by {row.worker or 'a worker that ended'}")
    batch.connection.execute(_BURIAL, holes)
    return [row.request_id for row in orphans]


def forget(batch: Batch, worker: str, in_flight: Collection[str], lease: Lease, actor: str) -> Sequence[str]:
    """Free what this worker holds and does not work on; what it left sending goes in doubt."""
    holes = {"p_worker": worker, "p_claimed_before": lease.dead_since}
    held = batch.connection.execute(_HOLDS, holes).all()
    forgotten = [row for row in held if row.request_id not in in_flight]
    sending = [row for row in forgotten if row.state is State.SENDING]
    for row in forgotten:
        if row.state is not State.SENDING:
            batch.connection.execute(_FREE_ONE, {"p_request_id": row.request_id, "p_fence": row.fence})
    for row in sending:
        _doubt(batch, row, lease.now, actor, "left sending, and nobody works on it")
    return [row.request_id for row in sending]


def _doubt(batch: Batch, row: Any, now: datetime, actor: str, note: str) -> None:
    change = Change(states.RESCUE, now, ReasonCode.WORKER_DIED, actor, due_at=now, note=note)
    changes.apply(batch, row.request_id, row.fence, change)

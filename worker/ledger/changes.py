"""Units of work that change a request's state: a worker's under its claim, an operator's by what was looked at.

There is one statement for each transition; it names the states that it leaves and the fence it was decided under.
Nothing else in the project writes a state.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from worker.core import states
from worker.core.change import Change
from worker.core.entry import Claim, Entry
from worker.core.errors import AccountKnown, NotAllowed, StaleClaim, UnknownRequest
from worker.core.states import ANNOUNCED, FINAL, Actor, State, Transition
from worker.core.story import HistoryLine
from worker.core.verdict import Verdict
from worker.ledger import attempts, events, story
from worker.ledger.columns import Json
from worker.ledger.entries import BY_ID, ENTRY, entry_of
from worker.ledger.prepared import Prepared
from worker.ledger.schema import requests
from worker.ledger.statements import hole, in_states, time
from worker.ledger.writer import Batch

_r = requests.c

_COUNTED: Final = (states.SEND, states.WAIT, states.NOT_DONE, states.LATE_NOT_DONE)
_ENDS_CLAIMS: Final = (states.RESCUE, states.LATE_DOUBT)
"""Whoever had a claim has it no longer: a dead worker, or a look-up judged by an older word of the provider."""
_DENIES: Final = frozenset({State.REJECTED, State.HELD, State.SENDING})
"""Entered without an account, these say or take for granted that there is none, or that nobody knows one."""
_GIVES_BACK: Final = (states.NOT_DONE, states.LATE_NOT_DONE)


def _guarded(transition: Transition) -> Prepared:
    """The one statement that takes a transition. The row is let go by every transition but the one to sending."""
    values: dict[str, Any] = {
        "state": transition.enters,
        "came_from": _r.state,
        # To look sooner says nothing new, and what the doubt is about decides what a look-up proves.
        "reason": _r.reason if transition is states.LOOK_UP_NOW else hole("reason", _r.reason.type),
        "changed_at": time("at"),
        "due_at": time("due_at"),
        "closed_at": time("at") if transition.enters in FINAL else None,
        "worker": None,
        "claimed_at": None,
    }
    if transition.by is Actor.OPERATOR or transition in _ENDS_CLAIMS:
        values["fence"] = _r.fence + 1
    if transition in _COUNTED:
        tried = _r.attempts + hole("attempts", sa.Integer())
        values["attempts"] = sa.case((tried < 0, 0), else_=tried)
        values["deferrals"] = _r.deferrals + hole("deferrals", sa.Integer())
    if transition.enters in ANNOUNCED:
        values["account_id"] = sa.func.coalesce(hole("account_id", _r.account_id.type), _r.account_id)
        values["event_id"] = sa.func.coalesce(hole("event_id", sa.Text()), _r.event_id)
    # Not every change moves the fence: whoever decides by what they saw is guarded by that.
    seen = (_r.state == hole("seen_state", _r.state.type), _r.changed_at == time("seen_at"))
    unchanged = seen if transition.by is Actor.OPERATOR else ()
    # That nothing was created, or nobody knows, is not said of a row whose account came by another way; nor is another
    # create sent for it.
    unknown: sa.ColumnElement[bool] = _r.account_id.is_(None)
    if transition.enters in ANNOUNCED:
        unknown = sa.or_(hole("account_id", _r.account_id.type).is_not(None), unknown)
    truthful = (unknown,) if transition.enters in _DENIES else ()
    return Prepared(
        sa.update(requests)
        .where(
            _r.request_id == hole("request_id"),
            _r.fence == hole("fence"),
            in_states(_r.state, transition.leaves),
        )
        .where(_r.pruned_at.is_(None), *unchanged, *truthful)
        .values(values | _own_values(transition))
        .returning(*ENTRY, _r.came_from, _r.sends)
    )


def _own_values(transition: Transition) -> dict[str, Any]:
    fresh: dict[str, Any] = {"look_ups": 0, "absences": 0}
    match transition.enters:
        case State.SENDING:
            sent = {"sends": _r.sends + 1, "attempt_sent_at": time("at"), "baseline": hole("baseline", Json)}
            return {"worker": hole("worker"), "claimed_at": time("at")} | sent | fresh
        case State.ACCEPTED:
            kept = sa.case((hole("forgets_deadline", sa.Boolean()), None), else_=_r.deadline)
            again = {"since": time("at"), "deadline": kept, "generation": _r.generation + 1}
            # On a person's word that nothing was created, whatever was seen before no longer speaks against it.
            said: dict[str, Any] = {"baseline": {}} if transition is states.RESOLVE_NOT_CREATED else {}
            return {"attempts": 0, "deferrals": 0} | said | again | fresh
        case State.IN_DOUBT:
            return {"doubted": True} | _looked(transition)
        case State.HELD if transition is states.HOLD:
            return {"doubted": sa.or_(_r.doubted, hole("in_doubt", sa.Boolean()))}
        case _:
            return {}


def _looked(transition: Transition) -> dict[str, Any]:
    if transition is states.LOOK_UP_NOW:
        # Two looks within a moment are one witness: the next one that agrees comes by the schedule.
        return {"absences": 0}
    if transition is states.LOOK_AGAIN:
        # Any other finding breaks the row of agreeing ones.
        absences = (_r.absences + 1) * hole("absent", sa.Integer())
        return {"look_ups": _r.look_ups + 1, "absences": absences}
    return {}


_STATEMENTS: Final[Mapping[str, Prepared]] = {each.name: _guarded(each) for each in states.TRANSITIONS}


def record(batch: Batch, claim: Claim, change: Change) -> Claim:
    """Apply one change under a claim, or refuse before anything is written."""
    applied = apply(batch, claim.entry.request_id, claim.fence, change, claim.worker)
    if applied is None:
        raise _refused(batch, claim, change)
    return Claim(applied, claim.worker)


def _refused(batch: Batch, claim: Claim, change: Change) -> StaleClaim | AccountKnown:
    """Why the change was not applied: the row moved on, or only its account speaks against it."""
    request_id, transition = claim.entry.request_id, change.transition
    found = batch.connection.execute(BY_ID, {"p_request_id": request_id}).one_or_none()
    if found and found.account_id and (found.fence == claim.fence and found.state in transition.leaves):
        words = (
            f"request {request_id} has account {found.account_id}, of which {transition.name} knows nothing"
        )
        return AccountKnown(words, found.account_id)
    words = f"request {request_id} is no longer under fence {claim.fence} in a state that {transition.name} leaves"
    return StaleClaim(words)


def operate(batch: Batch, seen: Entry, change: Change) -> Entry:
    """Apply an operator's change, or refuse before anything is written."""
    applied = apply(batch, seen.request_id, seen.fence, change, seen=seen)
    if applied is not None:
        return applied
    found = batch.connection.execute(BY_ID, {"p_request_id": seen.request_id}).one_or_none()
    if found is None:
        raise UnknownRequest(f"there is no request {seen.request_id}")
    if found.pruned_at is not None:
        raise NotAllowed(
            f"the content of request {seen.request_id} was pruned; `provisioner explain` tells what is left to do"
        )
    raise StaleClaim(f"request {seen.request_id} is {found.state} now, not as it was looked at")


_KNOWN: Final = Prepared(
    sa.update(requests)
    .where(_r.request_id == hole("request_id"), _r.state != State.PROVISIONED)
    .where(_r.account_id.is_(None), _r.pruned_at.is_(None))
    .values(account_id=hole("account_id", _r.account_id.type), changed_at=time("at"))
)


def note(batch: Batch, request_id: str, line: HistoryLine, account_id: str | None) -> None:
    """Append evidence, and write an account that it names to a row that has none."""
    if account_id is not None:
        holes = {"p_request_id": request_id, "p_account_id": account_id, "p_at": line.at}
        _KNOWN.count(batch.connection, holes)
    story.tell(batch, request_id, line)


def apply(
    batch: Batch,
    request_id: str,
    fence: int,
    change: Change,
    worker: str | None = None,
    seen: Entry | None = None,
) -> Entry | None:
    """Apply a change if the row is under this fence in a state that the change leaves; None if it is not.

    Args:
        batch: What is written together.
        request_id: The row.
        fence: Under which it was decided.
        change: What was decided.
        worker: Whose claim it is.
        seen: For an operator's change: the row as the operator looked at it.
    """
    holes = _holes(change) | {"p_request_id": request_id, "p_fence": fence}
    if seen is not None:
        holes |= {"p_seen_state": seen.state, "p_seen_at": seen.changed_at}
    if change.transition.enters is State.SENDING:
        holes |= {"p_worker": worker, "p_baseline": dict(change.baseline)}
    rows = _STATEMENTS[change.transition.name].rows(batch.connection, holes)
    if not rows:
        return None
    *_, came_from, number = rows[0]
    entry = entry_of(rows[0])
    if change.sent_at not in {None, entry.attempt_sent_at}:
        number = 0  # an older one, which its time tells
    attempts.write(batch, entry, number, change)
    if change.event is not None:
        events.add(batch, change.event, request_id, for_upkeep=worker is None)
    story.tell(batch, request_id, story.changed(entry, came_from, number, change))
    return entry


def _holes(change: Change) -> dict[str, Any]:
    transition = change.transition
    holes: dict[str, Any] = {"p_reason": change.reason, "p_at": change.at, "p_due_at": _due(change)}
    if transition in _COUNTED:
        holes |= {"p_attempts": int(change.counts), "p_deferrals": 0}
        if not change.counts and transition is not states.SEND:
            holes |= {"p_attempts": -1 if transition in _GIVES_BACK else 0, "p_deferrals": 1}
        elif transition in _GIVES_BACK:
            holes["p_attempts"] = 0  # counted when it was sent
    if transition.enters in ANNOUNCED:
        event_id = change.event.event_id if change.event else None
        holes |= {"p_account_id": change.account_id, "p_event_id": event_id}
    if transition is states.HOLD:
        holes["p_in_doubt"] = change.seen is not None and change.seen.verdict == Verdict.IN_DOUBT
    if transition.enters is State.ACCEPTED:
        holes["p_forgets_deadline"] = change.forgets_deadline
    if transition is states.LOOK_AGAIN:
        holes["p_absent"] = int(change.absent)
    return holes


def _due(change: Change) -> datetime | None:
    """A row that upkeep takes up always has a time: without one it is due at once."""
    match change.transition.enters:
        case State.ACCEPTED:
            return change.at
        case State.WAITING | State.IN_DOUBT:
            return change.due_at or change.at
        case _:
            return None

"""What changes a request's state, guarded by the state it leaves and the fence it was decided under."""

from datetime import datetime, timedelta
from typing import Any

from tests.plain_ledger.tables import Row, Tables, in_utc, words
from worker.core import states
from worker.core.change import Change
from worker.core.entry import Accepted, Arrival, Claim, Conflict, Entry, Same
from worker.core.errors import AccountClaimed, AccountKnown, NotAllowed, StaleClaim, UnknownRequest
from worker.core.states import FINAL, Actor, State
from worker.core.story import Attempt, HistoryLine
from worker.core.verdict import Verdict
from worker.ledger import story

_LONG_AGO = timedelta(days=1)


def accept(tables: Tables, arrival: Arrival, worker: str) -> Accepted | Same | Conflict:
    """Insert once; the key decides."""
    key = (arrival.source, arrival.idempotency_key)
    known = tables.keys.get(key)
    if known is not None:
        return Same(known.entry) if arrival.same(known.fingerprint) else Conflict(known.entry)
    row = Row(len(tables.rows), _new(arrival), arrival.fingerprint, worker, arrival.received_at)
    tables.rows[arrival.request_id] = tables.keys[key] = row
    tables.sort_in(row)
    tables.tell(arrival.request_id, story.accepted(arrival, worker))
    return Accepted(Claim(row.entry, worker))


def record(tables: Tables, claim: Claim, change: Change) -> Claim:
    """Apply one change under a claim."""
    row = tables.rows.get(claim.entry.request_id)
    if row is None or not _fits(row, claim.fence, change):
        raise StaleClaim(f"request {claim.entry.request_id} has moved on")
    known = row.entry.account_id
    denies = change.transition.enters in (State.REJECTED, State.HELD, State.SENDING)
    if known and change.account_id is None and denies:
        raise AccountKnown(f"request {claim.entry.request_id} has account {known}", known)
    entry = apply(tables, row, change, claim.worker)
    return Claim(entry, claim.worker)


def operate(tables: Tables, seen: Entry, change: Change) -> Entry:
    """Apply an operator's change."""
    row = tables.rows.get(seen.request_id)
    if row is None:
        raise UnknownRequest(f"there is no request {seen.request_id}")
    if row.pruned_at is not None:
        raise NotAllowed(
            f"the content of request {seen.request_id} was pruned; `provisioner explain` tells what is left to do"
        )
    as_seen = (row.entry.state, row.entry.changed_at) == (seen.state, seen.changed_at)
    if not (as_seen and _fits(row, seen.fence, change)):
        raise StaleClaim(f"request {seen.request_id} is {row.entry.state} now, not as it was looked at")
    return apply(tables, row, change)


def note(tables: Tables, request_id: str, line: HistoryLine, account_id: str | None) -> None:
    """Append evidence; an account that it names is the row's, where it may be."""
    row = tables.rows.get(request_id)
    if row is not None and account_id is not None and row.pruned_at is None and row.entry.account_id is None:
        account = (row.entry.provider, words(account_id))
        if row.entry.state is not State.PROVISIONED and account not in tables.owners:
            tables.owners[account] = request_id
            row.set(account_id=account[1], changed_at=line.at)
    tables.tell(request_id, line)


def apply(tables: Tables, row: Row, change: Change, worker: str | None = None) -> Entry:
    """Take the way; without a worker somebody else did."""
    way, came_from = change.transition, row.entry.state
    _own(tables, row, change)
    entry = row.set(**_values(row.entry, change))
    if way.enters is State.SENDING:
        row.sends += 1
        row.worker, row.claimed_at = worker, change.at
    else:
        row.let_go()
    row.closed_at = change.at if way.enters in FINAL else None
    tables.sort_in(row)
    _write_attempt(tables, row, change)
    if change.event is not None:
        tables.add(change.event, entry.request_id, _tried_at(change, worker))
    older = change.sent_at not in {None, entry.attempt_sent_at}
    tables.tell(entry.request_id, story.changed(entry, came_from, 0 if older else row.sends, change))
    return entry


def _fits(row: Row, fence: int, change: Change) -> bool:
    here = row.entry.state in change.transition.leaves
    return here and row.entry.fence == fence and row.pruned_at is None


def _own(tables: Tables, row: Row, change: Change) -> None:
    """One account is never given to two."""
    if change.account_id is None or not _announces(change):
        return
    account = (row.entry.provider, words(change.account_id))
    owner = tables.owners.get(account, row.entry.request_id)
    if owner != row.entry.request_id:
        raise AccountClaimed(f"account {change.account_id} is that of request {owner} already")
    if row.entry.account_id is not None:
        del tables.owners[row.entry.provider, row.entry.account_id]
    tables.owners[account] = owner


def _announces(change: Change) -> bool:
    return change.transition.enters in FINAL or change.transition.enters is State.HELD


def _tried_at(change: Change, worker: str | None) -> datetime:
    """What no worker recorded no worker is about to publish: upkeep takes it at once."""
    return change.at - _LONG_AGO if worker is None else change.at


# --- the row after a change -------------------------------------------------------------------------------------


def _values(entry: Entry, change: Change) -> dict[str, Any]:
    way = change.transition
    values: dict[str, Any] = {
        "state": way.enters,
        "reason": entry.reason if way is states.LOOK_UP_NOW else change.reason,
        "changed_at": change.at,
        "due_at": _due(change),
    }
    if way.by is Actor.OPERATOR or way in (states.RESCUE, states.LATE_DOUBT):
        values["fence"] = entry.fence + 1
    if _announces(change):
        values["account_id"] = entry.account_id if change.account_id is None else words(change.account_id)
        values["event_id"] = change.event.event_id if change.event else entry.event_id
    return values | _counters(entry, change) | _own_values(entry, change)


def _due(change: Change) -> datetime | None:
    match change.transition.enters:
        case State.ACCEPTED:
            return change.at
        case State.WAITING | State.IN_DOUBT:
            return change.due_at or change.at
        case _:
            return None


def _counters(entry: Entry, change: Change) -> dict[str, int]:
    """Which attempts are used up: one that is sent, and one that turned out not to have happened is given back."""
    way = change.transition
    if way is states.SEND:
        return {"attempts": entry.attempts + change.counts}
    if way is states.WAIT:
        return {
            "attempts": entry.attempts + change.counts,
            "deferrals": entry.deferrals + (not change.counts),
        }
    if way in (states.NOT_DONE, states.LATE_NOT_DONE) and not change.counts:
        return {"attempts": max(entry.attempts - 1, 0), "deferrals": entry.deferrals + 1}
    return {}


def _own_values(entry: Entry, change: Change) -> dict[str, Any]:
    way = change.transition
    fresh = {"look_ups": 0, "absences": 0}
    match way.enters:
        case State.SENDING:
            return {"attempt_sent_at": change.at, "baseline": dict(change.baseline)} | fresh
        case State.ACCEPTED:
            said: dict[str, Any] = {"baseline": {}} if way is states.RESOLVE_NOT_CREATED else {}
            return _again(entry, change) | said | fresh
        case State.IN_DOUBT:
            return {"doubted": True} | _looked(entry, change)
        case State.HELD if way is states.HOLD:
            in_doubt = change.seen is not None and change.seen.verdict == Verdict.IN_DOUBT
            return {"doubted": entry.doubted or in_doubt}
        case _:
            return {}


def _looked(entry: Entry, change: Change) -> dict[str, int]:
    if change.transition is states.LOOK_UP_NOW:
        return {"absences": 0}
    if change.transition is states.LOOK_AGAIN:
        return {"look_ups": entry.look_ups + 1, "absences": entry.absences + 1 if change.absent else 0}
    return {}


def _again(entry: Entry, change: Change) -> dict[str, Any]:
    return {
        "attempts": 0,
        "deferrals": 0,
        "since": change.at,
        "deadline": None if change.forgets_deadline else entry.deadline,
        "generation": entry.generation + 1,
    }


def _new(arrival: Arrival) -> Entry:
    at = in_utc(arrival.received_at)
    return Entry(
        arrival.request_id, arrival.source, arrival.idempotency_key, arrival.provider, State.ACCEPTED, None,
        arrival.sealed_request, dict(arrival.context), arrival.dry_run, in_utc(arrival.deadline),
        received_at=at, since=at, changed_at=at, due_at=at, fence=1, attempts=0, deferrals=0, look_ups=0, absences=0,
        generation=0, doubted=False, attempt_sent_at=None, baseline={}, account_id=None, event_id=None,
    )  # fmt: skip


# --- attempts ---------------------------------------------------------------------------------------------------


def _write_attempt(tables: Tables, row: Row, change: Change) -> None:
    """Begin the attempt that a change announces, or complete the newest one with what was seen of it."""
    way, request_id = change.transition, row.entry.request_id
    if way.enters is State.SENDING:
        tables.attempts[request_id][row.sends] = Attempt(
            row.sends, change.actor, row.entry.fence, change.at,
            None, None, None, None, None, None, None, None, dict(change.baseline), {},
        )  # fmt: skip
    elif _ends_the_attempt(change) and row.sends in tables.attempts.get(request_id, {}):
        mine = tables.attempts[request_id]
        number = next((n for n, one in mine.items() if one.begun_at == change.sent_at), row.sends)
        mine[number] = _ended(mine[number], change)


def _ends_the_attempt(change: Change) -> bool:
    way = change.transition
    if way in (states.DOUBT, states.RESCUE):  # nobody answered in time, or nobody was left to see it
        return True
    sent = not way.leaves & {State.ACCEPTED, State.WAITING}
    return change.seen is not None and way.by is Actor.EXECUTION and sent


def _ended(attempt: Attempt, change: Change) -> Attempt:
    seen = change.seen
    return Attempt(
        attempt.number, attempt.worker, attempt.fence, attempt.begun_at, change.at,
        seen.moment.name.lower() if seen else None,
        seen.status if seen else None,
        words(seen.verdict) if seen else words(Verdict.IN_DOUBT),
        words(seen.rule_id) if seen else None,
        change.reason,
        words(seen.error_id) if seen else None,
        words(seen.message) if seen else None,
        attempt.baseline,
        dict(seen.detail) if seen else {},
    )  # fmt: skip

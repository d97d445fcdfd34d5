"""Who holds what, who is alive, and how the slots of providers are divided among the living."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from contracts.reason import ReasonCode
from tests.plain_ledger import changes
from tests.plain_ledger.tables import Row, Tables
from worker.core import states
from worker.core.change import Change
from worker.core.entry import Claim
from worker.core.shares import Share, Wish, fair_part, settled
from worker.core.states import State

DUE = (State.ACCEPTED, State.WAITING)
LOOK_UPS = (State.IN_DOUBT,)


def claim(
    tables: Tables, claimable: tuple[State, ...], provider: str, worker: str, now: datetime, limit: int
) -> Sequence[Claim]:
    """Claim rows nobody works on, the longest due first."""
    due = [
        row
        for row in tables.in_states(*claimable)
        if row.worker is None and row.entry.provider == provider and _due_at(row) <= now
    ]
    due.sort(key=lambda row: (_due_at(row), row.number))
    return [_claimed(row, worker, now) for row in due[:limit]]


def _due_at(row: Row) -> datetime:
    return row.entry.due_at or row.entry.received_at


def _claimed(row: Row, worker: str, now: datetime) -> Claim:
    entry = row.set(fence=row.entry.fence + 1)
    row.worker, row.claimed_at = worker, now
    return Claim(entry, worker)


def release(tables: Tables, claim: Claim) -> None:
    """Give an unsent claim back."""
    row = tables.rows.get(claim.entry.request_id)
    if row is None or row.entry.state is State.SENDING:
        return
    if (row.entry.fence, row.worker) == (claim.fence, claim.worker):
        row.let_go()


# --- the living and the dead ------------------------------------------------------------------------------------


def begin(tables: Tables, worker: str, now: datetime) -> None:
    """A worker starts: whatever was held under its name was held by one that is gone."""
    end(tables, worker)
    tables.workers[worker] = now


def end(tables: Tables, worker: str) -> None:
    """A worker ends: its unsent claims and its slots are free, its rows left sending are nobody's."""
    _free(tables, lambda row: row.worker == worker)
    tables.workers.pop(worker, None)
    for shares in tables.shares.values():
        shares.pop(worker, None)


def end_all(tables: Tables) -> None:
    """Nobody else can be alive."""
    _free(tables, lambda _: True)
    tables.workers.clear()
    tables.shares.clear()


def rescue(tables: Tables, now: datetime, dead_since: datetime, actor: str) -> Sequence[str]:
    """Free what the dead held; what they left sending goes in doubt."""
    living = tables.living(dead_since)
    _free(tables, lambda row: row.worker not in living and row.entry.state is not State.SENDING)
    orphans = [row for row in tables.in_states(State.SENDING) if row.worker not in living]
    orphans.sort(key=lambda row: (row.entry.provider, row.number))
    for row in orphans:
        doubt(tables, row, now, actor, f"left sending by {row.worker or 'a worker that ended'}")
    tables.workers = {worker: at for worker, at in tables.workers.items() if worker in living}
    return [row.entry.request_id for row in orphans]


def forget(
    tables: Tables,
    worker: str,
    in_flight: Collection[str],
    now: datetime,
    claimed_before: datetime,
    actor: str,
) -> Sequence[str]:
    """Free what this worker holds and does not work on; what it left sending goes in doubt."""
    forgotten = [
        row
        for row in tables.open.values()
        if row.worker == worker
        and row.claimed_at is not None
        and row.claimed_at < claimed_before
        and row.entry.request_id not in in_flight
    ]
    sending = [row for row in forgotten if row.entry.state is State.SENDING]
    unsent = {row.entry.request_id for row in forgotten if row.entry.state is not State.SENDING}
    _free(tables, lambda row: row.entry.request_id in unsent)
    for row in sending:
        doubt(tables, row, now, actor, "left sending, and nobody works on it")
    return [row.entry.request_id for row in sending]


def doubt(tables: Tables, row: Row, now: datetime, actor: str, note: str) -> None:
    """What somebody left sending may have been carried out."""
    change = Change(states.RESCUE, now, ReasonCode.WORKER_DIED, actor, due_at=now, note=note)
    changes.apply(tables, row, change)


def _free(tables: Tables, which: Callable[[Row], bool]) -> None:
    """Let go of rows. An unsent one moves on, so that its old holder cannot send it any more."""
    for row in tables.open.values():
        if row.worker is not None and which(row):
            row.let_go()
            if row.entry.state is not State.SENDING:
                row.set(fence=row.entry.fence + 1)


# --- shares -----------------------------------------------------------------------------------------------------


def share(
    tables: Tables, worker: str, wishes: Mapping[str, Wish], now: datetime, dead_since: datetime
) -> Mapping[str, Share]:
    """Divide each provider's slots anew."""
    living, answers = tables.living(dead_since), {}
    for provider, wish in sorted(wishes.items()):
        until = tables.waits.setdefault(provider, now)
        if wish.wait_until is not None and wish.wait_until > until:
            until = tables.waits[provider] = wish.wait_until
        held = {member: slots for member, slots in tables.shares[provider].items() if member in living}
        tables.shares[provider] = held
        answers[provider] = Share(_divide(held, worker, wish), until)
    return answers


def _divide(held: dict[str, int], worker: str, wish: Wish) -> int:
    part = 0 if wish.leaves else fair_part(wish.limit, {*held, worker}, worker)
    has = held.get(worker, 0)
    slots = settled(wish, has=has, others=sum(held.values()) - has, part=part)
    if slots or not wish.leaves:
        held[worker] = slots
    else:
        held.pop(worker, None)
    return min(slots, part)


def end_wait(tables: Tables, provider: str, now: datetime) -> bool:
    """Ask again although the provider asked for a longer wait; whether it did."""
    if provider not in tables.waits or tables.waits[provider] <= now:
        return False
    tables.waits[provider] = now
    return True

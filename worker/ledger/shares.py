"""The unit of work that divides the slots of providers among the living workers.

While a provider's slots are divided its row in `waits` is locked, so that one worker divides them at a time. Who finds
it locked waits for nobody: a worker that was frozen in the middle must not hold up all others.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from worker.core.shares import Share, Wish, fair_part, settled
from worker.ledger.claims import Lease
from worker.ledger.schema import shares, waits, workers
from worker.ledger.statements import hole, insert_once, time
from worker.ledger.writer import Batch

_s, _w = shares.c, waits.c


def _these(column: sa.Column[str]) -> sa.ColumnElement[bool]:
    return column.in_(sa.bindparam("p_providers", expanding=True))


_KNOWN: Final = sa.select(_w.provider).where(_these(_w.provider))
_FIRST: Final = insert_once(waits)
_LOCK: Final = sa.select(_w.provider, _w.until).where(_these(_w.provider)).with_for_update(skip_locked=True)
_WAIT: Final = sa.update(waits).where(_w.provider == hole("provider")).values(until=time("until"))
_END_WAIT: Final = _WAIT.where(_w.until > time("until"))
_living: Final = sa.select(workers.c.worker).where(workers.c.heartbeat_at > time("dead_since"))
_BURY: Final = sa.delete(shares).where(_these(_s.provider), _s.worker.not_in(_living))
_HELD: Final = sa.select(_s.provider, _s.worker, _s.slots).where(_these(_s.provider))
_ADD: Final = insert_once(shares)
_own: Final = (_s.provider == hole("provider"), _s.worker == hole("worker"))
_SET: Final = sa.update(shares).where(*_own).values(slots=hole("slots"))
_LEAVE: Final = sa.delete(shares).where(*_own)


def share(batch: Batch, worker: str, wishes: Mapping[str, Wish], lease: Lease) -> Mapping[str, Share]:
    """Divide anew what nobody else is dividing."""
    _make_known(batch, wishes, lease)
    locked = batch.connection.execute(_LOCK, {"p_providers": list(wishes)})
    until = {row.provider: row.until for row in locked}
    holes = {"p_providers": list(until), "p_dead_since": lease.dead_since}
    batch.connection.execute(_BURY, holes)
    held: dict[str, dict[str, int]] = {provider: {} for provider in until}
    for row in batch.connection.execute(_HELD, {"p_providers": list(until)}):
        held[row.provider][row.worker] = row.slots
    answers: dict[str, Share] = {}
    for provider, known in until.items():
        wish = wishes[provider]
        if wish.wait_until is not None and wish.wait_until > known:
            batch.connection.execute(_WAIT, {"p_provider": provider, "p_until": wish.wait_until})
        slots = _divide(batch, (provider, worker), wish, held[provider])
        answers[provider] = Share(slots, max(known, wish.wait_until or known))
    return answers


def _make_known(batch: Batch, providers: Collection[str], lease: Lease) -> None:
    known = set(batch.connection.scalars(_KNOWN, {"p_providers": list(providers)}))
    for provider in sorted(set(providers) - known):
        _FIRST.count(batch.connection, {"provider": provider, "until": lease.now})


def _divide(batch: Batch, whose: tuple[str, str], wish: Wish, held: Mapping[str, int]) -> int:
    """Store what the worker has from now on; how many creates it may have under way when it begins one more."""
    _, worker = whose
    part = 0 if wish.leaves else fair_part(wish.limit, {*held, worker}, worker)
    has = held.get(worker)
    others = sum(held.values()) - (has or 0)
    slots = settled(wish, has=has or 0, others=others, part=part)
    _store(batch, whose, before=has, after=None if wish.leaves and not slots else slots)
    return min(slots, part)


def _store(batch: Batch, whose: tuple[str, str], *, before: int | None, after: int | None) -> None:
    """Write only what changes: a round in which nothing moves costs no commit."""
    provider, worker = whose
    holes: dict[str, Any] = {"p_provider": provider, "p_worker": worker}
    if after == before:
        return
    if after is None:
        batch.connection.execute(_LEAVE, holes)
    elif before is None:
        _ADD.count(batch.connection, {"provider": provider, "worker": worker, "slots": after})
    else:
        batch.connection.execute(_SET, holes | {"p_slots": after})


def end_wait(batch: Batch, provider: str, now: datetime) -> bool:
    """Ask again although the provider asked for a longer wait; whether it did."""
    return batch.connection.execute(_END_WAIT, {"p_provider": provider, "p_until": now}).rowcount > 0

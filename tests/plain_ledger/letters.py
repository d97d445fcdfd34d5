"""Dead letters, events that wait for their confirmation, pauses, and what is erased in the end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tests.plain_ledger import claims
from tests.plain_ledger.tables import Letter, Tables, Told, is_plain, words
from worker.core.change import Event
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.errors import NotAllowed, UnknownRequest
from worker.core.overview import Pause
from worker.core.sealing import Sealed
from worker.core.states import ANNOUNCED
from worker.core.story import EventLine, HistoryLine

_FREE = ("queue", "routing_key", "message_id", "source", "idempotency_key", "provider")


def bury(tables: Tables, letter: DeadLetter, event: Event | None) -> bool:
    """Insert a dead letter with its event, or make it what it died of now."""
    known, at = tables.dead_letters.get(letter.dead_letter_id), letter.received_at
    alike = known is not None and known.letter.died_alike(letter)
    if event is not None and event.event_id in tables.events:
        _wait(tables, tables.events[event.event_id], at)
    if known is not None and alike and known.letter.state is LetterState.OPEN:
        known.letter = replace(known.letter, changed_at=at)
        return False
    kept = _clean(letter)
    if known is not None:
        kept = replace(kept, received_at=known.letter.received_at if alike else at, changed_at=at)
    tables.dead_letters[letter.dead_letter_id] = Letter(kept)
    came_from = known.letter.state if known else None
    line = HistoryLine(at, "worker", "bury", came_from, "open", letter.reason, None, {"queue": letter.queue})
    tables.tell(letter.dead_letter_id, line)
    if event is not None:
        tables.add(event, letter.dead_letter_id, event.recorded_at)
    return True


def _clean(letter: DeadLetter) -> DeadLetter:
    dirty = [name for name in _FREE if not is_plain(getattr(letter, name))]
    return replace(letter, **{name: words(getattr(letter, name)) for name in dirty}) if dirty else letter


def close(
    tables: Tables, dead_letter_id: str, state: LetterState, line: HistoryLine, seen_at: datetime | None
) -> DeadLetter:
    """Close an open dead letter that is as it was looked at."""
    known = tables.dead_letters.get(dead_letter_id)
    if known is None:
        raise UnknownRequest(f"there is no dead letter {dead_letter_id}")
    if known.letter.state is not LetterState.OPEN:
        said = f"is {known.letter.state} already; only an open one can be {state}"
        raise NotAllowed(f"dead letter {dead_letter_id} {said}")
    if known.letter.changed_at != seen_at:
        raise NotAllowed(f"dead letter {dead_letter_id} died again since it was looked at; it stays open")
    known.letter = replace(known.letter, state=state, changed_at=line.at)
    tables.tell(dead_letter_id, line)
    return known.letter


def claim_unpublished(tables: Tables, before: datetime, now: datetime, limit: int) -> Sequence[EventLine]:
    """Take events that are not confirmed, the oldest first."""
    stale = [told for told in tables.unconfirmed.values() if told.tried_at < before]
    stale.sort(key=lambda told: (told.tried_at, told.number))
    taken = sorted(stale[:limit], key=lambda told: (told.line.event.recorded_at, told.number))
    for told in taken:
        told.tried_at = now
    return [told.line for told in taken]


def mark_unpublished(tables: Tables, request_id: str, line: HistoryLine) -> str | None:
    """Mark the newest event of a request unpublished, unless the request runs again and the event is no longer true."""
    row = tables.rows.get(request_id)
    event_id = row.entry.event_id if row and row.entry.state in ANNOUNCED else None
    told = tables.events.get(event_id) if event_id else None
    if told is None:
        return None
    _wait(tables, told, told.line.event.recorded_at)
    tables.tell(request_id, line)
    return event_id


def _wait(tables: Tables, told: Told, tried_at: datetime) -> None:
    told.line, told.tried_at = replace(told.line, published_at=None), tried_at
    tables.unconfirmed[told.line.event.event_id] = told


def pause(tables: Tables, wanted: Pause) -> None:
    """Remember a pause. One that is in force already stays as it is, unless a person pauses."""
    if wanted.provider in tables.pauses and wanted.cause != "operator":
        return
    tables.pauses[wanted.provider] = replace(wanted, by=words(wanted.by), note=words(wanted.note))
    detail = {"cause": wanted.cause}
    line = HistoryLine(wanted.since, wanted.by, "pause", None, None, None, wanted.note, detail)
    tables.tell(f"provider:{wanted.provider}", line)


def resume(tables: Tables, provider: str, line: HistoryLine) -> bool:
    """Forget a pause; where there is none, a wait that the provider asked for."""
    paused = tables.pauses.pop(provider, None) is not None
    if not paused and not claims.end_wait(tables, provider, line.at):
        return False
    tables.tell(f"provider:{provider}", line)
    return True


def lift(tables: Tables, provider: str, cause: str, line: HistoryLine) -> bool:
    """Forget a pause of this cause, and nothing else."""
    if provider not in tables.pauses or tables.pauses[provider].cause != cause:
        return False
    del tables.pauses[provider]
    tables.tell(f"provider:{provider}", line)
    return True


def prune(tables: Tables, before: datetime, now: datetime, limit: int) -> int:
    """Erase the content of rows that are closed, announced and old enough."""
    pruned = _prune_requests(tables, before, now, limit)
    return pruned + _prune_letters(tables, before, now, limit - pruned)


def _prune_requests(tables: Tables, before: datetime, now: datetime, limit: int) -> int:
    old = [
        (row.closed_at, row)
        for row in tables.rows.values()
        if row.closed_at is not None and row.pruned_at is None and row.closed_at < before
    ]
    told = [(at, row) for at, row in old if tables.all_confirmed(row.entry.request_id)]
    told.sort(key=lambda pair: pair[0])
    for _, row in told[:limit]:
        row.set(sealed_request=Sealed(""), context={}, baseline={})
        row.pruned_at = now
        tables.forget(row.entry.request_id)
    return len(told[:limit])


def _prune_letters(tables: Tables, before: datetime, now: datetime, limit: int) -> int:
    old = [
        (known.letter.changed_at, known)
        for known in tables.dead_letters.values()
        if known.letter.state is not LetterState.OPEN and known.pruned_at is None
    ]
    told = [
        (at, known)
        for at, known in old
        if at is not None and at < before and tables.all_confirmed(known.letter.dead_letter_id)
    ]
    told.sort(key=lambda pair: pair[0])
    for _, known in told[:limit]:
        known.letter = replace(known.letter, sealed_message=Sealed(""), problems=())
        known.pruned_at = now
        tables.forget(known.letter.dead_letter_id)
    return len(told[:limit])

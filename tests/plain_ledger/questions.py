"""What can be asked. Nothing here writes."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from contracts.result import UNKNOWN_PROVIDER
from tests.plain_ledger.tables import Tables
from worker.core.dead_letter import DeadLetter
from worker.core.entry import Entry
from worker.core.overview import Filter, LetterFilter, Standing
from worker.core.states import State
from worker.core.story import EventLine
from worker.core.verdict import Verdict


def find(tables: Tables, request_id: str) -> Entry | None:
    """The row with this id."""
    row = tables.rows.get(request_id)
    return row.entry if row else None


def dead_letter(tables: Tables, dead_letter_id: str) -> DeadLetter | None:
    """The dead letter with this id."""
    known = tables.dead_letters.get(dead_letter_id)
    return known.letter if known else None


def find_by_key(tables: Tables, source: str | None, key: str) -> Sequence[Entry]:
    """Rows with this key, newest first."""
    found = [row.entry for row in tables.rows.values() if row.entry.idempotency_key == key]
    return _newest_first(entry for entry in found if source in (None, entry.source))


def entries(tables: Tables, wanted: Filter) -> Sequence[Entry]:
    """Rows a person wants to see, newest first."""
    found = (row.entry for row in tables.rows.values() if _is_wanted(row.entry, wanted))
    return _newest_first(found)[: wanted.limit]


def _is_wanted(entry: Entry, wanted: Filter) -> bool:
    equal = (
        (wanted.provider, entry.provider),
        (wanted.reason, entry.reason),
        (wanted.source, entry.source),
    )
    return (
        (wanted.states is None or entry.state in wanted.states)
        and all(wish in (None, value) for wish, value in equal)
        and (wanted.older_than is None or entry.received_at < wanted.older_than)
        and (wanted.newer_than is None or entry.received_at >= wanted.newer_than)
    )


def _newest_first(entries: Iterable[Entry]) -> list[Entry]:
    by_id = sorted(entries, key=lambda entry: entry.request_id)
    return sorted(by_id, key=lambda entry: entry.received_at, reverse=True)


def events(tables: Tables, subject_id: str) -> Sequence[EventLine]:
    """The events about a request or a dead letter, oldest first."""
    lines = [tables.events[event_id].line for event_id in tables.told.get(subject_id, ())]
    return sorted(lines, key=lambda line: (line.event.recorded_at, line.event.event_id))


def dead_letters(tables: Tables, wanted: LetterFilter) -> Sequence[DeadLetter]:
    """Dead letters a person wants to see, newest first."""
    letters = [known.letter for known in tables.dead_letters.values() if _is_asked_for(known.letter, wanted)]
    letters.sort(key=lambda letter: letter.dead_letter_id)
    letters.sort(key=lambda letter: letter.received_at, reverse=True)
    return letters[: wanted.limit]


def _is_asked_for(letter: DeadLetter, wanted: LetterFilter) -> bool:
    equal = (
        (wanted.state, letter.state),
        (wanted.reason, letter.reason),
        (wanted.provider, letter.provider),
        (wanted.source, letter.source),
        (wanted.idempotency_key, letter.idempotency_key),
    )
    return (
        all(wish in (None, value) for wish, value in equal)
        and (wanted.older_than is None or letter.received_at < wanted.older_than)
        and (wanted.newer_than is None or letter.received_at >= wanted.newer_than)
    )


def standings(tables: Tables) -> Sequence[Standing]:
    """How much of each kind there is, and since when."""
    found: dict[tuple[str, str], list[datetime | None]] = {}
    for row in tables.open.values():
        found.setdefault((row.entry.provider, str(row.entry.state)), []).append(
            _stands_since(tables, row.entry)
        )
    for told in tables.unconfirmed.values():
        whose = (_provider_of(tables, told.line.subject_id), "unpublished")
        found.setdefault(whose, []).append(told.line.event.recorded_at if told.line.publishes == 0 else None)
    for known in tables.dead_letters.values():
        if known.letter.state == "open":
            whose = (known.letter.provider or UNKNOWN_PROVIDER, "dead_letter")
            found.setdefault(whose, []).append(known.letter.received_at)
    return [
        Standing(whose, what, len(times), min((time for time in times if time), default=None))
        for (whose, what), times in found.items()
    ]


def _stands_since(tables: Tables, entry: Entry) -> datetime:
    if entry.state is not State.IN_DOUBT:
        return entry.since
    sent = tables.attempts.get(entry.request_id, {}).values()
    doubted = [one.begun_at for one in sent if one.verdict not in {None, Verdict.NOT_DONE}]
    return min((at for at in doubted if at >= entry.since), default=entry.attempt_sent_at or entry.since)


def _provider_of(tables: Tables, subject_id: str) -> str:
    row, known = tables.rows.get(subject_id), tables.dead_letters.get(subject_id)
    provider = row.entry.provider if row else known.letter.provider if known else None
    return provider or UNKNOWN_PROVIDER

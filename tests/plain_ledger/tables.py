"""What a ledger holds: rows by their ids, and what is told of them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from worker.core.change import Event
from worker.core.clock import Clock
from worker.core.dead_letter import DeadLetter
from worker.core.entry import Entry
from worker.core.overview import Pause
from worker.core.states import FINAL, State
from worker.core.story import Attempt, EventLine, HistoryLine

_NAMES: Final = tuple(one.name for one in fields(Entry))
_VALUES: Final = attrgetter(*_NAMES)


@dataclass(slots=True)
class Row:
    """A request.

    Attributes:
        number: Of all rows; decides where nothing else does.
        worker: Who holds the claim, since `claimed_at`.
        sends: Number of the newest attempt.
    """

    number: int
    entry: Entry
    fingerprint: str
    worker: str | None
    claimed_at: datetime | None
    sends: int = 0
    closed_at: datetime | None = None
    pruned_at: datetime | None = None

    def set(self, **values: Any) -> Entry:
        """Change the entry; three times for every request, so more quickly than `replace` does."""
        self.entry = Entry(**(dict(zip(_NAMES, _VALUES(self.entry), strict=True)) | values))
        return self.entry

    def let_go(self) -> None:
        """Nobody holds it any more."""
        self.worker = self.claimed_at = None


@dataclass(slots=True)
class Letter:
    """A dead letter."""

    letter: DeadLetter
    pruned_at: datetime | None = None


@dataclass(slots=True)
class Told:
    """A result event, its number of all events, and when somebody last tried to publish it."""

    number: int
    line: EventLine
    tried_at: datetime


@dataclass
class Tables:
    """Everything.

    Attributes:
        open: The rows that are not final.
        unconfirmed: The events that nobody confirmed, by id.
        owners: Who has an account, by provider and account id.
        recorded: Events that there ever were.
        shares: Slots by provider and worker; `waits` by provider.
        clocks: What a worker's clock showed when its machine was up for so many seconds, by era.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    keys: dict[tuple[str, str], Row] = field(default_factory=dict)
    open: dict[str, Row] = field(default_factory=dict)
    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    attempts: dict[str, dict[int, Attempt]] = field(default_factory=lambda: defaultdict(dict))
    events: dict[str, Told] = field(default_factory=dict)
    recorded: int = 0
    told: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unconfirmed: dict[str, Told] = field(default_factory=dict)
    stories: dict[str, list[HistoryLine]] = field(default_factory=lambda: defaultdict(list))
    dead_letters: dict[str, Letter] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=dict)
    workers: dict[str, datetime] = field(default_factory=dict)
    shares: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    waits: dict[str, datetime] = field(default_factory=dict)
    clocks: dict[str, tuple[datetime, float]] = field(default_factory=dict)
    checked_at: datetime | None = None

    def living(self, dead_since: datetime) -> set[str]:
        """Workers that gave a sign of life since then."""
        return {worker for worker, seen_at in self.workers.items() if seen_at > dead_since}

    def set(self, clock: Clock, *, begins: bool) -> None:
        """Let a clock go on where the last one on its machine was; the next one goes on from one that `begins`."""
        there, as_of = clock.time_of_day(), clock.monotonic()
        at, uptime = self.clocks.get(clock.era, (there, as_of))
        shown = at + timedelta(seconds=as_of - uptime)
        if begins:
            self.clocks[clock.era] = (shown, as_of)
        clock.agree(shown, as_of)
        clock.agree(there, as_of)

    def sort_in(self, row: Row) -> None:
        """Keep the rows that are not final where they are found quickly."""
        if row.entry.state in FINAL:
            self.open.pop(row.entry.request_id, None)
        else:
            self.open[row.entry.request_id] = row

    def in_states(self, *states: State) -> Iterable[Row]:
        """Rows in one of these states, none of which is final."""
        return [row for row in self.open.values() if row.entry.state in states]

    # --- stories and events -------------------------------------------------------------------------------------

    def tell(self, subject_id: str, line: HistoryLine) -> None:
        """Append one line to a story."""
        clean = {name: words(getattr(line, name)) for name in _FREE if not is_plain(getattr(line, name))}
        self.stories[subject_id].append(replace(line, **clean) if clean else line)

    def add(self, event: Event, subject_id: str, tried_at: datetime) -> None:
        """Record an event; the same id again keeps the first one."""
        if event.event_id in self.events:
            return
        kept = event if is_plain(event.routing_key) else replace(event, routing_key=words(event.routing_key))
        told = Told(self.recorded, EventLine(kept, subject_id, None, 0), tried_at)
        self.recorded += 1
        self.events[event.event_id] = self.unconfirmed[event.event_id] = told
        self.told[subject_id].append(event.event_id)

    def confirm(self, event_id: str, at: datetime) -> None:
        """The broker has it."""
        told = self.events.get(event_id)
        if told is not None:
            told.line = replace(told.line, published_at=at, publishes=told.line.publishes + 1)
            told.tried_at = at
            self.unconfirmed.pop(event_id, None)

    def all_confirmed(self, subject_id: str) -> bool:
        """Whether every event about it is confirmed."""
        return self.unconfirmed.keys().isdisjoint(self.told.get(subject_id, ()))

    def forget(self, subject_id: str) -> None:
        """Erase what was told of it."""
        for event_id in self.told.pop(subject_id, ()):
            del self.events[event_id]
        self.attempts.pop(subject_id, None)
        self.stories.pop(subject_id, None)


_FREE = ("actor", "name", "leaves", "enters", "reason", "note")


def is_plain(text: str | None) -> bool:
    """Whether free text may be kept as it is."""
    return text is None or (text.isascii() and "\0" not in text)


def words(text: str | None) -> Any:
    """Free text without what a database refuses: NUL, halves of surrogate pairs."""
    if text is None:
        return None
    return str(text).replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def in_utc(time: datetime | None) -> Any:
    """The same moment in UTC.

    Raises:
        ValueError: it names no zone.
    """
    if time is None or time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        raise ValueError("a time without a zone does not fit the ledger")
    return time.astimezone(UTC)

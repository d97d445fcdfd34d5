"""Port: the ledger, system of record. Every change of a request is one of the frozen values below.

A change names the transition it takes and carries just its own fields. `Ledger.record` applies it only if the row is
still in a state that the transition leaves and under the fence of the claim; otherwise it raises `StaleClaim` and
nothing is written. Each applied change appends to the history in the same transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue

from contracts.reason import ReasonCode
from worker.core.sealing import Sealed
from worker.core.shares import Share, Wish
from worker.core.states import State, Transition
from worker.core.verdict import Moment


@dataclass(frozen=True, slots=True)
class Arrival:
    """A valid request on its way into the ledger.

    Attributes:
        request_id: Id for the new row, if it turns out to be one.
        source: Who asks; with `idempotency_key` the identity.
        fingerprint: Keyed digest of the content's meaning, under the newest key.
        same: Whether a stored fingerprint (perhaps under an older key) is of this same content.
        sealed_request: The completed parameters and what else is needed to run, sealed under context ``request:<id>``.
        context: CloudEvents attributes to copy into results (id, subject, correlationid, traceparent ...), no secrets.
        content_mode: How it was spelled: structured, binary or plain.
    """

    request_id: str
    source: str
    idempotency_key: str
    provider: str
    fingerprint: str
    same: Callable[[str], bool]
    sealed_request: Sealed
    context: Mapping[str, JsonValue]
    content_mode: str
    dry_run: bool
    deadline: datetime | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as the ledger has it.

    Attributes:
        attempts: Creates sent (or tried to be sent) that used up an attempt.
        deferrals: Waits that used up none (limits, pauses).
        look_ups: Look-ups since the newest attempt that could not settle it.
        absences: Look-ups after the settle time that found nothing, in a row.
        since: When it was received, or last put back to accepted by an operator; its age counts from here.
        generation: How often an operator put it back to accepted; part of the event ids, so that a new outcome is a
            new event. Putting it back also forgets attempts, deferrals and a deadline that has passed.
        doubted: Whether any attempt ever was in doubt.
        due_at: When upkeep should take it up again (waiting: next attempt; in doubt: next look-up).
        attempt_sent_at: When the newest attempt was begun; None before the first.
        baseline: What was seen before the newest attempt.
        event_id: Id of the newest result event, if there is one.
    """

    request_id: str
    source: str
    idempotency_key: str
    provider: str
    state: State
    reason: ReasonCode | None
    sealed_request: Sealed
    context: Mapping[str, JsonValue]
    dry_run: bool
    deadline: datetime | None
    received_at: datetime
    since: datetime
    changed_at: datetime
    due_at: datetime | None
    fence: int
    attempts: int
    deferrals: int
    look_ups: int
    absences: int
    generation: int
    doubted: bool
    attempt_sent_at: datetime | None
    baseline: Mapping[str, JsonValue]
    account_id: str | None
    event_id: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The leased, fenced right of one worker to change one request."""

    entry: Entry
    fence: int
    worker: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A new row; it is claimed by the worker that accepted it."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Same:
    """The same request is known already."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key is known with other content."""

    entry: Entry


Acceptance = Accepted | Same | Conflict


@dataclass(frozen=True, slots=True)
class Event:
    """A result event, ready to publish.

    Attributes:
        event_id: Derived from row, outcome and generation, so that it is the same however often it is built.
        sealed_body: The bytes to publish, sealed under context ``event:<event_id>``.
    """

    event_id: str
    event_type: str
    routing_key: str
    sealed_body: Sealed
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """What an attempt saw, for the history: the verdict and what it rests on. No secrets."""

    verdict: str
    rule_id: str
    moment: Moment
    status: int | None = None
    error_id: str | None = None
    message: str | None = None
    detail: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One step of one request.

    Attributes:
        transition: The way it takes; guards the states it leaves.
        at: When it was decided.
        reason: Code of the closed catalogue; None while a create is under way, which has no verdict yet.
        seen: What was seen on the wire or by a look-up, where something was.
        due_at: When upkeep takes it up again; without it a row that waits or is in doubt is due at once.
        counts: Whether an attempt is used up. Send and wait with it raise `attempts`; not_done without it gives the
            attempt back; a wait or not_done without it raises `deferrals`.
        baseline: For send: what was seen before the attempt.
        absent: For a look-up after the settle time that found nothing.
        account_id: For provisioned, and for held with a known account.
        event: The result event that is written in the same transaction.
        note: An operator's reason, in their words.
        actor: Worker id or the operator's name.
    """

    transition: Transition
    at: datetime
    reason: ReasonCode | None
    actor: str
    seen: Seen | None = None
    due_at: datetime | None = None
    counts: bool = False
    baseline: Mapping[str, JsonValue] = field(default_factory=dict)
    absent: bool = False
    account_id: str | None = None
    event: Event | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not become a request.

    Attributes:
        dead_letter_id: Derived from the message's content, so that the same delivery twice is one row.
        sealed_message: Body and headers, sealed under context ``dead_letter:<id>``.
        problems: Pointers and sentences without the input's values.
        received_at: When it came first.
        state: open, replayed or discarded.
        changed_at: When it was closed, or died again; None for one that did neither.
    """

    dead_letter_id: str
    queue: str
    routing_key: str
    reason: ReasonCode
    problems: tuple[Mapping[str, JsonValue], ...]
    sealed_message: Sealed
    size: int
    message_id: str | None
    source: str | None
    idempotency_key: str | None
    provider: str | None
    received_at: datetime
    state: str = "open"
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of a request's or a dead letter's story."""

    at: datetime
    actor: str
    name: str
    leaves: str | None
    enters: str | None
    reason: str | None
    note: str | None
    detail: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One create that was begun, and what became of it; what is not known (yet) is None."""

    number: int
    worker: str
    fence: int
    begun_at: datetime
    ended_at: datetime | None
    moment: str | None
    status: int | None
    verdict: str | None
    rule_id: str | None
    reason: ReasonCode | None
    error_id: str | None
    message: str | None
    baseline: Mapping[str, JsonValue]
    detail: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class EventLine:
    """One result event as the ledger has it; `request_id` may be the id of a dead letter."""

    event: Event
    request_id: str
    published_at: datetime | None
    publishes: int


@dataclass(frozen=True, slots=True)
class Pause:
    """A provider that is not asked. `by` is an operator's name or "worker"; `cause` operator or credentials."""

    provider: str
    cause: str
    by: str
    note: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """One number for the gauges: how many rows of one kind, and since when the oldest (requests: `Entry.since`)."""

    provider: str
    kind: str  # a State's value, or "unpublished", "dead_letter"
    count: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows a person wants to see. None means any."""

    states: frozenset[State] | None = None
    provider: str | None = None
    reason: ReasonCode | None = None
    source: str | None = None
    older_than: datetime | None = None
    limit: int = 100


class Ledger(Protocol):
    """The system of record. Every method raises `LedgerUnavailable` when disk or server fail; what a method
    promised is on the disk when it returns.
    """

    async def accept(self, arrival: Arrival, worker: str) -> Acceptance:
        """Insert once; the unique (source, idempotency key) decides new, same or conflict."""
        ...

    async def claim_due(self, provider: str, worker: str, now: datetime, limit: int) -> Sequence[Claim]:
        """Claim accepted rows nobody works on and waiting rows whose time has come, oldest first."""
        ...

    async def claim_look_ups(self, provider: str, worker: str, now: datetime, limit: int) -> Sequence[Claim]:
        """Claim rows in doubt whose next look-up is due."""
        ...

    async def record(self, claim: Claim, change: Change) -> Claim:
        """Apply one change; the claim that comes back holds the row as it is now.

        Every change but `SEND` lets the row go. Until somebody else claims it, the claim that comes back still fits
        by its fence: a worker that listens on after `DOUBT` sets `due_at` to the end of its listening and may record
        the late answer.

        Raises:
            StaleClaim: the row is under another fence or in another state; nothing was written.
            AccountClaimed: another request has that account; nothing was written.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Give an unsent claim back, unchanged, at once claimable by anybody. A stale claim is ignored."""
        ...

    async def note(self, request_id: str, line: HistoryLine) -> None:
        """Append evidence to a story without changing its state (a late answer nobody waits for)."""
        ...

    async def operate(self, request_id: str, change: Change, expected_fence: int) -> Entry:
        """Apply an operator's change; the fence moves on, so that a worker's claim on the row ends.

        Raises:
            UnknownRequest: no such row.
            StaleClaim: the row changed since the operator looked.
            NotAllowed: its content was pruned, so it cannot be run again.
            AccountClaimed: another request has that account.
        """
        ...

    async def unpublished(self, before: datetime, limit: int) -> Sequence[EventLine]:
        """Events that were recorded or last tried before then and are not confirmed."""
        ...

    async def published(self, event_id: str, at: datetime) -> None:
        """The broker confirmed it."""
        ...

    async def publish_again(self, request_id: str, at: datetime, actor: str, note: str | None) -> bool:
        """Mark the newest event of a request unpublished; False when it has none."""
        ...

    async def bury(self, letter: DeadLetter, event: Event | None) -> bool:
        """Insert a dead letter and its rejection event; False when the row was there and open: then just the time of
        this death is kept, as its `changed_at`.

        One that was replayed and died again is open again, with a line of history; that is True. Its `received_at`
        stays what it was, even if its content was pruned, and its `changed_at` is the time of this death.
        """
        ...

    async def change_dead_letter(
        self,
        dead_letter_id: str,
        state: str,
        actor: str,
        note: str,
        at: datetime,
        *,
        seen_at: datetime | None = None,
    ) -> DeadLetter:
        """Set an open dead letter to replayed or discarded, with a line of history.

        `seen_at` is its `changed_at` when the operator looked: one that died again since then stays open.

        Raises:
            UnknownRequest: no such row.
            NotAllowed: it is not open, or it died again since it was looked at.
        """
        ...

    async def heartbeat(self, worker: str, now: datetime) -> float:
        """This worker lives. A worker silent for longer than the lease is dead.

        The first one of a process says that it begins: whatever was held under the same name before is let go. The
        worker's clock hears what time it is where the ledger lies: seconds by which it is behind.
        """
        ...

    async def retire(self, worker: str) -> None:
        """This worker ends: its unsent claims and its slots are free at once, its rows left sending become rescuable
        at once.
        """
        ...

    async def share(self, worker: str, wishes: Mapping[str, Wish], now: datetime) -> Mapping[str, Share]:
        """Divide each provider's slots among the living workers that want some, and hear of its waits.

        The slots of all living workers never exceed the provider's limit (the largest, where they are configured with
        different ones). A provider that another worker is dividing at this moment is left out: nothing changes then.
        """
        ...

    async def rescue(self, now: datetime, actor: str) -> Sequence[str]:
        """Rows left sending by dead workers go in doubt; unsent claims of dead workers are freed. Ids of the former."""
        ...

    async def forget(self, worker: str, in_flight: frozenset[str], actor: str) -> Sequence[str]:
        """Let go what this living worker claimed more than a lease ago but is not working on (a write whose fate was
        unknown, a surprise): unsent claims are free at once, rows left sending go in doubt. Ids of the latter.
        """
        ...

    async def prune(self, closed_before: datetime, limit: int) -> int:
        """Erase sealed bodies, context, events, attempts and history of requests, and of dead letters, that were
        closed before then and whose events are all confirmed; keys, fingerprints, states, account ids stay. Open rows
        are never touched. How many rows it were.
        """
        ...

    async def pause(self, pause: Pause) -> None:
        """Remember a pause; an operator's pause is not overwritten by the worker's own."""
        ...

    async def resume(self, provider: str, actor: str, note: str, at: datetime) -> bool:
        """Forget the pause or, without one, a wait that the provider asked for; False when there was neither."""
        ...

    async def pauses(self) -> Sequence[Pause]:
        """The pauses in force."""
        ...

    async def pause_history(self, provider: str, limit: int) -> Sequence[HistoryLine]:
        """Who paused and resumed a provider, when and why, newest first."""
        ...

    async def find(self, request_id: str) -> Entry | None:
        """The row with this id."""
        ...

    async def find_by_key(self, source: str | None, idempotency_key: str) -> Sequence[Entry]:
        """Rows with this key, of one source or of any."""
        ...

    async def entries(self, wanted: Filter) -> Sequence[Entry]:
        """Rows, newest first."""
        ...

    async def history(self, subject_id: str) -> Sequence[HistoryLine]:
        """The story of a request or a dead letter, oldest first."""
        ...

    async def attempts(self, request_id: str) -> Sequence[Attempt]:
        """The creates that were begun for a request, oldest first."""
        ...

    async def events(self, request_id: str) -> Sequence[EventLine]:
        """The result events of a request or a dead letter, oldest first."""
        ...

    async def owner_of(self, provider: str, account_id: str) -> str | None:
        """The request that has this account, if one has."""
        ...

    async def dead_letters(
        self, state: str | None, reason: ReasonCode | None, limit: int
    ) -> Sequence[DeadLetter]:
        """Dead letters, newest first."""
        ...

    async def dead_letter(self, dead_letter_id: str) -> DeadLetter | None:
        """The dead letter with this id."""
        ...

    async def standings(self) -> Sequence[Standing]:
        """What the gauges show: open rows per provider and state, unpublished events, open dead letters."""
        ...

    async def check(self) -> None:
        """Prove with a small durable write that the ledger works.

        Raises:
            LedgerUnavailable: it does not.
        """
        ...

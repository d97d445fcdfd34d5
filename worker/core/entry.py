"""One request as the ledger has it: how it arrives, how it stands, and who may change it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from contracts.reason import ReasonCode
from worker.core.sealing import Sealed
from worker.core.states import State


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
        absences: Look-ups after the settle time that found nothing, in a row; counted anew when a person hurries one.
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
    worker: str

    @property
    def fence(self) -> int:
        """Under which the row was claimed."""
        return self.entry.fence


@dataclass(frozen=True, slots=True)
class Accepted:
    """A new row; it is claimed by the worker that accepted it."""

    claim: Claim

    @property
    def entry(self) -> Entry:
        """The row."""
        return self.claim.entry


@dataclass(frozen=True, slots=True)
class Same:
    """The same request is known already."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key is known with other content."""

    entry: Entry


Acceptance = Accepted | Same | Conflict

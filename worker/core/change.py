"""One step of one request, with what was seen and the result event that is written with it.

A change names the transition it takes and carries just its own fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from contracts.reason import ReasonCode
from worker.core.sealing import Sealed
from worker.core.states import Transition
from worker.core.verdict import Moment


@dataclass(frozen=True, slots=True)
class Event:
    """A result event, ready to publish.

    Attributes:
        event_id: Derived from row, outcome and occasion, so that it is the same however often it is built.
        sealed_body: The bytes to publish, sealed under context ``event:<event_id>``.
    """

    event_id: str
    event_type: str
    routing_key: str
    sealed_body: Sealed
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """What an attempt saw, for the history: the verdict and what it rests on. No secrets that we could read."""

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
        transition: Guards the states it leaves.
        at: When it was decided.
        reason: Code of the closed catalogue; None while a create is under way, which has no verdict yet.
        seen: What was seen on the wire or by a look-up, where something was.
        due_at: When upkeep takes it up again; without it a row that waits or is in doubt is due at once.
        counts: Whether an attempt is used up. Send and wait with it raise `attempts`; not_done without it gives the
            attempt back; a wait or not_done without it raises `deferrals`.
        baseline: For send: what was seen before the attempt.
        forgets_deadline: For running again: the deadline has passed, by the calendar in which the requester gave it.
        absent: For a look-up after the settle time that found nothing.
        account_id: For provisioned, and for held with a known account.
        event: The result event that is written in the same transaction.
        note: An operator's reason, in their words.
        actor: Worker id or the operator's name.
        sent_at: When the attempt was begun that was seen; None: it is the newest.
    """

    transition: Transition
    at: datetime
    reason: ReasonCode | None
    actor: str
    seen: Seen | None = None
    due_at: datetime | None = None
    counts: bool = False
    baseline: Mapping[str, JsonValue] = field(default_factory=dict)
    forgets_deadline: bool = False
    absent: bool = False
    account_id: str | None = None
    event: Event | None = None
    note: str | None = None
    sent_at: datetime | None = None

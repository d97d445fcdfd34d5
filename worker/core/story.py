"""What the ledger tells of a request or a dead letter: its history, its attempts, its result events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from contracts.reason import ReasonCode
from worker.core.change import Event


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
    """One result event as the ledger has it, of a request or a dead letter."""

    event: Event
    subject_id: str
    published_at: datetime | None
    publishes: int

"""What an operator sees of all requests: pauses, numbers, and which rows are wanted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from contracts.reason import ReasonCode
from worker.core.dead_letter import LetterState
from worker.core.states import State

CREDENTIALS: Final = "credentials"
"""The cause of a pause that a worker made, because the provider refuses us."""

OPERATOR: Final = "operator"
"""The cause of a pause that a person made; only a person's own word replaces or lifts it."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A provider that is not asked. `by` is an operator's name or a worker's; `cause` is one of the two above."""

    provider: str
    cause: str
    by: str
    note: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """One number for the gauges: how many rows of one kind, and since when the oldest.

    A request counts from `Entry.since`; in doubt, from the first attempt after it that may have opened an account. A
    result is late only until it was confirmed once.
    """

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
    newer_than: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters a person wants to see. None means any."""

    state: LetterState | None = None
    reason: ReasonCode | None = None
    provider: str | None = None
    source: str | None = None
    idempotency_key: str | None = None
    older_than: datetime | None = None
    newer_than: datetime | None = None
    limit: int = 100

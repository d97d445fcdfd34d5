"""What could not become a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

from contracts.reason import ReasonCode
from worker.core.sealing import Sealed


class LetterState(StrEnum):
    """Where a dead letter stands."""

    OPEN = "open"
    """Somebody must look."""
    REPLAYED = "replayed"
    """An operator published it again."""
    DISCARDED = "discarded"
    """An operator closed it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not become a request.

    Attributes:
        dead_letter_id: Derived from all that the message may die of, so that the same one again is one row.
        sealed_message: Body and headers, sealed under context ``dead_letter:<id>``.
        reason: Why it died last.
        problems: Pointers and sentences without the input's values; of its last death, too.
        received_at: When it came first, or first died of what it died of last.
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
    state: LetterState = LetterState.OPEN
    changed_at: datetime | None = None

    def died_alike(self, death: "DeadLetter") -> bool:
        """Whether it died of the same before, as far as that was not erased."""
        erased = not self.sealed_message
        return self.reason == death.reason and (erased or self.problems == death.problems)

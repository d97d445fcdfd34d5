"""Port: whoever watches. The core tells facts; metrics and logs listen. No fact ever holds a secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from contracts.reason import ReasonCode
from contracts.result import Outcome as ResultOutcome
from worker.core.overview import Standing
from worker.core.states import State, Transition
from worker.core.verdict import Outcome


class LaneState(StrEnum):
    """Whether a provider is asked."""

    OPEN = "open"  # creates run
    BROKEN = "broken"  # the breaker is open after an outage
    TRYING = "trying"  # the probe succeeded; one create is let through
    ASKED_TO_WAIT = (
        "asked_to_wait"  # the provider asked us to come back later, and its queue is let go so long
    )
    PAUSED_BY_OPERATOR = "paused_by_operator"
    PAUSED_BY_CREDENTIALS = "paused_by_credentials"


@dataclass(frozen=True, slots=True)
class Received:
    """A valid request was taken from a queue; `novelty` is new, same or conflict.

    Attributes:
        request_event_id: Id of the event by which its sender asked.
        traceparent: Of its sender's trace.
    """

    provider: str
    content_mode: str
    novelty: str
    request_id: str
    idempotency_key: str
    request_event_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Buried:
    """A message became a dead letter."""

    dead_letter_id: str
    provider: str | None
    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class Began:
    """A slot of a provider began to work on a request."""

    provider: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """That slot is free again."""

    provider: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Called:
    """One call of a provider ended; `operation` is prepare, create, look_up or probe; `result` a closed word."""

    provider: str
    operation: str
    result: str
    seconds: float
    request_id: str | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A request took a transition, durably."""

    provider: str
    request_id: str
    idempotency_key: str
    transition: Transition
    enters: State
    reason: ReasonCode | None
    attempt: int
    due_in: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A result was recorded; `seconds` since the request was received, or let run again by an operator."""

    provider: str
    request_id: str
    outcome: ResultOutcome
    reason: ReasonCode
    seconds: float
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class StrayAccount:
    """An answer named an account that its request has no place for any more: it may be paid and belong to nobody."""

    provider: str
    request_id: str
    account_id: str


@dataclass(frozen=True, slots=True)
class Published:
    """A result event about a request or a dead letter was confirmed by the broker, or not."""

    subject_id: str
    event_id: str
    event_type: str
    confirmed: bool
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LaneChanged:
    """A provider is asked, or not, from now on."""

    provider: str
    state: LaneState
    detail: str


@dataclass(frozen=True, slots=True)
class BrokerChanged:
    """A connection to RabbitMQ came up or went down; `connection` is consume or publish."""

    connection: str
    up: bool
    detail: str = ""


class QueueState(StrEnum):
    """Whether a queue is consumed here."""

    CONSUMED = "consumed"
    CLOSED = "closed"  # on purpose: its provider is not asked, or the ledger fails
    NOT_SERVED = "not_served"  # it should be consumed, and RabbitMQ, though connected, does not serve it


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """A queue is consumed, or not, from now on."""

    queue: str
    state: QueueState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class QueueRestored:
    """A queue that was consumed was gone and is made anew: what had waited in it is lost."""

    queue: str


@dataclass(frozen=True, slots=True)
class TopologyUncompared:
    """Exchanges and queues are there and may be other ones than wanted: this user is not told. `what` is sentences."""

    what: tuple[str, ...]
    remedy: str


@dataclass(frozen=True, slots=True)
class LedgerChanged:
    """The ledger takes writes, or fails or hangs: then intake stops. Told with the first sign of life and each turn."""

    well: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rescued:
    """Rows left sending by a dead worker are in doubt now."""

    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The clock where the ledger lies was set: the worker's own is that far behind it now, or with a minus ahead."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Counted:
    """What stands in the ledger at this moment."""

    standings: Sequence[Standing]


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The verb of a delivery did not reach RabbitMQ, which hands the message over again."""

    verb: str
    queue: str
    detail: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Surprised:
    """Something that should not happen did and was survived; `where` names the loop or the step."""

    where: str
    error: BaseException
    request_id: str | None = None
    message_id: str | None = None


Fact = (
    Received | Buried | Began | Ended | Called | Moved | Finished | StrayAccount | Published
    | LaneChanged | BrokerChanged | QueueChanged | QueueRestored | TopologyUncompared | LedgerChanged | Rescued
    | ClockStepped | Counted | Unsettled | Surprised
)  # fmt: skip


class Observer(Protocol):
    """Listens. Must neither block nor raise."""

    def tell(self, fact: Fact) -> None:
        """Take note of one fact."""
        ...


class Observers:
    """Several listeners as one."""

    def __init__(self, *listeners: Observer) -> None:
        self._listeners = listeners

    def tell(self, fact: Fact) -> None:
        """Tell every listener, in order."""
        for listener in self._listeners:
            listener.tell(fact)

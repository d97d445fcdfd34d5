"""Why a request stands where it stands: one closed catalogue of codes.

The same codes appear in result events, logs, metrics, the command line and the documents. A code, once
published, keeps its meaning; new ones may be added within a major version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from types import MappingProxyType
from typing import Final

from contracts.reason_texts import TEXTS, Retried


class ReasonCode(StrEnum):
    """Every code there is, grouped by who or what caused it."""

    # The contract: the request could not be taken as it came.
    NOT_UTF8 = auto()
    NOT_JSON = auto()
    TOO_LARGE = auto()
    TOO_DEEP = auto()
    DUPLICATE_JSON_KEY = auto()
    NOT_FINITE_NUMBER = auto()
    INVALID_ENVELOPE = auto()
    INVALID_DATA = auto()
    UNKNOWN_PROVIDER = auto()
    PROVIDER_NOT_CONFIGURED = auto()
    INVALID_PARAMETERS = auto()
    IDEMPOTENCY_CONFLICT = auto()

    # Policy: the worker decided not to ask the provider.
    NO_CONSUMER_KEY = auto()
    DEADLINE_PASSED = auto()
    DRY_RUN_PASSED = auto()

    # The provider said no, or was never reached: nothing was created.
    PROVIDER_VALIDATION = auto()
    NAME_TAKEN = auto()
    VERIFICATION_REQUIRED = auto()
    CREDENTIALS_REFUSED = auto()
    PERMISSION_REFUSED = auto()
    ENDPOINT_MISSING = auto()
    REDIRECTED = auto()
    RATE_LIMITED = auto()
    UNREACHABLE = auto()
    TOKEN_REFUSED = auto()
    TOKEN_UNAVAILABLE = auto()
    PROVIDER_BUSY = auto()

    # In doubt: the account may exist.
    NO_ANSWER = auto()
    CONNECTION_LOST = auto()
    GARBLED_ANSWER = auto()
    UNREADABLE_ANSWER = auto()
    ANSWER_TOO_LARGE = auto()
    SERVER_ERROR = auto()
    UNEXPECTED_STATUS = auto()
    CONFLICT_AT_PROVIDER = auto()
    WORKER_DIED = auto()

    # Resolving: how the doubt, or the request, ended.
    FOUND_BY_LOOK_UP = auto()
    CONFIRMED_ABSENT = auto()
    LOOK_UP_AMBIGUOUS = auto()
    LOOK_UP_UNSUPPORTED = auto()
    LOOK_UP_EXHAUSTED = auto()
    ACCOUNT_CLAIMED_ELSEWHERE = auto()
    CREDENTIALS_LOST = auto()
    ATTEMPTS_EXHAUSTED = auto()
    CREATED = auto()
    CREATED_LATE = auto()

    # An operator's word.
    RESOLVED_BY_OPERATOR = auto()
    DECLARED_NOT_CREATED = auto()
    ABANDONED_BY_OPERATOR = auto()
    REPLAYED_BY_OPERATOR = auto()

    # The worker itself.
    INTERNAL_ERROR = auto()


@dataclass(frozen=True, slots=True)
class Reason:
    """One entry of the catalogue."""

    code: ReasonCode
    meaning: str
    """What happened, in one or two sentences."""
    retried: Retried
    what_to_do: str
    """The next step for the publisher or the operator, whoever can take it."""


CATALOGUE: Final[Mapping[ReasonCode, Reason]] = MappingProxyType(
    {code: Reason(code, *TEXTS[code]) for code in ReasonCode}
)
"""The entry of every code, in the order of `ReasonCode`."""

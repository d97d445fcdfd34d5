"""What became of a create: the three verdicts, the moments seen on the wire, and the outcome they make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from pydantic import JsonValue, SecretStr

from contracts.reason import ReasonCode


class Verdict(StrEnum):
    """Whether the account exists. There is no fourth answer, and the default is in doubt."""

    NOT_DONE = "not_done"
    DONE = "done"
    IN_DOUBT = "in_doubt"


class Moment(IntEnum):
    """The last thing that was seen on the wire of one exchange; later moments have larger numbers.

    Up to and including CONNECTING no byte of the request can have reached the provider.
    From HEADERS_SENT on it may have acted.
    """

    PREPARING = 0
    CONNECTING = 1
    HEADERS_SENT = 2
    REQUEST_SENT = 3
    STATUS_READ = 4
    ANSWER_READ = 5


class Effect(StrEnum):
    """What an answer says about the provider itself, beside the one request."""

    NONE = "none"
    LIMIT = "limit"  # too fast: everybody waits, no attempt is used up
    OUTAGE = "outage"  # counts towards opening the breaker
    PAUSE = "pause"  # our credentials or configuration are refused: the provider is paused, everybody waits


@dataclass(frozen=True, slots=True)
class Created:
    """An account that exists.

    Attributes:
        account_id: The provider's id as text.
        account: Facts that are not secret, as the contract's Account model dumps them.
        secrets: Credentials in clear, by name; they live only until they are encrypted.
        missing: Names of credentials that the provider issued and nobody has.
    """

    account_id: str
    account: Mapping[str, JsonValue]
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one attempt, with what it rests on.

    Attributes:
        verdict: Done, not done or in doubt.
        reason: Code of the closed catalogue.
        rule_id: The rule that decided, such as ``phone_com.422``.
        moment: The last thing seen on the wire.
        retry: For not done: whether the same request may succeed later.
        effect: What it says about the provider itself.
        status: HTTP status, where one was read.
        error_id: The provider's own error id, shortened and cleaned.
        message: The provider's own words, shortened, cleaned, without secrets.
        wait: Seconds the provider asked us to wait.
        created: The account, when the verdict is done and its id is known.
    """

    verdict: Verdict
    reason: ReasonCode
    rule_id: str
    moment: Moment
    retry: bool = False
    effect: Effect = Effect.NONE
    status: int | None = None
    error_id: str | None = None
    message: str | None = None
    wait: float | None = None
    created: Created | None = None

"""The four result events: structured CloudEvents 1.0 that say what became of a request.

Readers take `read_result` and ignore fields they do not know. Of the worker's own making each event
carries every field of its data, null where there is nothing to say; the optional CloudEvents attributes
are left out when unset (`as_wire`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, StrictBool, StrictInt, WithJsonSchema

from contracts.model import OpenModel
from contracts.reason import ReasonCode
from contracts.text import Timestamp, UriReference, is_provider_name


class Outcome(StrEnum):
    """What became of a request; also the last word of the routing key."""

    PROVISIONED = "provisioned"
    REJECTED = "rejected"
    HELD = "held"
    ABANDONED = "abandoned"


class Evidence(StrEnum):
    """How the worker knows that the account exists."""

    ANSWER = "answer"
    """The provider's own answer to the create."""
    LATE_ANSWER = "late_answer"
    """The provider's answer, which arrived after the request had been put in doubt."""
    LOOK_UP = "look_up"
    """A read at the provider that found the account."""
    OPERATOR = "operator"
    """The word of a named person."""


PROVISIONED_TYPE: Final = "account.provisioned.v1"
REJECTED_TYPE: Final = "account.rejected.v1"
HELD_TYPE: Final = "account.held.v1"
ABANDONED_TYPE: Final = "account.abandoned.v1"

RESULT_CONTENT_TYPE: Final = "application/cloudevents+json"
"""The AMQP content type of every result event."""

UNKNOWN_PROVIDER: Final = "unknown"
"""Stands for the provider in a routing key when it could not be read from the request."""


def routing_key(provider: str | None, outcome: Outcome) -> str:
    """Give the routing key of a result on the exchange `provisioning.results`.

    A provider that could not be read, or whose text is no name (and so might forge words of the key),
    becomes `unknown`.
    """
    named = provider is not None and is_provider_name(provider)
    return f"result.{provider if named else UNKNOWN_PROVIDER}.{outcome}"


def schema_urn(event_type: str) -> str:
    """Give the stable address of the JSON Schema of an event type; it stands in `dataschema`."""
    return f"urn:provisioner:schema:{event_type}"


_Code = Annotated[
    ReasonCode | str,
    Field(union_mode="left_to_right"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[a-z][a-z0-9_]*$",
            "description": "A code of the reason catalogue. The catalogue may grow within a major version.",
        }
    ),
]


class Problem(OpenModel):
    """One thing that is wrong in a request."""

    pointer: str = Field(
        description=(
            "JSON pointer (RFC 6901) to the place in the message's body, `/<attribute>` for an attribute also where it "
            "came as a header or a property; empty for the whole. A step `?` is a name that is not repeated."
        )
    )
    message: str = Field(description="What is wrong, in words; never holds the value that was sent.")


class ReasonGiven(OpenModel):
    """Why a request ended as it did."""

    code: _Code
    message: str = Field(description="The reason in words, for a person; its wording may change at any time.")


class ProviderError(OpenModel):
    """What the provider answered when it refused; without any secret and cut to a sane length."""

    status: StrictInt | None = Field(description="HTTP status, null when no status line was read.")
    id: str | None = Field(description="The provider's own error id or code.")
    message: str | None = Field(description="The provider's own words.")


class ResultEnvelope(OpenModel):
    """The CloudEvents attributes of a result."""

    # The optional attributes are absent rather than null, so they are not required of a reader.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    specversion: Literal["1.0"] = Field(description="Version of CloudEvents.")
    id: UUID = Field(
        description="Derived from the request and the outcome: the same event always has the same id."
    )
    source: UriReference = Field(description="The deployment that answers.")
    type: str = Field(description="What happened, with the major version of the wire.")
    subject: str | None = Field(default=None, description="The request's subject, else its idempotency key.")
    time: Timestamp = Field(description="When the outcome was recorded, not when it was published.")
    datacontenttype: Literal["application/json"] = Field(description="Media type of `data`.")
    dataschema: str = Field(description="Stable address of the JSON Schema of this event type.")
    correlationid: str | None = Field(default=None, description="The request's correlationid, else its id.")
    causationid: str | None = Field(default=None, description="The id of the request event.")
    traceparent: str | None = Field(default=None, description="W3C trace context, copied from the request.")
    tracestate: str | None = Field(default=None, description="W3C trace state, copied from the request.")
    dataclassification: Literal["confidential"] | None = Field(
        default=None, description="Set when the data holds credentials, encrypted as they are."
    )


class _Recorded(OpenModel):
    request_id: str = Field(description="The worker's own number for the request; operators search by it.")
    dry_run: StrictBool = Field(description="True when the request asked that nothing be opened.")
    recorded_at: Timestamp = Field(description="When the outcome was recorded.")


class _Identified(_Recorded):
    request_source: str = Field(description="The request's `source`.")
    idempotency_key: str = Field(description="The request's idempotency key.")
    provider: str = Field(description="The provider that was asked for.")


class ProvisionedData(_Identified):
    """The account exists. Final; it may also follow a rejected or an abandoned event of the same request."""

    outcome: Literal[Outcome.PROVISIONED] = Field(description="What became of the request.")
    account_id: str = Field(
        description="The provider's id of the account, as text; never empty.", min_length=1
    )
    account: Mapping[str, JsonValue] = Field(
        description=(
            "The provider's own facts about the account, nothing secret; their JSON Schema is "
            "`<provider>.account.v1.json`. Of an account that an operator named it holds what was asked, and null for "
            "what nobody knows."
        )
    )
    credentials: str | None = Field(
        description=(
            "The account's secrets as one JWE for the consumer's key; null when there are none to hand over."
        )
    )
    credentials_missing: tuple[str, ...] = Field(
        description="Names of secrets that the provider issued but nobody has; usually empty."
    )
    evidence: Evidence = Field(description="How the worker knows that the account exists.")


class RejectedData(_Recorded):
    """Refused; by all that was seen nothing was opened. Final, unless an operator reopens or resolves it."""

    request_source: str | None = Field(description="The request's `source`, null when it could not be read.")
    idempotency_key: str | None = Field(description="The idempotency key, null when it could not be read.")
    provider: str | None = Field(description="The provider asked for, null when it could not be read.")
    outcome: Literal[Outcome.REJECTED] = Field(description="What became of the request.")
    reason: ReasonGiven = Field(description="Why.")
    problems: tuple[Problem, ...] = Field(
        description="Every thing that is wrong in the request; may be empty."
    )
    provider_error: ProviderError | None = Field(
        description="The provider's refusal, null when it was not asked."
    )


class HeldData(_Identified):
    """A person must look; the account may exist. Not final: another event follows."""

    outcome: Literal[Outcome.HELD] = Field(description="What became of the request so far.")
    reason: ReasonGiven = Field(description="Why a person must look.")
    since: Timestamp = Field(description="Since when the request has been held.")
    account_id: str | None = Field(
        description="The account's id when it is known to exist with something missing."
    )


class AbandonedData(_Identified):
    """An operator closed it; an account may be left. Final, unless an operator reopens or resolves it."""

    outcome: Literal[Outcome.ABANDONED] = Field(description="What became of the request.")
    reason: ReasonGiven = Field(description="Why.")
    account_id: str | None = Field(
        description="Id of the account that is left at the provider; null when none is known."
    )
    account_may_exist: StrictBool = Field(
        description=(
            "Whether an account may be left at the provider, known or not. False only where nothing was sent, or "
            "it was proven or stated by a named person that nothing was created."
        )
    )
    note: str | None = Field(description="What the operator wrote when closing it.")


class AccountProvisioned(ResultEnvelope):
    """Event: the account exists."""

    type: Literal["account.provisioned.v1"] = Field(description="What happened.")
    data: ProvisionedData


class AccountRejected(ResultEnvelope):
    """Event: the request was refused, and by all that was seen nothing was opened."""

    type: Literal["account.rejected.v1"] = Field(description="What happened.")
    data: RejectedData


class AccountHeld(ResultEnvelope):
    """Event: a person must look before the request can end."""

    type: Literal["account.held.v1"] = Field(description="What happened.")
    data: HeldData


class AccountAbandoned(ResultEnvelope):
    """Event: an operator closed the request."""

    type: Literal["account.abandoned.v1"] = Field(description="What happened.")
    data: AbandonedData


ResultEvent: TypeAlias = AccountProvisioned | AccountRejected | AccountHeld | AccountAbandoned

EVENT_MODELS: Final[Mapping[str, type[ResultEvent]]] = {
    PROVISIONED_TYPE: AccountProvisioned,
    REJECTED_TYPE: AccountRejected,
    HELD_TYPE: AccountHeld,
    ABANDONED_TYPE: AccountAbandoned,
}
"""The model of each event type."""

TYPE_OF_OUTCOME: Final[Mapping[Outcome, str]] = {
    Outcome.PROVISIONED: PROVISIONED_TYPE,
    Outcome.REJECTED: REJECTED_TYPE,
    Outcome.HELD: HELD_TYPE,
    Outcome.ABANDONED: ABANDONED_TYPE,
}
"""The event type that tells of each outcome."""


def read_result(body: Mapping[str, Any]) -> ResultEvent:
    """Read a structured result event from its parsed JSON.

    Raises:
        LookupError: the event's type is none of the four; a reader should pass such an event by.
        pydantic.ValidationError: the event breaks its contract.
    """
    event_type = body.get("type")
    if not isinstance(event_type, str) or event_type not in EVENT_MODELS:
        raise LookupError("this is not a result event of a type known here")
    return EVENT_MODELS[event_type].model_validate(body)


def as_wire(event: ResultEvent) -> dict[str, JsonValue]:
    """Give `event` as the JSON data to publish: unset CloudEvents attributes left out, `data` complete."""
    return {name: value for name, value in event.model_dump(mode="json").items() if value is not None}

"""A provisioning request: CloudEvents 1.0 attributes around closed data.

It is read in two stages. `RequestContext` and `RequestData` are common to all providers and leave
`parameters` raw; the model of the named provider (`contracts.providers`) then reads those. So there is no
central list of providers to extend. `ProvisionRequest` is both stages in one, for publishers and the schema.
"""

import re
from datetime import datetime
from typing import Annotated, Final, Generic, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue

from contracts.model import ClosedModel, OpenModel
from contracts.text import Line, ProviderName, Timestamp, UriReference

REQUEST_TYPE: Final = "account.requested.v1"
"""The CloudEvents type of every request."""

REQUEST_CONTENT_TYPE: Final = "application/cloudevents+json"
"""The AMQP content type of a request in structured form."""

ParametersT = TypeVar("ParametersT")


def request_routing_key(provider: str) -> str:
    """Give the routing key under which a request for `provider` is published to `provisioning.requests`."""
    return f"request.{provider}"


def _json_media_type(value: object) -> object:
    if not isinstance(value, str):
        return value
    media_type = value.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise ValueError("must be application/json, or be left out")
    return value


def _trace_or_nothing(pattern: str) -> BeforeValidator:
    """Drop trace context that breaks its format, as W3C asks; a request is never refused over it."""
    shape = re.compile(pattern)
    return BeforeValidator(
        lambda value: None if isinstance(value, str) and not shape.fullmatch(value) else value
    )


Traceparent = Annotated[
    str | None,
    _trace_or_nothing(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"),
]
Tracestate = Annotated[str | None, _trace_or_nothing(r"[\x20-\x7e]{1,512}")]


class RequestContext(OpenModel):
    """The CloudEvents attributes of a request; unknown extensions are ignored, null means absent."""

    model_config = ConfigDict(strict=True, json_schema_serialization_defaults_required=False)

    specversion: Literal["1.0"] = Field(description="Version of CloudEvents.")
    id: Line = Field(description="The request's own id, unique within `source`. Echoed as `causationid`.")
    source: UriReference = Field(
        description="Who asks. Together with `data.idempotency_key` it is the identity of the request."
    )
    type: Literal["account.requested.v1"] = Field(
        description="What is asked, with the major version of the wire."
    )
    subject: Line | None = Field(
        default=None, description="The publisher's own reference; echoed as the result's `subject`."
    )
    time: Timestamp | None = Field(default=None, description="When the request was made.")
    datacontenttype: Annotated[Line | None, BeforeValidator(_json_media_type)] = Field(
        default=None, description="Media type of `data`: application/json, also when left out."
    )
    dataschema: UriReference | None = Field(
        default=None, description="Address of the schema of `data`; not fetched."
    )
    correlationid: Line | None = Field(
        default=None, description="Ties messages of one business process together; the result carries it on."
    )
    causationid: Line | None = Field(
        default=None, description="The id of the message that led to this request."
    )
    traceparent: Traceparent = Field(
        default=None, description="W3C trace context of the request's start; a malformed one is dropped."
    )
    tracestate: Tracestate = Field(default=None, description="W3C trace state; a malformed one is dropped.")
    expirytime: Timestamp | None = Field(
        default=None, description="After this moment nothing is sent to a provider; see `data.deadline`."
    )


class TypedRequestData(ClosedModel, Generic[ParametersT]):
    """The data of a request whose `parameters` have the type `ParametersT`."""

    idempotency_key: Line = Field(
        description=(
            "The same key from the same `source` never opens a second account. Derive it from the order."
        )
    )
    provider: ProviderName = Field(description="Where the account is opened.")
    parameters: ParametersT = Field(description="What that provider asks for.", repr=False)
    dry_run: bool = Field(
        default=False,
        description=(
            "Check everything and open nothing; uses the provider's own test mode where there is one."
        ),
    )
    deadline: Timestamp | None = Field(
        default=None,
        description=(
            "After this moment nothing is sent to a provider. The earlier of this and `expirytime` counts."
        ),
    )


class RequestData(TypedRequestData[dict[str, JsonValue]]):
    """The data of a request, `parameters` still raw; they may hold a password, so `repr` omits them."""


class ProvisionRequest(RequestContext, Generic[ParametersT]):
    """A whole request in structured form, with the parameters of one provider."""

    data: TypedRequestData[ParametersT] = Field(description="What is asked.")


def effective_deadline(context: RequestContext, data: TypedRequestData[ParametersT]) -> datetime | None:
    """Give the moment in UTC after which nothing may be sent to a provider, or None when there is none."""
    return min((moment for moment in (context.expirytime, data.deadline) if moment is not None), default=None)

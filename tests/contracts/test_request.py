"""Reading the part of a request that all providers share."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from contracts.examples import messages
from contracts.request import RequestContext, RequestData, effective_deadline, request_routing_key
from contracts.schemas import schemas

GOLDEN: Any = messages()["account.requested.v1.gateway360"]
CONTEXT = {name: value for name, value in GOLDEN.items() if name != "data"}
DATA = GOLDEN["data"]

REFUSED_CONTEXT = [
    ({"specversion": "0.3"}, "another version of CloudEvents"),
    ({"specversion": 1.0}, "a number for a text"),
    ({"type": "account.requested.v2"}, "a major version that is not read here"),
    ({"id": ""}, "an empty id"),
    ({"id": 7}, "a number for an id"),
    ({"id": "x" * 201}, "an id of 201 characters"),
    ({"id": "a\x00b"}, "a control character"),
    ({"id": None}, "null for a required attribute"),
    ({"source": ""}, "an empty source"),
    ({"source": "two words"}, "a space, which no URI has"),
    ({"source": "s" * 501}, "a source of 501 characters"),
    ({"source": "shöp"}, "a character beyond ASCII, which no URI has"),
    ({"subject": 5}, "a number for a text"),
    ({"subject": " padded"}, "white space at the end of a text"),
    ({"time": 1768469400}, "a number of which nobody knows the unit"),
    ({"time": "2026-01-15T09:30:00"}, "a time without a zone"),
    ({"time": "2026-01-15"}, "a date without a time"),
    ({"time": "2026-02-30T09:30:00Z"}, "a day that does not exist"),
    ({"time": "2026-01-15T09:30:60Z"}, "a leap second, which Python's clock does not know"),
    ({"time": "0001-01-01T00:00:00+14:00"}, "a moment before the first year in UTC"),
    ({"time": True}, "a boolean for a time"),
    ({"datacontenttype": "application/xml"}, "data that is no JSON"),
    ({"datacontenttype": 1}, "a number for a media type"),
    ({"correlationid": ["a"]}, "a list for a text"),
    ({"traceparent": 1}, "a number for a text"),
    ({"expirytime": "soon"}, "words for a time"),
]

REFUSED_DATA = [
    ({"idempotency_key": ""}, "an empty key"),
    ({"idempotency_key": "   "}, "a blank key"),
    ({"idempotency_key": "key "}, "white space at the end"),
    ({"idempotency_key": "a\nb"}, "a line break"),
    ({"idempotency_key": "k" * 201}, "201 characters"),
    ({"idempotency_key": 1001}, "a number for a text"),
    ({"idempotency_key": "a\ud800"}, "half of a surrogate pair"),
    ({"idempotency_key": "a\u202eb"}, "a mark that reverses the text on screen"),
    ({"provider": "Gateway360"}, "upper case in a name"),
    ({"provider": "a.b"}, "a dot, which would forge a word of the routing key"),
    ({"provider": "#"}, "a wildcard of routing keys"),
    ({"provider": None}, "null for a required field"),
    ({"parameters": []}, "a list for an object"),
    ({"parameters": None}, "null for a required object"),
    ({"parameters": "{}"}, "JSON within JSON"),
    ({"dry_run": 1}, "1 for true"),
    ({"dry_run": "false"}, "a text for a boolean"),
    ({"dry_run": None}, "null for a boolean"),
    ({"deadline": 1768469400}, "a number for a time"),
    ({"deadline": "2026-01-15T09:30:00"}, "a time without a zone"),
    ({"priority": 1}, "a field that is not known"),
    ({"Dry_run": True}, "a known field in other letters"),
]


@pytest.mark.parametrize(("change", "reason"), REFUSED_CONTEXT, ids=[reason for _, reason in REFUSED_CONTEXT])
def test_a_wrong_attribute_is_refused(change: dict[str, object], reason: str) -> None:
    """An attribute of the wrong type or form is an error and is never converted."""
    with pytest.raises(ValidationError):
        RequestContext.model_validate(CONTEXT | change)


@pytest.mark.parametrize(("change", "reason"), REFUSED_DATA, ids=[reason for _, reason in REFUSED_DATA])
def test_a_wrong_field_of_data_is_refused(change: dict[str, object], reason: str) -> None:
    """A common field of the wrong type or form, or an unknown one, is an error."""
    with pytest.raises(ValidationError):
        RequestData.model_validate(DATA | change)


TIMES = [
    ("2026-01-15T09:30:00Z", True, "the usual form"),
    ("2026-01-15t09:30:00.123456789+05:45", True, "a small t, nine digits, an odd zone"),
    ("2026-01-15T09:30Z", False, "no seconds"),
    ("2026-01-15T09:30:00.1234567890Z", False, "ten digits"),
    ("2026-01-15T09:30:00", False, "no zone"),
    ("2026-01-15 09:30:00Z", False, "a space between"),
    ("2026-01-15T23:59:60Z", False, "a leap second"),
    ("2026-01-15T24:00:00Z", False, "hour 24"),
    ("2026-13-15T09:30:00Z", False, "month 13"),
]


@pytest.mark.parametrize(("text", "valid", "reason"), TIMES, ids=[reason for *_, reason in TIMES])
def test_schema_and_model_agree_on_what_a_time_is(text: str, *, valid: bool, reason: str) -> None:
    """A publisher who validates by the schema is not surprised by the worker."""
    wanted = {**GOLDEN, "data": {**DATA, "deadline": text}}
    assert Draft202012Validator(schemas()["account.requested.v1"]).is_valid(wanted) == valid, reason
    try:
        RequestData.model_validate(wanted["data"])
    except ValidationError:
        assert not valid, reason
    else:
        assert valid, reason


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_an_attribute_that_cloudevents_requires_may_not_be_missing(name: str) -> None:
    """Without the four required attributes there is no event."""
    with pytest.raises(ValidationError):
        RequestContext.model_validate({key: value for key, value in CONTEXT.items() if key != name})


@pytest.mark.parametrize("name", ["idempotency_key", "provider", "parameters"])
def test_a_required_field_of_data_may_not_be_missing(name: str) -> None:
    """Nothing that decides what is opened has a default."""
    with pytest.raises(ValidationError):
        RequestData.model_validate({key: value for key, value in DATA.items() if key != name})


def test_unknown_extension_attributes_are_ignored() -> None:
    """CloudEvents allows extensions that a reader does not know."""
    assert RequestContext.model_validate(CONTEXT | {"partitionkey": "7"}) == RequestContext.model_validate(
        CONTEXT
    )


def test_an_attribute_that_is_null_is_unset() -> None:
    """CloudEvents lets a writer encode an unset attribute as null."""
    assert RequestContext.model_validate(CONTEXT | {"subject": None, "time": None}).subject is None


def test_times_are_held_in_utc() -> None:
    """Whatever the zone, the moment is the same and its zone is UTC."""
    context = RequestContext.model_validate(CONTEXT | {"time": "2026-01-15t10:30:00.5+01:00"})
    assert context.time == datetime(2026, 1, 15, 9, 30, 0, 500_000, tzinfo=UTC)
    assert context.time.tzinfo is UTC


def test_a_time_given_by_code_is_converted_to_utc_and_needs_a_zone() -> None:
    """A model built in Python takes an aware moment of any zone and refuses a naive one."""
    berlin = timezone(timedelta(hours=1))
    data = RequestData.model_validate(DATA | {"deadline": datetime(2026, 1, 15, 10, 30, tzinfo=berlin)})
    assert data.deadline == datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    with pytest.raises(ValidationError):
        RequestData.model_validate(DATA | {"deadline": datetime(2026, 1, 15, 10, 30)})  # noqa: DTZ001 - the point


@pytest.mark.parametrize(
    ("traceparent", "reason"),
    [
        ("00-0123456789abcdef0123456789abcdef-0123456789abcdef", "too short"),
        ("ff-0123456789abcdef0123456789abcdef-0123456789abcdef-01", "a forbidden version"),
        ("00-00000000000000000000000000000000-0123456789abcdef-01", "a trace id of zeros"),
        ("00-0123456789abcdef0123456789abcdef-0000000000000000-01", "a parent id of zeros"),
        ("nonsense", "no trace context at all"),
    ],
)
def test_malformed_trace_context_is_dropped_and_the_request_read(traceparent: str, reason: str) -> None:
    """W3C asks to ignore it; a paid account is not refused over a trace."""
    assert RequestContext.model_validate(CONTEXT | {"traceparent": traceparent}).traceparent is None


def test_valid_trace_context_is_kept() -> None:
    """The trace of the request's start travels on to its result."""
    context = RequestContext.model_validate(CONTEXT | {"tracestate": "vendor=1"})
    assert (context.traceparent, context.tracestate) == (CONTEXT["traceparent"], "vendor=1")


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
def test_any_json_media_type_is_taken(media_type: str) -> None:
    """Media types are compared as their standard says: in any letters, with parameters."""
    assert (
        RequestContext.model_validate(CONTEXT | {"datacontenttype": media_type}).datacontenttype == media_type
    )


EARLY = "2026-01-15T10:00:00Z"
LATE = "2026-01-15T11:00:00Z"


@pytest.mark.parametrize(
    ("expirytime", "deadline", "expected", "reason"),
    [
        (None, None, None, "neither is given"),
        (EARLY, None, EARLY, "only the attribute"),
        (None, EARLY, EARLY, "only the field"),
        (EARLY, LATE, EARLY, "the attribute is earlier"),
        (LATE, EARLY, EARLY, "the field is earlier"),
    ],
)
def test_the_earlier_deadline_counts(
    expirytime: str | None, deadline: str | None, expected: str | None, reason: str
) -> None:
    """Of the two ways to limit a request in time, neither may loosen the other."""
    context = RequestContext.model_validate(CONTEXT | {"expirytime": expirytime})
    data = RequestData.model_validate(DATA | {"deadline": deadline})
    moment = None if expected is None else datetime.fromisoformat(expected)
    assert effective_deadline(context, data) == moment


def test_raw_parameters_do_not_show_in_a_repr() -> None:
    """The raw parameters may hold a password, so neither repr nor str shows them."""
    data = RequestData.model_validate(DATA | {"parameters": {"password": "canary-secret"}})
    assert "canary-secret" not in f"{data!r} {data}"


def test_a_request_is_frozen() -> None:
    """What was read cannot be changed on its way."""
    data = RequestData.model_validate(DATA)
    with pytest.raises(ValidationError):
        data.dry_run = True  # type: ignore[misc] # the point


def test_the_routing_key_of_a_request_names_its_provider() -> None:
    """Publishers and queues agree on the key."""
    assert request_routing_key("gateway360") == "request.gateway360"

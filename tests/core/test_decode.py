"""Which bytes are a request, which are refused, and why."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.reason import ReasonCode
from worker.core.broker import Message
from worker.core.decode import Decoded, Limits, Refusal, decode

LIMITS = Limits()
DATA: dict[str, Any] = {
    "idempotency_key": "order-1",
    "provider": "phone_com",
    "parameters": {"a": [1, None, "ü"]},
}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "urn:shop",
    "type": "account.requested.v1",
}


def structured(body: bytes, content_type: str = "application/cloudevents+json; charset=utf-8") -> Message:
    """A message in structured form with just this body."""
    return Message(body=body, queue="q", content_type=content_type)


def refused(message: Message, limits: Limits = LIMITS) -> Refusal:
    """The refusal of a message that must be refused."""
    found = decode(message, limits)
    assert isinstance(found, Refusal), found
    return found


HOSTILE = [
    (b"\xff\xfe\x00", ReasonCode.NOT_UTF8, "bytes that are no UTF-8"),
    (b'{"a": "\\ud800"}', ReasonCode.NOT_UTF8, "half a surrogate pair is no text"),
    (b"", ReasonCode.NOT_JSON, "an empty body"),
    (b"account please", ReasonCode.NOT_JSON, "plain text"),
    (b'{"a": 1', ReasonCode.NOT_JSON, "cut JSON"),
    (b'{"a": ' + b"9" * 5000 + b"}", ReasonCode.NOT_JSON, "an integer longer than Python reads"),
    (b'{"a": NaN}', ReasonCode.NOT_FINITE_NUMBER, "NaN is no JSON"),
    (b'{"a": -Infinity}', ReasonCode.NOT_FINITE_NUMBER, "Infinity is no JSON"),
    (b'{"a": 1e999}', ReasonCode.NOT_FINITE_NUMBER, "a number that overflows"),
    (b"[" * 10_000 + b"]" * 10_000, ReasonCode.TOO_DEEP, "10,000 levels, the parser gives up"),
    (b"[" * 200 + b"]" * 200, ReasonCode.TOO_DEEP, "200 levels, the parser does not"),
    (b'{"a": 1, "a": 2}', ReasonCode.DUPLICATE_JSON_KEY, "which of the two would count?"),
    (b'{"data": {"a": 1, "a": 1}}', ReasonCode.DUPLICATE_JSON_KEY, "also inside, also when equal"),
    (b" " * (10 * 1024 * 1024), ReasonCode.TOO_LARGE, "10 MiB"),
    (b"[]", ReasonCode.INVALID_DATA, "no object"),
    (b'"text"', ReasonCode.INVALID_DATA, "no object"),
    (b"null", ReasonCode.INVALID_DATA, "no object"),
]


@pytest.mark.parametrize(("body", "reason", "why"), HOSTILE, ids=[why for _, _, why in HOSTILE])
def test_hostile_bodies_are_refused_with_a_reason(body: bytes, reason: ReasonCode, why: str) -> None:
    """Each hostile body is refused with the code that names what is wrong, and nothing raises."""
    assert refused(structured(body)).reason is reason, why


BROKEN = [
    ({"idempotency_key": None}, "/data/idempotency_key", "null instead of a key"),
    ({"idempotency_key": 5}, "/data/idempotency_key", "a number instead of a key"),
    ({"idempotency_key": "k" * 10_000}, "/data/idempotency_key", "a key of 10,000 characters"),
    ({"idempotency_key": ""}, "/data/idempotency_key", "an empty key"),
    ({"dry_run": 1}, "/data/dry_run", "1 is not true"),
    ({"dry_run": "true"}, "/data/dry_run", "text is not true"),
    ({"deadline": "tomorrow"}, "/data/deadline", "no time"),
    ({"deadline": "2026-01-01T00:00:00"}, "/data/deadline", "a time without a zone"),
    ({"parameters": []}, "/data/parameters", "a list instead of an object"),
    ({"unknown": 1}, "/data/unknown", "an unknown field"),
]


@pytest.mark.parametrize(("change", "pointer", "why"), BROKEN, ids=[why for _, _, why in BROKEN])
def test_broken_data_is_refused_and_pointed_at(change: Mapping[str, Any], pointer: str, why: str) -> None:
    """Broken data is refused with a JSON pointer to what is wrong."""
    body = json.dumps({**ENVELOPE, "data": {**DATA, **change}}).encode()
    refusal = refused(structured(body))
    assert refusal.reason is ReasonCode.INVALID_DATA, why
    assert pointer in [problem.pointer for problem in refusal.problems], why


@pytest.mark.parametrize("missing", ["idempotency_key", "provider", "parameters"])
def test_a_missing_field_is_refused(missing: str) -> None:
    """Every required field of the data is required."""
    data = {name: value for name, value in DATA.items() if name != missing}
    refusal = refused(structured(json.dumps({**ENVELOPE, "data": data}).encode()))
    assert refusal.reason is ReasonCode.INVALID_DATA
    assert f"/data/{missing}" in [problem.pointer for problem in refusal.problems]


@pytest.mark.parametrize("missing", ["id", "source", "type", "specversion"])
def test_a_missing_attribute_is_refused(missing: str) -> None:
    """Every required attribute of the envelope is required."""
    envelope = {name: value for name, value in ENVELOPE.items() if name != missing}
    refusal = refused(structured(json.dumps({**envelope, "data": DATA}).encode()))
    assert refusal.reason is ReasonCode.INVALID_ENVELOPE


def test_what_can_be_read_of_a_refused_request_is_kept() -> None:
    """The sender of a refused request can be answered: id, source, key, provider and correlation are read."""
    body = {**ENVELOPE, "correlationid": "c-1", "subject": "s-1", "data": {**DATA, "oops": 1}}
    readable = refused(structured(json.dumps(body).encode())).readable
    assert readable.event_id == "e-1"
    assert readable.source == "urn:shop"
    assert readable.idempotency_key == "order-1"
    assert readable.provider == "phone_com"
    assert readable.correlationid == "c-1"
    assert readable.subject == "s-1"


def test_a_refusal_never_repeats_the_values_that_were_sent() -> None:
    """Problems name places and rules, not the values: those may be secrets."""
    data = {**DATA, "dry_run": "canary-secret", "canary": "canary-secret"}
    refusal = refused(structured(json.dumps({**ENVELOPE, "data": data}).encode()))
    assert "canary-secret" not in repr(refusal)


def test_batches_are_refused() -> None:
    """A batch of CloudEvents is refused rather than half understood."""
    refusal = refused(structured(b"[]", "application/cloudevents-batch+json"))
    assert refusal.reason is ReasonCode.INVALID_ENVELOPE


def test_mixed_header_spellings_are_refused() -> None:
    """Headers in two spellings could say two things; neither is believed."""
    headers = {"ce-id": "1", "cloudEvents:id": "2"}
    refusal = refused(Message(body=json.dumps(DATA).encode(), queue="q", headers=headers))
    assert refusal.reason is ReasonCode.INVALID_ENVELOPE


TEXT = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("C", "Z")),
    min_size=1,
    max_size=40,
)
ASCII = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=20)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ASCII, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Any valid envelope and data."""
    time = draw(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
    envelope = {
        **ENVELOPE,
        "id": draw(TEXT),
        "source": "urn:" + draw(ASCII),
        "time": time.replace(microsecond=0, tzinfo=UTC).isoformat().replace("+00:00", "Z"),
        "correlationid": draw(TEXT),
        "subject": draw(TEXT),
        "expirytime": "2100-01-01T00:00:00Z",
    }
    data = {
        "idempotency_key": draw(TEXT),
        "provider": draw(ASCII),
        "parameters": draw(st.dictionaries(ASCII, JSON, max_size=4)),
        "dry_run": draw(st.booleans()),
    }
    return envelope, data


def five_forms(envelope: dict[str, Any], data: dict[str, Any]) -> dict[str, Message]:
    """The same request in every spelling."""
    body = json.dumps(data).encode()
    time = datetime.fromisoformat(envelope["time"])
    plain = Message(
        body=body,
        queue="q",
        content_type="application/json",
        message_id=envelope["id"],
        app_id=envelope["source"],
        correlation_id=envelope["correlationid"],
        type=envelope["type"],
        timestamp=time,
        headers={name: envelope[name] for name in ("subject", "expirytime")},
    )
    forms = {"structured": structured(json.dumps({**envelope, "data": data}).encode()), "plain": plain}
    for prefix in ("cloudEvents:", "cloudEvents_", "ce-"):
        headers = {f"{prefix}{name}": value for name, value in envelope.items()}
        if prefix == "ce-":
            headers = {name: value.encode() for name, value in headers.items()}  # some clients write bytes
        if prefix == "cloudEvents_":
            headers[f"{prefix}time"] = time  # and some native values
        forms[prefix] = Message(body=body, queue="q", content_type="application/json", headers=headers)
    return forms


@given(requests())
@settings(max_examples=150)
def test_the_five_forms_give_the_same_request(request_: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Structured, three binary spellings and plain JSON decode to the same context and the same data."""
    decoded = {name: decode(message, LIMITS) for name, message in five_forms(*request_).items()}
    contexts, datas = [], []
    for name, found in decoded.items():
        assert isinstance(found, Decoded), (name, found)
        contexts.append(found.context.model_copy(update={"datacontenttype": None}))
        datas.append(found.data)
    assert all(context == contexts[0] for context in contexts)
    assert all(data == datas[0] for data in datas)


@given(
    st.binary(max_size=300),
    st.sampled_from(["application/cloudevents+json", "application/json", None, "text/html"]),
)
@settings(max_examples=200)
def test_any_bytes_are_decoded_or_refused(body: bytes, content_type: str | None) -> None:
    """Whatever the bytes, the answer is a request or a refusal; nothing raises."""
    assert isinstance(
        decode(Message(body=body, queue="q", content_type=content_type), LIMITS), Decoded | Refusal
    )


@given(
    st.dictionaries(
        st.sampled_from(["ce-id", "ce-type", "cloudEvents:id", "source"]),
        st.one_of(
            st.text(max_size=5),
            st.binary(max_size=5),
            st.integers(),
            st.none(),
            st.lists(st.integers(), max_size=2),
        ),
    )
)
@settings(max_examples=100)
def test_any_headers_are_decoded_or_refused(headers: dict[str, object]) -> None:
    """Whatever the headers' types, the answer is a request or a refusal; nothing raises."""
    message = Message(body=json.dumps(DATA).encode(), queue="q", headers=headers)
    assert isinstance(decode(message, LIMITS), Decoded | Refusal)

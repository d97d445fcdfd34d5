"""Bytes from the queue to a valid request, or a refusal in words. Nothing here raises for anything in a message.

Five spellings are read and give the same request: structured CloudEvents, binary CloudEvents with the header prefixes
``cloudEvents:``, ``cloudEvents_`` and ``ce-``, and plain JSON with the AMQP properties as envelope.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, JsonValue, ValidationError

from contracts.problems import problems
from contracts.reason import ReasonCode
from contracts.request import REQUEST_TYPE, RequestContext, RequestData
from contracts.result import Problem
from worker.core.broker import Message

ContentMode = Literal["structured", "binary", "plain"]

_PREFIXES = ("cloudevents:", "cloudevents_", "ce-")
_PLAIN_HEADERS = ("source", "subject", "expirytime", "traceparent", "tracestate")
_READABLE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a message may be: bytes of the body, and levels of nesting in its JSON."""

    max_bytes: int = 1_048_576
    max_depth: int = 32


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request whose envelope and common data are valid; its parameters are still raw."""

    context: RequestContext
    data: RequestData
    mode: ContentMode


@dataclass(frozen=True, slots=True)
class Readable:
    """What could be read of a message that is refused, so that its sender can be answered."""

    event_id: str | None = None
    source: str | None = None
    idempotency_key: str | None = None
    provider: str | None = None
    subject: str | None = None
    correlationid: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is no request. Problems never hold the values that were sent."""

    reason: ReasonCode
    problems: tuple[Problem, ...]
    readable: Readable = field(default_factory=Readable)


class _Unreadable(Exception):
    def __init__(self, reason: ReasonCode, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason, (Problem(pointer="", message=message),))


def decode(message: Message, limits: Limits) -> Decoded | Refusal:
    """Read the envelope and the common data of a request, in whichever of the five spellings it came."""
    try:
        body = read_json(message.body, limits)
        attributes, data, mode = _split(message, body)
    except _Unreadable as unreadable:
        return replace(unreadable.refusal, readable=_glimpse(message, limits))
    readable = _readable(attributes, data)
    try:
        context = RequestContext.model_validate(attributes)
    except ValidationError as error:
        return Refusal(ReasonCode.INVALID_ENVELOPE, problems(error), readable)
    try:
        return Decoded(context, RequestData.model_validate(data), mode)
    except ValidationError as error:
        return Refusal(ReasonCode.INVALID_DATA, problems(error, data_pointer(mode)), readable)


def data_pointer(content_mode: str) -> str:
    """Where the data stands in the body of a message that was spelled so."""
    return "/data" if content_mode == "structured" else ""


def read_parameters(request: Decoded, model: type[BaseModel]) -> BaseModel | Refusal:
    """Read the parameters by the provider's own model."""
    try:
        return model.model_validate(request.data.parameters)
    except ValidationError as error:
        found = problems(error, f"{data_pointer(request.mode)}/parameters")
        return Refusal(ReasonCode.INVALID_PARAMETERS, found, readable_of(request))


def refuse(request: Decoded, reason: ReasonCode, pointer: str, message: str) -> Refusal:
    """Refuse a decoded request for one reason."""
    where = f"{data_pointer(request.mode)}{pointer}"
    return Refusal(reason, (Problem(pointer=where, message=message),), readable_of(request))


def readable_of(request: Decoded) -> Readable:
    """What a valid envelope says about its sender."""
    context, data = request.context, request.data
    return Readable(
        event_id=context.id,
        source=context.source,
        idempotency_key=data.idempotency_key,
        provider=data.provider,
        subject=context.subject,
        correlationid=context.correlationid,
        dry_run=data.dry_run,
    )


def read_json(body: bytes, limits: Limits) -> JsonValue:
    """Parse strictly: UTF-8, no duplicate keys, no NaN, no lone surrogates, not too large, not too deep.

    Raises:
        _Unreadable: with the reason; `decode` turns it into a refusal.
    """
    if len(body) > limits.max_bytes:
        raise _Unreadable(
            ReasonCode.TOO_LARGE, f"the body has {len(body)} bytes; at most {limits.max_bytes} are read"
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Unreadable(ReasonCode.NOT_UTF8, f"the body is not UTF-8 (at byte {error.start})") from None
    value = _parse(text)
    _check_tree(value, limits.max_depth)
    return value


def _parse(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, object_pairs_hook=_unique, parse_constant=_not_finite)
    except RecursionError:
        raise _Unreadable(ReasonCode.TOO_DEEP, "the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise _Unreadable(ReasonCode.NOT_JSON, f"the body is not JSON ({where})") from None
    except ValueError:
        raise _Unreadable(ReasonCode.NOT_JSON, "the body holds a number too long to be read") from None
    return value


def _glimpse(message: Message, limits: Limits) -> Readable:
    """What names the sender of a message that is not read: headers or properties, or an envelope that can be read in
    spite of what is wrong. Nothing is guessed: of two values, or of two spellings, none is taken.
    """
    body = _parse_anyhow(message.body) if len(message.body) <= limits.max_bytes else None
    try:
        attributes, data, mode = _split(message, body if isinstance(body, dict) else {})
    except _Unreadable:
        return Readable()
    if mode == "plain" and b'"specversion"' in message.body:
        return (
            Readable()
        )  # a structured event, which names itself by what cannot be read, not by its properties
    return _readable(attributes, data)


def _parse_anyhow(body: bytes) -> JsonValue:
    """The body as far as a lenient parser takes it; None where it takes nothing."""
    try:
        value: JsonValue = json.loads(body.decode("utf-8"), object_pairs_hook=_said_once)
    except (ValueError, RecursionError):
        return None
    return value


def _said_once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """What an object says twice it does not say."""
    times = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if times[name] == 1}


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unreadable(ReasonCode.DUPLICATE_JSON_KEY, "an object names the same key twice")
    return found


def _not_finite(_: str) -> JsonValue:
    raise _Unreadable(ReasonCode.NOT_FINITE_NUMBER, "NaN and Infinity are not JSON")


def _check_tree(value: JsonValue, max_depth: int) -> None:
    """Walk without recursion: depth, numbers that overflowed to infinity, text that is not Unicode."""
    level: list[JsonValue] = [value]
    for _ in range(max_depth + 1):
        for item in level:
            _check_leaf(item)
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise _Unreadable(ReasonCode.TOO_DEEP, f"the JSON is nested more than {max_depth} levels deep")


def _children(value: JsonValue) -> Iterable[JsonValue]:
    match value:
        case dict():
            return (*value.keys(), *value.values())
        case list():
            return value
        case _:
            return ()


def _check_leaf(value: JsonValue) -> None:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise _Unreadable(ReasonCode.NOT_FINITE_NUMBER, "a number is too large for JSON readers")
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise _Unreadable(ReasonCode.NOT_UTF8, "a text holds half of a surrogate pair")


def _split(message: Message, body: JsonValue) -> tuple[dict[str, JsonValue], JsonValue, ContentMode]:
    """Tell the envelope from the data, by the content type, the headers, or the body itself."""
    media_type = (message.content_type or "").partition(";")[0].strip().lower()
    if media_type.startswith("application/cloudevents-batch"):
        raise _Unreadable(
            ReasonCode.INVALID_ENVELOPE, "batches of CloudEvents are not read; publish one by one"
        )
    binary = None if media_type.startswith("application/cloudevents") else _binary_attributes(message)
    if binary is not None:
        return binary, body, "binary"
    if not isinstance(body, dict):
        raise _Unreadable(ReasonCode.INVALID_DATA, "the body must be a JSON object")
    if media_type.startswith("application/cloudevents") or "specversion" in body:
        return {name: value for name, value in body.items() if name != "data"}, body.get("data"), "structured"
    return _plain_attributes(message), body, "plain"


def _binary_attributes(message: Message) -> dict[str, JsonValue] | None:
    spellings = [found for prefix in _PREFIXES if (found := dict(_prefixed(message.headers, prefix)))]
    if not spellings:
        return None
    if len(spellings) > 1:
        raise _Unreadable(
            ReasonCode.INVALID_ENVELOPE, "the CloudEvents headers mix two spellings of their prefix"
        )
    attributes = spellings[0]
    if message.content_type:
        attributes.setdefault("datacontenttype", message.content_type)
    return attributes


def _prefixed(headers: Mapping[str, object], prefix: str) -> Iterator[tuple[str, JsonValue]]:
    for name, value in headers.items():
        if name.lower().startswith(prefix):
            yield name[len(prefix) :].lower(), as_attribute(value)


def is_attribute(header: str) -> bool:
    """Whether a header of this name is read, in one of the five spellings."""
    return header.lower().startswith(_PREFIXES) or header in _PLAIN_HEADERS


def as_attribute(value: object) -> JsonValue:
    """Native AMQP values and canonical strings are both allowed by the CloudEvents AMQP binding."""
    match value:
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "replace")
        case datetime():
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return aware.isoformat().replace("+00:00", "Z")
        case str() | int() | float() | bool() | None:
            return value
        case _:
            return repr(type(value))


def _plain_attributes(message: Message) -> dict[str, JsonValue]:
    """Plain JSON: the AMQP basic properties are the envelope."""
    named = {name: as_attribute(message.headers.get(name)) for name in _PLAIN_HEADERS}
    attributes: dict[str, JsonValue] = {
        **named,
        "specversion": "1.0",
        "id": message.message_id,
        "source": message.app_id or named["source"],
        "type": message.type or REQUEST_TYPE,
        "correlationid": message.correlation_id,
    }
    if message.timestamp is not None:
        attributes["time"] = as_attribute(message.timestamp)
    return {name: value for name, value in attributes.items() if value is not None}


def _readable(attributes: Mapping[str, JsonValue], data: JsonValue) -> Readable:
    fields: Mapping[str, JsonValue] = data if isinstance(data, dict) else {}
    return Readable(
        event_id=_text(attributes.get("id")),
        source=_text(attributes.get("source")),
        idempotency_key=_text(fields.get("idempotency_key")),
        provider=_text(fields.get("provider")),
        subject=_text(attributes.get("subject")),
        correlationid=_text(attributes.get("correlationid")),
        dry_run=fields.get("dry_run") is True,
    )


def _text(value: JsonValue) -> str | None:
    """A text that is safe to repeat to its sender: printable and not huge."""
    usable = isinstance(value, str) and 0 < len(value) <= _READABLE_LENGTH and value.isprintable()
    return value if usable and isinstance(value, str) else None

"""The two kinds of model on the wire, and the one way to see the secrets inside them.

A request is closed: an unknown field is an error, because a mistyped optional field costs money. An event
is open: a reader ignores what it does not know, so that fields may be added.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Literal, NamedTuple, cast, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue, SecretStr
from pydantic.config import JsonDict


class ClosedModel(BaseModel):
    """A part of a request: frozen, no unknown fields, no conversion of JSON types, no input in errors."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


class OpenModel(BaseModel):
    """A part of an event: frozen, unknown fields ignored, no input in errors.

    Not strict, so that a reader in Python may validate parsed JSON, where times and enumerations are text.
    """

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_serialization_defaults_required=True,
    )


def reveal(model: BaseModel) -> dict[str, JsonValue]:
    """Give every field of `model` as plain JSON data with its secrets IN CLEAR.

    This is the only door to the clear values, for sending to the provider or sealing for the consumer; what
    it returns must never be logged, nor stored unsealed. Every other dump shows asterisks. Fields that were
    left out are given with their defaults, so two requests that mean the same reveal the same.

    Raises:
        TypeError: a field holds something that is no JSON data.
    """
    return {name: _plain(getattr(model, name)) for name in type(model).model_fields}


def _plain(value: object) -> JsonValue:
    # What most fields hold comes first: whether something is a model or a mapping costs ten times as much to ask.
    match value:
        case Enum():
            return _plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case UUID():
            return str(value)
        case _:
            return _plain_whole(value)


def _plain_whole(value: object) -> JsonValue:
    match value:
        case BaseModel():
            return reveal(value)
        case SecretStr():
            return value.get_secret_value()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            raise TypeError(f"{type(value).__name__} has no place on the wire")


def given(asked: Mapping[str, JsonValue], *names: str) -> dict[str, JsonValue]:
    """Give those of these parameters that have a value; a dot leads into one that holds others."""
    found = {name: _at(asked, name.split(".")) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _at(value: JsonValue | Mapping[str, JsonValue], path: Collection[str]) -> JsonValue:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return cast("JsonValue", value)


def secret_paths(model: type[BaseModel]) -> tuple[tuple[str, ...], ...]:
    """Give the path of every secret field of `model`, nested ones too; `*` is each item of a list."""
    return tuple(
        (name, *rest)
        for name, field in model.model_fields.items()
        for rest in _secrets_within(field.annotation)
    )


def _secrets_within(annotation: object) -> Iterator[tuple[str, ...]]:
    if annotation is SecretStr:
        yield ()
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from secret_paths(annotation)
    else:
        step = ("*",) if _is_collection(annotation) else ()
        for argument in get_args(annotation):
            yield from ((*step, *rest) for rest in _secrets_within(argument))


def _is_collection(annotation: object) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Collection)


def sent_as(vendor_field: str, required_when: str | None = None) -> JsonDict:
    """Mark a field of a provider's `Parameters` with the vendor's own name for it.

    The marks travel into the exported JSON Schema and into the table "what is sent" of `contracts/README.md`.
    Inside a nested model the name is relative to the name of the field that holds it. `required_when` tells
    in words when an optional field is required after all.
    """
    marks: JsonDict = {"x-sent-as": vendor_field}
    return marks if required_when is None else marks | {"x-required-when": required_when}


class Misfit(NamedTuple):
    """What speaks against an id that a person names as that of an account."""

    looks_like: str
    """What an id at this provider looks like, as the end of a sentence."""
    is_certain: bool = True
    """Whether no account can have it; else it is unusual, and whoever names it is told so."""


class AlsoSent(NamedTuple):
    """Something the vendor is sent that is no parameter of the request."""

    vendor_field: str
    origin: Literal["settings", "request", "generated"]
    rule: str

"""Secrets in models: found by code, shown to nobody, given in clear only on request."""

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, JsonValue, SecretStr, ValidationError

from contracts.examples import messages
from contracts.model import ClosedModel, reveal, secret_paths
from contracts.problems import problems
from contracts.providers import ProviderContract, discover
from contracts.request import REQUEST_TYPE, RequestContext, RequestData
from tests.providers.known import KNOWN

CANARY = "canary-5e9a1f77c0d84b2e"
PROVIDERS = discover()
GOLDEN: Any = {name: messages()[f"{REQUEST_TYPE}.{name}"] for name in PROVIDERS}


class Colour(StrEnum):
    """An enumeration, to be revealed as its value."""

    RED = "red"


class Inner(ClosedModel):
    """A nested model with a secret."""

    pin: SecretStr
    label: str = "label"


class Outer(ClosedModel):
    """A model with secrets in every kind of place."""

    token: SecretStr | None = None
    inner: Inner
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: Mapping[str, SecretStr] = Field(default_factory=dict)
    colour: Colour = Colour.RED
    moment: datetime = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
    number: UUID = UUID(int=1)
    raw: dict[str, JsonValue] = Field(default_factory=dict)


OUTER = Outer(
    token=SecretStr(CANARY),
    inner=Inner(pin=SecretStr(CANARY)),
    many=(Inner(pin=SecretStr(CANARY)),),
    named={"a": SecretStr(CANARY)},
    raw={"list": [1, None, True, 0.5]},
)


def test_every_secret_field_is_found_wherever_it_stands() -> None:
    """Optional, nested, optional nested, listed and named secrets are all found by their type."""
    assert secret_paths(Outer) == (
        ("token",),
        ("inner", "pin"),
        ("maybe", "pin"),
        ("many", "*", "pin"),
        ("named", "*"),
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_secrets_of_a_provider_are_the_ones_that_are_meant(provider: str) -> None:
    """Passwords in the parameters, and what is issued, are secret fields; nothing else is."""
    contract, known = PROVIDERS[provider], KNOWN[provider]
    assert set(secret_paths(contract.Parameters)) == {(name,) for name in known.secrets_asked}
    assert set(secret_paths(contract.Credentials)) == {(name,) for name in known.secrets_issued}


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_an_account_holds_no_secret(provider: ProviderContract) -> None:
    """What is published in clear has no secret field."""
    assert secret_paths(provider.Account) == ()


def test_reveal_gives_plain_json_data_with_the_secrets_in_clear() -> None:
    """The one door to the clear values gives what JSON can hold and nothing else."""
    revealed = reveal(OUTER)
    assert revealed == {
        "token": CANARY,
        "inner": {"pin": CANARY, "label": "label"},
        "maybe": None,
        "many": [{"pin": CANARY, "label": "label"}],
        "named": {"a": CANARY},
        "colour": "red",
        "moment": "2026-01-15T09:30:00Z",
        "number": "00000000-0000-0000-0000-000000000001",
        "raw": {"list": [1, None, True, 0.5]},
    }
    assert json.loads(json.dumps(revealed)) == revealed


def test_reveal_refuses_what_is_no_json() -> None:
    """A field of a type that the wire does not know is an error of the developer and is told."""

    class Strange(BaseModel):
        value: complex = 1j

    with pytest.raises(TypeError, match="complex"):
        reveal(Strange())


def test_no_other_rendering_shows_a_secret() -> None:
    """repr, str, dumps and log lines hold asterisks."""
    record = logging.LogRecord("n", logging.INFO, "p", 1, "%s %r", (OUTER, OUTER), None)
    dumps = (OUTER.model_dump_json(), str(OUTER.model_dump()), str(OUTER.model_dump(mode="json")))
    assert CANARY not in f"{OUTER} {OUTER!r} {dumps} {record.getMessage()}"


def spoiled(value: Any) -> Iterator[Any]:
    """Give copies of JSON data, each with one thing replaced by the canary in some wrong way."""
    yield from (CANARY, f" {CANARY}\x00", [CANARY], {CANARY: CANARY}, {"unknown": CANARY})
    if isinstance(value, dict):
        yield value | {CANARY: CANARY}
        yield value | {"unknown": {"password": CANARY}}
        yield {**value, "password": [CANARY]}
        for key, inner in value.items():
            for changed in spoiled(inner):
                yield value | {key: changed}


def renderings(model: type[BaseModel], value: object) -> Iterator[str]:
    """Give everything that may be shown about a failed reading; nothing when the reading succeeded."""
    try:
        model.model_validate(deepcopy(value))
    except ValidationError as error:
        yield str(error)
        yield repr(error)
        yield "".join(traceback.format_exception(error))
        yield repr(problems(error))


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_no_error_about_parameters_shows_a_value(provider: ProviderContract) -> None:
    """Whichever field holds a secret by mistake, neither our problems nor pydantic's text repeat it."""
    parameters = GOLDEN[provider.NAME]["data"]["parameters"] | {"password": CANARY}
    texts = [text for value in spoiled(parameters) for text in renderings(provider.Parameters, value)]
    ours = [text for text in texts if text.startswith("(Problem(")]
    assert len(ours) > 20
    assert [text for text in ours if CANARY in text] == []
    values_only = [
        text
        for value in spoiled(parameters)
        if not holds_key(value, CANARY)
        for text in renderings(provider.Parameters, value)
    ]
    assert [text for text in values_only if CANARY in text] == []


def holds_key(value: object, key: str) -> bool:
    """Tell whether an object anywhere in JSON data has that key; pydantic's own text names unknown fields."""
    if isinstance(value, dict):
        return key in value or any(holds_key(inner, key) for inner in value.values())
    return isinstance(value, list) and any(holds_key(inner, key) for inner in value)


@pytest.mark.parametrize("model", [RequestContext, RequestData])
def test_no_problem_of_the_envelope_or_the_common_data_shows_a_value(model: type[BaseModel]) -> None:
    """The same holds where the request is read before its provider is known."""
    golden = GOLDEN["gateway360"]
    whole = golden["data"] if model is RequestData else {k: v for k, v in golden.items() if k != "data"}
    shown: list[str] = []
    for value in spoiled(whole):
        try:
            model.model_validate(value)
        except ValidationError as error:
            shown.extend(f"{problem.pointer} {problem.message}" for problem in problems(error))
    assert len(shown) > 20
    assert [text for text in shown if CANARY in text] == []

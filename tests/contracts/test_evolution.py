"""The wire changes only as its own table allows: what was released can be written and read for ever."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts import WIRE_VERSION, export
from contracts.cases import cases
from contracts.examples import messages
from contracts.providers import discover
from contracts.request import REQUEST_TYPE, RequestContext, RequestData
from contracts.result import EVENT_MODELS, read_result
from contracts.schemas import schemas
from tests.contracts.evolution import broken_catalogue, broken_requests, broken_results
from tests.released import RELEASED, VERSIONS

NOW: Mapping[str, Any] = schemas()
SCHEMAS = [
    pytest.param(file, id=f"{version}-{file.stem}")
    for version in VERSIONS
    for file in sorted((RELEASED / version / "schemas").glob("*.json"))
]
EXAMPLES = [
    pytest.param(file, id=f"{version}-{file.stem}")
    for version in VERSIONS
    for folder in ("", "cases/")
    for file in sorted((RELEASED / version / "examples" / folder).glob("*.json"))
]


def read(file: Path) -> Any:
    """What lies in a file."""
    return json.loads(file.read_text(encoding="utf-8"))


def broken(name: str, old: Any, new: Any) -> list[str]:
    """What a change of this schema breaks, for those who write by it or read by it."""
    if name.startswith(REQUEST_TYPE):
        return broken_requests(old, new)
    return broken_catalogue(old, new) if name == "reasons.v1" else broken_results(old, new)


def test_the_present_version_is_frozen() -> None:
    """Whoever raises the version freezes it: `python -m tests.released`."""
    assert WIRE_VERSION in VERSIONS


def test_the_exporter_does_not_know_what_was_released() -> None:
    """No release can change by an export."""
    assert [path for path in export.generate() if path.startswith("released")] == []


@pytest.mark.parametrize("file", SCHEMAS)
def test_nothing_that_was_released_is_broken(file: Path) -> None:
    """No field is gone, nothing is newly required or refused, no value comes that readers do not know."""
    name = file.name.removesuffix(".json")
    assert name in NOW, "a schema is gone"
    assert broken(name, read(file), NOW[name]) == []


@pytest.mark.parametrize("file", EXAMPLES)
def test_every_message_that_was_ever_shown_is_still_read(file: Path) -> None:
    """Requests by the schemas and models of today, results by the reader of today."""
    message = read(file)
    if message["type"] in EVENT_MODELS:
        assert str(read_result(message).id) == message["id"]
        return
    Draft202012Validator(NOW[f"{REQUEST_TYPE}.{message['data']['provider']}"]).validate(message)
    RequestContext.model_validate({name: value for name, value in message.items() if name != "data"})
    data = RequestData.model_validate(message["data"])
    discover()[data.provider].Parameters.model_validate(data.parameters)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_results_of_today_are_read_by_every_schema_that_was_released(version: str) -> None:
    """A consumer that never changes goes on understanding what is sent."""
    for message in (*messages().values(), *cases().values()):
        if message["type"] in EVENT_MODELS:
            released = read(RELEASED / version / f"schemas/{message['type']}.json")
            Draft202012Validator(released).validate(message)


TEXT = {"type": "string", "maxLength": 5}
MAYBE = {"anyOf": [TEXT, {"type": "null"}]}


def object_with(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """A closed object."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


A = object_with(a=TEXT)
REQUEST_CHANGES: list[tuple[Any, Any, list[str], str]] = [
    (A, object_with(a=TEXT, b=TEXT), [], "a new optional field"),
    (A, object_with(a={"type": "string", "maxLength": 6}), [], "a looser bound"),
    (A, object_with(a=MAYBE), [], "null is taken too"),
    ({"enum": ["a"]}, {"enum": ["a", "b"]}, [], "a new value"),
    (A, object_with(("b",), a=TEXT, b=TEXT), [": b is required now"], "a new required field"),
    (A, object_with(), [": a is gone"], "a field that is gone"),
    (A, object_with(("a",), a=TEXT), [": a is required now"], "a field that became required"),
    (object_with(a=MAYBE), A, ["/a: no null any more"], "null is not taken any more"),
    (A, object_with(a={"type": "string", "maxLength": 4}), ["/a: maxLength is tighter"], "a tighter bound"),
    (A, object_with(a={**TEXT, "minLength": 1}), ["/a: minLength is tighter"], "a new bound"),
    (A, object_with(a={**TEXT, "pattern": "a"}), ["/a: pattern is another"], "a new pattern"),
    (A, object_with(a={"type": "integer"}), ["/a: no string any more"], "another type"),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, [": a value is not taken any more"], "a value that is gone"),
    (
        object_with(a={**TEXT, "default": "x"}),
        object_with(a={**TEXT, "default": "y"}),
        ["/a: means something else when it is left out"],
        "another default",
    ),
    (
        {"$defs": {"A": A}, "$ref": "#/$defs/A"},
        {"$defs": {"A": object_with()}, "$ref": "#/$defs/A"},
        [": a is gone"],
        "a field that is gone behind a reference",
    ),
    (
        object_with(a={"type": "array", "items": A}),
        object_with(a={"type": "array", "items": object_with()}),
        ["/a/*: a is gone"],
        "a field that is gone in a list",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected", "reason"), REQUEST_CHANGES, ids=[reason for *_, reason in REQUEST_CHANGES]
)
def test_a_change_of_requests_is_judged_as_the_table_says(
    old: Any, new: Any, expected: list[str], reason: str
) -> None:
    """What publishers wrote yesterday must be taken tomorrow."""
    assert broken_requests(old, new) == expected, reason


B = object_with(("a",), a=TEXT)
RESULT_CHANGES: list[tuple[Any, Any, list[str], str]] = [
    (B, object_with(("a", "b"), a=TEXT, b=TEXT), [], "a new field"),
    (object_with(("a",), a=MAYBE), B, [], "null does not come any more"),
    (B, object_with(), [": a is gone", ": a may be missing now"], "a field that is gone"),
    (B, A, [": a may be missing now"], "a field that was always there"),
    (B, object_with(("a",), a=MAYBE), ["/a: null where it never was"], "null where it never was"),
    ({"enum": ["a"]}, {"enum": ["a", "b"]}, [": a value that never was"], "a new value of a closed list"),
    ({"const": "a"}, {"const": "b"}, [": a value that never was"], "another constant"),
    (
        B,
        object_with(("a",), a={"type": "integer"}),
        ["/a: integer where it never was"],
        "another type",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected", "reason"), RESULT_CHANGES, ids=[reason for *_, reason in RESULT_CHANGES]
)
def test_a_change_of_results_is_judged_as_the_table_says(
    old: Any, new: Any, expected: list[str], reason: str
) -> None:
    """What consumers read yesterday they must be able to read tomorrow."""
    assert broken_results(old, new) == expected, reason


def test_the_catalogue_of_reasons_only_grows() -> None:
    """A new code is no break, a code that is gone is one."""
    one, two = ({"oneOf": [{"const": code} for code in codes]} for codes in ("a", "ab"))
    assert broken_catalogue(one, two) == []
    assert broken_catalogue(two, one) == [": b is gone"]

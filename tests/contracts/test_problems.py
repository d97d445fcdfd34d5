"""How errors are told: the place, the rule, and never the value."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from contracts.model import ClosedModel
from contracts.problems import problems
from contracts.providers import ProviderContract, discover
from contracts.result import Problem
from contracts.text import Email, Line, Shape


def _quoting(value: str) -> str:
    raise AssertionError(value)


class Item(ClosedModel):
    """A nested model."""

    size: int = Field(default=1, ge=1, le=9)


class Order(ClosedModel):
    """A model with one field of each kind that has a sentence of its own."""

    name: Line = "name"
    kind: Literal["a", "b"] = "a"
    flag: bool = True
    share: float = 0.5
    items: Annotated[tuple[Item, ...], Field(strict=False, max_length=2)] = ()
    note: Annotated[str, AfterValidator(_quoting)] = "note"
    needed: str


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "/needed", "is required"),
    ({"needed": "x", "name": 1}, "/name", "must be a string"),
    ({"needed": "x", "name": ""}, "/name", "must have at least 1 characters"),
    ({"needed": "x", "name": "n" * 201}, "/name", "must have at most 200 characters"),
    ({"needed": "x", "name": " "}, "/name", "must not be blank"),
    ({"needed": "x", "kind": "c"}, "/kind", "must be 'a' or 'b'"),
    ({"needed": "x", "flag": 1}, "/flag", "must be true or false, not in quotes"),
    ({"needed": "x", "share": "1"}, "/share", "must be a number, not in quotes"),
    ({"needed": "x", "items": {}}, "/items", "must be an array"),
    ({"needed": "x", "items": [{}, {}, {}]}, "/items", "must have at most 2 items"),
    ({"needed": "x", "items": [{}, 5]}, "/items/1", "must be an object"),
    ({"needed": "x", "items": [{}, {"size": "1"}]}, "/items/1/size", "must be a whole number, not in quotes"),
    ({"needed": "x", "items": [{"size": 0}]}, "/items/0/size", "must be at least 1"),
    ({"needed": "x", "items": [{"size": 10}]}, "/items/0/size", "must be at most 9"),
    ({"needed": "x", "items": [{"colour": 1}]}, "/items/0/colour", "is not a field that is known here"),
    ({"needed": "x", "note": "hush"}, "/note", "is not valid here"),
]


@pytest.mark.parametrize(("value", "pointer", "message"), CASES, ids=[case[2] for case in CASES])
def test_a_problem_names_the_place_and_the_rule(value: dict[str, Any], pointer: str, message: str) -> None:
    """Each kind of error has a sentence for people who write JSON, at a JSON pointer."""
    with pytest.raises(ValidationError) as caught:
        Order.model_validate(value)
    (problem,) = problems(caught.value)
    assert problem.pointer == pointer
    assert problem.message.startswith(message)


def test_all_problems_are_told_at_once() -> None:
    """A publisher can mend everything in one go."""
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"kind": "c", "flag": 1})
    assert {problem.pointer for problem in problems(caught.value)} == {"/kind", "/flag", "/needed"}


def test_pointers_begin_where_the_value_stood() -> None:
    """The caller says where in the body the validated value was."""
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({})
    assert problems(caught.value, "/data/parameters") == (
        Problem(pointer="/data/parameters/needed", message="is required"),
    )


@pytest.mark.parametrize(
    ("name", "shown", "reason"),
    [
        ("adress_line_1", "/adress_line_1", "a mistyped name must be shown to be found"),
        ("isTest", "/isTest", "another vendor's spelling"),
        ("s3cr3t-p4ssw0rd", "/?", "digits in the midst are no field's name"),
        ("correct horse battery", "/?", "a sentence is no field's name"),
        ("x" * 41, "/?", "too long for a field's name"),
        ("a/b~c", "/?", "nothing that would need escaping in a pointer"),
        ("name\n", "/?", "a line break would forge a line of a log"),
        ("", "/?", "nothing"),
    ],
)
def test_an_unknown_fields_name_is_shown_only_if_it_looks_like_one(
    name: str, shown: str, reason: str
) -> None:
    """The name came from outside, so a secret that was put in its place is not repeated."""
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"needed": "x", name: 1})
    assert [problem.pointer for problem in problems(caught.value)] == [shown]


class Shaped(ClosedModel):
    """A text that must have a form."""

    code: Annotated[str, Field(max_length=100), Shape(r"^[a-z]+$", "must be small letters")]


def test_a_text_of_another_form_is_told_in_words() -> None:
    """No publisher is ever shown a regular expression, a further provider's included."""
    with pytest.raises(ValidationError) as caught:
        Shaped.model_validate({"code": "CODE\n"})
    assert problems(caught.value) == (Problem(pointer="/code", message="must be small letters"),)
    assert Shaped.model_json_schema()["properties"]["code"]["pattern"] == "^[a-z]+$"


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_no_field_of_a_provider_uses_a_pattern_without_words(provider: ProviderContract) -> None:
    """Every text that is checked by its form was given a sentence."""
    wrong = dict.fromkeys(provider.Parameters.model_fields, "\x00\x00")
    with pytest.raises(ValidationError) as caught:
        provider.Parameters.model_validate(wrong)
    told = {problem.pointer: problem.message for problem in problems(caught.value)}
    assert set(told) == {f"/{name}" for name in provider.Parameters.model_fields}
    assert "is not valid here" not in told.values()


def test_a_flood_of_problems_is_cut_to_a_number() -> None:
    """A hostile request cannot make its own answer huge."""
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"needed": "x"} | {f"x{number}": 1 for number in range(10_000)})
    told = problems(caught.value, "/data")
    assert len(told) == 51
    assert told[-1] == Problem(pointer="/data", message="has 9950 further problems")


@pytest.mark.parametrize(
    "text", ["a@" + "a." * 500_000, " " * 1_000_000, "a" + " " * 1_000_000, "+" + "1" * 999_999]
)
def test_a_hostile_text_of_a_megabyte_is_refused_by_its_length(text: str) -> None:
    """The length is looked at before the form, so no pattern ever meets such a text."""
    adapter: TypeAdapter[str] = TypeAdapter(Email)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(text, strict=True)
    assert [detail["type"] for detail in caught.value.errors()] == ["string_too_long"]

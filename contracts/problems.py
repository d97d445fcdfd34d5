"""What is wrong in a request, told without repeating any value that was sent.

A request may hold a password in any field, also in the wrong one. So a problem names the place and the
rule, never the input: not pydantic's `input`, not its context, not a field name that does not look like one.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from contracts.result import Problem

__all__ = ["Problem", "problems"]


def problems(error: ValidationError, within: str = "") -> tuple[Problem, ...]:
    """Render each error of `error` as the JSON pointer to its place and a sentence, none of them with input.

    `within` is the pointer of the value that was validated, such as `/data/parameters`. Of more than fifty
    problems the rest is told as a number, so that a hostile request cannot blow up its own answer.
    """
    details = error.errors(include_url=False, include_input=False)
    told = tuple(
        Problem(pointer=within + _pointer(detail["loc"]), message=_message(detail["type"], detail))
        for detail in details[:_MOST]
    )
    left = len(details) - len(told)
    return (*told, Problem(pointer=within, message=f"has {left} further problems")) if left else told


_MOST: Final = 50


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{_step(step)}" for step in location)


def _step(step: int | str) -> str:
    """Give one step; an unknown field's name came from outside and might be a secret gone astray."""
    return str(step) if isinstance(step, int) or _FIELD_NAME.fullmatch(step) else "?"


_FIELD_NAME: Final = re.compile(r"(?=.{1,40}$)[A-Za-z]+(?:[_-][A-Za-z]+)*_?[0-9]{0,2}")


def _message(kind: str, detail: Mapping[str, Any]) -> str:
    """Word an error; a kind that is not listed gets no words of pydantic's, which might quote the input."""
    if kind == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ")
    return _SENTENCES.get(kind, _UNLISTED).format_map(detail.get("ctx", {}))


_UNLISTED: Final = "is not valid here"

_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "is not a field that is known here",
    "tuple_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_type": "must be a string",
    "string_unicode": "must be a string of whole Unicode characters",
    "int_type": "must be a whole number, not in quotes",
    "float_type": "must be a number, not in quotes",
    "bool_type": "must be true or false, not in quotes",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}

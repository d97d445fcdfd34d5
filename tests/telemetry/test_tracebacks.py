"""Errors in words: where and what, never the value."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from worker.core.errors import SealBroken
from worker.telemetry.tracebacks import WITHHELD, describe, summarize

CANARY = "canary7f3a"


class Closed(BaseModel):
    """A model that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid")

    names: dict[str, int]


def look_up() -> None:
    dict[str, int]()[CANARY]


def parse_number() -> None:
    int(CANARY)


def parse_json() -> None:
    json.loads(CANARY)


def check() -> None:
    seen: Any = CANARY
    assert seen == 1, CANARY


def validate() -> None:
    Closed.model_validate({"names": {CANARY: CANARY}, CANARY: 1})


def execute() -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        connection.execute(sa.text("select :password from nowhere"), {"password": CANARY})


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (look_up, f"KeyError: {WITHHELD}"),
        (parse_number, f"ValueError: {WITHHELD}"),
        (parse_json, f"json.decoder.JSONDecodeError: {WITHHELD}"),
        (check, f"AssertionError: {WITHHELD}"),
        (validate, "Closed: names.? int_parsing, ? extra_forbidden"),
        (execute, "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such table: nowhere"),
    ],
)
def test_error_is_told_without_the_value(act: Callable[[], None], said: str) -> None:
    """Each kind of error that quotes values is told without them, with the place where it was raised."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the cases raise different kinds
        act()
    text = describe(caught.value)
    assert text.endswith(said)
    assert f"in {act.__name__}" in text
    assert CANARY not in text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SealBroken("data was changed"), "worker.core.errors.SealBroken: data was changed"),
        (OSError(28, "No space left"), "OSError: [Errno 28] No space left"),
        (RuntimeError("first\nsecond"), "RuntimeError: first"),
        (RuntimeError("x" * 1000), f"RuntimeError: {'x' * 300}"),
        (TimeoutError(), "TimeoutError"),
        (ValueError(), "ValueError"),
    ],
)
def test_harmless_text_is_kept(error: BaseException, said: str) -> None:
    """What cannot well quote a value keeps its words, in one short line."""
    assert summarize(error) == said


def fail_twice(*, hide: bool) -> None:
    try:
        parse_number()
    except ValueError as error:
        if hide:
            raise RuntimeError("second") from None
        raise RuntimeError("second") from error


def test_causes_are_told_first() -> None:
    """An error's cause stands before it, unless it was meant to be hidden."""
    with pytest.raises(RuntimeError) as caught:
        fail_twice(hide=False)
    first, second = describe(caught.value).split("\nwhich led to:\n")
    assert first.endswith(f"ValueError: {WITHHELD}")
    assert second.endswith("RuntimeError: second")
    with pytest.raises(RuntimeError) as caught:
        fail_twice(hide=True)
    assert "ValueError" not in describe(caught.value)


def test_group_is_told_with_its_parts() -> None:
    """Every error of a group is told, indented."""
    group = ExceptionGroup("two failed", [ValueError(CANARY), OSError("gone")])
    assert describe(group).splitlines() == [
        "ExceptionGroup: two failed (2 sub-exceptions)",
        f"    ValueError: {WITHHELD}",
        "    OSError: gone",
    ]


def test_errors_that_cause_each_other_come_to_an_end() -> None:
    """A circle of causes is told once round."""
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe(first).splitlines() == ["RuntimeError: second", "which led to:", "RuntimeError: first"]


def test_long_chain_is_cut() -> None:
    """Of a very long chain only the newest errors are told."""
    error = RuntimeError("0")
    for number in range(1, 50):
        following = RuntimeError(str(number))
        following.__cause__ = error
        error = following
    told = describe(error).splitlines()
    assert told[-1] == "RuntimeError: 49"
    assert len([line for line in told if line.startswith("RuntimeError")]) == 8

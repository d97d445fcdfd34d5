"""The register is complete, and what it names is there and can be run."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.pitfalls.pitfall import Pitfall
from tests.pitfalls.register import PITFALLS

ROOT = Path(__file__).parents[2]
HOW_MANY = 53

every = pytest.mark.parametrize("pitfall", PITFALLS, ids=lambda pitfall: str(pitfall.number))


def test_every_pitfall_is_there_once_and_in_order() -> None:
    """The numbers are those of the study, from the first to the last."""
    assert [pitfall.number for pitfall in PITFALLS] == list(range(1, HOW_MANY + 1))


@every
def test_a_pitfall_is_told_in_a_whole_sentence(pitfall: Pitfall) -> None:
    """A reader understands it without the study; what is said of it ends where a sentence ends."""
    for said in (pitfall.what, pitfall.impossible, pitfall.remains):
        assert not said or (said[0].isupper() and said.endswith(".") and len(said.split()) > 8)
    assert pitfall.what


@every
def test_each_named_test_exists_and_says_what_it_expects(pitfall: Pitfall) -> None:
    """Each node id is a function that the runner collects, with a docstring; none is named twice in one entry."""
    assert pitfall.tests
    assert len(set(pitfall.tests)) == len(pitfall.tests)
    for node in pitfall.tests:
        path, _, function = node.partition("::")
        assert Path(path).name.startswith("test_"), node
        assert collected(path).get(function), f"{node} is not there, or has no docstring"


@every
def test_what_is_called_impossible_names_the_file_that_shows_it(pitfall: Pitfall) -> None:
    """Each path in the reason exists."""
    named = re.findall(r"`([\w/]+\.py)`", pitfall.impossible)
    assert bool(named) == bool(pitfall.impossible)
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_a_test_that_says_which_pitfall_it_exposes_is_in_its_entry() -> None:
    """Wherever it stands; and of this folder's tests each says so for every entry that names it."""
    entered = {(pitfall.number, node) for pitfall in PITFALLS for node in pitfall.tests}
    said = {
        (number, f"{path}::{function}")
        for path in sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "tests").rglob("test_*.py"))
        for function, docstring in collected(path).items()
        for number in numbers_in(docstring)
    }
    assert sorted(said - entered) == []
    assert sorted(entry for entry in entered - said if entry[1].startswith("tests/pitfalls/")) == []


def numbers_in(docstring: str) -> list[int]:
    """The pitfalls that a docstring begins with."""
    found = re.match(r"Pitfalls? ([\d, ]+):", docstring)
    return [int(number) for number in found[1].split(",")] if found else []


@cache
def collected(path: str) -> dict[str, str]:
    """Tests that a file defines for the runner, by name, with what they say of themselves."""
    file = ROOT / path
    if not file.is_file():
        return {}
    functions = (
        node
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )
    return {function.name: ast.get_docstring(function) or "" for function in functions}

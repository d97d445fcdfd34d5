"""Every verb explains itself: what it does, each option, and an example that can be typed."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from worker.cli.program import app

CHANGING = [
    "requests replay",
    "requests resolve",
    "requests abandon",
    "requests republish",
    "dead-letters replay",
    "dead-letters discard",
    "provider pause",
    "provider resume",
]
_EITHER = {"--provider", "--code", "--source", "--older-than", "--newer-than", "--limit"}
_REQUESTS = _EITHER | {"--state"}
_LETTERS = _EITHER | {"--key"}
FILTERED = {
    "requests list": _REQUESTS,
    "requests replay": _REQUESTS,
    "requests abandon": _REQUESTS,
    "requests republish": _REQUESTS,
    "dead-letters list": _LETTERS | {"--state"},
    "dead-letters replay": _LETTERS,
    "dead-letters discard": _LETTERS,
}
SILENT = {"run", "dev", "demo", "config reference"}
"""These print logs, a show and Markdown; every other verb prints data."""

PROMISED = {
    "run", "demo", "sandbox", "submit", "explain", "requests list", "requests show", "config check", "config show",
    "topology show", "topology declare", "topology check", "contracts export", "keys new", "dead-letters list",
    "dead-letters show", "provider status", *CHANGING,
}  # fmt: skip


def walk(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every verb with its words."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, below in command.commands.items():
        yield from walk(below, f"{name} {word}".strip())


PROGRAM = typer.main.get_command(app)
VERBS = dict(walk(PROGRAM))


def options(verb: str) -> set[str]:
    """Names of a verb's options."""
    return {name for each in VERBS[verb].params for name in each.opts if name.startswith("--")}


def test_every_promised_verb_is_there() -> None:
    """What the documents promise can be typed."""
    assert set(VERBS) >= PROMISED


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_that_parses(verb: str) -> None:
    """The example in a verb's help is a command of this very verb that the program takes as it stands."""
    example = re.fullmatch(r"Example: provisioner (.+)", VERBS[verb].epilog or "")
    assert example is not None, "no example"
    words = shlex.split(re.split(r" (?:&&|>) ", example[1])[0])
    called, given = words[: len(verb.split())], words[len(verb.split()) :]
    assert " ".join(called) == verb
    assert VERBS[verb].make_context(verb, given).params is not None


@pytest.mark.parametrize("verb", VERBS)
def test_help_explains_the_verb_and_every_option(verb: str) -> None:
    """A verb's first sentence ends with a full stop, and no option or argument is left without a word."""
    assert VERBS[verb].help.strip().endswith(".")
    assert [each.name for each in VERBS[verb].params if not each.help] == []


@pytest.mark.parametrize("verb", CHANGING)
def test_a_verb_that_changes_something_asks_why_and_can_be_tried(verb: str) -> None:
    """The reason is required; a dry run, JSON and the actor's name are offered."""
    required = {name for each in VERBS[verb].params if each.required for name in each.opts}
    assert "--reason" in required
    assert options(verb) >= {"--dry-run", "--json", "--actor"}


@pytest.mark.parametrize("verb", FILTERED)
def test_bulk_verbs_take_the_same_filters(verb: str) -> None:
    """What can be listed can be acted on with the same words."""
    assert options(verb) >= FILTERED[verb]


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - SILENT))
def test_every_verb_that_prints_data_speaks_json(verb: str) -> None:
    """`--json` is everywhere."""
    assert "--json" in options(verb)


def test_help_fits_an_ordinary_terminal() -> None:
    """The long list of reason codes does not fill the screen: options are told in a few lines."""
    help_text = VERBS["requests replay"].get_help(
        VERBS["requests replay"].make_context("x", ["--reason", "x"])
    )
    assert "duplicate_json_key" not in help_text

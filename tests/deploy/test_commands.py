"""The commands of the runbook can be typed as they stand there."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main

from worker.cli.program import app

TEXT = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()


def commands() -> Iterator[str]:
    """Every command line of the worker's program, in blocks and in sentences, without what stands in front of it
    elsewhere, and what it reads and is read by.
    """
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).replace("\\\n", " ")
    sentences = "\n".join(
        re.findall(
            r"`((?:/opt/provisioner/bin/)?provisioner [^`]+)`",
            re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL),
        )
    )
    for line in f"{blocks}\n{sentences}".splitlines():
        found = re.search(
            r"(?:(?:^|/|worker |worker-sandbox |-- |USER\" )provisioner|run --rm worker) ([a-z].*)",
            line.strip(),
        )
        if found is not None:
            yield re.split(r" [|<>]", found[1])[0]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_of_the_runbook_can_be_typed(command: str) -> None:
    """Verb, options and the values of choices are those that the program knows; nothing required is missing."""
    words = shlex.split(command, comments=True)
    current: Any = typer.main.get_command(app)
    while hasattr(current, "commands"):
        assert words[0] in current.commands, f"no verb {words[0]}"
        current, words = current.commands[words[0]], words[1:]
    context = current.make_context(current.name, words)
    assert context.params.keys() == {each.name for each in current.params}


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_no_command_names_a_file_of_whoever_types_it(command: str) -> None:
    """It runs in a container, or as another user in another folder: what a person has comes by standard input, and a
    copy is made in a place that is named in full.
    """
    words = shlex.split(command, comments=True)
    read = [words[1]] if words[0] == "submit" and not words[1].startswith("--") else []
    read += [after for word, after in pairwise(words) if word == "--credentials-file"]
    assert set(read) <= {"-"}
    assert words[:2] != ["ledger", "backup"] or words[2].startswith("/")


def test_an_upgrade_ends_with_the_question_whether_it_works() -> None:
    """Health in Compose is liveness, which tells nothing of broker and ledger: both are asked after each `--wait`."""
    upgrade = TEXT.split("\n## Upgrades\n")[1].split("\n## ")[0]
    after = upgrade.split("up -d --wait worker")[-1]
    assert "exec worker provisioner healthcheck --probe readyz" in after
    assert "exec worker provisioner ledger status" in after


def test_commands_are_found_at_all() -> None:
    """The search for commands sees those in blocks, in sentences and behind Compose."""
    found = set(commands())
    assert "config check" in found
    assert "requests list --state held" in found
    assert any(each.startswith("topology declare") for each in found)

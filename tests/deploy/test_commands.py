"""The commands of the runbook can be typed as they stand there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from worker.cli.program import app

TEXT = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()


def commands() -> Iterator[str]:
    """Every command line of the worker's program, in blocks and in sentences, without what Compose puts in front and
    what reads it behind.
    """
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).replace("\\\n", " ")
    sentences = "\n".join(
        re.findall(r"`(provisioner [^`]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
    )
    for line in f"{blocks}\n{sentences}".splitlines():
        found = re.search(
            r"(?:(?:^|/|worker |worker-sandbox )provisioner|run --rm worker) ([a-z].*)", line.strip()
        )
        if found is not None:
            yield found[1].partition(" | ")[0]


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

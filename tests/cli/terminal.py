"""The program as a person uses it, in this process: what is typed, and what comes back."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from worker.cli import output
from worker.cli.program import app

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Said:
    """What the program said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def everything(self) -> str:
        """All of it."""
        return self.out + self.err


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Make the output a terminal of this width, without colours."""
    monkeypatch.setattr(output, "out", output.Screen(force_terminal=True, width=width, color_system=None))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


class Terminal:
    """Types commands, with this environment and no other setting."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(self, *words: str, stdin: str | None = None, **settings: str) -> Said:
        """Run one command; `settings` are further variables without their prefix."""
        inherited = dict.fromkeys(name for name in os.environ if name.startswith("PROVISIONER_"))
        own = {f"PROVISIONER_{name}": value for name, value in settings.items()}
        result = CliRunner().invoke(
            app,
            list(words),
            input=stdin,
            env={**inherited, **self.environment, **own},
            prog_name="provisioner",
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        # Whoever runs the tests may have asked for colours.
        out, err = (_COLOURS.sub("", text) for text in (result.stdout, result.stderr))
        return Said(result.exit_code, out, err)

"""Logging as it was before, after every test; and lines as a test reads them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from worker.telemetry import configure_logs


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Logs:
    """What was written while a test ran."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.mask = configure_logs("debug", "json", stream=self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every line, read as JSON."""
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        """The only line."""
        (line,) = self.lines
        return line


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.root, logging.getLogger("worker")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    for library in ("aio_pika", "aiormq"):  # the RabbitMQ edge silences them for the whole process
        logging.getLogger(library).setLevel(logging.NOTSET)
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    structlog.reset_defaults()


@pytest.fixture
def logs() -> Logs:
    return Logs()

"""Structured logs on standard error: one JSON object a line, or something prettier on a terminal.

Everything goes through one handler: our own lines, those of libraries (first line only, from warning up,
because below that some of them write what they send), and Python's warnings.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from worker.telemetry.masking import Mask
from worker.telemetry.tracebacks import describe

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "pretty"]

_OURS = "worker"
_LONGEST_FOREIGN = 500
_LOST = '{"level": "error", "event": "log_line_lost"}\n'


class Fields(dict[str, Any]):
    """What a line of ours says, by name; goes through `logging` in the place of a text."""


def configure_logs(
    level: Level = "info", form: Format = "auto", *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> Mask:
    """Send every log line of the process, in this form, to the stream.

    Args:
        level: The least important level of our own lines; libraries are heard from warning up at most.
        form: `auto` is pretty on a terminal and JSON elsewhere.
        secrets: Values that are masked wherever they stand.
        stream: Standard error if left out.

    Returns:
        The mask; secrets that become known later are registered with it.
    """
    stream = sys.stderr if stream is None else stream
    mask = Mask(secrets)
    handler = _Handler(stream)
    handler.setFormatter(_Formatter(mask, _renderer(form, stream)))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(logging.WARNING, _number(level)))
    logging.getLogger(_OURS).setLevel(_number(level))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _as_fields],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    return mask


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines. What cannot be written is lost without a word of it: the words might be the secret."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the signature is logging's
        with suppress(OSError, ValueError):
            self.stream.write(_LOST)


class _Formatter(logging.Formatter):
    """Makes one line of a record, ours or a library's."""

    def __init__(self, mask: Mask, render: Callable[[EventDict], str]) -> None:
        super().__init__()
        self._mask = mask
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        said = dict(record.msg) if isinstance(record.msg, Fields) else _said_by_others(record)
        error = _error(said.pop("exc_info", None))
        line = {
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": said.pop("event", None),
            **said,
            "logger": record.name,
        }
        if error is not None:
            line["exception"] = describe(error)
        return self._render(self._mask(line))


def _as_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> tuple[tuple[Fields], EventDict]:
    """The end of structlog's way: all that was said is handed to `logging` as it is."""
    return (Fields(event),), {}


def _said_by_others(record: logging.LogRecord) -> EventDict:
    # asyncio, for one, goes on with the representation of a task and of the exception in it.
    first_line = record.getMessage().partition("\n")[0]
    return {"event": first_line[:_LONGEST_FOREIGN], "exc_info": record.exc_info}


def _renderer(form: Format, stream: TextIO) -> Callable[[EventDict], str]:
    is_pretty = form == "pretty" or (form == "auto" and stream.isatty())
    if not is_pretty:
        return json.dumps
    console = _console(stream)
    return lambda line: console(None, "", _printable(line))


def _console(stream: TextIO) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )


def _number(level: Level) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _error(exc_info: object) -> BaseException | None:
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case True:
            return sys.exception()
        case _:
            return None


def _printable(line: EventDict) -> EventDict:
    """Without JSON's quoting a line break or an escape sequence in a value would be one on the terminal."""
    return {
        name: _plain(value) if isinstance(value, str) and name != "exception" else value
        for name, value in line.items()
    }


def _plain(text: str) -> str:
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )

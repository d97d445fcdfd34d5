"""Structured logs on standard error: one JSON object a line, or something prettier on a terminal.

Everything goes through one handler: our own lines, those of libraries (first line only, from warning up,
because below that some of them write what they send), and Python's warnings.
"""

import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.telemetry.masking import Mask
from worker.telemetry.tracebacks import describe

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "pretty"]

_OURS = "worker"
_LONGEST_FOREIGN = 500
_LOST = '{"level": "error", "event": "log_line_lost"}\n'


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
    handler.setFormatter(_formatter(mask, form, stream))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(logging.WARNING, _number(level)))
    logging.getLogger(_OURS).setLevel(_number(level))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, ProcessorFormatter.wrap_for_formatter],
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


def _formatter(mask: Mask, form: Format, stream: TextIO) -> logging.Formatter:
    is_pretty = form == "pretty" or (form == "auto" and stream.isatty())
    last: list[Processor] = [structlog.processors.JSONRenderer()]
    if is_pretty:
        last = [_printable, _console(stream)]
    return ProcessorFormatter(
        processors=[
            _add_level_and_logger,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _shorten_foreign,
            ProcessorFormatter.remove_processors_meta,
            _describe_exception,
            mask,
            _in_order,
            *last,
        ]
    )


def _console(stream: TextIO) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )


def _number(level: Level) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _add_level_and_logger(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    return {**event, "level": record.levelname.lower(), "logger": record.name}


def _shorten_foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # asyncio, for one, goes on with the representation of a task and of the exception in it.
    if not event["_from_structlog"]:
        event["event"] = str(event["event"]).partition("\n")[0][:_LONGEST_FOREIGN]
    return event


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("stack_info", None)
    error = _error(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = describe(error)
    return event


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


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    last = {name: event.pop(name) for name in ("logger", "exception") if name in event}
    return {**first, **event, **last}


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Without JSON's quoting a line break or an escape sequence in a value would be one on the terminal."""
    return {
        name: _plain(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def _plain(text: str) -> str:
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )

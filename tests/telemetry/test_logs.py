"""Log lines: valid JSON, one form for everybody, and nothing secret in any of them."""

import asyncio
import io
import json
import logging
import re
import warnings
from typing import Literal

import pytest
import structlog
from pydantic import BaseModel

from tests.telemetry.conftest import Logs, Terminal
from worker.telemetry import configure_logs

CANARY = "canary-7f3a"


class Answer(BaseModel):
    """A model without any protection of its inputs."""

    account_id: int
    password: str


def send(password: str) -> None:
    headers = {"Authorization": f"Bearer {password}"}
    raise RuntimeError(f"sent {len(headers)} headers")


def log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("worker.test")
    return logger


def test_line_is_json_with_time_level_and_event(logs: Logs) -> None:
    """A line begins with timestamp in UTC, level and event, then its fields, then the logger."""
    log().info("request_moved", request_id="r1", attempt=2)
    assert list(logs.line) == ["timestamp", "level", "event", "request_id", "attempt", "logger"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", logs.line.pop("timestamp"))
    assert logs.line["level"] == "info"
    assert logs.line["logger"] == "worker.test"


def test_odd_values_stay_on_one_line_of_json(logs: Logs) -> None:
    """Line breaks, quotes, half surrogates and unknown objects never break the form."""
    log().info("odd\nevent", text='a"\n\x1b[31m', half="\ud800", thing=object(), items=[b"x", 1.5, None])
    assert logs.line["text"] == 'a"\n\x1b[31m'
    assert logs.line["thing"] == "<object>"
    assert logs.line["items"] == ["<bytes>", 1.5, None]


def test_locals_are_never_shown(logs: Logs) -> None:
    """A secret in a local variable of a function that raises appears in no line."""
    try:
        send(CANARY)
    except RuntimeError:
        log().exception("send_failed")
        logging.getLogger("worker.stdlib").exception("send failed")
        logging.getLogger("aiohttp.server").warning("Error handling request", exc_info=True)
    assert len(logs.lines) == 3
    for line in logs.lines:
        assert "in send" in line["exception"]
        assert line["exception"].endswith("RuntimeError: sent 1 headers")
    assert CANARY not in logs.text


def test_inputs_of_a_validation_error_are_never_shown(logs: Logs) -> None:
    """A one-time password in an answer that does not fit its model appears in no line."""
    try:
        Answer.model_validate({"account_id": CANARY, "password": {CANARY: CANARY}})
    except ValueError as error:
        log().error("unreadable", exc_info=error)
        logging.getLogger("worker.stdlib").exception("unreadable")
    assert CANARY not in logs.text
    assert logs.lines[0]["exception"].endswith("Answer: account_id int_parsing, password string_type")


async def test_forgotten_exception_of_a_task_is_not_quoted(logs: Logs) -> None:
    """What asyncio says of a task nobody awaited goes without the task's own words."""

    async def fail() -> None:
        raise ValueError(CANARY)

    loop = asyncio.get_running_loop()
    task = loop.create_task(fail())
    await asyncio.wait({task})
    error = task.exception()
    loop.call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": error, "future": task}
    )
    assert logs.line["event"] == "Task exception was never retrieved"
    assert "ValueError" in logs.line["exception"]
    assert CANARY not in logs.text


def test_registered_secrets_are_masked_anywhere(logs: Logs) -> None:
    """A known secret is masked in events, names, values, deep inside and in the text of errors."""
    logs.mask.register([CANARY])
    log().info(f"login with {CANARY}", url=f"amqp://user:{CANARY}@host", deep={"a": [{"b": f"<{CANARY}>"}]})
    log().error("refused", exc_info=OSError(f"{CANARY} is wrong"))
    logging.getLogger("aio_pika").warning("Connection attempt to %s failed", f"amqp://{CANARY}@host")
    assert CANARY not in logs.text
    assert logs.lines[0]["url"] == "amqp://user:**********@host"


@pytest.mark.parametrize(
    ("logger", "level", "is_heard"),
    [
        ("worker.core", "info", True),
        ("worker.core", "debug", False),
        ("aio_pika.connection", "warning", True),
        ("aio_pika.connection", "info", False),
        ("aiormq.connection", "debug", False),
        ("sqlalchemy.engine.Engine", "info", False),
        ("asyncio", "error", True),
        ("aiohttp.access", "info", False),
    ],
)
def test_libraries_are_heard_from_warning_up(
    logger: str, level: Literal["debug", "info", "warning", "error"], *, is_heard: bool
) -> None:
    """Our own lines follow the level that was set; libraries never say less than a warning."""
    stream = io.StringIO()
    configure_logs("info", "json", stream=stream)
    getattr(logging.getLogger(logger), level)("hello")
    assert bool(stream.getvalue()) is is_heard


def test_level_error_silences_warnings_of_all() -> None:
    """The level holds for libraries as well when it is above warning."""
    stream = io.StringIO()
    configure_logs("error", "json", stream=stream)
    logging.getLogger("aio_pika").warning("hello")
    log().warning("hello")
    assert stream.getvalue() == ""


def test_debug_of_ours_does_not_open_libraries(logs: Logs) -> None:
    """At debug the frames that an AMQP library would write, with passwords in them, stay unwritten."""
    logging.getLogger("aiormq.connection").debug("Sending %s", CANARY)
    log().debug("ours")
    assert logs.line["event"] == "ours"


def test_warnings_of_python_go_the_same_way(logs: Logs) -> None:
    """A warning becomes a line, not loose text on standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert (logs.line["level"], logs.line["logger"]) == ("warning", "py.warnings")
    assert "DeprecationWarning: old thing" in logs.line["event"]


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("pretty", io.StringIO, False),
    ],
)
def test_form_follows_setting_and_terminal(
    form: Literal["auto", "json", "pretty"], stream: type[io.StringIO], *, is_json: bool
) -> None:
    """`auto` is pretty on a terminal only; colours are for terminals."""
    output = stream()
    configure_logs("info", form, stream=output)
    log().info("hello", request_id="r1")
    assert output.getvalue().startswith("{") is is_json
    assert ("\x1b[" in output.getvalue()) is (output.isatty() and not is_json)


def test_pretty_form_guards_the_terminal_and_the_secrets() -> None:
    """On a terminal a value can neither forge a line nor send control sequences, and locals stay hidden."""
    stream = io.StringIO()
    configure_logs("info", "pretty", stream=stream)
    try:
        send(CANARY)
    except RuntimeError:
        log().exception("failed\nforged", value="\x1b[2J", password=CANARY)
    text = stream.getvalue()
    assert CANARY not in text
    assert "\x1b" not in text
    assert "\nforged" not in text
    assert "RuntimeError: sent 1 headers" in text


def test_line_that_cannot_be_formed_is_lost_in_silence() -> None:
    """A defect in a library's log call neither raises nor shows its arguments."""
    logs = Logs()  # only now: the test runner's own handler would raise
    logging.getLogger("aio_pika").warning("%d", CANARY)
    assert logs.line == {"level": "error", "event": "log_line_lost"}


def test_closed_stream_raises_nothing() -> None:
    """Losing standard error does not stop the worker."""
    stream = io.StringIO()
    configure_logs("info", "json", stream=stream)
    stream.close()
    log().info("hello")
    assert stream.closed


def test_foreign_handlers_are_removed() -> None:
    """A handler that a library installed before would write lines unmasked."""
    foreign = io.StringIO()
    logging.root.addHandler(logging.StreamHandler(foreign))
    configure_logs("info", "json", stream=io.StringIO())
    log().warning("hello")
    assert foreign.getvalue() == ""


def test_standard_error_is_where_lines_go(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream lines go to standard error, and nothing to standard output."""
    configure_logs("info", "json")
    log().info("hello")
    output, errors = capsys.readouterr()
    assert output == ""
    assert json.loads(errors)["event"] == "hello"

"""The program as a process: signals, errors that nobody expected, pipes that close, and what a start loads."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from tests.cli.books import Books
from worker.core.states import State
from worker.demo.surroundings import provider_settings
from worker.keyring import load_or_create, new_consumer_key

PROGRAM = [sys.executable, "-m", "worker"]
BROKEN = """
import worker.bootstrap
from worker.cli.program import main
def broken():
    secret = "geheim-local"
    raise {error}
worker.bootstrap.settings = broken
main()
"""
MIGRATED = """
import os
from functools import partial
from worker import bootstrap
from worker.cli.program import main
from worker.ledger.migrating import change, undisturbed
from worker.ledger.urls import store_at
def migrate(_port):
    with undisturbed(store_at(os.environ["PROVISIONER_LEDGER__URL"])) as connection:
        change(connection, "there", "0001", may_lose=True)
bootstrap.run_worker = partial(bootstrap.run_worker, watched=migrate)
main()
"""
"""A program in which the ledger is brought to another schema between a worker's start and its first sign of life."""
RARE = ("alembic", "psycopg", "pydantic_settings", "worker.demo", "worker.sandbox")
"""What only a migration, a server, a folder of secret files, a show or the pretended providers need."""
OF_A_WORKER = ("aio_pika", "aiohttp", "aiormq", "joserfc", "prometheus_client", "structlog", *RARE)
HEAVY = ("sqlalchemy", *OF_A_WORKER)


def environment(**settings: str) -> dict[str, str]:
    """This process's, with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROVISIONER_")}
    root = str(Path(__file__).parents[2])
    own = {f"PROVISIONER_{name}": value for name, value in settings.items()}
    return {**inherited, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1", **own}


@contextmanager
def running(*words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until the block ends."""
    with subprocess.Popen(
        [*PROGRAM, *words],
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_says_how_to_use_it_and_ends_when_told_to(number: signal.Signals) -> None:
    """Both addresses, the seed and lines to copy; it ends well on either signal, so a handler of its own is in place.

    (The first process of a container gets no SIGTERM at all unless it has a handler.)
    """
    with running("sandbox", "--port", "0", "--control-port", "0", "--seed", "7") as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(3)]
        lines = iter(process.stdout.readline, "")
        last = next(line for line in lines if "POSTCODE_EU__SECRET" in line)
        process.send_signal(number)
        assert process.wait(60) == 0
    assert [line[0] for line in told] == ["providers", "control", "seed"]
    assert told[2][1] == "7"
    assert last.startswith("export PROVISIONER_PROVIDERS__POSTCODE_EU__SECRET='")


def test_the_sandbox_speaks_json_and_refuses_a_port_that_is_taken() -> None:
    """One line with everything; a second sandbox on the same port ends with a sentence."""
    with running("sandbox", "--port", "0", "--control-port", "0", "--json") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        port = told["providers"].rpartition(":")[2]
        second = subprocess.run(
            [*PROGRAM, "sandbox", "--port", port, "--control-port", "0"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert told["environment"]["PROVISIONER_PROVIDERS__PHONE_COM__BASE_URL"] == told["providers"]
    assert (second.returncode, "Traceback" in second.stderr) == (1, False)
    assert "--port" in second.stderr


def broken_by(error: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command in the middle of which this error is raised."""
    words = [sys.executable, "-c", BROKEN.format(error=error), "requests", "list"]
    return subprocess.run(words, env=environment(**settings), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("error", "told", "reason"),
    [
        ("ValueError('geheim-text')", "ValueError: (text withheld", "its text may quote a value"),
        ("RuntimeError('the moon is full')", "RuntimeError: the moon is full", "its text says what happened"),
    ],
)
def test_an_error_that_nobody_expected_is_one_sentence(error: str, told: str, reason: str) -> None:
    """Exit code 1 without a traceback, and the setting that shows more."""
    ended = broken_by(error)
    assert (ended.returncode, told in ended.stderr) == (1, True), reason
    assert "PROVISIONER_LOG__LEVEL=debug" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert 'File "' not in ended.stderr
    assert "geheim" not in ended.stderr


def test_its_frames_are_shown_on_demand_without_values() -> None:
    """Where it happened, but neither a local variable nor the text that may quote one."""
    ended = broken_by("ValueError('geheim-text')", LOG__LEVEL="debug")
    assert (ended.returncode, 'File "' in ended.stderr) == (1, True)
    assert "geheim" not in ended.stderr


def test_a_pipe_that_closes_is_no_error(books: Books) -> None:
    """`provisioner requests list | head -1` ends without a word."""
    books.bring(State.HELD)
    with running("requests", "list", LEDGER__URL=books.url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.postgresql
def test_a_worker_whose_ledger_is_migrated_while_it_starts_ends_as_if_it_came_later(
    postgresql_url: str, tmp_path: Path
) -> None:
    """Exit code 78, and the command that helps: it stays neither idle nor at work on a ledger it may not use."""
    load_or_create(tmp_path / "keys.json", may_create=True)
    settings = {
        "BROKER__URL": "amqp://127.0.0.1:1",
        "LEDGER__URL": postgresql_url,
        "SEALING__KEYS_FILE": str(tmp_path / "keys.json"),
        "MONITORING__PORT": "0",
    }
    ended = subprocess.run(
        [sys.executable, "-c", MIGRATED, "run"],
        env={**environment(**settings), **provider_settings("http://127.0.0.1:1")},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (78, False)
    assert "run `provisioner ledger migrate`" in ended.stderr


@pytest.mark.parametrize(
    ("changed", "problem", "in_use"),
    [
        ({"crv": "P-384"}, "key 2 (kid new) is of another kind", "kid old is in use"),
        ({"exp": 1}, "no key is in its time", "none"),
    ],
    ids=["unusable", "expired"],
)
def test_a_worker_warns_of_a_consumer_key_that_cannot_be_used_and_serves(
    tmp_path: Path, changed: dict[str, object], problem: str, in_use: str
) -> None:
    """The line names the key, why, and the one that is used; the worker stays, and ends well when it is told to."""
    _, keys = new_consumer_key("old", datetime(2026, 1, 1, tzinfo=UTC))
    (first,) = keys["keys"]
    given = [{**first, **changed}] if "exp" in changed else [first, {**first, "kid": "new", **changed}]
    settings = {
        "BROKER__URL": "amqp://127.0.0.1:1",
        "LEDGER__URL": f"sqlite:///{tmp_path}/ledger.db",
        "MONITORING__PORT": "0",
        "LOG__FORMAT": "json",
        "CREDENTIALS__KEYS": json.dumps({"keys": given}),
        "PROVIDERS__CANARY_SPEECH__API_KEY": "client:secret",
    }
    with running("run", **settings) as process:
        assert process.stderr is not None
        lines = [json.loads(line) for line in iter_until(process.stderr, "broker_disconnected")]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    (told,) = (line for line in lines if line["event"] == "consumer_key_not_usable")
    assert (told["level"], problem in told["problem"], in_use in told["in_use"]) == ("warning", True, True)


def iter_until(stream: IO[str], word: str) -> Iterator[str]:
    """The lines up to the one with this word."""
    for line in stream:
        yield line
        if word in line:
            return


@pytest.mark.rabbitmq
def test_ctrl_c_ends_only_the_waiting(broker_url: str) -> None:
    """A person who waits for a result may stop; they were told the request's id, and see no traceback."""
    settings = {"BROKER__URL": broker_url}
    declared = subprocess.run([*PROGRAM, "topology", "declare"], env=environment(**settings), check=False)
    words = ("submit", "--provider", "canary_speech", "-p", "name=x", "--wait")
    with running(*words, **settings) as process:
        assert process.stderr is not None
        key, published = process.stderr.readline(), process.stderr.readline()
        process.send_signal(signal.SIGINT)
        code, rest = process.wait(60), process.stderr.read()
    assert (declared.returncode, code) == (0, 130)
    assert key.startswith("idempotency key ")
    assert "Ctrl-C ends only the waiting" in published
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("words", "unwanted", "reason"),
    [
        (["--help"], HEAVY, "help wants neither broker nor ledger"),
        (["requests", "replay", "--help"], HEAVY, "help wants neither broker nor ledger"),
        (["config", "show"], HEAVY, "settings are read without what they are for"),
        (
            ["requests", "list"],
            OF_A_WORKER,
            "a list wants the ledger alone: no broker, no HTTP, no encryption",
        ),
    ],
)
def test_a_start_loads_only_what_it_needs(
    books: Books, words: list[str], unwanted: tuple[str, ...], reason: str
) -> None:
    """Nobody waits for libraries that the verb does not use."""
    assert loaded_of(unwanted, "main()", *words, LEDGER__URL=books.url) == [], reason


def test_a_worker_loads_nothing_that_it_rarely_needs() -> None:
    """What `run` imports is what every worker uses, as a worker that is started anew is awaited."""
    assert loaded_of(RARE, "from worker.bootstrap import require_runnable, run_worker") == []


def loaded_of(unwanted: tuple[str, ...], code: str, *words: str, **settings: str) -> list[str]:
    """Which of these modules the program has loaded when the code is done."""
    watched = (
        "import sys, atexit; from worker.cli.program import main\n"
        f"atexit.register(lambda: sys.stderr.write(' '.join(name for name in {unwanted!r} if name in sys.modules)))\n"
        f"{code}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", watched, *words],
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr.split()

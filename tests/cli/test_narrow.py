"""The real tables on a terminal of 80 columns: ids are whole, and what is left out is named."""

from collections.abc import Callable

import pytest
import typer.main

from contracts.reason import ReasonCode
from tests.cli.books import Books
from tests.cli.terminal import on_a_terminal
from worker.cli.program import app
from worker.core.overview import CREDENTIALS, Pause
from worker.core.states import State

LETTER = "540b2bb1-5f94-54a5-9131-8a9957f6fddc"
KEY = "order-4711-of-canary"
REFUSED = "the provider refuses us: 401 Unauthorized"

Typed = Callable[..., tuple[str, set[str]]]
"""What a command prints on such a terminal, and which columns it says it left out."""


@pytest.fixture
def typed(books: Books, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types commands on a terminal of 80 columns."""
    for name, value in books.environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[str, set[str]]:
        on_a_terminal(monkeypatch, 80)
        typer.main.get_command(app)(list(words), standalone_mode=False)
        said = capsys.readouterr()
        _, _, left_out = said.err.strip().partition("left out, the terminal is too narrow: ")
        return said.out, set(left_out.split(", ")) - {""}

    return run


def columns(text: str) -> set[str]:
    """Names of the columns in the first line of a table, which are at least two blanks apart."""
    return {name.strip() for name in text.splitlines()[0].split("  ") if name.strip()}


def test_the_list_of_requests_is_whole(books: Books, typed: Typed) -> None:
    """Seven columns do not fit: each is there or named, and the id, the key and the state are there."""
    request_id = books.bring(State.HELD, KEY)
    books.bring(State.PROVISIONED, "another")
    out, left_out = typed("requests", "list")
    assert {request_id, KEY, "held", "provisioned"} <= set(out.split())
    assert columns(out) | left_out == {"request", "provider", "state", "reason", "age", "key", "account"}


def test_the_list_of_dead_letters_is_whole(books: Books, typed: Typed) -> None:
    """The same for what could not become a request."""
    books.bury(LETTER, idempotency_key=KEY, reason=ReasonCode.IDEMPOTENCY_CONFLICT)
    out, left_out = typed("dead-letters", "list")
    assert {LETTER, KEY, "idempotency_conflict"} <= set(out.split())
    assert columns(out) | left_out == {"dead letter", "state", "reason", "provider", "age", "key", "bytes"}


def test_the_standing_of_a_provider_is_whole(books: Books, typed: Typed) -> None:
    """Why a provider is paused is what one looks for in an outage; no word of it is missing or broken."""
    pause = Pause("phone_com", CREDENTIALS, "worker-dbd0584783", REFUSED, books.clock.now())
    books.write(lambda desk: desk.ledger.pause(pause))
    books.bring(State.HELD)
    out, left_out = typed("provider", "status")
    assert set(REFUSED.split()) <= set(out.split())
    assert "paused by credentials" in out
    told = {"provider", "state", "worker here", "why", "by", "since", "in the ledger"}
    assert columns(out) | left_out == told


def test_the_story_shows_the_whole_id_of_the_result(books: Books, typed: Typed) -> None:
    """By it the result is looked for in the consumer's log."""
    event_id = books.write(lambda desk: desk.provisioned(KEY)).entry.event_id
    out, left_out = typed("explain", KEY)
    assert event_id in out.split()
    table = out[out.rindex("result event ") :]
    told = {"result event", "id", "recorded", "confirmed by RabbitMQ", "times published"}
    assert columns(table) | left_out == told


def test_a_table_of_effects_shows_whole_ids(books: Books, typed: Typed) -> None:
    """The id that is told beside what would happen can be pasted into the next command."""
    request_id = books.bring(State.HELD, KEY)
    out, left_out = typed("requests", "abandon", KEY, "--dry-run", "--reason", "because of a test")
    assert request_id in out.split()
    assert columns(out) | left_out == {"request", "key", "state", "effect", "what"}

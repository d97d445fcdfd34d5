"""Arguments that are no UTF-8, as Python hands them over: nothing is called so, and nothing fails on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.books import Books
from tests.cli.terminal import Terminal
from worker import bootstrap
from worker.core.states import State

BYTES = "\udcff"
WHY = ("--reason", "because of a test")
SUBMIT = ("submit", "--no-check", "--key", BYTES, "--source", BYTES, "-p", f"name={BYTES}", "--provider")

REFUSED = [
    (["explain", BYTES], 4, r"no request has the id or key '\udcff'"),
    (["requests", "show", BYTES], 4, "no request has"),
    (["requests", "replay", BYTES, *WHY], 4, "no request has"),
    (["requests", "resolve", BYTES, "--not-created", *WHY], 4, "no request has"),
    (["requests", "list", "--provider", BYTES], 4, "no provider is called"),
    (["requests", "replay", "key-1", "--reason", BYTES], 2, "'--reason'"),
    (["requests", "replay", "key-1", *WHY, "--actor", BYTES], 2, "--actor must be UTF-8"),
    (["requests", "resolve", "key-1", *WHY, "--account-id", BYTES], 3, "blocked"),
    (["dead-letters", "show", BYTES], 4, "no dead letter has"),
    (["dead-letters", "replay", BYTES, *WHY], 4, "no dead letter has"),
    (["dead-letters", "discard", BYTES, *WHY], 4, "no dead letter has"),
    (["dead-letters", "discard", "letter", "--reason", BYTES], 2, "'--reason'"),
    (["provider", "status", BYTES], 4, "no provider is called"),
    (["provider", "pause", "phone_com", "--reason", BYTES], 2, "'--reason'"),
    (["ledger", "move", "--to", f"postgresql://u@127.0.0.1/{BYTES}"], 2, "--to must be UTF-8"),
    ([*SUBMIT, BYTES], 2, r"no message for '\udcff'"),
    (["sandbox", "--host", BYTES], 1, "cannot listen on"),
]


@pytest.mark.parametrize(("words", "code", "told"), REFUSED)
def test_what_nothing_is_called_is_not_found(
    books: Books, terminal: Terminal, words: list[str], code: int, told: str
) -> None:
    """Or it is refused, where it would be kept or sent; one sentence, and the exit code that belongs to it."""
    books.bring(State.WAITING, "key-1")
    books.bury()
    said = terminal(*words)
    assert (said.code, told in said.everything) == (code, True), said.everything


@pytest.mark.parametrize("option", ["--key", "--source", "--provider"])
def test_a_filter_finds_nothing_in_place_of_it(books: Books, terminal: Terminal, option: str) -> None:
    """The ledger keeps a question mark for what it cannot keep; that is not what was asked for."""
    books.bury(idempotency_key=BYTES, source=BYTES)
    assert terminal("dead-letters", "list", "--json").json[0]["idempotency_key"] == "?"
    assert terminal("dead-letters", "list", option, BYTES).out == "no dead letter matches\n"
    assert terminal("requests", "list", "--source", BYTES).out == "no request matches\n"


@pytest.mark.parametrize("spoken", [(), ("--json",)])
def test_a_file_may_be_called_so(
    books: Books, terminal: Terminal, tmp_path: Path, spoken: tuple[str]
) -> None:
    """Names of files are bytes: what was written is told, and is there."""
    folder = tmp_path / BYTES
    made = terminal("keys", "new", "sealing", "--folder", str(folder), *spoken)
    turned = terminal("keys", "rotate", str(folder / "sealing.keys.json"), *spoken)
    copied = terminal("ledger", "backup", str(folder / "copy.db"), *spoken)
    exported = terminal("contracts", "export", "--folder", str(folder / "contracts"), *spoken)
    for said in (made, turned, copied, exported):
        assert (said.code, r"\udcff" in said.out) == (0, True), said.err
    assert {it.name for it in folder.iterdir()} == {"sealing.keys.json", "copy.db", "contracts"}


@pytest.mark.parametrize("spoken", [(), ("--json",)])
def test_what_was_published_unchecked_is_told(
    bare: Terminal, monkeypatch: pytest.MonkeyPatch, spoken: tuple[str]
) -> None:
    """Whoever tries what a worker does with it hears that it is out."""

    async def submit(_: object, event: Mapping[str, Any], *rest: Any) -> None:
        assert event["data"]["idempotency_key"] == BYTES
        rest[-1]()

    monkeypatch.setattr(bootstrap, "submit", submit)
    said = bare(*SUBMIT, "phone_com", *spoken)
    assert (said.code, said.out.startswith(("published", '{\n  "published"'))) == (0, True)

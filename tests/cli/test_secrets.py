"""A canary in every place where a secret may be: no output of any verb shows one, errors included."""

import json
from pathlib import Path

import pytest

from tests.cli.books import BODY, PASSWORD, Books
from tests.cli.terminal import Terminal
from worker.core.states import State

SETTINGS = {
    "BROKER__URL": "amqp://worker:canary-broker-password@127.0.0.1:1/",
    "PROVIDERS__CANARY_SPEECH__API_KEY": "canary:api-key",
    "PROVIDERS__PHONE_COM__TOKEN": "canary-token",
    "PROVIDERS__PHONE_COM__ACCOUNT_ID": "1",
    "PROVIDERS__PHONE_COM__EXTRA_FIELDS": '{"cc_token": "canary-payment", "card": [{"token": "canary-deep"}]}',
    "PROVIDERS__GATEWAY360__API_KEY": "canary-gateway-key",
    "PROVIDERS__POSTCODE_EU__KEY": "canary-postcode-key",
    "PROVIDERS__POSTCODE_EU__SECRET": "canary-postcode-secret",
}
SECRETS = [
    PASSWORD,
    BODY.decode(),
    "canary-in-a-file",
    "canary-broker-password",
    "canary-payment",
    "canary-deep",
    *(value for value in SETTINGS.values() if "canary" in value),
]

WHY = ("--reason", "x")
COMMANDS = [
    ("requests", "list"),
    ("requests", "show", "held"),
    ("explain", "held"),
    ("explain", "done"),
    ("requests", "replay", "held", *WHY),
    ("requests", "resolve", "held", "--account-id", "1", *WHY),
    ("requests", "resolve", "held", "--account-id", "1", "--credentials-file", "secrets.json", *WHY),
    ("requests", "republish", "done", *WHY, "--dry-run"),
    ("dead-letters", "list"),
    ("dead-letters", "show", "letter"),
    ("dead-letters", "replay", "letter", *WHY),
    ("dead-letters", "discard", "letter", *WHY, "--dry-run"),
    ("provider", "status"),
    ("provider", "pause", "phone_com", *WHY, "--dry-run"),
    ("config", "show"),
    ("config", "check"),
    ("topology", "check"),
    ("topology", "show"),
    ("submit", "secrets.json"),
]
SUBMITTED = [
    ("-p", "passwort=canary-in-a-wrong-field"),
    ("-p", "name=7", "-p", "a canary-in-a-wrong-field=1"),
    ("-p", 'name={"a": "canary-in-a-wrong-field"}'),
]


@pytest.fixture
def guarded(books: Books, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal with a canary in every setting, row and file."""
    books.bring(State.HELD, "held")
    books.bring(State.PROVISIONED, "done")
    books.bury()
    monkeypatch.chdir(tmp_path)
    Path("secrets.json").write_text(json.dumps({"password": "canary-in-a-file", "x": 7}))
    terminal.environment |= {f"PROVISIONER_{name}": value for name, value in SETTINGS.items()}
    return terminal


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_verb_shows_a_secret(guarded: Terminal, words: tuple[str, ...]) -> None:
    """For people and for programs, whether it ends well or not."""
    for said in (guarded(*words), guarded(*words, "--json")):
        assert said.everything
        assert [secret for secret in SECRETS if secret in said.everything] == []


@pytest.mark.parametrize("words", SUBMITTED, ids=" ".join)
def test_a_refused_request_is_told_without_its_values(guarded: Terminal, words: tuple[str, ...]) -> None:
    """Pointers and rules, never what was typed."""
    said = guarded("submit", "--provider", "canary_speech", *words)
    assert (said.code, "/data/parameters" in said.err) == (2, True)
    assert "canary-in-a-wrong-field" not in said.everything


def test_the_message_of_a_dead_letter_is_shown_only_on_demand(guarded: Terminal) -> None:
    """`--body` is the one way to see what somebody sent."""
    assert BODY.decode() in guarded("dead-letters", "show", "letter", "--body").out

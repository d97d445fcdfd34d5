"""Exit codes and the one sentence beside them, the same everywhere: it names the setting, the row or the command."""

from pathlib import Path

import pytest

from tests.cli.books import Books
from tests.cli.terminal import Terminal
from tests.servers import frozen
from worker.core.states import State
from worker.keyring import load_or_create
from worker.ledger import postgresql
from worker.local.postgresql_server import PostgresqlServer

AWAY = "amqp://u:geheim@127.0.0.1:1/vh"
NO_LEDGER = "there is no ledger at"

BARE = [
    (["requests", "list"], {}, 78, NO_LEDGER, "before the first start"),
    (["requests", "list"], {}, 78, "provisioner run", "it says what makes one"),
    (["explain", "x"], {}, 78, NO_LEDGER, "before the first start"),
    (["provider", "status"], {}, 78, NO_LEDGER, "before the first start"),
    (["dead-letters", "list"], {}, 78, NO_LEDGER, "before the first start"),
    (
        ["requests", "list"],
        {"BROKER__ULR": "x"},
        78,
        "did you mean PROVISIONER_BROKER__URL?",
        "mistyped setting",
    ),
    (["config", "check"], {"LEDGER__LEASE": "soon"}, 78, "PROVISIONER_LEDGER__LEASE must be", "wrong value"),
    (["config", "check"], {}, 78, "no provider is configured", "nothing to do"),
    (["run"], {}, 78, "PROVISIONER_BROKER__URL is not set", "no broker"),
    (
        ["run"],
        {"BROKER__URL": AWAY},
        78,
        "no provider is configured",
        "a worker that could never do anything",
    ),
    (["topology", "check"], {}, 78, "PROVISIONER_BROKER__URL is not set", "no broker"),
    (["topology", "check"], {"BROKER__URL": AWAY}, 69, "PROVISIONER_BROKER__URL", "unreachable"),
    (
        ["topology", "declare"],
        {"BROKER__URL": AWAY},
        69,
        "amqp://u:***@127.0.0.1:1/vh",
        "unreachable, masked",
    ),
    (
        ["submit", "--provider", "canary_speech", "-p", "name=x"],
        {"BROKER__URL": AWAY},
        69,
        "u:***@",
        "unreachable",
    ),
    (
        ["requests", "list"],
        {"LEDGER__URL": "postgresql://u:geheim@127.0.0.1:1/x", "SEALING__KEYS_FILE": "nowhere.json"},
        78,
        "PROVISIONER_SEALING__KEYS_FILE",
        "a key file that somebody named and nobody made",
    ),
    (["healthcheck"], {"MONITORING__PORT": "1"}, 1, "PROVISIONER_MONITORING__HOST", "no worker here"),
    (["submit"], {}, 2, "give a file, or --provider", "nothing to submit"),
    (["keys", "new", "other"], {}, 2, "sealing", "no such kind"),
    (["requests", "list", "--code", "lost"], {}, 2, "connection_lost", "no such code; those there are"),
    (["nothing"], {}, 2, "nothing", "no such verb"),
]

WITH_LEDGER = [
    (["requests", "show", "nope"], 4, "provisioner requests list", "no such request"),
    (["requests", "replay", "nope", "--reason", "x"], 4, "'nope'", "no such request"),
    (["explain", "nope"], 4, "'nope'", "no such request, and no dead letter either"),
    (["dead-letters", "show", "nope"], 4, "provisioner dead-letters list", "no such letter"),
    (["provider", "pause", "phonecom", "--reason", "x"], 4, "phone_com", "no such provider; those there are"),
    (["provider", "status", "phonecom"], 4, "phone_com", "no such provider"),
    (["requests", "list", "--provider", "phonecom"], 4, "phone_com", "a mistyped filter is no empty result"),
    (["requests", "replay", "sent"], 2, "--reason", "no reason"),
    (["requests", "replay", "sent", "--reason", "  "], 2, "say why", "a blank reason"),
    (["requests", "abandon", "--reason", "x"], 2, "give a filter", "never everything by accident"),
    (["requests", "republish", "sent", "--state", "held", "--reason", "x"], 2, "not both", "ids and filters"),
    (["requests", "resolve", "sent", "--reason", "x"], 2, "--not-created", "neither word"),
    (
        ["requests", "resolve", "sent", "--account-id", "1", "--attempt", "1", "--reason", "x"],
        2,
        "--attempt goes with --not-created",
        "an account is one, whichever attempt opened it",
    ),
    (
        ["requests", "resolve", "sent", "--account-id", "1", "--not-created", "--reason", "x"],
        2,
        "either --account-id or --not-created",
        "both words",
    ),
    (
        ["requests", "resolve", "sent", "--account-id", "", "--reason", "x"],
        2,
        "empty",
        "a variable that is not set",
    ),
    (["dead-letters", "discard", "--reason", "x"], 2, "give a filter", "never everything by accident"),
    (["requests", "replay", "sent", "--reason", "x"], 3, "a create is under way", "blocked by its state"),
    (["requests", "list"], 0, "sent", "well"),
]


@pytest.mark.parametrize(("words", "settings", "code", "told", "reason"), BARE)
def test_without_a_ledger(
    bare: Terminal, words: list[str], settings: dict[str, str], code: int, told: str, reason: str
) -> None:
    """Where nothing is configured each verb ends with the promised code and names what to change."""
    said = bare(*words, **settings)
    assert said.code == code, reason
    assert told in said.everything.replace("\n", " "), reason
    assert "geheim" not in said.everything


@pytest.mark.parametrize(("words", "code", "told", "reason"), WITH_LEDGER)
def test_with_a_ledger(
    books: Books, terminal: Terminal, words: list[str], code: int, told: str, reason: str
) -> None:
    """Unknown ids are 4, wrong usage is 2, a state that does not fit is 3, and nothing is changed by any of them."""
    request_id = books.bring(State.SENDING, "sent")
    said = terminal(*words)
    assert (said.code, told in said.everything) == (code, True), f"{reason}: {said.everything}"
    assert books.state(request_id) is State.SENDING


def test_an_unreachable_ledger_server(bare: Terminal, tmp_path: Path) -> None:
    """A PostgreSQL that does not answer is 69, names the setting, and not its password."""
    keys = tmp_path / "sealing.keys.json"
    load_or_create(keys, may_create=True)
    url = "postgresql://u:geheim@127.0.0.1:1/x"
    said = bare("requests", "list", LEDGER__URL=url, SEALING__KEYS_FILE=str(keys))
    assert said.code == 69
    assert "PROVISIONER_LEDGER__URL" in said.err
    assert "geheim" not in said.everything


@pytest.mark.postgresql
def test_a_silent_ledger_server(
    bare: Terminal,
    tmp_path: Path,
    own_postgresql_server: PostgresqlServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A PostgreSQL that takes the connection and says nothing is not waited for: 69, and after how long."""
    monkeypatch.setattr(postgresql, "_CONNECT", 2)
    keys, url = tmp_path / "sealing.keys.json", own_postgresql_server.url()
    load_or_create(keys, may_create=True)
    with frozen(own_postgresql_server):
        for command in ("requests list", "ledger status", "ledger migrate"):
            said = bare(*command.split(), LEDGER__URL=url, SEALING__KEYS_FILE=str(keys))
            told = " ".join(said.err.split())
            assert said.code == 69
            assert "/postgres cannot be used: its server did not answer within 2 seconds" in told


def test_a_ledger_without_its_keys(books: Books, terminal: Terminal) -> None:
    """Keys that are gone are told as such; no new ones are made."""
    books.keys_file.unlink()
    said = terminal("requests", "list")
    assert (said.code, "key file" in said.err) == (78, True)
    assert not books.keys_file.exists()


def test_a_ledger_with_other_keys(books: Books, terminal: Terminal) -> None:
    """What other keys sealed cannot be opened: 78, and the setting that must hold them."""
    letter = books.bury()
    books.keys_file.unlink()
    load_or_create(books.keys_file, may_create=True)
    said = terminal("dead-letters", "show", letter, "--body")
    assert (said.code, "PROVISIONER_SEALING__KEYS_FILE" in said.err) == (78, True)

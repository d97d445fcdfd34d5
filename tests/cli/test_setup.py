"""Verbs for whoever sets the worker up: configuration, keys, contracts."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.export import HOME
from tests.cli.terminal import Terminal
from worker.keyring import load, new_consumer_key
from worker.sandbox import CanarySpeech, Gateway360

CANARY = {"PROVIDERS__CANARY_SPEECH__API_KEY": CanarySpeech.credentials.api_key}
PHONE = {"PROVIDERS__PHONE_COM__TOKEN": "token-of-nobody", "PROVIDERS__PHONE_COM__ACCOUNT_ID": "1"}
GATEWAY = {"PROVIDERS__GATEWAY360__API_KEY": Gateway360.credentials.api_key}
POSTCODE = {
    "PROVIDERS__POSTCODE_EU__KEY": "key-of-nobody",
    "PROVIDERS__POSTCODE_EU__SECRET": "secret-of-nobody",
}


def parts(said: str) -> dict[str, str]:
    """What `config check` found, by part: "yes …" or "no …"."""
    return {line[:15].strip(): " ".join(line[15:].split()) for line in said.splitlines()[1:]}


def test_a_check_before_the_first_start_is_well(bare: Terminal) -> None:
    """What the first start makes is told and is no fault, also online; nothing is made by looking."""
    said = bare("config", "check", **CANARY)
    assert (said.code, bare("config", "check", "--json", **CANARY).json[0]["well"]) == (0, True)
    assert parts(said.out)["sealing keys"] == "yes provisioner.db.keys.json will be made at the first start"
    online = parts(bare("config", "check", "--online", **CANARY).out)
    assert online["ledger"] == "yes provisioner.db will be made at the first start"
    assert online["rabbitmq"].startswith("no PROVISIONER_BROKER__URL is not set")
    assert list(Path.cwd().iterdir()) == []


def test_a_ledger_in_a_folder_that_is_missing_is_told(bare: Terminal) -> None:
    """A volume that was not mounted must not become a fresh ledger."""
    said = bare("config", "check", "--online", LEDGER__URL="sqlite:////not-mounted/ledger.db", **CANARY)
    assert (said.code, "is its volume mounted?" in said.out) == (78, True)


@pytest.mark.postgresql
def test_a_check_of_an_empty_database_is_well(bare: Terminal, postgresql_url: str) -> None:
    """On PostgreSQL the first start makes the tables; until then operators' verbs say that there is no ledger."""
    assert bare("keys", "new", "sealing").code == 0
    settings = {"LEDGER__URL": postgresql_url, "SEALING__KEYS_FILE": "sealing.keys.json"}
    said = parts(bare("config", "check", "--online", **settings, **CANARY).out)
    assert said["ledger"] == "yes reached; its tables will be made at the first start"
    listed = bare("requests", "list", **settings)
    assert (listed.code, "there is no ledger at" in listed.err) == (78, True)


def test_a_check_online_reaches_the_ledger_and_the_providers(terminal: Terminal) -> None:
    """A ledger that works is proven by a write; a provider that does not answer is named."""
    settings = {**CANARY, "PROVIDERS__CANARY_SPEECH__BASE_URL": "http://127.0.0.1:1"}
    said = terminal("config", "check", "--online", "--json", **settings)
    found = {it["part"]: (it["well"], it["words"]) for it in said.json}
    assert said.code == 78
    assert found["ledger"] == (True, "reached; a small write was durable")
    assert found["canary_speech"][0] is False


@pytest.mark.parametrize(
    ("settings", "code", "told"),
    [
        (CANARY, 0, "yes none, and no configured provider issues credentials"),
        (PHONE, 0, "yes none: requests at phone_com that leave a password to us are rejected."),
        (GATEWAY | PHONE, 78, "no none, and every account at gateway360 comes with credentials:"),
        (GATEWAY | POSTCODE, 78, "no none, and every account at gateway360 and postcode_eu comes"),
    ],
)
def test_a_check_fails_where_no_consumer_could_read_the_credentials(
    bare: Terminal, settings: dict[str, str], code: int, told: str
) -> None:
    """Without a consumer's key a provider that issues credentials would open no account at all."""
    said = bare("config", "check", **settings)
    assert said.code == code
    assert parts(said.out)["consumer keys"].startswith(told)


SAFE = "yes nothing is sent to another machine in clear"
POSTGRESQL = "postgresql://u:geheim@db.example.org/x"
KEYS = {"SEALING__KEYS": '{"keys": []}'}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, SAFE),
        ({"BROKER__URL": "amqp://u:geheim@127.0.0.1/"}, SAFE),
        ({"BROKER__URL": "amqp://u:geheim@[::1]/"}, SAFE),
        ({"BROKER__URL": "amqps://u:geheim@mq.example.org/"}, SAFE),
        ({"BROKER__URL": "amqp://u:geheim@mq.example.org/"}, "RabbitMQ at mq.example.org."),
        ({"LEDGER__URL": "postgresql:///x?host=/run/postgresql"}, SAFE),
        ({"LEDGER__URL": POSTGRESQL}, "PostgreSQL at db.example.org."),
        ({"LEDGER__URL": f"{POSTGRESQL}?sslmode=prefer"}, "PostgreSQL at db.example.org."),
        ({"LEDGER__URL": f"{POSTGRESQL}?sslmode=verify-full&sslrootcert=/x"}, SAFE),
        ({"PROVIDERS__CANARY_SPEECH__BASE_URL": "http://sandbox:9000"}, "canary_speech at sandbox."),
    ],
    ids=str,
)
def test_what_is_sent_in_clear_is_told(bare: Terminal, settings: dict[str, str], told: str) -> None:
    """To another machine and without TLS, be it broker, ledger or provider; never with a password in the words."""
    said = bare("config", "check", **CANARY, **KEYS, **settings)
    assert told in parts(said.out)["encryption"]
    assert "geheim" not in said.everything


@pytest.mark.parametrize(
    ("drain", "told"),
    [
        (None, "yes creates under way are waited for, 125 seconds at most"),
        (
            "0",
            "yes creates under way are waited for only 0 seconds, and listened to for longer (canary_speech 120):",
        ),
        ("119", "yes creates under way are waited for only 119 seconds"),
        ("120", "yes creates under way are waited for, 120 seconds at most"),
    ],
)
def test_a_drain_that_cuts_creates_off_is_told(bare: Terminal, drain: str | None, told: str) -> None:
    """It is allowed, and whoever checks hears which providers are listened to for longer."""
    settings = {} if drain is None else {"SHUTDOWN__DRAIN": drain}
    said = bare("config", "check", **CANARY, **settings)
    assert said.code == 0
    assert parts(said.out)["stopping"].startswith(told)


def test_every_problem_is_told_at_once(bare: Terminal) -> None:
    """Two wrong settings are two paragraphs."""
    said = bare("config", "check", LEDGER__LEASE="soon", LOG__LEVEL="loud")
    assert "2 settings are wrong" in said.err
    assert "PROVISIONER_LEDGER__LEASE" in said.err
    assert "PROVISIONER_LOG__LEVEL" in said.err


def test_show_lists_every_setting_and_masks_secrets(bare: Terminal) -> None:
    """Name, value and where it comes from; with --json the meaning as well."""
    said = bare("config", "show", BROKER__URL="amqp://u:geheim@h/", **CANARY)
    lines = {line.split()[0]: line.split()[1:] for line in said.out.splitlines()}
    assert lines["PROVISIONER_BROKER__URL"] == ["**********", "environment"]
    assert lines["PROVISIONER_LEDGER__LEASE"] == ["30", "default"]
    rows = bare("config", "show", "--json", **CANARY).json
    assert all(row["description"] for row in rows)


def test_the_reference_is_markdown(bare: Terminal) -> None:
    """Every setting with its meaning, in tables."""
    said = bare("config", "reference")
    assert "| `PROVISIONER_BROKER__URL` |" in said.out
    assert "### `providers.phone_com`" in said.out


def test_the_topology_is_shown_and_exported(bare: Terminal) -> None:
    """For people as tables, for RabbitMQ as definitions; no broker is needed."""
    said = bare("topology", "show")
    assert "provisioning.requests.phone_com      x-queue-type=quorum" in said.out
    definitions = bare("topology", "show", "--json").json
    assert {it["name"] for it in definitions["exchanges"]} >= {
        "provisioning.requests",
        "provisioning.results",
    }


@pytest.mark.parametrize(
    ("path", "virtual_host"),
    [
        (None, "/"), ("", "/"), ("/", "/"), ("/%2F", "/"),
        ("/provisioning", "provisioning"), ("/a%20b%2Fc?heartbeat=9", "a b/c"),
    ],
)  # fmt: skip
def test_definitions_are_for_the_virtual_host_that_is_configured(
    bare: Terminal, path: str | None, virtual_host: str
) -> None:
    """Importing them is the remedy for what is missing, so they must lead to where it is missed."""
    address = {} if path is None else {"BROKER__URL": f"amqp://user:geheim@rabbitmq{path}"}
    definitions = bare("topology", "show", "--json", **address).json
    assert {it["vhost"] for kind in definitions.values() for it in kind} == {virtual_host}


def test_contracts_are_written_checked_and_found_drifted(bare: Terminal) -> None:
    """Written files have not drifted; a changed one has, by name, with the command that mends it."""
    written = bare("contracts", "export", "--folder", "wire").out.splitlines()
    assert "written: schemas/envelope.v1.json" in written
    assert written[-1] == "wire: is up to date now"
    assert bare("contracts", "export", "--folder", "wire", "--check").out == "wire: nothing has drifted\n"
    changed = next(Path("wire").rglob("*.json"))
    changed.write_text("{}")
    said = bare("contracts", "export", "--folder", "wire", "--check")
    assert (said.code, str(changed.relative_to("wire")) in said.err) == (1, True)
    assert "provisioner contracts export --folder wire" in said.err
    drifted = bare("contracts", "export", "--folder", "wire", "--check", "--json").json["drifted"]
    assert drifted == [changed.relative_to("wire").as_posix()]
    assert bare("contracts", "export", "--folder", "wire", "--json").json["written"] == drifted


def test_contracts_are_written_where_they_belong(bare: Terminal) -> None:
    """Without a folder the package's own is meant, wherever the command is given, and nothing is made beside it."""
    assert bare("contracts", "export", "--check", "--json").json == {"folder": str(HOME), "drifted": []}
    assert not Path("contracts").exists()


def test_contract_that_cannot_be_written_is_told(bare: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes a contract hears in one sentence what it lacks."""

    def write(folder: Path) -> None:
        raise TypeError("contracts.providers.fifth: the parameter name lacks a description")

    monkeypatch.setattr("contracts.export.write", write)
    said = bare("contracts", "export", "--folder", "wire")
    assert (said.code, "fifth: the parameter name lacks a description" in said.err) == (1, True)


def test_new_sealing_keys_are_private_and_never_overwritten(bare: Terminal) -> None:
    """Mode 0600, and a second time is refused: another key could open nothing that the first one sealed."""
    path = Path("keys", "sealing.keys.json")
    said = bare("keys", "new", "sealing", "--folder", "keys")
    assert "PROVISIONER_SEALING__KEYS_FILE" in said.out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    again = bare("keys", "new", "sealing", "--folder", "keys")
    assert (again.code, "not overwritten" in again.err) == (78, True)
    assert path.read_bytes() == before


def test_a_new_consumer_pair_is_two_files(bare: Terminal) -> None:
    """The public half goes into the worker's configuration, the private half is readable by its owner only."""
    said = bare("keys", "new", "consumer", "--kid", "crm-2026", "--json").json
    assert [it["file"] for it in said] == ["crm-2026.jwks.json", "crm-2026.private.jwk.json"]
    assert stat.S_IMODE(Path("crm-2026.private.jwk.json").stat().st_mode) == 0o600
    assert "d" not in json.loads(Path("crm-2026.jwks.json").read_text())["keys"][0]
    checked = bare("config", "check", CREDENTIALS__KEYS_FILE="crm-2026.jwks.json", **CANARY)
    used = "yes usable; crm-2026.jwks.json: kid crm-2026 is in use"
    assert parts(checked.out)["consumer keys"] == used
    assert bare("keys", "new", "consumer", "--kid", "../crm").code == 2


def consumers_file(**second: object) -> str:
    """A JWKS with a key that serves, kid `old`, and a second one, kid `new`, that differs from it in this."""
    _, keys = new_consumer_key("old", datetime(2026, 1, 1, tzinfo=UTC))
    (first,) = keys["keys"]
    Path("crm.jwks.json").write_text(json.dumps({"keys": [first, {**first, "kid": "new", **second}]}))
    return "crm.jwks.json"


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"crv": "P-384"}, "key 2 (kid new) is of another kind and is not used; usable are EC keys on P-256"),
        ({"alg": "ECDH-ES"}, "key 2 (kid new) asks for another algorithm than ECDH-ES+A256KW"),
        ({"iat": "2026-11-26"}, "key 2 (kid new) has an iat that is not a number of seconds"),
        ({"use": "encryption"}, "key 2 (kid new) has a use that is neither enc nor sig"),
    ],
    ids=str,
)
def test_a_new_consumer_key_that_cannot_be_used_is_told(
    bare: Terminal, second: dict[str, object], why: str
) -> None:
    """Who believes to have rotated would throw away the private half of the key that is still in use: it is named."""
    said = bare("config", "check", "--json", CREDENTIALS__KEYS_FILE=consumers_file(**second), **CANARY)
    (found,) = (it for it in said.json if it["part"] == "consumer keys")
    assert (said.code, found["well"]) == (78, False)
    assert why in found["words"]
    assert found["words"].endswith("crm.jwks.json: kid old is in use")


def test_a_set_of_which_every_key_has_expired_is_told(bare: Terminal) -> None:
    """It can encrypt, and no request would be taken because of it."""
    _, keys = new_consumer_key("old", datetime(2026, 1, 1, tzinfo=UTC))
    keys["keys"][0]["exp"] = 1_767_229_200
    said = bare("config", "check", CREDENTIALS__KEYS=json.dumps(keys), **CANARY)
    assert said.code == 78
    found = "no PROVISIONER_CREDENTIALS__KEYS: no key is in its time (nbf, exp)"
    assert parts(said.out)["consumer keys"] == found


@pytest.mark.parametrize(
    "second",
    [{"use": "sig"}, {"use": None, "key_ops": ["verify"]}],
    ids=str,
)
def test_a_key_for_signatures_beside_it_is_no_fault(bare: Terminal, second: dict[str, object]) -> None:
    """A consumer's JWKS may hold both kinds; nobody expects to decrypt with that one."""
    said = bare("config", "check", CREDENTIALS__KEYS_FILE=consumers_file(**second), **CANARY)
    assert (said.code, parts(said.out)["consumer keys"]) == (
        0,
        "yes usable; crm.jwks.json: kid old is in use",
    )


def test_a_private_consumer_key_is_refused_without_showing_it(bare: Terminal) -> None:
    """The file of the wrong half is named, its content is not."""
    private, _ = new_consumer_key("crm", datetime.now(UTC))
    Path("wrong.json").write_text(json.dumps({"keys": [private]}))
    said = bare("config", "check", CREDENTIALS__KEYS_FILE="wrong.json", **CANARY)
    assert said.code == 78
    assert private["d"] not in said.everything


def test_rotation_may_begin_later_so_that_all_workers_can_be_restarted(bare: Terminal) -> None:
    """Until the time that was asked for the old key seals; the new one is in the file already."""
    bare("keys", "new", "sealing")
    (old,) = load(Path("sealing.keys.json")).key_ids
    said = bare("keys", "rotate", "sealing.keys.json", "--seals-after", "30", "--json").json
    ring = load(Path("sealing.keys.json"))
    ahead = datetime.fromisoformat(said["seals_from"]) - datetime.now(UTC)
    assert timedelta(minutes=29) < ahead <= timedelta(minutes=30)
    assert ring.key_ids == (old, said["key"])
    assert ring.seal(b"x", "y").split(".")[1] == old
    at_once = bare("keys", "rotate", "sealing.keys.json", "--json").json["key"]
    assert load(Path("sealing.keys.json")).seal(b"x", "y").split(".")[1] == at_once


def test_a_rotation_that_no_clock_reaches_is_wrong_usage(bare: Terminal) -> None:
    """The file stays as it is."""
    bare("keys", "new", "sealing")
    before = Path("sealing.keys.json").read_text()
    said = bare("keys", "rotate", "sealing.keys.json", "--seals-after", "1e12")
    assert (said.code, "'--seals-after'" in said.err) == (2, True)
    assert Path("sealing.keys.json").read_text() == before


def test_keys_that_somebody_named_may_be_a_link(bare: Terminal, terminal: Terminal) -> None:
    """Kubernetes mounts a secret as a link; the worker's own default file must not be one."""
    bare("keys", "new", "sealing")
    Path("mounted.keys.json").symlink_to("sealing.keys.json")
    settings = {"SEALING__KEYS_FILE": "mounted.keys.json", **CANARY}
    assert parts(bare("config", "check", **settings).out)["sealing keys"] == "yes usable"
    missing = bare("config", "check", **{**settings, "SEALING__KEYS_FILE": "nowhere.json"})
    assert missing.code == 78
    assert "provisioner keys new sealing" in missing.out

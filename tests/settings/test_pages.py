"""What people see of the settings: the present state, the reference and a file to begin with."""

import json
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from worker.core.errors import ConfigurationError
from worker.core.provider import ProviderSettings
from worker.providers.phone_com import PhoneComSettings
from worker.settings import Settings, environment_example, load, reference, secret_values, show
from worker.settings.catalogue import ALONE, MASK, Setting, settings_of

CANARY = "canary-7f3a"


class PhoneSettings(ProviderSettings):
    """A provider with a secret."""

    base_url: str = Field(default="https://api.phone.example", description="Root of the API.")
    token: SecretStr = Field(description="The token | key.")


KINDS = {"phone_com": PhoneSettings}
TOKEN = "PROVISIONER_PROVIDERS__PHONE_COM__TOKEN"
EXTRA_FIELDS = "PROVISIONER_PROVIDERS__PHONE_COM__EXTRA_FIELDS"


@pytest.fixture
def settings() -> Settings:
    return load(
        KINDS,
        {
            "PROVISIONER_BROKER__URL": f"amqp://user:{CANARY}%2F@host/",
            TOKEN: CANARY,
            "PROVISIONER_BROKER__HEARTBEAT": "15",
        },
    )


def test_every_setting_is_shown_with_its_origin(settings: Settings) -> None:
    """Each row has name, value, origin and meaning; secrets are masked, defaults are not secret."""
    rows = {row.name: row for row in show(settings)}
    assert rows["PROVISIONER_BROKER__HEARTBEAT"][1:3] == ("15", "environment")
    assert rows["PROVISIONER_BROKER__CONNECT_TIMEOUT"][1:3] == ("10", "default")
    assert rows["PROVISIONER_BROKER__URL"][1:3] == ("**********", "environment")
    assert rows["PROVISIONER_BROKER__PREFETCH"][1:3] == ("not set", "default")
    assert rows["PROVISIONER_LEDGER__URL"][1:3] == ("sqlite:///provisioner.db", "default")
    assert rows[TOKEN][1:3] == ("**********", "environment")
    assert rows.keys() == {setting.variable for setting in settings_of(KINDS)}
    assert CANARY not in repr(rows)


def test_provider_that_is_not_configured_is_not_shown() -> None:
    """What was not set for a provider at all is no part of the present state."""
    assert not [row for row in show(load(KINDS, {})) if "PHONE_COM" in row.name]


@pytest.mark.parametrize("setting", settings_of(KINDS), ids=lambda setting: setting.variable)
def test_every_setting_is_described(setting: Setting) -> None:
    """Each setting says what it means, in a sentence; a duration says its unit."""
    assert setting.description.endswith(".")
    if setting.kind is float and setting.path[-1] != "rate":
        assert "econds" in setting.description


def test_reference_lists_every_variable() -> None:
    """The table for the documents has each variable once, with what it takes and its default."""
    page = reference(KINDS)
    for name in (
        "PROVISIONER_SECRETS_DIR",
        "PROVISIONER_CONFIG_FILE",
        *(s.variable for s in settings_of(KINDS)),
    ):
        assert page.count(f"| `{name}` |") == 1
    assert f"| `{TOKEN}` | a text, secret | required | The token \\| key. |" in page
    assert "| `PROVISIONER_MONITORING__PORT` | a whole number from 0 up to 65535 | `9464` |" in page
    assert "### `providers.phone_com`" in page


def test_example_file_is_valid_when_taken_as_it_is() -> None:
    """Every variable of the example file, uncommented, is known and its value is taken."""
    lines = [line[1:] for line in environment_example(KINDS).splitlines() if line.startswith("#PROVISIONER_")]
    environment = dict(line.split("=", 1) for line in lines)
    for either in ("PROVISIONER_SEALING__KEYS", "PROVISIONER_CREDENTIALS__KEYS"):
        assert environment.pop(either)
    assert load(KINDS, environment).providers.keys() == {"phone_com"}
    assert len(environment) == len(ALONE) + len(settings_of(KINDS)) - 2


def test_secrets_to_mask_hold_passwords_inside_addresses(settings: Settings) -> None:
    """What logs must mask: each secret whole, the password of a URL by itself, as written and as meant."""
    assert set(secret_values(settings)) == {
        f"amqp://user:{CANARY}%2F@host/",
        f"{CANARY}%2F",
        f"{CANARY}/",
        CANARY,
    }


def test_secret_without_a_form_is_masked_as_a_whole() -> None:
    """A secret that looks like a broken URL is no reason to fail."""
    assert list(secret_values(load(KINDS, {TOKEN: "http://[canary"}))) == ["http://[canary"]


@pytest.fixture
def with_extra_fields() -> Settings:
    fields = {"cc_token": CANARY, "tos_accept_date": "now", "card": {"holders": [f"deep-{CANARY}", "US"]}}
    return load(
        {"phone_com": PhoneComSettings},
        {
            TOKEN: "the-token",
            "PROVISIONER_PROVIDERS__PHONE_COM__ACCOUNT_ID": "1",
            EXTRA_FIELDS: json.dumps(fields),
        },
    )


def test_of_a_mapping_with_secrets_only_the_names_are_shown(with_extra_fields: Settings) -> None:
    """A payment token among Phone.com's extra fields is masked, however deep; which fields are set may be seen."""
    rows = {row.name: row for row in show(with_extra_fields)}
    names = dict.fromkeys(("cc_token", "tos_accept_date", "card"), MASK)
    assert json.loads(rows[EXTRA_FIELDS].value) == names
    assert CANARY not in repr(rows)
    assert f"| `{EXTRA_FIELDS}` | a JSON object (in TOML a table), secret |" in reference(
        {"phone_com": PhoneComSettings}
    )


def test_secrets_to_mask_hold_the_telling_texts_of_a_mapping(with_extra_fields: Settings) -> None:
    """Logs mask what is long enough to be a secret, however deep, and no word that half of the log may hold."""
    assert set(secret_values(with_extra_fields)) == {"the-token", CANARY, f"deep-{CANARY}"}


def test_key_file_lies_beside_the_database() -> None:
    """With SQLite the keys are beside the ledger unless they are given; with PostgreSQL never."""
    keys = {"PROVISIONER_SEALING__KEYS": "{}"}
    server = {"PROVISIONER_LEDGER__URL": "postgresql://host/database"}
    for given, file in (
        ({}, Path("provisioner.db.keys.json")),
        ({"PROVISIONER_LEDGER__URL": "sqlite:////var/lib/x.db"}, Path("/var/lib/x.db.keys.json")),
        ({"PROVISIONER_SEALING__KEYS_FILE": "/k.json"}, Path("/k.json")),
        (keys, None),
        (server | keys, None),
        (server | {"PROVISIONER_SEALING__KEYS_FILE": "/k.json"}, Path("/k.json")),
    ):
        assert load(KINDS, given).sealing_keys_file() == file


def test_broker_address_is_asked_for_only_when_needed() -> None:
    """Settings without RabbitMQ are valid; who needs its address gets a clear error."""
    with pytest.raises(ConfigurationError, match="PROVISIONER_BROKER__URL is not set"):
        load(KINDS, {}).broker.address()

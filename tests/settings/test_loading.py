"""Loading: three sources, one order, and one error that tells everything at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator, Field, SecretStr, ValidationError

from worker.core.errors import ConfigurationError
from worker.core.provider import ProviderSettings
from worker.settings import Settings, load
from worker.settings.catalogue import Setting, settings_of

CANARY = "canary-7f3a"


def refuse_and_quote(text: str) -> str:
    if "canary" in text:
        raise ValueError(f"{text} is no region")
    return text


class PhoneSettings(ProviderSettings):
    """A provider with a secret and a check that quotes what it was given."""

    base_url: str = Field(default="https://api.phone.example", description="Root of the API.")
    token: SecretStr = Field(description="The token.")
    region: Annotated[str, AfterValidator(refuse_and_quote)] = Field(default="eu", description="The region.")


class PlainSettings(ProviderSettings):
    """A provider without fields of its own."""

    base_url: str = Field(default="https://gateway.example", description="Root of the API.")


KINDS: Mapping[str, type[ProviderSettings]] = {"phone_com": PhoneSettings, "gateway360": PlainSettings}
PHONE = "PROVISIONER_PROVIDERS__PHONE_COM__"
REQUIRED = {
    f"{PHONE}TOKEN": "a-token",
    "PROVISIONER_PROVIDERS__GATEWAY360__RATE": "5",
}


def explained(environment: Mapping[str, str]) -> str:
    """The text of the error that loading raises."""
    with pytest.raises(ConfigurationError) as caught:
        load(KINDS, environment)
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value.__context__)
    return str(caught.value)


def phone(settings: Settings) -> PhoneSettings:
    provider = settings.providers["phone_com"]
    assert isinstance(provider, PhoneSettings)
    return provider


def test_nothing_set_is_valid() -> None:
    """With no variable at all there are defaults for everything and no provider is configured."""
    settings = load(KINDS, {})
    assert dict(settings.providers) == {}
    assert settings.broker.url is None
    assert settings.ledger.url.get_secret_value() == "sqlite:///provisioner.db"
    assert (settings.monitoring.host, settings.monitoring.port) == ("127.0.0.1", 9464)
    assert (settings.retry.base, settings.retry.cap, settings.retry.attempts) == (2.0, 600.0, 8)
    assert settings.results.source == "urn:provisioner"


def test_other_variables_are_not_ours() -> None:
    """Variables without the prefix are never read."""
    assert load(KINDS, {"BROKER__URL": "x", "LOG__LEVEL": "debug"}) == load(KINDS, {})


def test_environment_sets_every_kind_of_value() -> None:
    """Texts become numbers, flags, lists, mappings, paths and secrets."""
    settings = load(
        KINDS,
        {
            "PROVISIONER_BROKER__URL": "amqps://user:secret@[::1]:5671/%2F",
            "PROVISIONER_BROKER__HEARTBEAT": "15",
            "PROVISIONER_BROKER__DECLARE": "false",
            "PROVISIONER_UPKEEP__INTERVAL": "0.5",
            "PROVISIONER_CREDENTIALS__BY_SOURCE": '{"urn:crm": "/run/crm.json"}',
            f"{PHONE}TOKEN": "a-token",
            f"{PHONE}LOOK_UP_SCHEDULE": "1, 2.5,3",
        },
    )
    assert settings.broker.address() == "amqps://user:secret@[::1]:5671/%2F"
    assert (settings.broker.heartbeat, settings.broker.declare, settings.upkeep.interval) == (15, False, 0.5)
    assert settings.credentials.by_source == {"urn:crm": Path("/run/crm.json")}
    assert phone(settings).token.get_secret_value() == "a-token"
    assert phone(settings).look_up_schedule == (1.0, 2.5, 3.0)
    assert "gateway360" not in settings.providers


def test_list_may_be_json() -> None:
    """A list in a variable may be written as JSON as well."""
    settings = load(KINDS, {f"{PHONE}TOKEN": "a-token", f"{PHONE}LOOK_UP_SCHEDULE": "[4, 5]"})
    assert phone(settings).look_up_schedule == (4.0, 5.0)


def test_name_of_the_operator_is_no_setting() -> None:
    """The variable that operators' commands read is known, and changes nothing here."""
    assert load(KINDS, {"PROVISIONER_ACTOR": "maria"}) == load(KINDS, {})


def test_empty_variable_counts_as_unset() -> None:
    """Compose passes an unset variable on as an empty one; that changes nothing."""
    assert load(KINDS, {"PROVISIONER_BROKER__HEARTBEAT": "", f"{PHONE}TOKEN": ""}) == load(KINDS, {})


def toml(folder: Path, text: str) -> dict[str, str]:
    path = folder / "provisioner.toml"
    path.write_text(text)
    return {"PROVISIONER_CONFIG_FILE": str(path)}


def test_toml_sets_every_kind_of_value(tmp_path: Path) -> None:
    """Groups are tables; values keep their types."""
    environment = toml(
        tmp_path,
        """
        [broker]
        heartbeat = 20
        declare = false
        [credentials.by_source]
        "urn:crm.example" = "/run/crm.json"
        [providers.phone_com]
        token = "a-token"
        look_up_schedule = [1, 2]
        """,
    )
    settings = load(KINDS, environment)
    assert (settings.broker.heartbeat, settings.broker.declare) == (20, False)
    assert settings.credentials.by_source == {"urn:crm.example": Path("/run/crm.json")}
    assert phone(settings).look_up_schedule == (1.0, 2.0)


def test_secret_files_as_docker_mounts_them(tmp_path: Path) -> None:
    """One flat folder, names like the variables, line breaks at the end, other programs' secrets beside."""
    (tmp_path / "provisioner_broker__url").write_text("amqp://user:secret@rabbitmq/\n")
    (tmp_path / f"{PHONE}TOKEN").write_text("from-file")
    (tmp_path / "postgres_password").write_text("not ours")
    settings = load(KINDS, {"PROVISIONER_SECRETS_DIR": str(tmp_path)})
    assert settings.broker.address() == "amqp://user:secret@rabbitmq/"
    assert phone(settings).token.get_secret_value() == "from-file"


def test_secret_files_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    """Each file is a link into a hidden folder with a date, which is not read a second time."""
    hidden = tmp_path / "..2026_11_21"
    hidden.mkdir()
    (hidden / "provisioner_providers__phone_com__token").write_text("from-file")
    (tmp_path / "..data").symlink_to(hidden.name)
    (tmp_path / "provisioner_providers__phone_com__token").symlink_to(
        "..data/provisioner_providers__phone_com__token"
    )
    assert (
        phone(load(KINDS, {"PROVISIONER_SECRETS_DIR": str(tmp_path)})).token.get_secret_value() == "from-file"
    )


def test_environment_wins_over_secret_file_over_toml(tmp_path: Path) -> None:
    """Of several places the nearest to the process counts, field by field."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "provisioner_broker__heartbeat").write_text("20")
    (secrets / "provisioner_broker__delivery_limit").write_text("200")
    environment = toml(tmp_path, "[broker]\nheartbeat = 30\ndelivery_limit = 300\nprefetch = 30\n") | {
        "PROVISIONER_SECRETS_DIR": str(secrets),
        "PROVISIONER_BROKER__HEARTBEAT": "10",
    }
    settings = load(KINDS, environment)
    assert (settings.broker.heartbeat, settings.broker.delivery_limit, settings.broker.prefetch) == (
        10,
        200,
        30,
    )
    assert dict(settings.origins) == {
        "broker.heartbeat": "environment",
        "broker.delivery_limit": "secret file",
        "broker.prefetch": "toml",
    }


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Wrong values, missing ones, broken rules and unknown names of all sources stand in one error."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "provisioner_brocker__url").write_text(CANARY)
    environment = toml(tmp_path, f'[brokr]\nurl = "{CANARY}"\n[log]\nlevel = "{CANARY}"\n') | {
        "PROVISIONER_SECRETS_DIR": str(secrets),
        "PROVISIONER_BROKER__URL": CANARY,
        "PROVISIONER_RETRY__CAP": "1",
        "PROVISIONER_MONITORING__POTR": "1",
        f"{PHONE}RATE": "0",
    }
    text = explained(environment)
    assert text.startswith("8 settings are wrong:")
    for sentence in (
        "PROVISIONER_MONITORING__POTR is no setting; did you mean PROVISIONER_MONITORING__PORT?",
        f"the secret file provisioner_brocker__url in {secrets} is no setting; did you mean provisioner_broker__url?",
        f"brokr in {tmp_path}/provisioner.toml is no setting",
        "PROVISIONER_BROKER__URL must be amqp:// or amqps://",
        "PROVISIONER_LOG__LEVEL must be one of debug, info, warning, error",
        "PROVISIONER_RETRY__CAP must not be below retry.base",
        f"{PHONE}RATE must be a number above 0",
        f"{PHONE}TOKEN must be set",
    ):
        assert sentence in text


def test_problem_names_every_way_out() -> None:
    """Each block says what is allowed, what the setting is for, who set it, an example and the other places."""
    assert explained({"PROVISIONER_BROKER__HEARTBEAT": CANARY}).splitlines() == [
        "1 setting is wrong:",
        "",
        "PROVISIONER_BROKER__HEARTBEAT must be a whole number from 5 up to 60",
        "    Seconds between heartbeats; a connection silent for three is given up.",
        "    Now set by: environment.",
        "    Example: PROVISIONER_BROKER__HEARTBEAT=12",
        "    Or: secret file provisioner_broker__heartbeat; heartbeat under [broker] in the TOML file.",
    ]


@pytest.mark.parametrize("setting", settings_of(KINDS), ids=lambda setting: setting.variable)
def test_no_value_is_ever_shown(setting: Setting) -> None:
    """Whatever nonsense a setting is given, it is taken or refused, and the refusal does not repeat it."""
    for value in (
        CANARY,
        f"{CANARY}://{CANARY}:{CANARY}@{CANARY}",
        f'["{CANARY}"]',
        f'{{"{CANARY}": 1}}',
        "-1",
    ):
        try:
            load(KINDS, {**REQUIRED, setting.variable: value})
        except ConfigurationError as error:
            assert setting.variable in str(error)  # noqa: PT017 - most texts are fine for most settings
            assert CANARY not in str(error)  # noqa: PT017


@pytest.mark.parametrize("setting", settings_of(KINDS), ids=lambda setting: setting.variable)
def test_example_is_valid(setting: Setting) -> None:
    """The example that an error offers would be taken."""
    assert load(KINDS, {**REQUIRED, setting.variable: setting.example})


@pytest.mark.parametrize(
    ("name", "guess", "reason"),
    [
        ("PROVISIONER_BROKER_URL", "PROVISIONER_BROKER__URL", "one underscore too few"),
        ("PROVISIONER_PROVIDERS__PHONE__TOKEN", f"{PHONE}TOKEN", "a provider's name cut short"),
        ("PROVISIONER_SECRET_DIR", "PROVISIONER_SECRETS_DIR", "a mistyped folder would hide every secret"),
        ("PROVISIONER_LEDGER", "PROVISIONER_LEDGER__URL", "a group instead of a setting"),
    ],
)
def test_mistyped_variable_is_found(name: str, guess: str, reason: str) -> None:
    """A variable with our prefix that means nothing is an error with a guess."""
    assert f"{name} is no setting; did you mean {guess}?" in explained({name: CANARY}), reason


@pytest.mark.parametrize(
    "name",
    [
        "PROVISIONER_SERVICE_HOST",
        "PROVISIONER_SERVICE_PORT",
        "PROVISIONER_SERVICE_PORT_METRICS",
        "PROVISIONER_PORT",
        "PROVISIONER_PORT_9464_TCP",
        "PROVISIONER_PORT_9464_TCP_ADDR",
        "PROVISIONER_METRICS_SERVICE_HOST",
        "PROVISIONER_METRICS_PORT_9464_TCP_PROTO",
    ],
)
def test_variables_of_kubernetes_are_let_through(name: str) -> None:
    """A service called `provisioner` gives every pod such variables; they are none of ours."""
    assert load(KINDS, {name: "tcp://10.0.0.1:9464"}) == load(KINDS, {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"[broker]\nurl = {CANARY}", "is not TOML (at line 2, column 7)"),
        (f'[broker]\nurll = "{CANARY}"', "broker.urll in"),
        ("broker = 5", "broker in"),
        (f'[providers.phone]\ntoken = "{CANARY}"', "did you mean providers.phone_com?"),
        ("[broker.url]\nx = 1", "PROVISIONER_BROKER__URL must be"),
        ('[monitoring]\nhost = ""', "PROVISIONER_MONITORING__HOST must have at least 1 character(s)"),
        ("[credentials]\nby_source = 5", "PROVISIONER_CREDENTIALS__BY_SOURCE must be a JSON object"),
    ],
)
def test_wrong_toml_is_explained(tmp_path: Path, text: str, sentence: str) -> None:
    """What is wrong in the file is named by its key or its line."""
    assert sentence in explained(toml(tmp_path, text))


def test_missing_places_are_named(tmp_path: Path) -> None:
    """A file or folder that is set and not there is an error, not an empty source."""
    nowhere = str(tmp_path / "nowhere")
    text = explained({"PROVISIONER_CONFIG_FILE": nowhere, "PROVISIONER_SECRETS_DIR": nowhere})
    assert f"PROVISIONER_CONFIG_FILE: {nowhere} cannot be read: No such file or directory" in text
    assert f"PROVISIONER_SECRETS_DIR must name a folder of moderate size; {nowhere} is none" in text


def test_secret_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """A binary file in the folder is an error that shows nothing of it."""
    (tmp_path / "provisioner_broker__url").write_bytes(b"\xff" + CANARY.encode())
    assert "is not text" in explained({"PROVISIONER_SECRETS_DIR": str(tmp_path)})


def test_toml_that_is_no_text_is_named(tmp_path: Path) -> None:
    """A binary file in the place of the TOML file is an error as well."""
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff" + CANARY.encode())
    assert "is not TOML" in explained({"PROVISIONER_CONFIG_FILE": str(path)})


def test_settings_do_not_change() -> None:
    """Settings are frozen, and no secret is in their text."""
    settings = load(
        KINDS, {"PROVISIONER_BROKER__URL": f"amqp://user:{CANARY}@host/", f"{PHONE}TOKEN": CANARY}
    )
    with pytest.raises(ValidationError, match="frozen"):
        settings.broker.heartbeat = 5  # type: ignore[misc]  # that it cannot be written is the point
    assert CANARY not in repr(settings) + str(settings) + settings.model_dump_json()

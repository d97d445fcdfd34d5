"""Rules between settings, each with a case on either side of it."""

import pytest

from worker.core.errors import ConfigurationError
from worker.core.provider import ProviderSettings
from worker.settings import load

KINDS = {"phone_com": ProviderSettings}
PHONE = "PROVISIONER_PROVIDERS__PHONE_COM__"
ADDRESS = {f"{PHONE}BASE_URL": "https://api.phone.example"}
POSTGRESQL = "postgresql://user:password@host/database"


@pytest.mark.parametrize(
    ("given", "sentence", "reason"),
    [
        (
            {f"{PHONE}ANSWER_WITHIN": "5"},
            f"{PHONE}ANSWER_WITHIN must be above connect_timeout",
            "connecting alone may take that long",
        ),
        (
            {f"{PHONE}LISTEN_FOR": "29"},
            f"{PHONE}LISTEN_FOR must not be below answer_within",
            "the create would be cut before it is in doubt",
        ),
        (
            {f"{PHONE}SETTLE": "149"},
            f"{PHONE}SETTLE must not be below answer_within and listen_for together",
            "absence would be believed while the create still runs",
        ),
        (
            {f"{PHONE}GIVE_UP_LOOK_UPS_AFTER": "300"},
            f"{PHONE}GIVE_UP_LOOK_UPS_AFTER must be above settle",
            "no look-up could ever be believed",
        ),
        (
            {f"{PHONE}LISTEN_FOR": "inf"},
            f"{PHONE}LISTEN_FOR must be a finite number",
            "nothing waits for ever",
        ),
        (
            {f"{PHONE}LOOK_UP_SCHEDULE": ","},
            f"{PHONE}LOOK_UP_SCHEDULE must be one or more",
            "no look-up at all",
        ),
        ({f"{PHONE}LOOK_UP_SCHEDULE": "5,0"}, f"{PHONE}LOOK_UP_SCHEDULE must be one or more", "a busy loop"),
        (
            {f"{PHONE}LOOK_UP_SCHEDULE": "nan"},
            f"{PHONE}LOOK_UP_SCHEDULE must be one or more",
            "no time at all",
        ),
        (
            {"PROVISIONER_WORKER__PROCESSES": "2"},
            "PROVISIONER_WORKER__PROCESSES must be 1 while ledger.url names a file",
            "a file has one worker",
        ),
        (
            {"PROVISIONER_WORKER__PROCESSES": "3", "PROVISIONER_MONITORING__PORT": "65534"},
            "PROVISIONER_MONITORING__PORT must leave a port for each of worker.processes",
            "each listens on one of its own",
        ),
        ({f"{PHONE}BASE_URL": "api.phone.example"}, f"{PHONE}BASE_URL must be http", "no scheme"),
        (
            {f"{PHONE}BASE_URL": "https://u:p@api.example"},
            f"{PHONE}BASE_URL must be http",
            "a secret in the open",
        ),
        ({f"{PHONE}BASE_URL": "https://[api"}, f"{PHONE}BASE_URL must be http", "no address at all"),
        (
            {"PROVISIONER_RETRY__BASE": "700"},
            "PROVISIONER_RETRY__CAP must not be below retry.base",
            "the first wait would be longer than any",
        ),
        (
            {"PROVISIONER_RETRY__MAX_AGE": "60"},
            "PROVISIONER_RETRY__MAX_AGE must not be below retry.cap",
            "a single wait would outlast the request",
        ),
        (
            {"PROVISIONER_LEDGER__LEASE": "2.9"},
            "PROVISIONER_LEDGER__LEASE must be at least three times upkeep.interval",
            "a living worker would count as dead",
        ),
        (
            {"PROVISIONER_LEDGER__URL": POSTGRESQL},
            "PROVISIONER_SEALING__KEYS_FILE (or sealing.keys) must be set",
            "workers with different keys cannot read each other's rows",
        ),
        (
            {"PROVISIONER_SEALING__KEYS": "{}", "PROVISIONER_SEALING__KEYS_FILE": "/k"},
            "PROVISIONER_SEALING__KEYS_FILE must not be set beside sealing.keys",
            "which of the two?",
        ),
        (
            {"PROVISIONER_CREDENTIALS__KEYS": "{}", "PROVISIONER_CREDENTIALS__KEYS_FILE": "/k"},
            "PROVISIONER_CREDENTIALS__KEYS_FILE must not be set beside credentials.keys",
            "which of the two?",
        ),
        ({"PROVISIONER_LEDGER__URL": "sqlite://"}, "must be sqlite:/// and a file", "a ledger in memory"),
        ({"PROVISIONER_LEDGER__URL": "sqlite:///"}, "must name a plain file", "a ledger in memory"),
        ({"PROVISIONER_LEDGER__URL": "sqlite:///:memory:"}, "must name a plain file", "a ledger in memory"),
        (
            {"PROVISIONER_LEDGER__URL": "sqlite:///x?mode=memory"},
            "must name a plain file",
            "a ledger in memory",
        ),
        (
            {"PROVISIONER_LEDGER__URL": "mysql://h/d"},
            "must be sqlite:/// and a file, or postgresql://",
            "unknown",
        ),
        ({"PROVISIONER_LEDGER__URL": "postgresql://host"}, "with a server and a database", "no database"),
        (
            {"PROVISIONER_LEDGER__URL": "postgresql://[h/d"},
            "with a server and a database",
            "no address at all",
        ),
        ({"PROVISIONER_BROKER__URL": "http://host"}, "must be amqp:// or amqps://", "another protocol"),
        ({"PROVISIONER_BROKER__URL": "amqp:///vhost"}, "must be amqp:// or amqps://", "no host"),
        (
            {"PROVISIONER_BROKER__URL": "amqp://u:p/ss@host"},
            "must be amqp:// or amqps://",
            "a slash in the password",
        ),
        (
            {"PROVISIONER_UPKEEP__INTERVAL": "nan"},
            "PROVISIONER_UPKEEP__INTERVAL must be a number",
            "no number",
        ),
        ({"PROVISIONER_SHUTDOWN__DRAIN": "inf"}, "PROVISIONER_SHUTDOWN__DRAIN must be a number", "for ever"),
        (
            {"PROVISIONER_RESULTS__SOURCE": "a" * 501},
            "must have at most 500 character(s)",
            "longer than the wire allows",
        ),
        ({"PROVISIONER_RESULTS__SOURCE": "a b"}, "must be a URI reference", "a blank is no URI"),
    ],
)
def test_broken_rule_is_told(given: dict[str, str], sentence: str, reason: str) -> None:
    """Settings that do not fit together are refused with the setting to change."""
    with pytest.raises(ConfigurationError) as caught:
        load(KINDS, ADDRESS | given)
    assert sentence in str(caught.value), reason


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "the defaults fit together"),
        ({f"{PHONE}CONNECT_TIMEOUT": "1", f"{PHONE}ANSWER_WITHIN": "1.1"}, "just above"),
        ({f"{PHONE}LISTEN_FOR": "30"}, "listening ends when the doubt begins"),
        ({f"{PHONE}SETTLE": "150"}, "settled as soon as the create is over"),
        ({f"{PHONE}BASE_URL": "http://sandbox:8080"}, "the sandbox has no TLS"),
        ({"PROVISIONER_RETRY__BASE": "600"}, "always the longest wait"),
        ({"PROVISIONER_LEDGER__LEASE": "3"}, "exactly three rounds"),
        ({"PROVISIONER_LEDGER__URL": POSTGRESQL, "PROVISIONER_SEALING__KEYS": "{}"}, "keys in a variable"),
        ({"PROVISIONER_LEDGER__URL": POSTGRESQL, "PROVISIONER_SEALING__KEYS_FILE": "/k"}, "keys in a file"),
        (
            {
                "PROVISIONER_LEDGER__URL": "postgresql:///d?host=/run/postgresql",
                "PROVISIONER_SEALING__KEYS": "{}",
            },
            "a server behind a socket",
        ),
    ],
)
def test_settings_at_the_edge_fit_together(given: dict[str, str], reason: str) -> None:
    """The nearest settings that keep each rule are taken."""
    assert "phone_com" in load(KINDS, ADDRESS | given).providers, reason


def test_rules_are_silent_about_groups_that_are_wrong_already() -> None:
    """A group with a wrong value gets one problem, not a second one that follows from it."""
    with pytest.raises(ConfigurationError, match=r"^1 setting is wrong") as caught:
        load(KINDS, {"PROVISIONER_LEDGER__URL": "x", "PROVISIONER_LEDGER__LEASE": "1"})
    assert "LEASE" not in str(caught.value)

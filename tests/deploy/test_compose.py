"""The Compose file, the secrets that `prepare.sh` makes for it, and the settings that both name."""

import base64
import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker import providers
from worker.demo.surroundings import provider_settings
from worker.keyring.consumer_keys import load_consumer_keys
from worker.keyring.sealing_keys import read_keys
from worker.settings.catalogue import ALONE, ProviderKinds, settings_of
from worker.settings.groups import RequestsSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("provisioner:")}


def program(name: str) -> Path:
    """A program of the environment that runs the tests."""
    return Path(sys.executable).with_name(name)


def seconds(duration: str) -> int:
    """Compose's way to write a duration, as far as it is used here."""
    return int(duration.removesuffix("s")) if duration.endswith("s") else int(duration.removesuffix("m")) * 60


def environment_file() -> dict[str, str]:
    """The variables of env.example."""
    lines = (DEPLOY / "env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that prepare.sh makes, next to a copy of it."""
    folder = tmp_path_factory.mktemp("deploy")
    shutil.copy(DEPLOY / "prepare.sh", folder)
    subprocess.run(["sh", folder / "prepare.sh"], check=True, capture_output=True)
    return folder / "secrets"


def test_the_compose_file_is_valid() -> None:
    """The published schema of Compose files accepts it."""
    command: list[str | Path] = [
        program("check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
        DEPLOY / "compose.yaml",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_yaml_file_is_well_written() -> None:
    """The linter has no complaint about anything below deploy/."""
    command: list[str | Path] = [program("yamllint"), "--strict", "-c", DEPLOY / ".yamllint", DEPLOY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_prepare_is_valid_shell() -> None:
    """The script parses and stops at the first error and at the first unset variable."""
    done = subprocess.run(["sh", "-n", DEPLOY / "prepare.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\nset -eu\n" in (DEPLOY / "prepare.sh").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    """No capabilities, no new privileges, an init process, restarted, and a read-only root; RabbitMQ may write."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
    assert service["read_only"] is (name != "rabbitmq")
    assert name in OURS or int(service["user"].split(":")[0]) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_waits_for_healthy_ones(name: str) -> None:
    """Ours bring their own check in the image, but for the sandbox; a dependency is waited for until it is healthy."""
    service = SERVICES[name]
    assert "healthcheck" in service or name in OURS - {"sandbox"}
    assert all(wait == {"condition": "service_healthy"} for wait in service.get("depends_on", {}).values())


def test_ports_are_bound_to_loopback() -> None:
    """Nothing listens on the machine's outer addresses, and RabbitMQ's unprotected metrics on none at all."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not [port for port in ports if "15692" in port]


def test_the_worker_and_the_broker_depend_on_what_they_need() -> None:
    """The live worker waits for RabbitMQ and PostgreSQL, the other for RabbitMQ and the sandbox."""
    assert set(SERVICES["worker"]["depends_on"]) == {"rabbitmq", "postgres"}
    assert set(SERVICES["worker-sandbox"]["depends_on"]) == {"rabbitmq", "sandbox"}


def test_what_must_survive_is_on_a_named_volume() -> None:
    """Each folder with state is a named volume that is declared."""
    kept = {
        "worker": "/var/lib/provisioner",
        "worker-sandbox": "/var/lib/provisioner",
        "rabbitmq": "/var/lib/rabbitmq",
        "postgres": "/var/lib/postgresql/data",
        "prometheus": "/prometheus",
    }
    for name, folder in kept.items():
        volume = next(
            each.split(":")[0] for each in SERVICES[name]["volumes"] if each.split(":")[1] == folder
        )
        assert volume in COMPOSE["volumes"]


def test_a_stop_waits_longer_than_the_drain() -> None:
    """Docker kills the worker only after its own limit has passed."""
    drain = int(environment_file()["PROVISIONER_SHUTDOWN__DRAIN"])
    assert all(seconds(SERVICES[name]["stop_grace_period"]) >= drain + 15 for name in OURS)


def test_every_image_has_a_full_tag() -> None:
    """No image is `latest` or without a version."""
    for service in SERVICES.values():
        assert re.fullmatch(r"[a-z/]+:v?\d+\.?\d*[\w.-]*", service["image"])


def test_the_sandbox_cannot_mix_with_the_live_worker() -> None:
    """Own profile, virtual host, user, ledger and credentials; nothing of the live worker's secrets."""
    sandbox, live = SERVICES["worker-sandbox"], SERVICES["worker"]
    assert sandbox["profiles"] == SERVICES["sandbox"]["profiles"] == ["sandbox"]
    assert "profiles" not in live
    assert "env_file" not in sandbox
    assert not {each["source"] for each in sandbox["secrets"]} & set(live["secrets"])
    assert not set(sandbox["volumes"]) & set(live["volumes"])


def test_the_sandboxs_credentials_are_those_that_the_sandbox_accepts() -> None:
    """What the Compose file repeats is what the code says, for every provider, at the sandbox's address."""
    given = {name: str(value) for name, value in SERVICES["worker-sandbox"]["environment"].items()}
    of_providers = {name: it for name, it in given.items() if name.startswith("PROVISIONER_PROVIDERS__")}
    assert of_providers == provider_settings("http://sandbox:9000")


def provider_kinds() -> ProviderKinds:
    """The settings of every provider that the worker has."""
    return {name: handler.Settings for name, handler in providers.discover().items()}


def test_every_variable_that_is_set_is_a_setting() -> None:
    """Compose file, env.example and Dockerfile name no variable that the worker does not know."""
    known = {setting.variable for setting in settings_of(provider_kinds())} | ALONE.keys()
    dockerfile = re.findall(r"(PROVISIONER_\w+)=", (DEPLOY.parent / "Dockerfile").read_text())
    named = {
        *environment_file(),
        *SERVICES["worker"]["environment"],
        *SERVICES["worker-sandbox"]["environment"],
        *dockerfile,
    }
    assert named - known == set()


def test_every_secret_file_is_a_setting_and_every_secret_is_a_file() -> None:
    """The worker's files are named like settings, and every secret that a provider takes has its file."""
    settings = settings_of(provider_kinds())
    files = set(SERVICES["worker"]["secrets"])
    assert files - {setting.secret_file for setting in settings} == set()
    of_providers = {each.secret_file for each in settings if each.is_secret and each.path[0] == "providers"}
    assert of_providers <= files


def test_no_variable_in_the_image_hides_a_secret_file() -> None:
    """The environment wins over files, so the image must not set what Compose hands over as a file."""
    dockerfile = re.findall(r"(PROVISIONER_\w+)=", (DEPLOY.parent / "Dockerfile").read_text())
    set_as_variables = {name.lower() for name in [*dockerfile, *environment_file()]}
    assert not set_as_variables & set(SERVICES["worker"]["secrets"])


def test_prepare_makes_every_secret_that_compose_mounts(secrets: Path) -> None:
    """Each file exists; only those that nobody but the owner can know are empty."""
    for each in COMPOSE["secrets"].values():
        assert (secrets.parent / each["file"]).is_file()
    empty = {path.name for path in secrets.iterdir() if path.stat().st_size == 0}
    settings = settings_of(provider_kinds())
    of_providers = {each.secret_file for each in settings if each.is_secret and each.path[0] == "providers"}
    assert empty == {"provisioner_credentials__keys", *of_providers}


@pytest.fixture
def unprepared(tmp_path: Path) -> Path:
    """A folder for programs, and beside it prepare.sh, which finds everything that it needs there but openssl."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cat", "chmod", "date", "dirname", "head", "mkdir", "mktemp", "mv", "rm", "tail", "tr"):
        (programs / name).symlink_to(str(shutil.which(name)))
    shutil.copy(DEPLOY / "prepare.sh", tmp_path)
    return programs


def prepared_with(programs: Path) -> "subprocess.CompletedProcess[str]":
    """What prepare.sh does with these programs and no others."""
    return subprocess.run(
        [str(shutil.which("sh")), programs.parent / "prepare.sh"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_prepare_without_openssl_makes_nothing(unprepared: Path) -> None:
    """It says what is missing and ends; else every password would be the empty one."""
    done = prepared_with(unprepared)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no openssl here" in done.stderr
    assert not (unprepared.parent / "secrets").exists()


@pytest.mark.parametrize("failing", ["rand", "base64", "dgst", "ecparam", "ec"])
def test_prepare_keeps_nothing_that_openssl_did_not_make(unprepared: Path, failing: str) -> None:
    """One of its commands fails: the script ends there, and a second run with a whole one is complete."""
    openssl = shutil.which("openssl")
    (unprepared / "openssl").write_text(
        f'#!/bin/sh\n[ "$1" != {failing} ] || {{ echo broken >&2; exit 1; }}\nexec {openssl} "$@"\n'
    )
    (unprepared / "openssl").chmod(0o755)
    assert prepared_with(unprepared).returncode != 0
    (unprepared / "openssl").unlink()
    (unprepared / "openssl").symlink_to(str(openssl))
    assert prepared_with(unprepared).returncode == 0
    secrets = unprepared.parent / "secrets"
    test_prepare_makes_every_secret_that_compose_mounts(secrets)
    test_rabbitmq_knows_the_passwords_by_hash(secrets)
    test_the_addresses_carry_the_passwords_and_meet_the_permissions(secrets)
    test_the_keys_are_keys(secrets)


def test_only_the_owner_can_reach_the_secrets(secrets: Path) -> None:
    """The folder is closed to others, its files can be read by a container's user, and git never sees them."""
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert all(path.stat().st_mode & stat.S_IROTH for path in secrets.iterdir())
    assert (secrets / ".gitignore").read_text() == "*\n"


def test_prepare_again_changes_nothing(secrets: Path) -> None:
    """A second run keeps every byte."""
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    subprocess.run(["sh", secrets.parent / "prepare.sh"], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


def test_rabbitmq_refuses_what_a_worker_could_only_hold_in_memory() -> None:
    """The shipped broker lets through every request that is read, and nothing that is several times as large."""
    settings = (DEPLOY / "rabbitmq/rabbitmq.conf").read_text()
    [size] = re.findall(r"^max_message_size = (\d+)$", settings, re.MULTILINE)
    assert RequestsSettings().max_bytes < int(size) <= 4 * RequestsSettings().max_bytes
    assert f"max_message_size = {size}" in (DEPLOY / "README.md").read_text()


def test_rabbitmq_knows_the_passwords_by_hash(secrets: Path) -> None:
    """Each user's salted SHA-256 is that of its password, and no password stands in the definitions."""
    text = (secrets / "rabbitmq-definitions.json").read_text()
    users = {user["name"]: base64.b64decode(user["password_hash"]) for user in json.loads(text)["users"]}
    files = {"provisioner": "worker", "operator": "operator", "sandbox": "sandbox"}
    assert users.keys() == files.keys()
    for name, file in files.items():
        password = (secrets / f"rabbitmq-{file}-password").read_text()
        salt, digest = users[name][:4], users[name][4:]
        assert hashlib.sha256(salt + password.encode()).digest() == digest
        assert password not in text


def test_the_addresses_carry_the_passwords_and_meet_the_permissions(secrets: Path) -> None:
    """User and virtual host of each address have permissions, and PostgreSQL's password is the one in its file."""
    definitions = json.loads((secrets / "rabbitmq-definitions.json").read_text())
    allowed = {(each["user"], each["vhost"]) for each in definitions["permissions"]}
    for file in ("provisioner_broker__url", "sandbox-broker-url"):
        address = re.fullmatch(r"amqp://(\w+):\w{48}@rabbitmq:5672/(\w+)", (secrets / file).read_text())
        assert address is not None
        assert (address[1], address[2]) in allowed
    password = (secrets / "postgres-password").read_text()
    assert (secrets / "provisioner_ledger__url").read_text() == (
        f"postgresql://provisioner:{password}@postgres:5432/provisioner"
    )


def test_the_keys_are_keys(secrets: Path) -> None:
    """The worker reads the sealing key and the sandbox's consumer key that the script made."""
    assert len(read_keys((secrets / "provisioner_sealing__keys").read_text(), "sealing")) == 1
    (key,) = load_consumer_keys(secrets / "sandbox-consumer-keys.json").keys
    assert key.kid == "sandbox"


def test_the_scraped_virtual_host_is_the_workers() -> None:
    """Prometheus asks for the queues of the virtual host that prepare.sh makes for the live worker."""
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    queues = next(job for job in jobs if job["job_name"] == "rabbitmq-queues")
    assert queues["params"]["vhost"] == ["provisioning"]
    assert '"vhost": "provisioning", "user": "provisioner"' in (DEPLOY / "prepare.sh").read_text()

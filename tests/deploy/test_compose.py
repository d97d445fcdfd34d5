"""The Compose file, the secrets that `prepare.sh` makes for it, and the settings that both name."""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
import yaml

from worker import providers
from worker.demo.surroundings import provider_settings
from worker.keyring.consumer_keys import load_consumer_keys
from worker.keyring.sealing_keys import read_keys
from worker.ledger import open_ledger
from worker.settings.catalogue import ALONE, ProviderKinds, settings_of
from worker.settings.groups import RequestsSettings, ShutdownSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
README = (DEPLOY / "README.md").read_text()
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
    """No capabilities or new privileges, bounds on memory and processes, restarted, read-only; RabbitMQ may write."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
    assert service["read_only"] is (name != "rabbitmq")
    assert service["mem_limit"] in {"1g", "2g"}
    assert 0 < service["pids_limit"] <= 1000
    assert name in OURS or int(service["user"].split(":")[0]) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_waits_for_healthy_ones(name: str) -> None:
    """Ours bring their own check in the image, but for the sandbox; a dependency is waited for until it is healthy."""
    service = SERVICES[name]
    assert "healthcheck" in service or name in OURS - {"sandbox"}
    assert all(wait == {"condition": "service_healthy"} for wait in service.get("depends_on", {}).values())


def test_how_many_workers_there_are_is_set_once() -> None:
    """`up` without an option keeps their number; as many as were given with `--scale` it would take down to one."""
    assert SERVICES["worker"]["scale"] == "${PROVISIONER_WORKERS:-1}"
    assert "--scale" not in README
    assert "PROVISIONER_WORKERS=2" in README


def networks(name: str) -> set[str]:
    """The networks that a service is on."""
    return set(SERVICES[name]["networks"])


def test_postgresql_is_reached_by_the_live_worker_alone() -> None:
    """Nobody else shares its network, and that network leads nowhere."""
    (network,) = networks("postgres")
    assert {name for name in SERVICES if network in networks(name)} == {"postgres", "worker"}
    assert COMPOSE["networks"][network] == {"internal": True}


def test_who_needs_another_shares_a_network_with_it() -> None:
    """What is waited for, and what is scraped; each network is declared."""
    needed = {(name, other) for name, it in SERVICES.items() for other in it.get("depends_on", {})}
    for name, other in needed | {("prometheus", "worker"), ("prometheus", "rabbitmq")}:
        assert networks(name) & networks(other), f"{name} cannot reach {other}"
    assert {each for name in SERVICES for each in networks(name)} == set(COMPOSE["networks"])


def test_ports_that_are_published_are_on_a_network_with_a_way_out() -> None:
    """Docker publishes nothing of a container that is only on internal networks."""
    open_networks = {name for name, it in COMPOSE["networks"].items() if not (it or {}).get("internal")}
    for name in (name for name, it in SERVICES.items() if it.get("ports")):
        assert networks(name) & open_networks


def test_the_administrator_of_postgresql_is_not_the_worker() -> None:
    """The role that the image makes has another name and another password than the worker's."""
    postgres = SERVICES["postgres"]
    assert postgres["environment"]["POSTGRES_USER"] == "postgres"
    assert "postgres-password" not in SERVICES["worker"]["secrets"]
    assert "./postgres:/docker-entrypoint-initdb.d:ro" in postgres["volumes"]


@pytest.mark.postgresql
def test_the_workers_role_owns_its_database_and_nothing_else(postgresql_url: str, tmp_path: Path) -> None:
    """What the script makes is a role without rights over others, which can make a ledger in its own database."""
    name, secret = f"role_{uuid4().hex}", tmp_path / "password"
    secret.write_text("a 'quoted' password")
    script = (DEPLOY / "postgres" / "10-worker-role.sql").read_text().replace("provisioner", name)
    psql(postgresql_url, script.replace("/run/secrets/postgres-worker-password", str(secret)))
    own = sa.make_url(postgresql_url).set(username=name, password=secret.read_text(), database=name)
    asyncio.run(a_ledger_is_made(own.render_as_string(hide_password=False)))
    asked = (
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles WHERE rolname = :'name';"
    )
    assert psql(postgresql_url, asked, f"--set=name={name}") == "f|f|f|f"


@pytest.mark.postgresql
def test_a_dump_can_be_restored_as_the_document_says(postgresql_url: str, tmp_path: Path) -> None:
    """With the options that are written there the ledger is in the new database, and fits."""
    asyncio.run(a_ledger_is_made(postgresql_url))
    server = sa.make_url(postgresql_url).set(drivername="postgresql")
    new = server.set(database=f"restored_{uuid4().hex}")
    old, restored = (each.render_as_string(hide_password=False) for each in (server, new))
    [dumped] = re.findall(r"pg_dump --username=postgres (\S+) provisioner >", README)
    [options] = re.findall(r"pg_restore --username=postgres (.+) --dbname=provisioner <", README)
    dump = subprocess.run(["pg_dump", dumped, old], check=True, capture_output=True).stdout
    psql(postgresql_url, f'CREATE DATABASE "{new.database}"')
    command = ["pg_restore", *options.split(), f"--dbname={restored}"]
    subprocess.run(command, input=dump, check=True, capture_output=True)
    asyncio.run(a_ledger_is_made(restored))
    assert psql(restored, "SELECT count(*) FROM workers") == psql(old, "SELECT count(*) FROM workers")


def psql(url: str, script: str, *options: str) -> str:
    """What a script prints, run as PostgreSQL's image runs it."""
    where = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "-At", f"--dbname={where}", *options]
    done = subprocess.run(command, input=script, text=True, check=True, capture_output=True)
    return done.stdout.strip()


async def a_ledger_is_made(url: str) -> None:
    """As the first start of a worker makes it."""
    async with open_ledger(url, exclusive=True) as ledger:
        await ledger.check()


def test_a_plain_container_is_confined_as_the_one_in_compose_is() -> None:
    """Each restriction of the Compose file has its option in the command that is written down, with the same value."""
    [command] = re.findall(r"docker run --detach (.*?)provisioner:", README.replace("\\\n", " "))
    worker = SERVICES["worker"]
    options = {
        f"--restart {worker['restart']}", "--init", "--read-only", "--tmpfs /tmp", "--cap-drop ALL",
        "--security-opt no-new-privileges", f"--log-driver {worker['logging']['driver']}",
        f"--memory {worker['mem_limit']}", f"--pids-limit {worker['pids_limit']}",
        f"--stop-timeout {seconds(worker['stop_grace_period'])}",
    }  # fmt: skip
    assert {option for option in options if option not in command} == set()


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
    """Docker kills the worker only after its own limit has passed, wherever the time to stop is written down."""
    drain = int(environment_file()["PROVISIONER_SHUTDOWN__DRAIN"])
    written = re.findall(
        r"(?:--stop-timeout |--time )(\d+)|(\d+) seconds to stop",
        README,
    )
    given = [int(one or other) for one, other in written]
    assert len(given) == 3
    given += [seconds(SERVICES[name]["stop_grace_period"]) for name in OURS]
    assert drain == ShutdownSettings().drain
    assert min(given) >= drain + 30


@pytest.mark.parametrize("name", providers.discover())
def test_a_drain_is_longer_than_any_answer_is_listened_for(name: str) -> None:
    """By the defaults no create is cut off by a stop, at no provider."""
    listen_for = provider_kinds()[name].model_fields["listen_for"].default
    assert ShutdownSettings().drain > listen_for


def interpolated(text: str, **variables: str) -> str:
    """As Compose reads it, with these variables and no others."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)


def test_every_image_has_a_full_tag() -> None:
    """No image is `latest` or without a version."""
    for service in SERVICES.values():
        assert re.fullmatch(r"[a-z/]+:v?\d+\.?\d*[\w.-]*", interpolated(service["image"]))


def test_the_version_that_runs_is_set_in_one_place() -> None:
    """Back to the old version is a change of one variable; left out it is the version of this source."""
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
    for name in OURS:
        image, arguments = SERVICES[name]["image"], SERVICES[name]["build"]["args"]
        assert interpolated(image) == f"provisioner:{version}"
        assert interpolated(image, PROVISIONER_VERSION="0.0.9") == "provisioner:0.0.9"
        assert interpolated(arguments["VERSION"]) == version
        assert interpolated(arguments["REVISION"], PROVISIONER_REVISION="abc") == "abc"


def test_the_sandbox_cannot_mix_with_the_live_worker() -> None:
    """Own profile, virtual host, user, ledger and credentials; nothing of the live worker's secrets."""
    sandbox, live = SERVICES["worker-sandbox"], SERVICES["worker"]
    assert sandbox["profiles"] == SERVICES["sandbox"]["profiles"] == ["sandbox"]
    assert "profiles" not in live
    assert "env_file" not in sandbox
    assert not {each["source"] for each in sandbox["secrets"]} & set(live["secrets"])
    assert not set(sandbox["volumes"]) & set(live["volumes"])


def test_removing_the_sandbox_names_it_and_nothing_else() -> None:
    """No command takes everything down, which a profile does not prevent, and only the sandbox's volume is deleted."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    assert not re.search(r"docker compose [^\n]*\bdown\b", README)
    [removed] = re.findall(r"docker compose [^\n]* rm --stop --force (.+)", blocks)
    assert set(removed.split()) == {
        name for name, it in SERVICES.items() if it.get("profiles") == ["sandbox"]
    }
    [volume] = re.findall(r"docker volume rm (.+)", blocks)
    assert volume == f"{COMPOSE['name']}_{SERVICES['worker-sandbox']['volumes'][0].split(':')[0]}"


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


def test_no_command_writes_over_a_secret() -> None:
    """A disk that is full would leave it empty, and a sealing key is lost for good: what is new is put beside it."""
    assert not re.search(r">\s*deploy/secrets/", README)
    moved = re.findall(r"^mv deploy/secrets/(\S+) deploy/secrets/(\S+)", README, re.MULTILINE)
    assert moved == [("provisioner_sealing__keys.new", "provisioner_sealing__keys")]


def test_rabbitmq_refuses_what_a_worker_could_only_hold_in_memory() -> None:
    """The shipped broker lets through every request that is read, and nothing that is several times as large."""
    settings = (DEPLOY / "rabbitmq/rabbitmq.conf").read_text()
    [size] = re.findall(r"^max_message_size = (\d+)$", settings, re.MULTILINE)
    assert RequestsSettings().max_bytes < int(size) <= 4 * RequestsSettings().max_bytes
    assert f"max_message_size = {size}" in (DEPLOY / "README.md").read_text()


def test_rabbitmq_stops_taking_messages_before_its_container_is_full() -> None:
    """Its alarm comes well below the memory that it is given, or it is killed instead."""
    settings = (DEPLOY / "rabbitmq/rabbitmq.conf").read_text()
    [watermark] = re.findall(r"^vm_memory_high_watermark.absolute = (\d+)MB$", settings, re.MULTILINE)
    given = int(SERVICES["rabbitmq"]["mem_limit"].removesuffix("g")) * 1000
    assert int(watermark) <= 0.6 * given


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
    password = (secrets / "postgres-worker-password").read_text()
    assert (secrets / "provisioner_ledger__url").read_text() == (
        f"postgresql://provisioner:{password}@postgres:5432/provisioner"
    )


def test_the_keys_are_keys(secrets: Path) -> None:
    """The worker reads the sealing key and the sandbox's consumer key that the script made."""
    assert len(read_keys((secrets / "provisioner_sealing__keys").read_text(), "sealing")) == 1
    (key,) = load_consumer_keys(secrets / "sandbox-consumer-keys.json").keys
    assert key.kid == "sandbox"


def test_the_address_of_the_runbook_is_a_setting() -> None:
    """Compose hands it to Prometheus, which makes it the label that each alert's address begins with."""
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    assert configuration["global"]["external_labels"] == {"runbooks": "${PROVISIONER_RUNBOOKS}"}
    given = SERVICES["prometheus"]["environment"]["PROVISIONER_RUNBOOKS"]
    assert interpolated(given, PROVISIONER_RUNBOOKS="https://x/") == "https://x/"
    assert interpolated(given) == ""


def test_the_scraped_virtual_host_is_the_workers() -> None:
    """Prometheus asks for the queues of the virtual host that prepare.sh makes for the live worker."""
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    queues = next(job for job in jobs if job["job_name"] == "rabbitmq-queues")
    assert queues["params"]["vhost"] == ["provisioning"]
    assert '"vhost": "provisioning", "user": "provisioner"' in (DEPLOY / "prepare.sh").read_text()

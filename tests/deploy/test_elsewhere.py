"""The manifests for Kubernetes and the unit for systemd: they agree with the image and the settings."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from worker import providers
from worker.settings import MonitoringSettings, ShutdownSettings
from worker.settings.catalogue import ALONE, settings_of

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNIT = DEPLOY / "systemd" / "provisioner.service"
DOCKERFILE = (DEPLOY.parent / "Dockerfile").read_text()
SETTINGS = settings_of({name: handler.Settings for name, handler in providers.discover().items()})
KNOWN = {setting.variable for setting in SETTINGS} | ALONE.keys()
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
OBJECTS: dict[str, Any] = {
    each["kind"]: each for each in yaml.safe_load_all((KUBERNETES / "worker.yaml").read_text())
}
POD: dict[str, Any] = OBJECTS["Deployment"]["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]
ERRAND: dict[str, Any] = yaml.safe_load((KUBERNETES / "errand.yaml").read_text())


def unit() -> ConfigParser:
    """The unit's sections; of a key that comes several times the values are lines."""
    lines: dict[str, dict[str, list[str]]] = {}
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = lines.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read_dict(
        {name: {key: "\n".join(it) for key, it in found.items()} for name, found in lines.items()}
    )
    return parser


def test_a_pod_runs_as_the_images_user_and_reads_its_secrets() -> None:
    """The numbers are the image's; a secret belongs to root and is read by the group, and by nobody else."""
    user = f"USER {POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}"
    assert user in DOCKERFILE.splitlines()
    assert POD["securityContext"]["fsGroup"] == POD["securityContext"]["runAsGroup"]
    (secret,) = (volume["secret"] for volume in POD["volumes"] if "secret" in volume)
    assert secret["defaultMode"] == 0o440
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert {"name": "PROVISIONER_SECRETS_DIR", "value": mounted["secrets"]} in CONTAINER["env"]


def test_a_pod_is_confined() -> None:
    """No root, no capabilities, no new privileges, a read-only root, bounded memory, and no key to the cluster."""
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["automountServiceAccountToken"] is False
    assert CONTAINER["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in CONTAINER["resources"]["limits"]


def test_a_pod_is_asked_where_the_worker_listens() -> None:
    """Liveness and start-up ask whether it moves, readiness whether it works, all at the default port."""
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == MonitoringSettings().port
    asked = {name: CONTAINER[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: it["path"] for name, it in asked.items()} == {
        "startup": "/livez", "liveness": "/livez", "readiness": "/readyz",
    }  # fmt: skip
    assert {it["port"] for it in asked.values()} == {port["name"]}


def test_prometheus_finds_every_pod() -> None:
    """By a name that has each pod's address, ready or not, as its job asks for; the port is the one it knows."""
    service = OBJECTS["Service"]["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert (
        service["selector"].items() <= OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    )
    (job,) = (job for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "provisioner")
    assert [port["port"] for port in service["ports"]] == [job["dns_sd_configs"][0]["port"]]


def test_an_errand_is_done_where_the_worker_runs() -> None:
    """Its pod is the worker's in image, settings, secrets and confinement; it waits, once, and no Service finds it."""
    (errand,) = ERRAND["spec"]["containers"]
    listens = {"name", "ports", "startupProbe", "livenessProbe", "readinessProbe"}
    assert {"name": "errand", "command": errand["command"]} | {
        key: value for key, value in CONTAINER.items() if key not in listens
    } == errand
    assert errand["command"] == ["sleep", "infinity"]
    assert ERRAND["spec"] == POD | {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [errand],
    }  # fmt: skip
    assert not OBJECTS["Service"]["spec"]["selector"].items() <= ERRAND["metadata"]["labels"].items()


def test_no_new_pod_runs_beside_an_old_one() -> None:
    """An upgrade may bring another schema; labels and selector agree."""
    spec = OBJECTS["Deployment"]["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def test_what_is_set_is_a_setting() -> None:
    """Each variable and each credential in both files has a name that the worker knows."""
    named = set(OBJECTS["ConfigMap"]["data"]) | {each["name"] for each in CONTAINER["env"]}
    variables = re.findall(r"^Environment=(\w+)=", UNIT.read_text(), re.MULTILINE)
    assert (named | set(variables)) - KNOWN == set()
    credentials = re.findall(
        r"^LoadCredential=(\w+):/etc/provisioner/secrets/(\w+)$", UNIT.read_text(), re.MULTILINE
    )
    assert credentials
    assert {name for pair in credentials for name in pair} <= {setting.secret_file for setting in SETTINGS}
    assert all(name == file for name, file in credentials)


def test_both_give_a_drain_its_time() -> None:
    """The time to stop is longer than the longest drain by default."""
    given = [POD["terminationGracePeriodSeconds"], int(unit()["Service"]["TimeoutStopSec"])]
    assert min(given) >= ShutdownSettings().drain + 30


def test_the_unit_starts_the_worker_anew_unless_a_person_must_act() -> None:
    """Always but after exit code 78; and the signal goes to the command, which passes it on to its workers."""
    service = unit()["Service"]
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "78")
    assert (service["User"], service["WorkingDirectory"]) == ("provisioner", "/var/lib/provisioner")
    assert service["ExecStart"] == "/opt/provisioner/bin/provisioner run"
    assert service["KillMode"] == "mixed"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """It complains of nothing, the program being where it is expected."""
    text = (
        UNIT.read_text()
        .replace("/opt/provisioner/bin/provisioner run", "/bin/true")
        .replace("User=provisioner\n", "")
    )
    (tmp_path / UNIT.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that other users reach, as pytest's own is not."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_roots_command_acts_with_the_units_settings_secrets_and_user(open_folder: Path) -> None:
    """Settings in systemd's form and secrets from their files, in the worker's folder. Who used sudo is told and not
    named: a name that is given counts, even root's. What root hands over by standard input arrives.
    """
    open_folder.chmod(0o755)
    etc, folder, program = (open_folder / name for name in ("etc", "folder", "program"))
    (etc / "secrets").mkdir(parents=True)
    (etc / "worker.env").write_text('# a comment\nPROVISIONER_A=two words=1\nPROVISIONER_B="quoted"\nOTHER=x')
    (etc / "secrets" / "provisioner_sealing__keys").write_text("line 1\nline 2\n")
    folder.mkdir(mode=0o755)
    program.write_text('#!/bin/sh\nid -un; pwd; for each; do echo "$each"; done; env; cat\n')
    program.chmod(0o755)
    text = (UNIT.parent / "provisioner").read_text()
    assert unit()["Service"]["ExecStart"] == "/opt/provisioner/bin/provisioner run"
    assert unit()["Service"]["WorkingDirectory"] == "/var/lib/provisioner"
    for here, there in (
        ("/etc/provisioner", etc), ("/var/lib/provisioner", folder), ("/opt/provisioner/bin/provisioner", program),
        ("--reuid=provisioner", "--reuid=nobody"), ("--regid=provisioner", "--regid=nogroup"),
    ):  # fmt: skip
        assert here in text
        text = text.replace(here, str(there))
    done = subprocess.run(
        ["/bin/sh", "-c", text, "provisioner", "requests", "two words"],
        env={"PATH": os.environ["PATH"], "SUDO_USER": "olivia"},
        input="a file that only root can read",
        check=True,
        capture_output=True,
        text=True,
    )
    said = done.stdout.splitlines()
    assert said[:4] == ["nobody", str(folder), "requests", "two words"]
    assert {"PROVISIONER_A=two words=1", "PROVISIONER_B=quoted", "SUDO_USER=olivia"} <= set(said)
    assert "PROVISIONER_ACTOR" not in done.stdout
    assert "PROVISIONER_SEALING__KEYS=line 1\nline 2\n" in done.stdout
    assert "OTHER=x" not in said
    assert said[-1] == "a file that only root can read"

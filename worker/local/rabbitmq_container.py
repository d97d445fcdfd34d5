"""RabbitMQ in a container, for machines with Docker and without the package; it is gone when its user is gone."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from worker.local.errors import ServerFailed, ServerMissing
from worker.local.kept_server import KeptServer, Order
from worker.local.loopback import HOST, answers_amqp, free_ports
from worker.local.private_files import tail_of

IMAGE = "rabbitmq:4"
_USER = "provisioner"
_SECONDS_TO_START = 120.0


class RabbitmqContainer:
    """A container that forgets everything at its end. As a context manager it is started, and gone at the end."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._name = f"provisioner-{secrets.token_hex(6)}"
        self._password = secrets.token_hex(16)
        self._port = free_ports(1)[0]
        self._server: KeptServer | None = None

    def __enter__(self) -> Self:
        with tempfile.TemporaryDirectory(prefix="rabbitmq-") as folder:
            try:
                self._start(Path(folder, "docker.log"))
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.dismiss()
            self._server = None

    @property
    def url(self) -> str:
        """Address of the default virtual host, password included."""
        return f"amqp://{_USER}:{self._password}@{HOST}:{self._port}/"

    def _start(self, log: Path) -> None:
        docker = _docker()
        self._server = KeptServer.start(
            Order(
                [[docker, "run", "--rm", "--name", self._name, *self._options(), IMAGE]],
                farewell=signal.SIGTERM,  # Docker passes it on to the container
                patience=10.0,
                afterwards=[[docker, "rm", "--force", "--volumes", self._name]],
            ),
            log,
            # Named on the command line, given here: command lines can be read by everybody.
            os.environ | {"RABBITMQ_DEFAULT_USER": _USER, "RABBITMQ_DEFAULT_PASS": self._password},
        )
        if not self._server.wait_until(lambda: answers_amqp(self._port), _SECONDS_TO_START):
            raise ServerFailed(f"RabbitMQ did not start in a container\n{tail_of(log)}")

    def _options(self) -> list[str]:
        published = ["--publish", f"{HOST}:{self._port}:5672"]
        return [*published, "--env", "RABBITMQ_DEFAULT_USER", "--env", "RABBITMQ_DEFAULT_PASS"]


def docker_is_reachable() -> bool:
    """Whether there is a Docker engine that this user may ask."""
    try:
        asked = subprocess.run(
            [_docker(), "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=20,
        )
    except (ServerMissing, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def pull_image() -> None:
    """Fetch the image if it is not there; it is some 100 MB.

    Raises:
        ServerFailed: it cannot be fetched.
    """
    if _succeeds("image", "inspect", IMAGE):
        return
    if not _succeeds("pull", "--quiet", IMAGE):
        raise ServerFailed(f"`docker pull {IMAGE}` failed")


def _succeeds(*arguments: str) -> bool:
    done = subprocess.run(
        [_docker(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    )
    return done.returncode == 0


def _docker() -> str:
    found = shutil.which("docker")
    if found is None:
        raise ServerMissing("Docker is not installed")
    return found

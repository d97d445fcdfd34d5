"""Finding a broker: the configured one, a private node, a container, a package installed now; else plain advice."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.local.processes import Watch
from worker.local import find_broker as module
from worker.local.errors import CannotInstall, NoBroker
from worker.local.find_broker import Broker, find_broker
from worker.local.rabbitmq_container import RabbitmqContainer, docker_is_reachable

FAKE_DOCKER = """\
#!{python}
import os, signal, socket, sys
from pathlib import Path
Path("{log}").open("a").write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "run":
    assert os.environ["RABBITMQ_DEFAULT_USER"] and os.environ["RABBITMQ_DEFAULT_PASS"]
    port = sys.argv[sys.argv.index("--publish") + 1].split(":")[1]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener = socket.create_server(("127.0.0.1", int(port)))
    while True:
        connection, _ = listener.accept()
        connection.recv(8)
        connection.sendall(b"\\x01")
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def _nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with nothing on it; each test adds what it is about."""
    monkeypatch.setattr(module, "rabbitmq_is_installed", lambda: False)
    monkeypatch.setattr(module, "docker_is_reachable", lambda: False)
    monkeypatch.setattr(module, "can_install", lambda: False)
    monkeypatch.setattr(module, "RabbitmqNode", fake_node)


@contextmanager
def fake_node(folder: Path | None) -> Iterator[SimpleNamespace]:
    yield SimpleNamespace(port=5, url=f"amqp://node-in-{folder}")


def test_a_configured_broker_is_used(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """The configured address wins over an installed package, and is announced without its password."""
    monkeypatch.setattr(module, "rabbitmq_is_installed", lambda: True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"amqp://user:hush@127.0.0.1:{listener.getsockname()[1]}/v"
        with find_broker(environment={"PROVISIONER_BROKER__URL": url}, say=said.append) as broker:
            assert broker.url == url
    assert "PROVISIONER_BROKER__URL" in said[0]
    assert "hush" not in "".join(said) + repr(broker)


def test_a_configured_broker_that_is_away_is_an_error(said: list[str]) -> None:
    """A configured address that nobody answers is not quietly replaced by another broker."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {"PROVISIONER_BROKER__URL": f"amqp://user:hush@127.0.0.1:{port}/"}
    with (
        pytest.raises(NoBroker, match=f"127.0.0.1:{port}") as raised,
        find_broker(environment=environment, say=said.append),
    ):
        pytest.fail("there is no broker to use")
    assert "hush" not in str(raised.value)


def test_an_installed_package_becomes_a_private_node(
    monkeypatch: pytest.MonkeyPatch, said: list[str], tmp_path: Path
) -> None:
    """An installed RabbitMQ is started on the given folder, and what was done is said."""
    monkeypatch.setattr(module, "rabbitmq_is_installed", lambda: True)
    with find_broker(tmp_path, environment={}, say=said.append) as broker:
        assert broker == Broker(f"amqp://node-in-{tmp_path}", "a private node on port 5")
    assert f"keeps its data in {tmp_path}" in said[-1]


def test_docker_comes_next(monkeypatch: pytest.MonkeyPatch, said: list[str], tmp_path: Path) -> None:
    """Without the package, a container is started: its password is in no command line, and it is removed at the end."""
    log = install_fake_docker(monkeypatch, tmp_path)
    monkeypatch.setattr(module, "docker_is_reachable", docker_is_reachable)
    with find_broker(environment={}, say=said.append) as broker:
        assert broker.found == "a container of rabbitmq:4"
        password = broker.url.split("@")[0].rsplit(":", 1)[1]
    verbs = [line.split()[0] for line in log.read_text().splitlines()]
    assert verbs == ["version", "image", "run", "rm"]
    assert password not in log.read_text() + "".join(said)
    assert "container" in said[0]


def test_a_container_is_removed_when_docker_dies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Killing Docker's client, which leaves the container running, ends in its removal by name all the same."""
    log = install_fake_docker(monkeypatch, tmp_path)
    with RabbitmqContainer() as container:
        server = container._server
        assert server is not None
        watch = Watch(server.keeper)
        server.kill()
        assert watch.still_running() == []
    run, remove = log.read_text().splitlines()
    assert remove.split()[:3] == ["rm", "--force", "--volumes"]
    assert f"--name {remove.split()[3]} " in run


def test_the_package_is_installed_last(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """Where nothing is there and it may be installed, it is, and then started."""
    installed: list[object] = []
    monkeypatch.setattr(module, "can_install", lambda: True)
    monkeypatch.setattr(module, "install", lambda names, _say: installed.append(names))
    with find_broker(environment={}, say=said.append) as broker:
        assert broker.url == "amqp://node-in-None"
    assert installed == [["rabbitmq"]]
    assert "installing Debian's package rabbitmq-server" in said[0]


def test_a_failed_installation_gives_the_same_advice(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """An installation that fails tells why, and what else helps."""

    def fail(_names: object, _say: object) -> None:
        raise CannotInstall("the mirror is away")

    monkeypatch.setattr(module, "can_install", lambda: True)
    monkeypatch.setattr(module, "install", fail)
    with (
        pytest.raises(NoBroker, match=r"(?s)the mirror is away.*start Docker"),
        find_broker(environment={}, say=said.append),
    ):
        pytest.fail("there is no broker to use")


def test_nothing_there_and_nothing_allowed_gives_advice() -> None:
    """Where no broker can be had, the error names each of the three ways to get one."""
    with pytest.raises(NoBroker) as raised, find_broker(environment={}):
        pytest.fail("there is no broker to use")
    for way in ("PROVISIONER_BROKER__URL", "apt-get install rabbitmq-server", "Docker"):
        assert way in str(raised.value)


def test_no_docker_is_not_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Docker counts as one whose Docker cannot be reached."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not docker_is_reachable()


def install_fake_docker(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    program, log = folder / "docker", folder / "docker.log"
    program.write_text(FAKE_DOCKER.format(python=sys.executable, log=log))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log

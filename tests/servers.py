"""A real RabbitMQ and a real PostgreSQL for the tests: one of each for the whole run, started when first asked for.

Tests are kept apart by a virtual host or a database of their own. A server that is not installed fails the test.
"""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from worker.local.errors import ServerFailed
from worker.local.postgresql_server import PostgresqlServer
from worker.local.rabbitmq_node import RabbitmqNode

_SHARED_BY_THE_RUN = "SERVERS_OF_THIS_TEST_RUN"
_AT_ONCE = 16  # virtual hosts made by one call

Server = TypeVar("Server", RabbitmqNode, PostgresqlServer)


def pytest_configure(config: pytest.Config) -> None:
    """The first process of the run makes the folder that all of them share; xdist workers inherit its name.

    What a shell runs in the background ignores these signals, and so would every process that a test means to end.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="provisioner-tests-")
        Path(folder).chmod(0o711)  # PostgreSQL may run as another user
        os.environ[_SHARED_BY_THE_RUN] = f"{os.getpid()}:{folder}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """The first process of the run ends last, and takes the shared servers with it."""
    if not hasattr(config, "workerinput"):
        _, folder = _shared()
        with suppress(ServerFailed):
            RabbitmqNode.attach(folder / RabbitmqNode.__name__).kill()
        with suppress(ServerFailed):
            PostgresqlServer.attach(folder / PostgresqlServer.__name__).kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbitmq_node() -> RabbitmqNode:
    """The run's node, which nobody may stop. Tests that hurt a broker ask for `own_rabbitmq_node`."""
    return _shared_server(RabbitmqNode)


@pytest.fixture(scope="session")
def postgresql_server() -> PostgresqlServer:
    """The run's server, which nobody may stop."""
    return _shared_server(PostgresqlServer)


@pytest.fixture
def broker_url(_vhosts: "_Vhosts") -> Iterator[str]:
    """Address of a virtual host of this test's own on the run's node."""
    with _vhosts.one() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """Address of an empty database of this test's own on the run's server."""
    name = f"test_{uuid4().hex}"
    yield postgresql_server.create_database(name)
    postgresql_server.drop_database(name)


@pytest.fixture
def own_rabbitmq_node(_node_of_the_module: RabbitmqNode) -> RabbitmqNode:
    """A running node to kill, pause or restart. The tests of one module use it one after the other."""
    if not _node_of_the_module.running:
        _node_of_the_module.start()
    _node_of_the_module.resume()
    return _node_of_the_module


@pytest.fixture
def own_broker_url(own_rabbitmq_node: RabbitmqNode) -> str:
    """Address of a virtual host of this test's own on `own_rabbitmq_node`."""
    return own_rabbitmq_node.add_vhost(f"test-{uuid4().hex}")


@pytest.fixture
def own_postgresql_server() -> Iterator[PostgresqlServer]:
    """A running server to kill or restart; it starts in a second."""
    with PostgresqlServer() as server:
        yield server


@contextmanager
def frozen(server: PostgresqlServer) -> Iterator[None]:
    """For as long as the block lasts the server and all its sessions stand still; their connections stay open."""
    processes = [server.pid]
    os.kill(server.pid, signal.SIGSTOP)  # first, so that it starts no other
    try:
        for session in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
            processes.append(int(session))
            os.kill(processes[-1], signal.SIGSTOP)
        yield
    finally:
        for process in reversed(processes):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@pytest.fixture(scope="module")
def _node_of_the_module() -> Iterator[RabbitmqNode]:
    with RabbitmqNode() as node:
        yield node


@pytest.fixture(scope="session")
def _vhosts(rabbitmq_node: RabbitmqNode) -> "_Vhosts":
    return _Vhosts(rabbitmq_node)


@dataclass
class _Vhosts:
    """Virtual hosts, made and deleted several at a time: one call of `rabbitmqctl` costs more than ten of them."""

    node: RabbitmqNode
    fresh: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[str]:
        if not self.fresh:
            self.fresh = [f"test-{uuid4().hex}" for _ in range(_AT_ONCE)]
            self.node.replace_vhosts(self.used, self.fresh)
            self.used = []
        name = self.fresh.pop()
        yield self.node.url_of(name)
        self.used.append(name)


def _shared_server(kind: type[Server]) -> Server:
    """The run's server of this kind, started now if nobody has asked before."""
    run, folder = _shared()
    with _locked(folder / f"{kind.__name__}.lock"):
        with suppress(ServerFailed):
            return kind.attach(folder / kind.__name__)
        server = kind(folder / kind.__name__, started_for=run)
        server.start()
        return server


def _shared() -> tuple[int, Path]:
    """The first process of this run, and the folder it made."""
    run, folder = os.environ[_SHARED_BY_THE_RUN].split(":", 1)
    return int(run), Path(folder)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield

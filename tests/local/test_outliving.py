"""The real servers, whose programs start daemons of their own, outlive nobody."""

from pathlib import Path

import pytest

from tests.local.processes import Watch, line_from, python_that
from worker.local.loopback import is_free

BOTH = (
    "import sys",
    "from worker.local.postgresql_server import PostgresqlServer",
    "from worker.local.rabbitmq_node import RabbitmqNode",
    "with PostgresqlServer() as database, RabbitmqNode() as node:",
    "    print(node._identity.port, node._identity.distribution_port, node._identity.epmd_port, flush=True)",
    "    print(node._files.folder, database._files.folder, flush=True)",
    "    sys.stdin.read()",
)


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_nothing_is_left_of_both_servers() -> None:
    """When their user dies by SIGKILL, no process, no port and no folder of the servers is left."""
    with python_that(*BOTH) as child:
        ports, folders = line_from(child).split(), line_from(child).split()
        watch = Watch(child.pid)
        assert {"beam.smp", "epmd", "postgres", "erl_child_setup"} <= set(watch.names.values())
        child.kill()
        assert watch.still_running() == []
    assert [port for port in ports if not is_free(int(port))] == []
    assert [folder for folder in folders if Path(folder).exists()] == []

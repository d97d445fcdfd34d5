"""A private RabbitMQ node: starts, stops, freezes and dies on request, and keeps to itself."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from yarl import URL

from tests.local.processes import Watch, state_of
from tests.rabbitmq.rig import Probe
from worker.local import rabbitmq_node as rabbitmq_node_module
from worker.local.errors import ServerFailed, ServerMissing
from worker.local.loopback import answers_amqp, is_free
from worker.local.rabbitmq_files import NodeFiles
from worker.local.rabbitmq_node import RabbitmqNode

pytestmark = pytest.mark.rabbitmq


async def test_a_test_has_a_virtual_host_of_its_own(broker_url: str, rabbitmq_node: RabbitmqNode) -> None:
    """A fresh virtual host takes connections, declares quorum queues and confirms publishes, and is not the default."""
    probe = Probe(broker_url)
    await probe.declare("q", {"x-queue-type": "quorum"})
    await probe.publish(b"hello", "q", exchange="")
    await probe.until_ready("q", 1)
    assert URL(broker_url).path.removeprefix("/") in rabbitmq_node.rabbitmqctl("list_vhosts").split()
    assert URL(broker_url).path != "/"


def test_virtual_hosts_come_and_go(rabbitmq_node: RabbitmqNode) -> None:
    """A virtual host that was added is listed with its rights, and not listed once it was deleted."""
    url = rabbitmq_node.add_vhost("coming.and-going_1")
    assert url.endswith("/coming.and-going_1")
    assert "provisioner" in rabbitmq_node.rabbitmqctl("list_permissions", "-p", "coming.and-going_1")
    rabbitmq_node.delete_vhost("coming.and-going_1")
    assert "coming" not in rabbitmq_node.rabbitmqctl("list_vhosts")


def test_what_erlang_leaves_of_a_crash_lies_in_the_nodes_folder(tmp_path: Path) -> None:
    """A start that is interrupted leaves no dump in the folder of whoever typed the command."""
    own, elsewhere = tmp_path / "node", tmp_path / "elsewhere"
    elsewhere.mkdir()
    files = NodeFiles(own)
    environment = files.environment(files.read_identity())
    subprocess.run(
        ["erl", "-noshell", "-eval", 'erlang:halt("over")'], cwd=elsewhere, env=environment, check=False
    )
    assert (own / "erl_crash.dump").is_file()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(("failures", "left"), [(2, []), (3, ["busy"])])
def test_a_busy_node_may_fail_to_delete(
    rabbitmq_node: RabbitmqNode, monkeypatch: pytest.MonkeyPatch, failures: int, left: list[str]
) -> None:
    """What cannot be deleted at once is tried again, and in the end left: what is to be added is there all the same."""
    delete = "rabbit_vhost:delete(Name, User)"
    failing = f"case Times > {3 - failures} of true -> error(busy); false -> {delete} end"
    text = rabbitmq_node_module._REPLACE_VHOSTS.replace(delete, failing).replace("sleep(1000)", "sleep(1)")
    rabbitmq_node.replace_vhosts((), ("busy",))
    with monkeypatch.context() as patched:
        patched.setattr(rabbitmq_node_module, "_REPLACE_VHOSTS", text)
        rabbitmq_node.replace_vhosts(("busy",), ("next",))
    found = set(rabbitmq_node.rabbitmqctl("list_vhosts").split())
    assert found & {"busy", "next"} == {*left, "next"}
    rabbitmq_node.replace_vhosts(("busy", "next"), ())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "the empty name is the default virtual host's address"),
        ("a/b", "a slash would have to be written otherwise in an address"),
        ('x">>]), halt().', "the name becomes part of an Erlang expression"),
    ],
)
def test_a_name_must_be_plain(name: str, reason: str, tmp_path: Path) -> None:
    """A name that would need escaping is refused before anything is asked of the node."""
    with pytest.raises(ValueError, match="not a name"):
        RabbitmqNode(tmp_path).add_vhost(name)


def test_it_listens_on_the_loopback_address_only(rabbitmq_node: RabbitmqNode) -> None:
    """Neither the node nor its epmd can be reached at another address of this machine."""
    identity = rabbitmq_node._identity
    for port in (identity.port, identity.distribution_port, identity.epmd_port):
        assert not is_free(port)
    assert answers_amqp(identity.port, seconds=30)
    assert not answers_amqp(identity.port, host="127.0.0.2")


def test_a_failing_rabbitmqctl_is_an_error(rabbitmq_node: RabbitmqNode) -> None:
    """A command that RabbitMQ refuses raises with what it said."""
    with pytest.raises(ServerFailed, match="no_such"):
        rabbitmq_node.rabbitmqctl("delete_vhost", "no_such")


def test_the_password_is_kept_private(rabbitmq_node: RabbitmqNode) -> None:
    """The password is in files that only their owner reads, and in no representation."""
    files = rabbitmq_node._files.folder
    for name in ("node.json", "advanced.config"):
        assert rabbitmq_node._identity.password in (files / name).read_text()
        assert stat.S_IMODE((files / name).stat().st_mode) == 0o600
    assert rabbitmq_node._identity.password not in repr(rabbitmq_node._identity)
    assert rabbitmq_node._identity.password not in Path(f"/proc/{rabbitmq_node.pid}/cmdline").read_text()


def test_pause_and_resume(own_rabbitmq_node: RabbitmqNode) -> None:
    """A paused node takes connections and says nothing; a resumed one answers again."""
    own_rabbitmq_node.pause()
    assert state_of(own_rabbitmq_node.pid) == "T"
    assert not answers_amqp(own_rabbitmq_node.port, seconds=0.3)
    own_rabbitmq_node.resume()
    assert answers_amqp(own_rabbitmq_node.port, seconds=30)


def test_kill_and_restart_keep_data_port_and_address(own_rabbitmq_node: RabbitmqNode) -> None:
    """Nothing of a killed node is left running; started again, it has its data and its address as before."""
    url, before = own_rabbitmq_node.add_vhost("kept"), Watch(own_rabbitmq_node.pid)
    own_rabbitmq_node.kill()
    assert before.still_running(seconds=0.001) == []
    assert not own_rabbitmq_node.running
    own_rabbitmq_node.restart()
    assert own_rabbitmq_node.pid not in before.names
    assert own_rabbitmq_node.url_of("kept") == url
    assert "kept" in own_rabbitmq_node.rabbitmqctl("list_vhosts").split()


def test_a_folder_has_one_node(own_rabbitmq_node: RabbitmqNode) -> None:
    """A second node on the folder of a running one is refused, and the first one goes on."""
    folder = own_rabbitmq_node._files.folder
    with pytest.raises(ServerFailed, match="another server runs in"):
        RabbitmqNode(folder).start()
    assert RabbitmqNode.attach(folder).pid == own_rabbitmq_node.pid


def test_nobody_attaches_to_a_node_that_is_gone(tmp_path: Path) -> None:
    """The process ids that a dead node left in its folder are not taken for a running node."""
    node = RabbitmqNode(tmp_path)
    node._files.write_identity(
        node._identity.__class__(1, 2, 3, "secret", keeper=os.getpid(), pid=os.getpid())
    )
    with pytest.raises(ServerFailed, match="no RabbitMQ node runs"):
        RabbitmqNode.attach(tmp_path)


def test_a_node_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error ends with what the node said, the password left out."""
    program = tmp_path / "rabbitmq-server"
    program.write_text('#!/bin/sh\necho "disk on fire"; cat "$RABBITMQ_ADVANCED_CONFIG_FILE"\n')
    program.chmod(0o755)
    monkeypatch.setattr(rabbitmq_node_module, "rabbitmq_program", lambda _name: str(program))
    node = RabbitmqNode(tmp_path / "node")
    with pytest.raises(ServerFailed, match="disk on fire") as raised:
        node.start()
    assert "default_pass" in str(raised.value)
    assert node._identity.password not in str(raised.value)


def test_without_rabbitmq_the_error_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where RabbitMQ is not installed, the error says how to install it."""
    monkeypatch.delenv("LOCAL_RABBITMQ_ROOT", raising=False)
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    with pytest.raises(ServerMissing, match=r"make test.*apt-get install rabbitmq-server"):
        RabbitmqNode(tmp_path).start()

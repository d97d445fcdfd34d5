"""A RabbitMQ node of our own: its own data, ports, user and epmd, on 127.0.0.1 only, and gone when its user is gone."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from worker.local.errors import ServerFailed, ServerMissing
from worker.local.kept_server import KeptServer, Order
from worker.local.loopback import HOST, answers_amqp
from worker.local.private_files import is_locked, locked
from worker.local.rabbitmq_files import USER, NodeFiles
from worker.local.trixie_runner import PROGRAMS, other_root, runner

_SECONDS_TO_START = 120.0

# Side by side: most of the time of each is waiting for its queues to end.
_REPLACE_VHOSTS = """
User = <<"{user}">>,
Each = fun(Do, Names) ->
    Begun = [spawn_monitor(fun() -> ok = Do(Name) end) || Name <- Names],
    [receive {{'DOWN', Monitor, process, _, How}} -> normal = How end || {{_, Monitor}} <- Begun]
end,
Delete = fun Again(Name, Times) ->
    try
        ok = rabbit_vhost:delete(Name, User)
    catch
        _:_ when Times > 1 -> timer:sleep(1000), Again(Name, Times - 1);
        _:_ -> ok
    end
end,
Each(fun(Name) -> Delete(Name, 3) end, [{delete}]),
Each(fun(Name) ->
    ok = rabbit_vhost:add(Name, User),
    rabbit_auth_backend_internal:set_permissions(User, Name, <<".*">>, <<".*">>, <<".*">>, User)
end, [{add}]).
"""


class RabbitmqNode:
    """A private node. As a context manager it is started, and gone at the end of the block."""

    def __init__(self, folder: Path | None = None, *, started_for: int | None = None) -> None:
        """Nothing is started yet.

        Args:
            folder: Where the node keeps its data; a later node on the same folder finds it. None: a temporary one,
                which is removed with the node.
            started_for: The process with which the node must end, however that ends; None: this one.
        """
        self._temporary = folder is None
        self._files = NodeFiles(folder or Path(tempfile.mkdtemp(prefix="rabbitmq-")))
        self._identity = self._files.read_identity()
        self._started_for = started_for
        self._server: KeptServer | None = None

    @classmethod
    def attach(cls, folder: Path) -> Self:
        """The node that runs on this folder, started by whichever process.

        Raises:
            ServerFailed: none runs there.
        """
        node = cls(folder)
        # The keeper holds the lock to its end: as long as it does, the process ids in the folder mean what they did.
        if not is_locked(node._files.lock) or not node._identity.keeper or not node._identity.pid:
            raise ServerFailed(f"no RabbitMQ node runs in {folder}")
        node._server = KeptServer(node._identity.keeper, node._identity.pid)
        return node

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._temporary:
            self.stop()
            return
        self.kill()
        shutil.rmtree(self._files.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """Address of the default virtual host, password included."""
        return self.url_of("")

    def url_of(self, vhost: str) -> str:
        """Address of a virtual host, password included."""
        return f"amqp://{USER}:{self._identity.password}@{HOST}:{self.port}/{vhost}"

    @property
    def port(self) -> int:
        """The AMQP port; it stays the same over `restart`."""
        return self._identity.port

    @property
    def pid(self) -> int:
        """Process id of the Erlang machine.

        Raises:
            ServerFailed: the node was not started, or stopped since.
        """
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.running

    def start(self) -> None:
        """Start the node and wait until it takes connections.

        Raises:
            ServerMissing: RabbitMQ is not installed.
            ServerFailed: the node does not come up, or another one runs on the same folder.
        """
        commands = [[*runner(), "epmd"], rabbitmq_command("rabbitmq-server")]
        with locked(self._files.lock) as lock:
            self._identity = self._files.configure(self._identity)
            # A foreground epmd of its own: RabbitMQ would otherwise use the machine's, or leave a daemon behind.
            commands[0] += ["-address", HOST, "-port", str(self._identity.epmd_port)]
            self._server = KeptServer.start(
                Order(commands, temporary_folder=str(self._files.folder) if self._temporary else None),
                self._files.console,
                self._files.environment(self._identity),
                started_for=self._started_for,
                lock=lock,
            )
        self._identity = replace(self._identity, keeper=self._server.keeper, pid=self._server.pid)
        self._files.write_identity(self._identity)
        if not self._server.wait_until(lambda: answers_amqp(self.port), _SECONDS_TO_START):
            self.kill()
            raise ServerFailed(f"the RabbitMQ node did not start\n{self._files.last_words(self._identity)}")

    def stop(self) -> None:
        """Shut down in good order; nothing happens when it is not running."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """SIGKILL; nothing happens when it is not running."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def restart(self) -> None:
        """Stop, then start with the same data on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the node: connections stay open and nothing answers, not even a heartbeat."""
        self._started().pause()

    def resume(self) -> None:
        self._started().resume()

    def rabbitmqctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` prints; it needs a third of a second.

        Raises:
            ServerFailed: it failed.
        """
        done = subprocess.run(
            [*rabbitmq_command("rabbitmqctl"), "--quiet", *arguments],
            env=self._files.environment(self._identity),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"rabbitmqctl {arguments[0]} failed\n{done.stdout}{done.stderr}")
        return done.stdout

    def add_vhost(self, name: str) -> str:
        """Add a virtual host where the node's user may do everything, and give its address, password included."""
        self.replace_vhosts((), (name,))
        return self.url_of(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it; its connections are closed.

        Raises:
            ServerFailed: there is none of this name, or it could not be deleted.
        """
        self.rabbitmqctl("delete_vhost", name)

    def replace_vhosts(self, delete: Sequence[str], add: Sequence[str]) -> None:
        """Delete some virtual hosts and add others, which takes hardly longer than `add_vhost` does for one.

        One that a busy node cannot delete, which is tried three times, is left as it is.

        Raises:
            ServerFailed: one could not be added.
        """
        names = {"delete": _erlang_list(delete), "add": _erlang_list(add)}
        self.rabbitmqctl("eval", _REPLACE_VHOSTS.format(user=USER, **names))

    def _started(self) -> KeptServer:
        if self._server is None:
            raise ServerFailed("the RabbitMQ node is not running")
        return self._server


def _erlang_list(names: Sequence[str]) -> str:
    for name in names:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
            raise ValueError(f"not a name for a virtual host: {name!r}")
    return ", ".join(f'<<"{name}">>' for name in names)


def rabbitmq_command(name: str) -> list[str]:
    """How one of RabbitMQ's programs is called: this machine's, or another Debian's (`trixie_runner.py`).

    Raises:
        ServerMissing: RabbitMQ is not installed.
    """
    return [*runner(), rabbitmq_program(name)]


def rabbitmq_program(name: str) -> str:
    """Path of one of RabbitMQ's programs.

    Raises:
        ServerMissing: RabbitMQ is not installed.
    """
    if other_root() is not None:
        return str(PROGRAMS / name)
    # Debian's programs of the same name on the PATH insist on a user of their own; these are what they wrap.
    found = shutil.which(name, path=f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise ServerMissing(
            "RabbitMQ is not installed. `make test` installs it, and so does: apt-get install rabbitmq-server"
        )
    return found


def rabbitmq_is_installed() -> bool:
    try:
        rabbitmq_command("rabbitmq-server")
    except ServerMissing:
        return False
    return True

"""What a private RabbitMQ node keeps in its folder: who it is, its configuration, its data and its logs."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from worker.local.loopback import HOST, free_ports, is_free
from worker.local.private_files import tail_of, write_private

USER = "provisioner"

# One scheduler that is not bound to a processor: nodes side by side would all be bound to the same one.
_LIGHT = "+S 1:1 +SDcpu 1:1 +SDio 2 +stbt u"

# Erlang terms instead of rabbitmq.conf: the translation of the latter costs a second at every start.
_SETTINGS = """\
[{{rabbit, [
    {{tcp_listeners, [{{"{host}", {port}}}]}},
    {{default_user, <<"{user}">>}},
    {{default_pass, <<"{password}">>}},
    {{disk_free_limit, 50000000}},
    {{collect_statistics_interval, 60000}}
 ]}},
 {{kernel, [{{inet_dist_use_interface, {{127, 0, 0, 1}}}}]}}].
"""

_NOT_INHERITED = ("RABBITMQ_", "ERL_", "PROVISIONER_", "NOTIFY_SOCKET")
"""Beginnings of variables that would turn the node into another one, and of those that hold our own secrets."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes one node: kept in its folder, so that it is the same node after a restart.

    Attributes:
        keeper: Process id of the keeper of the latest start; None before the first.
        pid: Process id of the Erlang machine of the latest start; None before the first.
    """

    port: int
    distribution_port: int
    epmd_port: int
    password: str = field(repr=False)
    keeper: int | None = None
    pid: int | None = None


class NodeFiles:
    """The folder of one node."""

    def __init__(self, folder: Path) -> None:
        """The folder is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder.resolve()
        self.console = self.folder / "console.log"
        self.lock = self.folder / "lock"

    def read_identity(self) -> Identity:
        """Who runs here, or a new identity for a new folder."""
        try:
            return Identity(**json.loads((self.folder / "node.json").read_text()))
        except FileNotFoundError:
            return _with_free_ports(Identity(0, 0, 0, secrets.token_hex(16)))

    def write_identity(self, identity: Identity) -> None:
        write_private(self.folder / "node.json", json.dumps(asdict(identity)))

    def configure(self, identity: Identity) -> Identity:
        """Write RabbitMQ's configuration; the ports are others than before if somebody else took one meanwhile."""
        if not all(map(is_free, (identity.port, identity.distribution_port, identity.epmd_port))):
            identity = _with_free_ports(identity)
        (self.folder / "enabled_plugins").write_text("[].\n")
        write_private(
            self.folder / "advanced.config",
            _SETTINGS.format(host=HOST, port=identity.port, user=USER, password=identity.password),
        )
        return identity

    def environment(self, identity: Identity) -> dict[str, str]:
        """Everything that RabbitMQ's programs are told."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        return inherited | {
            "HOME": str(self.folder),  # where the Erlang cookie lies
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(identity.epmd_port),
            "ERL_CRASH_DUMP": str(self.folder / "erl_crash.dump"),  # else where somebody happens to stand
            "RABBITMQ_NODENAME": "provisioner@localhost",
            "RABBITMQ_DIST_PORT": str(identity.distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": str(self.folder / "rabbitmq.log"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _LIGHT,
            # With the first, the start script becomes the Erlang machine instead of waiting for it, which is what a
            # supervisor needs; the second gives back what the script then leaves out.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput +B i",
        }

    def last_words(self, identity: Identity) -> str:
        """The ends of the logs, without the password."""
        logs = tail_of(self.folder / "rabbitmq.log") + "\n" + tail_of(self.console)
        return logs.replace(identity.password, "***")


def _with_free_ports(identity: Identity) -> Identity:
    port, distribution_port, epmd_port = free_ports(3)
    return replace(identity, port=port, distribution_port=distribution_port, epmd_port=epmd_port)

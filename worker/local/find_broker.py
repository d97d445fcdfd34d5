"""Finds a RabbitMQ for the demo and `make run`, and says on stderr which one and why."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from worker.local.errors import CannotInstall, NoBroker
from worker.local.install import can_install, install
from worker.local.rabbitmq_container import IMAGE, RabbitmqContainer, docker_is_reachable, pull_image
from worker.local.rabbitmq_node import RabbitmqNode, rabbitmq_is_installed

VARIABLE = "PROVISIONER_BROKER__URL"

_NOTHING_FOUND = f"""\
the worker needs RabbitMQ and found none. One of these helps:
  - set {VARIABLE} to the address of one: amqp://USER:PASSWORD@HOST:5672/
  - install Debian's package: sudo apt-get install rabbitmq-server
  - start Docker, or give this user the right to use it"""


@dataclass(frozen=True, slots=True)
class Broker:
    """A RabbitMQ that runs.

    Attributes:
        url: Its address, password included.
        found: What it is, in a few words.
    """

    url: str = field(repr=False)
    found: str


def say_on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def find_broker(
    folder: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], object] = say_on_stderr,
) -> Iterator[Broker]:
    """The first of: the configured one, a private node, a container, a private node of a package installed now.

    Args:
        folder: Where a private node keeps its data. None: it forgets them at the end.
        environment: Where `PROVISIONER_BROKER__URL` is looked for; None: this process's environment.
        say: Told what was found and done, a line at a time; never a password.

    Raises:
        NoBroker: there is none, or the configured one does not answer.
        ServerFailed: there is one and it does not start.
    """
    configured = (os.environ if environment is None else environment).get(VARIABLE)
    if configured:
        yield _configured(configured, say)
    elif rabbitmq_is_installed():
        yield from _private_node(folder, say)
    elif docker_is_reachable():
        yield from _container(say)
    elif can_install():
        say("RabbitMQ: none found; installing Debian's package rabbitmq-server")
        _install_package(say)
        yield from _private_node(folder, say)
    else:
        raise NoBroker(_NOTHING_FOUND)


def _configured(url: str, say: Callable[[str], object]) -> Broker:
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5.0).close()
    except OSError as error:
        raise NoBroker(f"{VARIABLE} names {place}, which cannot be reached: {error}") from None
    say(f"RabbitMQ: the one at {place}, as {VARIABLE} says")
    return Broker(url, f"the configured one at {place}")


def _private_node(folder: Path | None, say: Callable[[str], object]) -> Iterator[Broker]:
    say("RabbitMQ: starting a private node of the installed package (about five seconds)")
    with RabbitmqNode(folder) as node:
        kept = f"keeps its data in {folder}" if folder else "forgets everything at the end"
        say(f"RabbitMQ: a private node on port {node.port}; it {kept}")
        yield Broker(node.url, f"a private node on port {node.port}")


def _container(say: Callable[[str], object]) -> Iterator[Broker]:
    say(f"RabbitMQ: no package is installed; starting a container of {IMAGE}")
    pull_image()
    with RabbitmqContainer() as container:
        say("RabbitMQ: a container; it forgets everything at the end")
        yield Broker(container.url, f"a container of {IMAGE}")


def _install_package(say: Callable[[str], object]) -> None:
    try:
        install(["rabbitmq"], say)
    except CannotInstall as error:
        raise NoBroker(f"{error}\n{_NOTHING_FOUND}") from error

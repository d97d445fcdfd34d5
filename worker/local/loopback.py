"""Ports on 127.0.0.1, and whether RabbitMQ answers on one."""

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

HOST = "127.0.0.1"

# Below the ports that the kernel lends to outgoing connections (32768 and up): a server that restarts finds its port
# still free, and a client that retries meanwhile can never be connected to itself.
_PORTS = range(20_000, 32_000)
_PROCESSES = 100  # side by side that share no port
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"


def free_ports(number: int) -> list[int]:
    """That many different ports on which nothing listens, and which neither this process nor its neighbours will draw
    soon: a server takes seconds until it listens.
    """
    return list(itertools.islice(filter(is_free, _own_ports(os.getpid())), number))


@cache
def _own_ports(process: int) -> Iterator[int]:
    """The process's part of them, round and round, begun anywhere."""
    each = len(_PORTS) // _PROCESSES
    own = _PORTS[process % _PROCESSES * each :][:each]
    begin = random.SystemRandom().randrange(len(own))
    return itertools.cycle((*own[begin:], *own[:begin]))


def is_free(port: int) -> bool:
    with socket.socket() as trial:
        # What the servers do as well: connections of an earlier life that still linger do not count.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            trial.bind((HOST, port))
            return True
    return False


def answers_amqp(port: int, host: str = HOST, seconds: float = 1.0) -> bool:
    """Whether AMQP is spoken there: something that only listens, such as a container's forwarder, does not count."""
    with suppress(OSError), socket.create_connection((host, port), seconds) as connection:
        connection.sendall(_AMQP_HEADER)
        return connection.recv(1) == _METHOD_FRAME
    return False

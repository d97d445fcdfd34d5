"""Ports on 127.0.0.1, and whether RabbitMQ answers on one."""

import random
import socket
from contextlib import suppress

HOST = "127.0.0.1"

# Below the ports that the kernel lends to outgoing connections (32768 and up): a server that restarts finds its port
# still free, and a client that retries meanwhile can never be connected to itself.
_PORTS = range(20_000, 32_000)
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"


def free_ports(number: int) -> list[int]:
    """That many different ports on which nothing listens at the moment."""
    found: list[int] = []
    while len(found) < number:
        port = random.choice(_PORTS)
        if port not in found and is_free(port):
            found.append(port)
    return found


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

"""Ports for what tests start: never one that another test was given, so that nothing takes it before it is used."""

import os
import random
from collections.abc import Iterator
from functools import cache
from typing import Final

from worker.local.loopback import is_free

_PORTS: Final = range(10_000, 20_000)
"""Below those of private servers (`worker.local.loopback`) and below those that the kernel lends."""
_PROCESSES: Final = 8
"""Test processes side by side that have ports of their own; more share them."""


def next_port(row: int = 1) -> int:
    """The first of so many free ports in a row, none of which this process has had for a long time."""
    ports = _own_ports()
    while True:
        found = [next(ports) for _ in range(row)]
        if found[-1] == found[0] + row - 1 and all(map(is_free, found)):
            return found[0]


@cache
def _own_ports() -> Iterator[int]:
    """This process's part of them, round and round, begun anywhere."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    each = len(_PORTS) // _PROCESSES
    part = _PORTS[number * each : (number + 1) * each]
    return _round(part, random.SystemRandom().randrange(each))


def _round(part: range, begin: int) -> Iterator[int]:
    while True:
        yield part[begin]
        begin = (begin + 1) % len(part)

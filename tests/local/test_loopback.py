"""The ports that private servers are given: a server takes seconds until it listens on what it drew."""

import os

import pytest

from worker.local.loopback import free_ports


def test_no_port_is_given_to_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to two processes side by side nor to one twice, although nothing listens on any of them yet."""
    found: list[int] = []
    for process in range(1_000_000, 1_000_020):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        found += [free_ports(1)[0] for _ in range(30)] + free_ports(30)
    assert len(set(found)) == len(found) == 1200

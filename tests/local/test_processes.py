"""Watching processes end misleads nobody on a busy machine."""

import subprocess

import pytest

from tests.local import processes
from tests.local.processes import Watch, python_that


def test_a_process_that_ends_while_it_is_looked_for_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found below another, and is gone before it can be watched, is no error."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setattr(processes, "descendants", lambda _top: [gone.pid])
    with python_that("import sys; sys.stdin.read()") as alive:
        watch = Watch(alive.pid)
        assert list(watch.names) == [alive.pid]
        alive.kill()
        assert watch.still_running() == []


def test_it_looks_even_when_the_time_is_over() -> None:
    """Who has no time to wait is told what has ended already."""
    with python_that("import sys; sys.stdin.read()") as process:
        watch, late = Watch(process.pid), Watch(process.pid)
        process.kill()
        assert watch.still_running() == []
        assert late.still_running(seconds=0) == []

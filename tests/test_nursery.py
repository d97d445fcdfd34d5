"""A worker out of the nursery is like one from the shell, and nobody's that is forgotten."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.local.processes import Watch
from tests.nursery import Child, Kind, Nursery, nursery
from worker.demo.surroundings import consumer_keys, provider_settings


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a worker's words go."""
    return tmp_path / "log"


async def born(log: Path, ledger: str, place: Nursery | None = None) -> Child:
    """A worker that lacks nothing but a broker that answers, and so looks for one until it is ended."""
    settings = {
        **provider_settings("http://127.0.0.1:1"),
        "PROVISIONER_LEDGER__URL": ledger,
        "PROVISIONER_BROKER__URL": "amqp://127.0.0.1:1",
        "PROVISIONER_CREDENTIALS__KEYS_FILE": str(consumer_keys(log.parent)[0]),
        "PROVISIONER_MONITORING__PORT": "0",
    }
    return await (place or nursery()).start(Kind.WORKER, {**settings, "PATH": os.environ["PATH"]}, log)


async def test_its_words_and_its_exit_code_are_those_of_the_program(log: Path) -> None:
    """One that cannot begin ends with the code for it, and its log says why."""
    child = await born(log, "mysql://nowhere")
    assert await child.wait() == 78
    assert child.returncode == 78
    assert "PROVISIONER_LEDGER__URL must be" in await asyncio.to_thread(log.read_text)


async def test_a_signal_ends_it(log: Path, tmp_path: Path) -> None:
    """Its code then is the signal's, as `subprocess` has it; another signal does nothing."""
    child = await born(log, f"sqlite:///{tmp_path}/ledger.db")
    assert child.returncode is None
    child.send_signal(signal.SIGSTOP)
    child.send_signal(signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL
    child.send_signal(signal.SIGKILL)


def test_it_does_not_outlive_the_loop_that_asked_for_it(log: Path, tmp_path: Path) -> None:
    """Nobody waits for it any more, so it is killed."""

    async def forgetful() -> Watch:
        return Watch((await born(log, f"sqlite:///{tmp_path}/ledger.db")).pid)

    assert asyncio.run(forgetful()).still_running() == []


def test_none_outlives_the_nursery(log: Path, tmp_path: Path) -> None:
    """Also one that stands still; and its folder is gone."""
    place = Nursery()

    async def one() -> None:
        child = await born(log, f"sqlite:///{tmp_path}/ledger.db", place)
        child.send_signal(signal.SIGSTOP)
        watch = Watch(child.pid)
        await asyncio.to_thread(place.close)
        assert await child.wait() == -signal.SIGKILL
        assert watch.still_running() == []

    asyncio.run(one())
    assert not Path(place.path).parent.exists()

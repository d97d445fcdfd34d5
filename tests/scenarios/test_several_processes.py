"""Several workers under one command: they share the work, and none outlives the command or is missed in silence."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.local.processes import Watch, descendants
from tests.scenarios.conftest import House, patient, until
from worker.demo.cast import canary_speech
from worker.demo.worker_process import WorkerProcess
from worker.keyring import load_or_create
from worker.local.loopback import free_ports
from worker.sandbox import Fault, Rule

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]

_COUNT = 2
_MOST = 500  # requests, one after the other


@pytest.fixture
async def command(house: House, postgresql_url: str) -> AsyncIterator[WorkerProcess]:
    """`provisioner run` with two processes, both ready."""
    keys = house.folder / "sealing.keys.json"
    load_or_create(keys, may_create=True)
    settings = {
        "LEDGER__URL": postgresql_url,
        "SEALING__KEYS_FILE": str(keys),
        "WORKER__PROCESSES": str(_COUNT),
        **patient("canary_speech"),
    }
    environment = house.environment | {f"PROVISIONER_{name}": value for name, value in settings.items()}
    process = WorkerProcess(environment, house.folder / "workers.log", port=_first_of_two_ports())
    async with process:
        while healthcheck(process).returncode != 0:
            pass  # each question is a program of its own, which is pause enough
        yield process


def _first_of_two_ports() -> int:
    """The second worker is watched on the port after the first one's."""
    first, second = free_ports(_COUNT)
    return first if second == first + 1 else _first_of_two_ports()


def healthcheck(command: WorkerProcess) -> "subprocess.CompletedProcess[str]":
    """Ask all of them."""
    return subprocess.run(
        [sys.executable, "-m", "worker", "healthcheck", "--probe", "readyz"],
        env=dict(command.environment),
        capture_output=True,
        text=True,
        check=False,
    )


async def test_they_share_the_work_and_end_together(command: WorkerProcess, house: House) -> None:
    """Every request ends once, both processes do some of them as soon as both have slots, and SIGTERM drains all."""
    mailbox = await house.mailbox()
    asked: list[str] = []
    while len(_who_finished(command)) < _COUNT and len(asked) < _MOST:
        asked.append(f"order-{len(asked)}")
        await mailbox.ask(asked[-1], "canary_speech", canary_speech(asked[-1]))
        assert await mailbox.until(lambda: len(mailbox.events) == len(asked), 60)
    watch = Watch(command.pid)
    assert await command.stop() == 0, command.log_text()
    assert watch.still_running() == []
    assert house.sandbox.creates("canary_speech").made == len(asked)
    finished = _who_finished(command)
    assert (finished.total(), len(finished)) == (len(asked), _COUNT)


def _who_finished(command: WorkerProcess) -> Counter[str]:
    """How many requests each worker has finished."""
    lines = [json.loads(line) for line in command.log_text().splitlines() if line.endswith("}")]
    return Counter(line["worker"] for line in lines if line["event"] == "request_finished")


async def test_a_signal_to_all_of_them_at_once_cuts_no_create_off(
    command: WorkerProcess, house: House
) -> None:
    """As systemd sends it: each hears it from the supervisor and from the command, and drains all the same."""
    house.sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, until="all are draining", times=1))
    mailbox = await house.mailbox()
    await mailbox.ask("meanwhile", "canary_speech", canary_speech("meanwhile"))
    assert await until(lambda: house.sandbox.creates("canary_speech").made == 1, 60)
    for pid in (*descendants(command.pid), command.pid):
        os.kill(pid, signal.SIGTERM)
    assert await until(lambda: command.log_text().count('"draining"') == _COUNT, 60)
    house.sandbox.gate("all are draining").set()
    assert await command.until_ended() == 0, command.log_text()
    assert await mailbox.until(lambda: mailbox.outcomes("meanwhile") == ["provisioned"], 30)


async def test_one_that_is_missing_is_not_missed_in_silence(command: WorkerProcess) -> None:
    """Killed, it takes the others with it, in good order, and the command says so and fails."""
    watch = Watch(command.pid)
    os.kill(descendants(command.pid)[0], signal.SIGKILL)
    assert watch.still_running() == []
    assert await command.until_ended() == 1
    assert '"worker_process_ended"' in command.log_text()
    found = healthcheck(command)
    assert found.returncode == 1
    assert found.stderr.count("/readyz: ") == _COUNT


async def test_they_do_not_outlive_the_command(command: WorkerProcess) -> None:
    """Whatever ends it: orphans would keep the ports from those that are started next."""
    watch = Watch(command.pid)
    await command.kill()
    assert watch.still_running() == []

"""What happens around the worker: broker restarted, disk full, told to stop; it lives on or ends as promised."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.scenarios.conftest import House, furnish, patient
from worker.demo.cast import canary_speech, phone_com
from worker.demo.worker_process import WorkerProcess
from worker.local.rabbitmq_node import RabbitmqNode
from worker.sandbox import Fault, Rule

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def house_of_its_own(own_rabbitmq_node: RabbitmqNode, tmp_path: Path) -> AsyncIterator[House]:
    """A house whose broker may be restarted."""
    async with AsyncExitStack() as stack:
        yield await furnish(own_rabbitmq_node.url, tmp_path, stack)


async def test_a_broker_restart_needs_no_worker_restart(
    house_of_its_own: House, own_rabbitmq_node: RabbitmqNode
) -> None:
    """Requests before and after a restart of RabbitMQ end in results, by the same worker process."""
    house = house_of_its_own
    worker = await house.worker()
    first = await house.mailbox()
    house.sandbox.faults.add(
        Rule(fault=Fault.LATE_ANSWER, match="meanwhile", until="broker is back", times=1)
    )
    await first.ask("meanwhile", "canary_speech", canary_speech("meanwhile"))
    await _until(lambda: _created(house, "canary_speech", 1))
    await asyncio.to_thread(own_rabbitmq_node.restart)
    house.sandbox.gate("broker is back").set()
    await _until(lambda: _ready(worker))
    second = await house.mailbox()
    await second.ask("after", "phone_com", phone_com("after-restart"))
    assert await second.until(lambda: second.outcomes("after") == ["provisioned"], 30)
    story = await house.operator(worker, "explain", "meanwhile")
    assert story["entry"]["state"] == "provisioned"
    assert house.sandbox.creates("canary_speech").made == 1


async def test_a_full_disk_stops_intake_before_the_next_create_and_says_so(house: House) -> None:
    """While the ledger cannot be written no create leaves; when it can again, everything goes on by itself."""
    worker = await house.worker()
    mailbox = await house.mailbox()
    await mailbox.ask("before", "phone_com", phone_com("before-full"))
    assert await mailbox.until(lambda: mailbox.outcomes("before") == ["provisioned"], 30)
    limits = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    await _until(lambda: _metric(worker, "provisioner_ledger_up 0.0"))
    for number in range(5):
        await mailbox.ask(f"full-{number}", "phone_com", phone_com(f"full-{number}"))
    assert not await _ready(worker)
    assert house.sandbox.creates("phone_com").attempted == 1
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, limits)
    assert await mailbox.until(lambda: all(mailbox.outcomes(f"full-{number}") for number in range(5)), 40)
    assert house.sandbox.creates("phone_com").attempted == 6


async def test_sigterm_finishes_and_records_what_is_under_way(house: House) -> None:
    """A worker that is told to stop waits for the running create, records it, publishes it and ends with 0."""
    worker = await house.worker(**patient("phone_com"))
    mailbox = await house.mailbox()
    house.sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, match="last-one", until="stopping", times=1))
    await mailbox.ask("last", "phone_com", phone_com("last-one"))
    await _until(lambda: _created(house, "phone_com", 1))
    stopping = asyncio.create_task(worker.stop())
    await _until(lambda: _log_says(worker, '"draining"'))
    await mailbox.ask("too-late", "phone_com", phone_com("too-late"))
    house.sandbox.gate("stopping").set()
    assert await stopping == 0
    assert await mailbox.until(lambda: mailbox.outcomes("last") == ["provisioned"], 30)
    assert house.sandbox.creates("phone_com").made == 1
    assert mailbox.outcomes("too-late") == []


async def test_what_cannot_be_finished_in_time_is_left_for_upkeep(house: House) -> None:
    """A create that outlasts the drain stays `sending`; the next worker finds the account and never sends again."""
    worker = await house.worker(SHUTDOWN__DRAIN="0.3", **patient("phone_com"))
    mailbox = await house.mailbox()
    house.sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, match="endless", until="never", times=1))
    await mailbox.ask("endless", "phone_com", phone_com("endless"))
    await _until(lambda: _created(house, "phone_com", 1))
    assert await worker.stop() == 1
    assert (await house.operator(worker, "requests", "show", "endless"))["state"] == "sending"
    await worker.start()
    assert await mailbox.until(lambda: mailbox.outcomes("endless") == ["provisioned"], 30)
    assert mailbox.last("endless")["data"]["evidence"] == "look_up"
    assert house.sandbox.creates("phone_com").attempted == 1


async def test_a_pause_by_an_operator_survives_a_restart(house: House) -> None:
    """While a provider is paused its requests wait in RabbitMQ; resuming lets them run."""
    worker = await house.worker()
    mailbox = await house.mailbox()
    await house.operator(worker, "provider", "pause", "phone_com", "--reason", "maintenance")
    await worker.kill()
    await worker.start()
    await mailbox.ask("paused", "phone_com", phone_com("paused"))
    await mailbox.ask("other", "canary_speech", canary_speech("other"))
    assert await mailbox.until(lambda: mailbox.outcomes("other") == ["provisioned"], 30)
    assert house.sandbox.creates("phone_com").attempted == 0
    assert await _metric(
        worker, 'provisioner_provider_state{provider="phone_com",state="paused_by_operator"} 1.0'
    )
    await house.operator(worker, "provider", "resume", "phone_com", "--reason", "over")
    assert await mailbox.until(lambda: mailbox.outcomes("paused") == ["provisioned"], 30)


async def test_refused_credentials_pause_the_provider_and_its_requests_wait(house: House) -> None:
    """401 is our fault, not the request's: nothing is rejected, the pause is shown, and a healthy probe ends it."""
    worker = await house.worker(RETRY__BASE="600")
    mailbox = await house.mailbox()
    house.sandbox.faults.add(Rule(fault=Fault.UNAUTHORIZED, provider="gateway360", times=1))
    await mailbox.ask("refused", "gateway360", {**_GATEWAY, "user_name": "refused"})
    await _until(
        lambda: _metric(worker, 'provider_state{provider="gateway360",state="paused_by_credentials"} 1.0')
    )
    assert (await house.operator(worker, "requests", "show", "refused"))["state"] == "waiting"
    await house.operator(worker, "provider", "resume", "gateway360", "--reason", "new key")
    await house.operator(worker, "requests", "replay", "refused", "--reason", "new key")
    assert await mailbox.until(lambda: mailbox.outcomes("refused") == ["provisioned"], 30)


_GATEWAY = {"email": "a@example.org", "name": "A", "surname": "B", "language": "es"}


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, now and then, for the worker needs the processor; the test's own limit ends it."""
    while not await holds():
        await asyncio.sleep(0.05)


async def _created(house: House, provider: str, count: int) -> bool:
    return house.sandbox.creates(provider).made >= count


async def _ready(worker: WorkerProcess) -> bool:
    return await _status(worker, "readyz") == 200


async def _status(worker: WorkerProcess, page: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{worker.metrics_url}/{page}") as answer:
        return answer.status


async def _metric(worker: WorkerProcess, line: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{worker.metrics_url}/metrics") as answer:
        return line in await answer.text()


async def _log_says(worker: WorkerProcess, words: str) -> bool:
    return words in worker.log_text()

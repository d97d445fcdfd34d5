"""A whole house for each test: sandbox, RabbitMQ virtual host, and worker processes on a ledger of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.nursery import ForkedWorker
from worker.demo.mailbox import Mailbox
from worker.demo.show import operator
from worker.demo.surroundings import HURRIED, consumer_keys, provider_settings
from worker.demo.worker_process import WorkerProcess
from worker.sandbox import Sandbox

UNHURRIED: Final[Mapping[str, str]] = {
    "CONNECT_TIMEOUT": "2",
    "ANSWER_WITHIN": "4",
    "LISTEN_FOR": "4",
    "SETTLE": "8",
}
"""In seconds, for a provider whose silence nobody means: a busy machine's pause makes no doubt, and the absence of an
account can still be proved while a test waits.
"""


@dataclass
class House:
    """Everything around one or more workers."""

    sandbox: Sandbox
    broker_url: str
    folder: Path
    environment: dict[str, str]
    private_key: dict[str, Any]
    stack: AsyncExitStack

    async def worker(
        self, name: str = "worker", *, ledger: str | None = None, **settings: str
    ) -> WorkerProcess:
        """Start one worker and wait until it is ready; it is killed when the test ends."""
        own = {f"PROVISIONER_{key}": value for key, value in settings.items()}
        if ledger is not None:
            own["PROVISIONER_LEDGER__URL"] = ledger
        process = ForkedWorker({**self.environment, **own}, self.folder / f"{name}.log")
        return await self.stack.enter_async_context(process)

    async def mailbox(self) -> Mailbox:
        """Publish and listen as an upstream team would; the topology must exist."""
        return await self.stack.enter_async_context(Mailbox(self.broker_url))

    async def operator(self, worker: WorkerProcess, *words: str) -> Any:
        """Run one operator's command beside a worker; its JSON."""
        return await operator(worker, *words)


@pytest.fixture
async def house(broker_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """A house on a virtual host of its own."""
    async with AsyncExitStack() as stack:
        yield await furnish(broker_url, tmp_path, stack)


async def furnish(broker_url: str, folder: Path, stack: AsyncExitStack) -> House:
    """A house whose workers wait in seconds what they wait in minutes elsewhere."""
    jwks, private = consumer_keys(folder)
    sandbox = await stack.enter_async_context(Sandbox(seed=4711))
    environment = {
        **provider_settings(sandbox.base_url, HURRIED),
        "PROVISIONER_BROKER__URL": broker_url,
        "PROVISIONER_LEDGER__URL": f"sqlite:///{folder / 'ledger.db'}",
        "PROVISIONER_CREDENTIALS__KEYS_FILE": str(jwks),
        "PROVISIONER_UPKEEP__INTERVAL": "0.2",
        "PROVISIONER_BREAKER__FAILURES": "50",
        "PROVISIONER_RETRY__BASE": "0.2",
        "PROVISIONER_LOG__FORMAT": "json",
    }
    return House(sandbox, broker_url, folder, environment, private, stack)


def patient(provider: str) -> dict[str, str]:
    """Settings of a worker that waits for this provider's answers however long the machine keeps them back."""
    waits = {"CONNECT_TIMEOUT": "10", "ANSWER_WITHIN": "30", "LISTEN_FOR": "40", "SETTLE": "70"}
    return paced(provider, waits)


def paced(provider: str, waits: Mapping[str, str]) -> dict[str, str]:
    """Settings of a worker that waits so long for this provider."""
    return {f"PROVIDERS__{provider.upper()}__{name}": seconds for name, seconds in waits.items()}


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again; whether it came true in time."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True

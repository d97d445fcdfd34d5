"""Everything around what is measured: a private RabbitMQ, the sandbox as an instant provider, an upstream system."""

import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.bench import bare_loop
from tests.bench.processes import Child, child
from tests.bench.upstream import Upstream, upstream
from worker.demo.surroundings import CREDENTIALS, consumer_keys, provider_settings
from worker.demo.worker_process import free_port
from worker.rabbitmq.admin import Admin
from worker.rabbitmq.connection import ConnectionSettings
from worker.rabbitmq.topology import Topology

PROVIDER = "postcode_eu"
"""The worker's provider: one call for each request, so that both sides ask the same of it."""

BARE = "bare"
"""The bare loop's queue is that of a provider of this name, with the same arguments."""

_UNHINDERED = {"CONCURRENCY": str(bare_loop.IN_FLIGHT), "RATE": "100000"}


@dataclass(frozen=True, slots=True)
class Scene:
    """What a measurement works with.

    Attributes:
        folder: For ledgers and logs; on a real disk.
        sandbox: The process that plays the provider.
    """

    folder: Path
    broker_url: str
    provider_url: str
    sandbox: Child
    upstream: Upstream

    @asynccontextmanager
    async def worker(self, *program: str) -> AsyncIterator[Child]:
        """A worker with a new ledger, ready; `program` is what Python runs instead of `-m worker run`."""
        name = f"worker-{uuid4().hex[:8]}"
        port = free_port()
        environment = self._settings(name) | {"PROVISIONER_MONITORING__PORT": str(port)}
        async with child(
            program or ("-m", "worker", "run"), environment, self.folder / f"{name}.log"
        ) as running:
            await running.until(lambda: _answers(f"http://127.0.0.1:{port}/readyz"))
            yield running

    @asynccontextmanager
    async def bare(self) -> AsyncIterator[Child]:
        """The bare loop, ready."""
        environment = {
            "BENCH_BROKER_URL": self.broker_url,
            "BENCH_PROVIDER_URL": self.provider_url,
            "BENCH_KEY": CREDENTIALS.postcode_eu.key,
            "BENCH_SECRET": CREDENTIALS.postcode_eu.secret,
        }
        async with child(("-m", bare_loop.__name__), environment, self.folder / "bare.log") as running:
            await running.until(lambda: running.said(bare_loop.READY) is not None)
            yield running

    def _settings(self, name: str) -> dict[str, str]:
        keys, _ = consumer_keys(self.folder)
        own = f"PROVISIONER_PROVIDERS__{PROVIDER.upper()}__"
        providers = provider_settings(self.provider_url, _UNHINDERED)
        return {setting: value for setting, value in providers.items() if setting.startswith(own)} | {
            "PROVISIONER_BROKER__URL": self.broker_url,
            "PROVISIONER_LEDGER__URL": f"sqlite:///{self.folder / name}.db",
            "PROVISIONER_CREDENTIALS__KEYS_FILE": str(keys),
            "PROVISIONER_LOG__FORMAT": "json",
        }


@asynccontextmanager
async def furnished(broker_url: str, folder: Path) -> AsyncIterator[Scene]:
    """A scene on a RabbitMQ that nobody else uses."""
    async with AsyncExitStack() as stack:
        arguments = ("-m", "worker", "sandbox", "--port", "0", "--control-port", "0", "--seed", "1")
        sandbox = await stack.enter_async_context(child(arguments, {}, folder / "sandbox.log"))
        await sandbox.until(lambda: sandbox.said("providers") is not None)
        topology = Topology((PROVIDER, BARE))
        async with Admin.connect(ConnectionSettings(broker_url), topology) as admin:
            await admin.declare()
        requester = await stack.enter_async_context(upstream(broker_url))
        yield Scene(folder, broker_url, sandbox.said("providers") or "", sandbox, requester)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False

"""Everything around what is measured: a private RabbitMQ, an instant provider, databases, an upstream system."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

from tests.bench import bare_loop, laden_loop, writing_loop
from tests.bench.databases import Databases
from tests.bench.environment import ROOT
from tests.bench.peers.work import IN_FLIGHT, READY
from tests.bench.processes import Child, child
from tests.bench.provider import Provider, answers, provider
from tests.bench.upstream import Upstream, upstream
from worker import keyring
from worker.demo.surroundings import consumer_keys, provider_settings
from worker.local.loopback import free_ports
from worker.rabbitmq.admin import Admin
from worker.rabbitmq.connection import ConnectionSettings
from worker.rabbitmq.topology import Topology, request_queue
from worker.sandbox import PostcodeEu

PROVIDER = "postcode_eu"
"""The worker's provider: one call for each request, so that all sides ask the same of it."""

BARE = "bare"
WRITING = "writing"
LADEN = "laden"
"""The queue of each bare loop is that of a provider of this name, with the same arguments."""

FASTSTREAM = "faststream"
"""So is FastStream's, which reads any message."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a measurement works with.

    Attributes:
        folder: For ledgers and logs; on a real disk.
        elsewhere: More virtual hosts of the same RabbitMQ, for more workers beside the first: they have one queue.
    """

    folder: Path
    broker_url: str
    provider: Provider
    databases: Databases
    upstream: Upstream
    elsewhere: Sequence["Elsewhere"]

    @asynccontextmanager
    async def worker(
        self,
        *program: str,
        ledger: str | None = None,
        settings: Mapping[str, str] | None = None,
        pace: Mapping[str, str] | None = None,
        processes: int = 1,
    ) -> AsyncIterator[Child]:
        """A worker, or several under one command, ready.

        Args:
            program: What Python runs instead of `-m worker run`.
            ledger: Its URL; None: a new SQLite file.
            settings: More of them, by the whole name of their variables.
            pace: Settings of the provider, by the end of their names: `CONCURRENCY`, `BASE_URL` ...
            processes: How many; several need PostgreSQL.
        """
        port = free_ports(processes)[0]
        urls = [f"http://127.0.0.1:{port + number}/readyz" for number in range(processes)]
        settings = {"PROVISIONER_WORKER__PROCESSES": str(processes), **(settings or {})}
        async with self.starting_worker(
            *program, ledger=ledger, settings=settings, pace=pace, port=port
        ) as it:
            await it.until(lambda: all(map(answers, urls)))
            yield it

    @asynccontextmanager
    async def starting_worker(
        self,
        *program: str,
        port: int,
        ledger: str | None = None,
        settings: Mapping[str, str] | None = None,
        pace: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Child]:
        """A worker that was just started, and is watched on that port."""
        name = f"worker-{uuid4().hex[:8]}"
        command = (sys.executable, *(program or ("-m", "worker", "run")))
        environment = self.settings(ledger or self.new_file(), pace) | {
            "PROVISIONER_MONITORING__PORT": str(port),
            **(settings or {}),
        }
        async with child(command, environment, self.folder / f"{name}.log") as running:
            yield running

    @asynccontextmanager
    async def bare(
        self, *, provider_url: str | None = None, in_flight: int = IN_FLIGHT
    ) -> AsyncIterator[Child]:
        """The bare loop, ready."""
        environment = self.peer_environment(request_queue(BARE), provider_url, in_flight)
        async with self.side((sys.executable, "-m", bare_loop.__name__), environment) as running:
            yield running

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Child]:
        """The bare loop that writes, ready."""
        async with self._with_a_book(WRITING, writing_loop.__name__) as running:
            yield running

    @asynccontextmanager
    async def laden(self) -> AsyncIterator[Child]:
        """The bare loop that writes and does each request's work, ready."""
        async with self._with_a_book(LADEN, laden_loop.__name__) as running:
            yield running

    @asynccontextmanager
    async def _with_a_book(self, provider: str, module: str) -> AsyncIterator[Child]:
        book = {"BENCH_BOOK": str(self.folder / f"{uuid4().hex[:12]}.db")}
        environment = self.peer_environment(request_queue(provider)) | book
        async with self.side((sys.executable, "-m", module), environment) as running:
            yield running

    @asynccontextmanager
    async def side(self, command: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Child]:
        """Any other worker, from its start until it said that it is ready to the end of the block."""
        async with child(command, environment, self.folder / f"side-{uuid4().hex[:8]}.log") as running:
            await running.until(lambda: running.said(READY) is not None)
            yield running

    async def run_peer(self, command: Sequence[str], environment: Mapping[str, str], seconds: float) -> None:
        """Run a command to its end.

        Raises:
            RuntimeError: it did not end well.
            TimeoutError: it did not end in time.
        """
        async with child(command, environment, self.folder / f"feed-{uuid4().hex[:8]}.log") as running:
            if await running.ended(seconds) != 0:
                raise RuntimeError(f"a feeder of the bench failed: {' '.join(command)}")

    def peer_environment(
        self, queue: str, provider_url: str | None = None, in_flight: int = IN_FLIGHT
    ) -> dict[str, str]:
        """What `tests.bench.peers.work` reads."""
        return {
            "BENCH_BROKER_URL": self.broker_url,
            "BENCH_PROVIDER_URL": provider_url or self.provider.url,
            "BENCH_KEY": PostcodeEu.credentials.key,
            "BENCH_SECRET": PostcodeEu.credentials.secret,
            "BENCH_QUEUE": queue,
            "BENCH_IN_FLIGHT": str(in_flight),
            "PYTHONPATH": str(ROOT),
        }

    async def clear(self) -> None:
        """Nothing that an earlier measurement left is in the way of the next one."""
        for found in (self.upstream, *(place.upstream for place in self.elsewhere)):
            for queue in (PROVIDER, BARE, WRITING, LADEN, FASTSTREAM):
                await found.drop(queue)
            await found.forget()

    def new_file(self) -> str:
        """The URL of a SQLite ledger that is not there yet."""
        return f"sqlite:///{self.folder / uuid4().hex[:12]}.db"

    def settings(self, ledger: str, pace: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a worker with that ledger; the provider hinders it in nothing."""
        own = f"PROVISIONER_PROVIDERS__{PROVIDER.upper()}__"
        unhindered = {"CONCURRENCY": str(IN_FLIGHT), "RATE": "100000", **(pace or {})}
        providers = provider_settings(self.provider.url, unhindered)
        return {setting: value for setting, value in providers.items() if setting.startswith(own)} | {
            "PROVISIONER_BROKER__URL": self.broker_url,
            "PROVISIONER_LEDGER__URL": ledger,
            "PROVISIONER_CREDENTIALS__KEYS_FILE": str(_consumer_keys(self.folder)),
            "PROVISIONER_SEALING__KEYS_FILE": str(self.sealing_keys()),
            "PROVISIONER_LOG__FORMAT": "json",
        }

    def sealing_keys(self) -> Path:
        """The file with the keys that all ledgers of the bench are sealed with."""
        path = self.folder / "sealing.keys.json"
        keyring.load_or_create(path, may_create=True)
        return path


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another virtual host."""

    broker_url: str
    upstream: Upstream


@cache
def _consumer_keys(folder: Path) -> Path:
    return consumer_keys(folder)[0]


@asynccontextmanager
async def furnished(broker_urls: Sequence[str], folder: Path, databases: Databases) -> AsyncIterator[Scene]:
    """A scene on a RabbitMQ that nobody else uses, with some virtual hosts of it."""
    async with AsyncExitStack() as stack:
        played = await stack.enter_async_context(provider(folder))
        for url in broker_urls:
            topology = Topology((PROVIDER, BARE, WRITING, LADEN, FASTSTREAM))
            async with Admin.connect(ConnectionSettings(url), topology) as admin:
                await admin.declare()
        first, *others = [
            Elsewhere(url, await stack.enter_async_context(upstream(url))) for url in broker_urls
        ]
        yield Scene(folder, first.broker_url, played, databases, first.upstream, others)

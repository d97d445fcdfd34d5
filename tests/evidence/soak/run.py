"""Rounds of requests under trouble. After each the trouble ends, everything settles, and the books are compared."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.evidence.proxy import FaultProxy
from tests.evidence.result import RunResult, percentiles
from tests.evidence.soak.books import Books, Takeover, read_books, whereabouts
from tests.evidence.soak.census import Census, Counting
from tests.evidence.soak.fleet import Fleet
from tests.evidence.soak.troubles import EVERYTHING, Deck, Scene, make_trouble
from tests.evidence.soak.upstream import Upstream
from worker.demo.cast import canary_speech, gateway360, phone_com, postcode_eu
from worker.demo.surroundings import consumer_keys, provider_settings
from worker.keyring import load_or_create
from worker.local.postgresql_server import PostgresqlServer
from worker.local.rabbitmq_node import RabbitmqNode
from worker.sandbox import Sandbox

LedgerKind = Literal["sqlite", "postgresql"]

_PUBLISHERS = 40
_SETTLES_WITHIN = 120.0  # seconds after the end of all trouble in which every request must have ended
_PACE: Mapping[str, str] = {
    "CONNECT_TIMEOUT": "1",
    "ANSWER_WITHIN": "1.5",
    "LISTEN_FOR": "3",
    "SETTLE": "6",
    "LOOK_UP_SCHEDULE": "[0.5, 1, 2]",
    "RATE": "1000",
    "CONCURRENCY": "40",
}
_PATIENCE: Mapping[str, str] = {
    "BREAKER__FAILURES": "30",
    "BREAKER__COOLDOWN": "1",
    "BROKER__OPERATION_TIMEOUT": "5",
    "LEDGER__LEASE": "3",
    "LOG__FORMAT": "json",
    "LOG__LEVEL": "warning",
    "RETRY__ATTEMPTS": "50",
    "RETRY__BASE": "0.2",
    "RETRY__CAP": "2",
    "UPKEEP__INTERVAL": "0.3",
    "UPKEEP__LOOK_UPS_AT_ONCE": "20",
    "UPKEEP__REPUBLISH_AFTER": "2",
}
_MIX = (
    *(["phone_com"] * 7),
    *(["gateway360"] * 6),
    *(["postcode_eu"] * 5),
    *(["canary_speech"] * 2),
)
_MAKERS = {
    "canary_speech": canary_speech,
    "phone_com": phone_com,
    "gateway360": gateway360,
    "postcode_eu": postcode_eu,
}
_ENDS = (0, -signal.SIGTERM)  # the latter while it was just starting
_COUNTED = (
    "requests", "lost", "surplus", "false_events", "lost_credentials", "unreceived_credentials", "provisioned",
    "rejected",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """One soak.

    Attributes:
        name: What it is called in the report.
        command: How to repeat it.
        ledger: Which ledger its workers share.
        workers: How many there are; more than one needs PostgreSQL.
        rounds: How many at least.
        seconds: How long at least.
        requests: In each round.
        pause: Seconds between two things that go wrong, at least and at most.
        seed: Draws everything.
        deck: What goes wrong.
        settings: Of the workers, other than usual.
        successor_within: Seconds after the last deed of a worker that died in which another must have found what it was
            sending; None where whole servers stand still, and so does everybody's work.
    """

    name: str
    command: str
    ledger: LedgerKind
    workers: int
    rounds: int
    seconds: float
    requests: int
    pause: tuple[float, float]
    seed: int
    deck: Deck = EVERYTHING
    settings: Mapping[str, str] = field(default_factory=dict)
    successor_within: float | None = None


@dataclass
class _Sum:
    """Numbers of all rounds so far."""

    counts: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    settling: list[float] = field(default_factory=list)

    def add(self, number: int, census: Census, settled_in: float) -> None:
        for name in _COUNTED:
            self.counts[name] += getattr(census, name)
        self.held += census.held
        self.defects += [f"round {number}: {words}" for words in census.defects]
        self.settling.append(settled_in)


async def soak(plan: Plan, folder: Path, say: Callable[[str], None]) -> RunResult:
    """Run a plan, and say a line after each round. `folder` exists and keeps the workers' logs and the ledger."""
    began, total = time.monotonic(), _Sum()
    async with _scene(plan, folder) as (scene, url, private_key):
        async with Upstream(scene.vhost_url) as upstream:
            while len(total.settling) < plan.rounds or time.monotonic() - began < plan.seconds:
                number = len(total.settling) + 1
                census, settled_in = await _round(plan, number, scene, upstream, private_key)
                total.add(number, census, settled_in)
                if census.lost:
                    untold = await asyncio.to_thread(whereabouts, url, census.untold)
                    total.defects.append(
                        f"round {number}: the ledger says of those that nobody was told: {untold}"
                    )
                say(_line(plan, number, census, settled_in))
        codes = await asyncio.gather(*(member.stop() for member in scene.fleet.members))
        books = await asyncio.to_thread(read_books, url)
    total.defects += _defects(plan, scene.fleet, codes, books)
    if books.takeover:
        say(f"{plan.name}, the longest wait for a successor: {books.takeover.story}")
    counts: dict[str, Any] = {name: total.counts[name] for name in _COUNTED}
    return RunResult(
        name=plan.name,
        command=plan.command,
        seed=plan.seed,
        seconds=time.monotonic() - began,
        faults=dict(sorted(scene.faults().items())),
        held=dict(total.held),
        copies=upstream.copies,
        open=books.open,
        doubted=books.doubted,
        found_by_look_up=books.ended["found_by_look_up"],
        late_answers=books.ended["late_answers"],
        confirmed_absent=books.ended["confirmed_absent"],
        resolve_seconds=percentiles(books.durations),
        defects=tuple(total.defects),
        notes={
            "rounds": len(total.settling),
            "starts that ended because the ledger was away": scene.fleet.refusals,
            "longest until what a dead worker was sending was found, s": round(_seconds(books.rescue), 1),
            "longest until a successor went on, his own work included, s": round(_seconds(books.takeover), 1),
            "longest settling after the last trouble, s": round(max(total.settling), 1),
        },
        **counts,
    )


def _defects(plan: Plan, fleet: Fleet, codes: Sequence[int | None], books: Books) -> Iterator[str]:
    """What workers and ledger show that must not be."""
    yield from (f"a worker ended by itself with {code}" for code in fleet.surprises)
    yield from (f"a worker that was told to stop ended with {code}" for code in codes if code not in _ENDS)
    rescue, limit = books.rescue, plan.successor_within
    if rescue is not None and limit is not None and rescue.seconds > limit:
        yield f"what a dead worker left was found after {rescue.seconds:.1f} s only: {rescue.story}"
    if books.forbidden or books.unpublished:
        yield f"{books.forbidden} ways from in doubt to sending, {books.unpublished} events unpublished"


def _seconds(takeover: Takeover | None) -> float:
    return takeover.seconds if takeover else 0.0


def _line(plan: Plan, number: int, census: Census, settled_in: float) -> str:
    return (
        f"{plan.name}, round {number}: {census.requests} requests, {census.provisioned} provisioned, "
        f"{sum(census.held.values())} held, {census.lost} lost, {census.surplus} surplus, "
        f"settled {settled_in:.1f} s after the last trouble {' '.join(census.defects)}"
    )


async def _round(
    plan: Plan, number: int, scene: Scene, upstream: Upstream, private_key: Mapping[str, Any]
) -> tuple[Census, float]:
    """Requests under trouble, then calm, then the count."""
    keys = [f"s{plan.seed}-{number}-{each}" for each in range(plan.requests)]
    scene.begin()
    trouble = asyncio.create_task(make_trouble(scene, plan.deck, plan.pause), name="trouble")
    await _publish(keys, upstream, scene.draws)
    await upstream.until(lambda: _ended(keys, upstream) >= 0.9 * len(keys), _SETTLES_WITHIN)
    trouble.cancel()
    await asyncio.gather(trouble, return_exceptions=True)
    scene.end()
    calm = time.monotonic()
    await upstream.until(lambda: _ended(keys, upstream) == len(keys), _SETTLES_WITHIN)
    settled_in = time.monotonic() - calm
    await scene.sandbox.settle()
    accounts = [it for name in scene.sandbox.provider_names for it in scene.sandbox.accounts(name)]
    census = Counting(keys, upstream.told, accounts).census(private_key)
    upstream.forget()
    scene.sandbox.end_accounts()
    return census, settled_in


def _ended(keys: list[str], upstream: Upstream) -> int:
    return sum(1 for key in keys if upstream.told.get(key))


async def _publish(keys: list[str], upstream: Upstream, draws: Random) -> None:
    waiting = iter([(key, draws.choice(_MIX)) for key in keys])

    async def some() -> None:
        for key, provider in waiting:
            await upstream.ask(key, provider, _MAKERS[provider](key))

    await asyncio.gather(*(some() for _ in range(_PUBLISHERS)))


@asynccontextmanager
async def _scene(plan: Plan, folder: Path) -> AsyncIterator[tuple[Scene, str, dict[str, Any]]]:
    """Own servers, a proxy before each, and the workers; the ledger's true address, the consumer's private key."""
    draws = Random(plan.seed)
    jwks, private_key = consumer_keys(folder)
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(seed=plan.seed))
        node = await asyncio.to_thread(stack.enter_context, RabbitmqNode())
        vhost_url = node.add_vhost("evidence")
        broker = await stack.enter_async_context(FaultProxy("127.0.0.1", node.port, seed=plan.seed))
        provider_port = _port(sandbox.base_url)
        provider = await stack.enter_async_context(FaultProxy("127.0.0.1", provider_port, seed=plan.seed))
        server, ledger, url = None, None, f"sqlite:///{folder / 'ledger.db'}"
        if plan.ledger == "postgresql":
            server = await asyncio.to_thread(stack.enter_context, PostgresqlServer())
            url = server.create_database("evidence")
            ledger = await stack.enter_async_context(FaultProxy("127.0.0.1", _port(url), seed=plan.seed))
        sealing = folder / "sealing.keys.json"
        load_or_create(sealing, may_create=True)
        environment = {
            **provider_settings(f"http://127.0.0.1:{provider.port}", _PACE),
            **{f"PROVISIONER_{name}": value for name, value in {**_PATIENCE, **plan.settings}.items()},
            "PROVISIONER_BROKER__URL": vhost_url.replace(f":{node.port}/", f":{broker.port}/"),
            "PROVISIONER_LEDGER__URL": url.replace(f":{_port(url)}/", f":{ledger.port}/") if ledger else url,
            "PROVISIONER_CREDENTIALS__KEYS_FILE": str(jwks),
            "PROVISIONER_SEALING__KEYS_FILE": str(sealing),
        }
        fleet = await stack.enter_async_context(Fleet([environment] * plan.workers, folder, draws))
        yield (
            Scene(node, vhost_url, server, sandbox, broker, provider, ledger, fleet, draws),
            url,
            private_key,
        )


def _port(url: str) -> int:
    return urlsplit(url).port or 0

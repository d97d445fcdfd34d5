"""What goes wrong in a run, drawn from its seed: at the provider, on the wire, at the servers and to the workers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

import aio_pika
import psycopg

from tests.evidence.proxy import Direction, FaultProxy, Kind, Trouble
from tests.evidence.soak.fleet import Fleet
from worker.local.postgresql_server import PostgresqlServer
from worker.local.rabbitmq_node import RabbitmqNode
from worker.rabbitmq.topology import AUDIT, RESULTS
from worker.sandbox import Fault, Rule, Sandbox

AT_THE_PROVIDER: Final = (
    Rule(fault=Fault.SLOW, rate=0.9, seconds=0.02),
    Rule(fault=Fault.CUT_AFTER_CREATE, rate=0.008),
    Rule(fault=Fault.RESET_AFTER_CREATE, rate=0.004),
    Rule(fault=Fault.CUT_BEFORE_CREATE, rate=0.004),
    Rule(fault=Fault.SERVER_ERROR_AFTER_CREATE, rate=0.008),
    Rule(fault=Fault.SERVER_ERROR_BEFORE_CREATE, rate=0.004),
    Rule(fault=Fault.UNAVAILABLE, rate=0.01),
    Rule(fault=Fault.RATE_LIMITED, rate=0.002, seconds=0.2),
    Rule(fault=Fault.GARBLED_STATUS_LINE, rate=0.002, creates=True),
    Rule(fault=Fault.HTML_WITH_200, rate=0.002, creates=False),
    Rule(fault=Fault.TRUNCATED_BODY, rate=0.002),
    Rule(fault=Fault.EMPTY_BODY, rate=0.002),
    Rule(fault=Fault.WRONG_JSON, rate=0.002),
    Rule(fault=Fault.LATE_ANSWER, rate=0.004, seconds=2.0),
    Rule(fault=Fault.DELAYED_CREATE, rate=0.003, seconds=1.0),
    Rule(fault=Fault.LAGGING_READ, rate=0.003, seconds=2.0),
)
"""Shares of the creates. None comes from a provider whose reads lie for longer than `settle`."""

BEFORE_THE_PROVIDER: Final = {
    Trouble(kind=Kind.DELAY, seconds=0.1): 0.004,
    Trouble(kind=Kind.CUT, direction=Direction.UP, after_bytes=200): 0.002,
    Trouble(kind=Kind.CUT, direction=Direction.DOWN, after_bytes=1): 0.002,
    Trouble(kind=Kind.RESET, direction=Direction.DOWN, after_bytes=1): 0.003,
    Trouble(kind=Kind.HALF_CLOSE, direction=Direction.DOWN): 0.002,
    Trouble(kind=Kind.STALL, direction=Direction.UP, seconds=2.0): 0.002,
    Trouble(kind=Kind.STALL, direction=Direction.DOWN, seconds=2.0): 0.002,
    Trouble(kind=Kind.BYTE_LIMIT, direction=Direction.DOWN, after_bytes=60): 0.003,
    Trouble(kind=Kind.BLACK_HOLE, direction=Direction.UP): 0.002,
    Trouble(kind=Kind.BLACK_HOLE, direction=Direction.DOWN): 0.002,
}
"""Shares of the connections to a provider."""


@dataclass
class Scene:
    """Everything around the workers that can be hurt.

    Attributes:
        done: What was done to servers and on the wire, by kind.
    """

    node: RabbitmqNode
    vhost_url: str
    server: PostgresqlServer | None
    sandbox: Sandbox
    broker: FaultProxy
    provider: FaultProxy
    ledger: FaultProxy | None
    fleet: Fleet
    draws: Random
    done: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """From now on providers and the network before them misbehave."""
        self.sandbox.faults.add(*AT_THE_PROVIDER)
        self.provider.weather(BEFORE_THE_PROVIDER)

    def end(self) -> None:
        """All that can be ended at once ends."""
        self.count_rules()
        self.sandbox.faults.clear()
        for proxy in self.proxies:
            proxy.heal()

    def count_rules(self) -> None:
        """Note how often the provider misbehaved since `begin`."""
        for planned in self.sandbox.faults.planned():
            if planned.rule.fault is not Fault.SLOW:
                self.done[f"provider {planned.rule.fault.replace('_', ' ')}"] += planned.applied

    @property
    def proxies(self) -> tuple[FaultProxy, ...]:
        """Those that there are."""
        return (self.broker, self.provider) + ((self.ledger,) if self.ledger else ())

    def faults(self) -> Counter[str]:
        """All that was done so far, by kind."""
        total = self.done + self.fleet.done
        for where, proxy in (("broker", self.broker), ("provider", self.provider), ("ledger", self.ledger)):
            if proxy is not None:
                total.update(
                    {f"{where} connection {kind.replace('_', ' ')}": n for kind, n in proxy.applied.items()}
                )
        return total


Deed = Callable[[Scene], Awaitable[None]]
Deck = tuple[tuple[int, Deed], ...]
"""What can be done, each with its weight."""


async def _kill(scene: Scene) -> None:
    scene.fleet.kill_one()


async def _freeze(scene: Scene) -> None:
    await scene.fleet.freeze_one(scene.draws.uniform(0.5, 6.0))


def _on_the_wire(proxy: Callable[[Scene], FaultProxy | None]) -> Deed:
    async def do(scene: Scene) -> None:
        target = proxy(scene)
        if target is None:
            return
        kind = scene.draws.choice(list(Kind))
        direction = scene.draws.choice([None, *Direction])
        lasts = scene.draws.uniform(0.5, 3.0) if kind in {Kind.STALL, Kind.BLACK_HOLE} else 0.0
        seconds = {Kind.STALL: lasts, Kind.DELAY: 0.02}.get(kind)
        target.now(Trouble(kind=kind, direction=direction, seconds=seconds))
        await asyncio.sleep(lasts)
        if kind is Kind.BLACK_HOLE:  # TCP never goes on behind a gap: the connection is lost
            target.now(Trouble(kind=Kind.RESET))

    return do


async def _provider_refuses(scene: Scene) -> None:
    await scene.provider.refuse()
    scene.done["provider refuses connections"] += 1
    await asyncio.sleep(scene.draws.uniform(0.2, 1.5))
    await scene.provider.accept()


async def _restart_broker(scene: Scene) -> None:
    scene.done["broker restarted"] += 1
    await asyncio.to_thread(scene.node.restart)


async def _kill_broker(scene: Scene) -> None:
    scene.done["broker killed"] += 1
    await asyncio.to_thread(scene.node.kill)
    await asyncio.to_thread(scene.node.start)


async def _freeze_broker(scene: Scene) -> None:
    scene.done["broker frozen"] += 1
    scene.node.pause()
    try:
        await asyncio.sleep(scene.draws.uniform(1.0, 6.0))
    finally:
        scene.node.resume()


async def _alarm(scene: Scene) -> None:
    scene.done["broker in memory alarm"] += 1
    watermark = "set_vm_memory_high_watermark"
    await asyncio.to_thread(scene.node.rabbitmqctl, watermark, "absolute", "1")
    try:
        await asyncio.sleep(2)
    finally:
        await asyncio.to_thread(scene.node.rabbitmqctl, watermark, "0.4")


async def _unbind_results(scene: Scene) -> None:
    """Results are unroutable for a while."""
    async with await aio_pika.connect(scene.vhost_url, timeout=10) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(AUDIT, ensure=False)
        await queue.unbind(RESULTS, "result.#")
        scene.done["results unroutable"] += 1
        try:
            await asyncio.sleep(2)
        finally:
            await queue.bind(RESULTS, "result.#")


async def _restart_ledger(scene: Scene) -> None:
    if scene.server is not None:
        scene.done["ledger restarted"] += 1
        await asyncio.to_thread(scene.server.restart)


async def _kill_ledger(scene: Scene) -> None:
    if scene.server is not None:
        scene.done["ledger killed"] += 1
        await asyncio.to_thread(scene.server.kill)
        await asyncio.to_thread(scene.server.start)


async def _end_ledger_sessions(scene: Scene) -> None:
    if scene.server is not None:
        sessions = await asyncio.to_thread(_terminate_all, scene.server.url())
        scene.done["ledger session ended"] += sessions


def _terminate_all(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'provisioner'"
        ).fetchone()
    return int(found[0]) if found else 0


EVERYTHING: Final[Deck] = (
    (30, _kill),
    (12, _freeze),
    (20, _on_the_wire(lambda scene: scene.broker)),
    (12, _on_the_wire(lambda scene: scene.ledger)),
    (6, _provider_refuses),
    (2, _restart_broker),
    (2, _kill_broker),
    (4, _freeze_broker),
    (2, _alarm),
    (3, _unbind_results),
    (2, _restart_ledger),
    (1, _kill_ledger),
    (4, _end_ledger_sessions),
)


KILLS: Final[Deck] = ((1, _kill),)
KILLS_SETTINGS: Final = {"LEDGER__LEASE": "1.5", "UPKEEP__INTERVAL": "0.2"}
"""A dead worker's part of the slots is free when its lease is over: where one dies every second, that must be soon."""
KILLS_SUCCESSOR_WITHIN: Final = 1.5 + 2.0
"""The lease, and the longest time between two look-ups of one request."""


async def make_trouble(scene: Scene, deck: Deck, pause: tuple[float, float]) -> None:
    """Do one thing after the other until cancelled; what was begun is brought to its own end first."""
    weights, deeds = zip(*deck, strict=True)
    while True:
        await asyncio.sleep(scene.draws.uniform(*pause))
        (deed,) = scene.draws.choices(deeds, weights)
        await _to_its_end(deed(scene))


async def _to_its_end(deed: Awaitable[None]) -> None:
    doing = asyncio.ensure_future(deed)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await doing
        raise

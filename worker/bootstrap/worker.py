"""A whole worker, put together and run."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

import structlog

from worker import keyring, ledger, providers, telemetry
from worker import settings as settings_edge
from worker.bootstrap import broker, clients, parts
from worker.core.breaker import BreakerPolicy
from worker.core.burial import Burial
from worker.core.clock import Clock, SteadyClock, SystemClock
from worker.core.decode import Limits
from worker.core.desk import Desk
from worker.core.events import EventWriter
from worker.core.gate import LedgerGate
from worker.core.intake import Intake
from worker.core.lanes import Lane
from worker.core.observer import Observer, Observers
from worker.core.orders import Orders
from worker.core.pace import Pace
from worker.core.pipeline import Pipeline
from worker.core.recording import Recorder
from worker.core.retry import RetryPolicy
from worker.core.sealing import CredentialBox
from worker.core.steps import Reached, unwatched
from worker.core.upkeep import Upkeep, UpkeepPolicy
from worker.rabbitmq.consumer import Consumer
from worker.rabbitmq.publisher import RabbitPublisher
from worker.rabbitmq.topology import DEAD_LETTERS, request_queue
from worker.service import Service, stop_on_signals
from worker.settings import Settings

_SECONDS_OF_A_DAY = 86400.0


async def run_worker(
    configured: Settings, *, watched: Callable[[int], None] | None = None, reached: Reached = unwatched
) -> bool:
    """The whole life of a worker; whether everything under way was finished when it was told to stop.

    Args:
        configured: The settings.
        watched: Is told the monitoring port once it listens.
        reached: Is told every step of every request.

    Raises:
        ConfigurationError: a person must change something first; the text says what.
        LedgerUnavailable: the ledger cannot be opened.
    """
    async with AsyncExitStack() as stack:
        worker = await _worker(configured, stack, reached)
        if watched is not None:
            watched(worker.probes.port)
        _quiet_the_garbage_collector()
        with stop_on_signals() as stopping:
            return await _supervised(worker, stopping)


def _quiet_the_garbage_collector() -> None:
    """What was made so far lives as long as the process; going through it again and again stops the loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


@dataclass(frozen=True, slots=True)
class _Worker:
    service: Service
    links: tuple[Callable[[], Coroutine[Any, Any, NoReturn]], ...]
    probes: telemetry.Probes


async def _supervised(worker: _Worker, stopping: asyncio.Event) -> bool:
    """Run the service beside its connections; a connection that ends by itself ends the process."""
    links = [asyncio.create_task(link()) for link in worker.links]
    for link in links:
        link.add_done_callback(lambda _: stopping.set())
    drained = await worker.service.run(stopping)
    ended = [link for link in links if link.done()]
    for link in links:
        link.cancel()
    await asyncio.gather(*links, return_exceptions=True)
    for link in ended:
        link.result()
    return drained


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all parts of a worker have in common."""

    clock: Clock
    observer: Observer
    changed: asyncio.Event
    reached: Reached


async def _worker(configured: Settings, stack: AsyncExitStack, reached: Reached) -> _Worker:
    clock, changed = SteadyClock(SystemClock()), asyncio.Event()
    worker_id = f"worker-{uuid4().hex[:12]}"
    secrets = settings_edge.secret_values(configured)
    telemetry.configure_logs(configured.log.level, configured.log.format, secrets=secrets)
    box = _credential_box(configured)
    metrics = telemetry.Metrics(
        sorted(configured.providers), revision=parts.revision(), key_expiries=box.expiries
    )
    observer = Observers(telemetry.LogObserver(worker_id), metrics)
    wanted, where = broker.topology(configured), broker.connection(configured)
    consumer = Consumer(where, wanted, observer=observer, clock=clock)
    publisher = RabbitPublisher(where, wanted, observer=observer, clock=clock)
    shared = _Shared(clock, observer, changed, reached)
    desk = await _desk(configured, stack, shared, worker_id=worker_id, box=box, publisher=publisher)
    pipeline = Pipeline(desk)
    upkeep = Upkeep(desk, pipeline, _upkeep_policy(configured))
    intake = Intake(
        desk,
        consumer,
        pipeline,
        Burial(desk, pipeline),
        changed,
        lanes={request_queue(name): lane for name, lane in desk.lanes.items()},
        dead_letters=DEAD_LETTERS,
        prefetch=configured.broker.prefetch,
    )
    health = Health(clock, upkeep, desk.gate, consumer, publisher, configured.upkeep.stuck_after)
    watched = configured.monitoring
    probes = await stack.enter_async_context(
        telemetry.Probes(watched.host, watched.port, metrics, liveness=health.alive, readiness=health.ready)
    )
    service = Service(desk, intake, upkeep, consumer.drain, configured.shutdown.drain)
    return _Worker(service, (consumer.run, publisher.run), probes)


async def _desk(
    configured: Settings,
    stack: AsyncExitStack,
    shared: _Shared,
    *,
    worker_id: str,
    box: CredentialBox,
    publisher: RabbitPublisher,
) -> Desk:
    """Keys, ledger, providers and lanes on one desk."""
    clock, observer = shared.clock, shared.observer
    keys = parts.sealer(configured, may_create=True)
    url, lease = configured.ledger.url.get_secret_value(), configured.ledger.lease
    opened = await stack.enter_async_context(
        ledger.open_ledger(url, clock=clock, lease=lease, exclusive=True)
    )
    handlers = await clients.handlers(configured, stack, clock, shared.reached)
    events = EventWriter(configured.results.source, keys)
    retry = configured.retry
    return Desk(
        worker=worker_id,
        ledger=opened,
        publisher=publisher,
        providers=handlers,
        lanes={name: _lane(configured, name, shared) for name in handlers},
        orders=Orders(keys, handlers, frozenset(providers.discover())),
        events=events,
        recorder=Recorder(opened, events, box, clock, observer),
        box=box,
        gate=LedgerGate(observer, shared.changed),
        clock=clock,
        observer=observer,
        limits=Limits(configured.requests.max_bytes, configured.requests.max_depth),
        policy=RetryPolicy(retry.base, retry.cap, retry.attempts, retry.max_age),
        reached=shared.reached,
    )


def _credential_box(configured: Settings) -> keyring.ConsumerKeys:
    """The consumers' keys. Some that cannot be used keep nobody from being served under the others."""
    box = parts.credential_box(configured)
    for trouble in box.troubles():
        structlog.get_logger("worker.bootstrap").warning(
            "consumer_key_not_usable", problem=trouble, in_use="; ".join(box.in_use()) or "none"
        )
    return box


def _lane(configured: Settings, name: str, shared: _Shared) -> Lane:
    """A lane without slots: the first round of upkeep brings this worker's part of them."""
    own = configured.providers[name]
    lane = Lane(
        name,
        concurrency=own.concurrency,
        limiter=Pace(lambda: own.rate * lane.part, shared.clock),
        policy=BreakerPolicy(configured.breaker.failures, configured.breaker.cooldown),
        clock=shared.clock,
        observer=shared.observer,
        changed=shared.changed,
        slots=0,
    )
    return lane


def _upkeep_policy(configured: Settings) -> UpkeepPolicy:
    return UpkeepPolicy(
        interval=configured.upkeep.interval,
        republish_after=configured.upkeep.republish_after,
        look_ups_at_once=configured.upkeep.look_ups_at_once,
        lease=configured.ledger.lease,
        stuck_after=configured.upkeep.stuck_after,
        retention=configured.ledger.retention_days * _SECONDS_OF_A_DAY,
    )


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes ask. Liveness knows nothing of broker, ledger or providers: a restart cures none of them."""

    clock: Clock
    upkeep: Upkeep
    gate: LedgerGate
    consumer: Consumer
    publisher: RabbitPublisher
    stuck_after: float

    def alive(self) -> dict[str, str]:
        """Whether upkeep goes round, which needs a loop that turns.

        A round that the ledger keeps waiting is alive for as long as that takes: an answer that could not be recorded
        yet is in this process and nowhere else.
        """
        lately = self.clock.monotonic() - self.upkeep.beat_at < self.stuck_after
        return {"upkeep": "" if lately or self.upkeep.waits else "stands still"}

    def ready(self) -> dict[str, str]:
        """Whether the worker can do its work, and what keeps it from that."""
        return {
            "ledger": self.gate.ailment,
            "consume_connection": "" if self.consumer.connected else "down",
            "publish_connection": self._publishing,
            "consuming": "; ".join(f"{queue}: {why}" for queue, why in self.consumer.troubles.items()),
        }

    @property
    def _publishing(self) -> str:
        if not self.publisher.connected:
            return "down"
        blocked = self.publisher.blocked
        return f"RabbitMQ takes no publishes: {blocked}" if blocked else ""

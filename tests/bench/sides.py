"""The sides that are measured in turns: the worker on either ledger, the bare loop, and workers of other makes.

What each lacks is part of its figure: none of the others remembers what it sent, so each can open a second account.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tests.bench.environment import PeersMissing, peers_python
from tests.bench.peers.work import IN_FLIGHT, READY
from tests.bench.processes import Child
from tests.bench.scene import BARE, FASTSTREAM, LADEN, PROVIDER, WRITING, Scene
from tests.bench.upstream import Upstream
from worker.rabbitmq.topology import request_queue

SQLITE = "worker, SQLite"
POSTGRESQL = "worker, PostgreSQL"
TWO_WORKERS = "two workers, PostgreSQL"
BARE_LOOP = "bare loop"
WRITING_LOOP = "bare loop that writes"
LADEN_LOOP = "bare loop, laden"

_NO_MEMORY = "ledger, idempotency, outbox, look-ups, validation, encryption"
_FED_WITHIN = 120.0  # seconds

Start = Callable[[], AbstractAsyncContextManager[Child]]


@dataclass(frozen=True, slots=True)
class Side:
    """One worker that is measured.

    Attributes:
        lacks: What it does not do, of what the worker does.
        upstream: Where its results come.
        start: Starts it; it is ready in the block, and gone afterwards.
        feed: Lays out so many requests where it finds them, each one confirmed.
    """

    name: str
    lacks: str
    upstream: Upstream
    start: Start
    feed: Callable[[int], Awaitable[None]]


def all_sides(scene: Scene) -> tuple[list[Side], list[str]]:
    """Those that can be measured here, and what is left out with the reason."""
    sides, left_out = [_sqlite(scene)], []
    if scene.databases.there:
        sides += [_postgresql(scene, POSTGRESQL, 1), _postgresql(scene, TWO_WORKERS, 2)]
    else:
        left_out.append(f"{POSTGRESQL}: PostgreSQL is not installed. As root: apt-get install postgresql")
    sides += [bare(scene), _writing(scene), _laden(scene)]
    try:
        python = str(peers_python())
    except PeersMissing as missing:
        left_out.append(f"FastStream, Taskiq, Celery, Dramatiq: {missing}")
    else:
        sides += _peers(scene, python)
    return sides, left_out


def ledgers(scene: Scene) -> dict[str, Callable[[], str]]:
    """The kinds of ledger, by the name of the worker that has one, and how a new one is made."""
    found: dict[str, Callable[[], str]] = {SQLITE: scene.new_file}
    return found | ({POSTGRESQL: scene.databases.create} if scene.databases.there else {})


def workers(scene: Scene, pace: Mapping[str, str] | None = None) -> dict[str, Start]:
    """The worker by its kind of ledger, to be started one at a time, each time on a new one."""

    def starter(new: Callable[[], str]) -> Start:
        return lambda: scene.worker(ledger=new(), pace=pace)

    return {name: starter(new) for name, new in ledgers(scene).items()}


def bare(scene: Scene) -> Side:
    """The yardstick."""
    lacks = f"{_NO_MEMORY}, logs, metrics, reconnecting; what fails is given back at once, again and again"
    return Side(BARE_LOOP, lacks, scene.upstream, scene.bare, partial(scene.upstream.publish, BARE))


def _writing(scene: Scene) -> Side:
    """The floor of whatever keeps a ledger."""
    lacks = "states, history, guards, look-ups, validation, encryption, logs, metrics; it has but four durable writes"
    return Side(WRITING_LOOP, lacks, scene.upstream, scene.writing, partial(scene.upstream.publish, WRITING))


def _laden(scene: Scene) -> Side:
    """The best that could be had."""
    lacks = "states, history, guards, claims, limits, look-ups; all else is done, for nothing"
    return Side(LADEN_LOOP, lacks, scene.upstream, scene.laden, partial(scene.upstream.publish, LADEN))


def runs_on(side: Child) -> str:
    """The event loop or pool that a side said it runs on; the worker says nothing."""
    return side.said(READY) or "uvloop"


def _sqlite(scene: Scene) -> Side:
    return Side(SQLITE, "nothing", scene.upstream, scene.worker, partial(scene.upstream.publish, PROVIDER))


def _postgresql(scene: Scene, name: str, processes: int) -> Side:
    """So many workers under one command, on a virtual host of their own."""
    place = scene.elsewhere[processes - 1]

    @asynccontextmanager
    async def start() -> AsyncIterator[Child]:
        ledger, settings = scene.databases.create(), {"PROVISIONER_BROKER__URL": place.broker_url}
        async with scene.worker(ledger=ledger, settings=settings, processes=processes) as running:
            yield running

    return Side(name, "nothing", place.upstream, start, partial(place.upstream.publish, PROVIDER))


def _peers(scene: Scene, python: str) -> list[Side]:
    modules = "tests.bench.peers"
    at_once = str(IN_FLIGHT)
    taskiq = ("taskiq", "worker", f"{modules}.taskiq_side:broker", "--workers", "1")
    celery = ("celery", "-A", f"{modules}.celery_side", "worker", "--pool=threads", "--loglevel=WARNING")
    dramatiq = ("dramatiq", f"{modules}.dramatiq_side", "--processes", "1", "--threads", at_once)
    return [
        Side(
            "FastStream",
            f"{_NO_MEMORY}; what fails is given back at once, again and again",
            scene.upstream,
            partial(
                scene.side,
                (
                    python,
                    "-m",
                    "faststream",
                    "run",
                    f"{modules}.faststream_side:app",
                    "--log-level",
                    "warning",
                ),
                scene.peer_environment(request_queue(FASTSTREAM)),
            ),
            partial(scene.upstream.publish, FASTSTREAM),
        ),
        _own_format(
            scene,
            python,
            "Taskiq",
            f"{_NO_MEMORY}, other senders' messages; what fails is acknowledged and gone",
            (*taskiq, "--max-async-tasks", at_once, "--ack-type", "when_executed", "--log-level", "WARNING"),
        ),
        _own_format(
            scene,
            python,
            "Celery",
            f"{_NO_MEMORY}, other senders' messages; what fails is acknowledged and gone; confirms only if asked for",
            (
                *celery,
                f"--concurrency={at_once}",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ),
        ),
        _own_format(
            scene,
            python,
            "Dramatiq",
            f"{_NO_MEMORY}, other senders' messages, quorum queues; confirms only if asked for",
            dramatiq,
        ),
    ]


def _own_format(scene: Scene, python: str, name: str, lacks: str, command: tuple[str, ...]) -> Side:
    """A side that reads only its own messages: its module lays them out."""
    module = f"tests.bench.peers.{name.lower()}_side"
    environment = scene.peer_environment(f"bench.{name.lower()}") | {
        "dramatiq_queue_prefetch": str(IN_FLIGHT)
    }

    async def feed(count: int) -> None:
        await scene.run_peer((python, "-m", module, "feed", str(count)), environment, _FED_WITHIN)

    return Side(name, lacks, scene.upstream, partial(scene.side, (python, "-m", *command), environment), feed)

"""One schedule for workers of any make: requests on a real RabbitMQ, faults at the providers, SIGKILL in between."""

import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from tests.peers.counting import Count, accounts_of, count, rows_of
from tests.peers.course import Course, Detour, creates_of
from tests.peers.orders import draw_orders
from tests.scenarios.conftest import House, furnish
from worker.demo.surroundings import HURRIED, provider_settings
from worker.sandbox import Fault, Rule, Sandbox

_CELERY = ("-m", "tests.peers.celery_worker")
WORKERS: Mapping[str, tuple[str, ...]] = {
    "ours": ("-m", "worker", "run"),
    "naive": ("-m", "tests.peers.naive"),
    "naive-ack-first": ("-m", "tests.peers.naive", "--ack-first"),
    "faststream": ("-m", "tests.peers.faststream_worker"),
    "celery": _CELERY,
    "celery-ack-first": (*_CELERY, "--ack-first"),
}
"""How each worker is started, as arguments for Python."""

_TO_CELERY = Detour((*_CELERY, "--forward"), "celery")
DETOURS: Mapping[str, Detour] = {"celery": _TO_CELERY, "celery-ack-first": _TO_CELERY}
"""Workers that do not read the request queues themselves."""

_NEEDS: Mapping[str, str] = {"faststream": "faststream", "celery": "celery", "celery-ack-first": "celery"}


def missing(worker: str) -> str | None:
    """The module of the dependency group `peers` that this worker needs and this Python does not have."""
    module = _NEEDS.get(worker)
    return module if module is not None and find_spec(module) is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleResult:
    """What one worker made of the schedule.

    Attributes:
        seconds: From the first start to the end.
        kills: How often it was killed.
        faults: How often each fault was really applied at the providers.
        creates: Creates that reached the providers, whatever came of them.
        finished: Whether it came to rest in time.
    """

    command: tuple[str, ...]
    seed: int
    requests: int
    seconds: float
    kills: int
    faults: Mapping[str, int]
    creates: int
    finished: bool
    count: Count


def usual_faults(rate: float = 0.01, *, answer_takes: float = 0.1) -> tuple[Rule, ...]:
    """Cut after create and 500 after create at this rate each, 503 at double the rate.

    The provider takes its time, `answer_takes` seconds, so that creates are under way when the worker dies; and so that
    no machine is fast enough to be done before the first kill.
    """
    return (
        Rule(fault=Fault.CUT_AFTER_CREATE, rate=rate),
        Rule(fault=Fault.SERVER_ERROR_AFTER_CREATE, rate=rate),
        Rule(fault=Fault.UNAVAILABLE, rate=2 * rate),
        Rule(fault=Fault.SLOW, seconds=answer_takes),
    )


@asynccontextmanager
async def new_house(broker_url: str, folder: Path, *, seed: int, at_once: int = 25) -> AsyncIterator[House]:
    """A house of the scenarios with faults drawn from `seed`, and `at_once` requests in the works for each provider."""
    async with AsyncExitStack() as stack:
        house = await furnish(broker_url, folder, stack)
        sandbox = await stack.enter_async_context(Sandbox(seed=seed))
        pace = {**HURRIED, "CONCURRENCY": str(at_once), "RATE": "2000"}
        environment = {**house.environment, **provider_settings(sandbox.base_url, pace)}
        yield replace(house, sandbox=sandbox, environment=environment)


async def run_schedule(
    command: Sequence[str],
    house: House,
    *,
    requests: int,
    kill_every: float,
    seed: int,
    faults: Sequence[Rule],
    detour: Detour | None = None,
    kills_at_most: int = 60,
    give_up_after: float = 400.0,
    patience: float = 45.0,
) -> ScheduleResult:
    """Lay out the requests, start the worker, kill it again and again until all are answered, and count.

    Args:
        command: Arguments for Python that start the worker; see `WORKERS`.
        house: A new one: its ledger and its virtual host are empty.
        requests: How many, evenly over the four providers.
        kill_every: Seconds from ready to the next SIGKILL, on average; the seed draws between 3/4 and 5/4 of it.
        seed: Decides the kills and the names of the accounts. The faults are drawn from the sandbox's own.
        faults: What goes wrong at the providers.
        detour: How the requests get to a worker that reads another queue; see `DETOURS`.
        kills_at_most: After so many the worker is left alone.
        give_up_after: Seconds after which the run is counted as it stands, as not finished.
        patience: Seconds without anything new after which missing answers are missing for good.

    Raises:
        RuntimeError: the worker ended by itself or did not get ready; the text holds the end of its log.
    """
    house.sandbox.faults.add(*faults)
    orders = draw_orders(requests, seed)
    async with Course.prepare(command, house, orders, detour) as course:
        began = time.monotonic()
        finished = await course.run(_gaps(kill_every, kills_at_most, seed), patience, give_up_after)
        seconds = time.monotonic() - began
    await house.sandbox.settle()
    return ScheduleResult(
        command=tuple(command),
        seed=seed,
        requests=requests,
        seconds=round(seconds, 1),
        kills=course.kills,
        faults=_applied(house.sandbox),
        creates=creates_of(house.sandbox),
        finished=finished,
        count=count(
            {order.key for order in orders},
            accounts_of(house.sandbox, {order.name: order.key for order in orders}),
            course.mailbox.events,
            rows_of(house.folder / "ledger.db"),
        ),
    )


def _gaps(kill_every: float, kills: int, seed: int) -> list[float]:
    """Seconds from ready to each kill: the same for every worker."""
    draws = random.Random(f"kills of {seed}")
    return [kill_every * draws.uniform(0.75, 1.25) for _ in range(kills)]


def _applied(sandbox: Sandbox) -> dict[str, int]:
    applied: Counter[str] = Counter()
    for planned in sandbox.faults.planned():
        applied[planned.rule.fault] += planned.applied
    return dict(applied)

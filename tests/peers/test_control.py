"""The negative control in short: the schedule that finds nothing wrong with our worker finds much wrong with others."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.peers.report import judge
from tests.peers.schedule import (
    DETOURS,
    WORKERS,
    ScheduleResult,
    missing,
    new_house,
    run_schedule,
    usual_faults,
)

REQUESTS = 300
SEED = 7
_FAULTS = usual_faults(0.05, answer_takes=0.2)
_AT_ONCE = 10
"""For each provider: with 0.2 s an answer, 300 requests take 1.5 s at the least, so that the first kill finds work."""

Run = Callable[[str], Awaitable[ScheduleResult]]

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(480)]  # above `give_up_after`, which says more


@pytest.fixture
def run(broker_url: str, tmp_path: Path) -> Run:
    """Run the short schedule with a worker of that name."""

    async def run_one(worker: str) -> ScheduleResult:
        async with new_house(broker_url, tmp_path, seed=SEED, at_once=_AT_ONCE) as house:
            return await run_schedule(
                WORKERS[worker],
                house,
                requests=REQUESTS,
                kill_every=1.0,
                seed=SEED,
                faults=_FAULTS,
                detour=DETOURS.get(worker),
                kills_at_most=2,
                patience=5.0 if worker != "ours" else 45.0,
            )

    return run_one


async def test_the_schedule_finds_nothing_wrong_with_our_worker(run: Run) -> None:
    """Killed and lied to, our worker opens no account twice, loses no request and tells nothing false."""
    result = await run("ours")

    assert judge({"ours": result}) == []
    assert result.kills >= 1
    assert result.count.unanswered == 0
    assert result.count.duplicate_events == 0
    assert result.faults["cut_after_create"] > 0


async def test_the_same_schedule_finds_surplus_accounts_of_the_naive_worker(run: Run) -> None:
    """A worker without a ledger opens accounts twice in the schedule in which ours opens none."""
    result = await run("naive")

    assert result.kills >= 1
    assert result.count.surplus > 5
    assert result.count.misreported > 0


async def test_the_same_schedule_finds_lost_requests_of_a_worker_that_acknowledges_first(run: Run) -> None:
    """Acknowledging before the work turns surplus accounts into requests of which nobody hears again."""
    result = await run("naive-ack-first")

    assert result.kills >= 1
    assert result.count.lost > 0


@pytest.mark.parametrize("worker", ["faststream", "celery"])
async def test_the_same_schedule_finds_surplus_accounts_of_frameworks(worker: str, run: Run) -> None:
    """What people would use instead, set up as its documentation teaches, opens accounts twice as well."""
    if module := missing(worker):
        pytest.skip(f"{module} is not installed; it is in the dependency group `peers`")
    result = await run(worker)

    assert result.kills >= 1
    assert result.count.surplus > 5

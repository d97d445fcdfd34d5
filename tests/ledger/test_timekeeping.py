"""The ledger's time goes on from one process to the next, and is the server's where there is one."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.evidence.clock_world import DAY, HOUR, SetClock
from tests.ledger.conftest import KINDS, LASTING
from tests.ledger.kinds import open_any
from tests.ledger.scene import connected
from worker.core.clock import SteadyClock
from worker.ledger import open_ledger
from worker.ledger.schema import clocks
from worker.ledger.timekeeping import now, read

JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR, DAY, -DAY])
SECOND = timedelta(seconds=1)


async def shown_by_a_worker(
    url: str, machine: SetClock, name: str = "worker-1", *, ends: bool = False
) -> datetime:
    """Start a worker and let it give a sign of life; what its clock shows then. It is killed, unless it `ends`."""
    clock = SteadyClock(machine)
    async with open_any(url, clock=clock, exclusive=True) as ledger:
        await ledger.heartbeat(name, clock.now())
        if ends:
            await ledger.retire(name)
        return clock.now()


@JUMPS
@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("ledger_url", [*LASTING, KINDS[-1]], indirect=True)
async def test_a_worker_goes_on_where_the_last_one_was(ledger_url: str, jump: float, ends: bool) -> None:
    """The machine's clock was set while no worker ran: what the ledger shows only went on."""
    machine = SetClock()
    before = await shown_by_a_worker(ledger_url, machine, ends=ends)
    machine.jump(jump)
    machine.advance(10)
    after = await shown_by_a_worker(ledger_url, machine, "worker-2")
    assert abs(after - before - timedelta(seconds=10)) < SECOND


@JUMPS
@pytest.mark.parametrize("ledger_url", [*LASTING, KINDS[-1]], indirect=True)
async def test_a_clock_that_is_set_before_the_first_sign_of_life(ledger_url: str, jump: float) -> None:
    """Two workers open a ledger, and the clock is set between them: their time is one and the same."""
    machine = SetClock()
    first, second = SteadyClock(machine), SteadyClock(machine)
    async with open_any(ledger_url, clock=first, exclusive=True):
        pass
    machine.jump(jump)
    async with open_any(ledger_url, clock=second, exclusive=True):
        assert abs(first.now() - second.now()) < SECOND


@pytest.mark.parametrize("ledger_url", LASTING, indirect=True)
async def test_somebody_who_only_looks_reads_the_same_time(ledger_url: str) -> None:
    """An operator's command on the worker's machine dates what it writes as the worker does."""
    machine = SetClock()
    before = await shown_by_a_worker(ledger_url, machine)
    machine.jump(HOUR)
    clock = SteadyClock(machine)
    async with open_ledger(ledger_url, clock=clock):
        assert abs(clock.now() - before) < SECOND
    with connected(ledger_url) as connection:
        assert abs(now(connection, machine) - before) < SECOND


async def test_a_machine_that_was_booted_anew_begins_with_its_own_time(sqlite_url: str) -> None:
    """How long it was off nobody knows better than its clock."""
    await shown_by_a_worker(sqlite_url, SetClock())
    booted = SetClock()
    booted.jump(HOUR)
    assert abs(await shown_by_a_worker(sqlite_url, booted) - booted.now()) < SECOND


async def test_what_a_clock_was_off_by_outlives_a_boot(sqlite_url: str) -> None:
    """Set by an hour while a worker ran, and then booted: nothing is older than it is for that."""
    machine = SetClock()
    clock = SteadyClock(machine)
    async with open_any(sqlite_url, clock=clock, exclusive=True) as ledger:
        await ledger.heartbeat("worker-1", clock.now())
        machine.jump(HOUR)
        await ledger.heartbeat("worker-1", clock.now())
        before = clock.now()
    booted = SetClock()
    booted.jump(HOUR + 60)
    after = await shown_by_a_worker(sqlite_url, booted, "worker-2")
    assert abs(after - before - timedelta(seconds=60)) < timedelta(seconds=5)


@pytest.mark.parametrize("jump", [-HOUR, -DAY, -9000 * DAY])
async def test_a_machine_that_was_booted_with_a_clock_of_long_ago_does_not_go_back(
    sqlite_url: str, jump: float
) -> None:
    """Before its time is set right, if ever: what is due then would not run for as long."""
    before = await shown_by_a_worker(sqlite_url, SetClock())
    booted = SetClock()
    booted.jump(jump)
    clock = SteadyClock(booted)
    async with open_any(sqlite_url, clock=clock, exclusive=True) as ledger:
        await ledger.heartbeat("worker-2", clock.now())
        booted.advance(100)
        assert timedelta(seconds=90) < clock.now() - before < timedelta(seconds=101)


@pytest.mark.parametrize("ledger_url", LASTING, indirect=True)
async def test_a_clock_that_was_wrong_and_not_set_is_not_made_up_for(ledger_url: str) -> None:
    """What would take months to make good is taken as it is by who starts next."""
    machine = SetClock()
    clock = SteadyClock(machine)
    async with open_any(ledger_url, clock=clock, exclusive=True) as ledger:
        await ledger.heartbeat("worker-1", clock.now() - timedelta(days=300))
    machine.advance(HOUR + 10)
    after = SteadyClock(machine)
    async with open_ledger(ledger_url, clock=after):
        with connected(ledger_url) as connection:
            assert abs(after.now() - read(connection, machine).at) < timedelta(seconds=30)


@pytest.mark.postgresql
async def test_who_comes_from_elsewhere_goes_on_as_far_off_as_the_others_are(
    postgresql_ledger_url: str,
) -> None:
    """The server's clock was set while a worker ran, which makes up for it: one on another machine joins in there."""
    clock, elsewhere = SteadyClock(SetClock()), SteadyClock(SetClock())
    async with open_ledger(postgresql_ledger_url, clock=clock, exclusive=True) as ledger:
        behind = clock.now() - timedelta(hours=1)
        await ledger.heartbeat("worker-1", behind)
        async with open_ledger(postgresql_ledger_url, clock=elsewhere):
            assert abs(elsewhere.now() - behind) < timedelta(seconds=30)


@pytest.mark.postgresql
async def test_workers_whose_machines_disagree_take_the_servers_time(postgresql_ledger_url: str) -> None:
    """Each machine is wrong by a day; their workers are not."""
    ahead, behind = SetClock(), SetClock()
    ahead.jump(DAY)
    behind.jump(-DAY)
    shown = [await shown_by_a_worker(postgresql_ledger_url, machine) for machine in (ahead, behind)]
    with connected(postgresql_ledger_url) as connection:
        server = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    assert all(abs(one - server) < timedelta(seconds=30) for one in shown)


@pytest.mark.parametrize("ledger_url", KINDS, indirect=True)
async def test_a_sign_of_life_tells_by_how_much_the_clock_is_off(ledger_url: str) -> None:
    """Where the ledger is this machine's, the error is how far the machine was set."""
    machine = SetClock()
    clock = SteadyClock(machine)
    async with open_any(ledger_url, clock=clock, exclusive=True) as ledger:
        assert abs(await ledger.heartbeat("worker-1", clock.now())) < 30
        machine.jump(HOUR)
        told = await ledger.heartbeat("worker-1", clock.now())
    expected = 0 if ledger_url.startswith("postgresql") else HOUR
    assert abs(told - expected) < 30


async def test_what_the_clocks_of_long_gone_workers_showed_is_dropped(sqlite_url: str) -> None:
    """Two days later nobody goes on from there."""
    machine = SetClock()
    await shown_by_a_worker(sqlite_url, machine, "old")
    machine.advance(2 * DAY + 1)
    await shown_by_a_worker(sqlite_url, machine, "new")
    with connected(sqlite_url) as connection:
        assert connection.execute(sa.select(clocks.c.worker)).scalars().all() == ["new"]

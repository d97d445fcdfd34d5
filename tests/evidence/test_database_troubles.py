"""The ledger's database is disturbed on purpose under a real worker: nothing is lost, nothing is opened twice.

The same at length: `python -m tests.evidence.database_troubles --times 20`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evidence import database_troubles as troubles
from tests.evidence.database_troubles import Place
from tests.evidence.disks import FailingDisk, NotMountable, SmallDisk, failing_disk, small_disk
from tests.evidence.promises import assert_back_in_time, assert_kept, longest
from tests.evidence.proxy import Kind
from tests.evidence.troubled_house import SHOWN_WITHIN
from worker.local.postgresql_server import PostgresqlServer

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql, pytest.mark.timeout(300)]


@pytest.fixture
def place(own_postgresql_server: PostgresqlServer, broker_url: str, tmp_path: Path) -> Place:
    """A server that these tests may hurt."""
    return Place(own_postgresql_server, broker_url, tmp_path)


@pytest.fixture
def small() -> Iterator[SmallDisk]:
    """A disk with room for a server and little more."""
    try:
        with small_disk(96) as disk:
            yield disk
    except NotMountable as error:
        pytest.skip(f"a small disk takes the right to mount one, as root has it: {error}")


@pytest.fixture
def failing() -> Iterator[FailingDisk]:
    """A disk that can be made to fail."""
    try:
        with failing_disk() as disk:
            yield disk
    except NotMountable as error:
        pytest.skip(f"a disk that fails takes root, a loop device and e2fsprogs: {error}")


async def test_a_database_that_dies_and_is_restarted(place: Place) -> None:
    """While requests flow, and the same worker goes on when it is back."""
    result = await troubles.restarted(place, times=2)
    assert result.faults == {"database killed": 1, "database restarted": 1}
    assert_kept(result)
    assert_back_in_time(result)


async def test_a_database_that_hangs_up(place: Place) -> None:
    """Sessions end in the midst of transactions."""
    result = await troubles.hung_up(place, times=5)
    assert result.faults["database session ended"] >= 5
    assert_kept(result)
    assert_back_in_time(result)


async def test_a_bad_line_to_the_database(place: Place) -> None:
    """Commits of which nobody knows whether they were carried out: the row says it, and what was perhaps sent is looked
    up before anything is sent again.
    """
    result = await troubles.bad_line(place, rounds=1)
    assert {name.removeprefix("database connection ") for name in result.faults} == set(Kind)
    assert_kept(result)
    assert_back_in_time(result)


async def test_a_database_that_falls_silent(place: Place) -> None:
    """A commit whose answer never comes is given up, readiness shows it, and the same worker goes on."""
    result = await troubles.silent(place, seconds=20)
    assert_kept(result)
    assert_back_in_time(result)
    assert longest(result, "until readiness showed it") <= SHOWN_WITHIN


async def test_a_database_that_stands_still(place: Place) -> None:
    """What it carries out when it goes on, after it was given up, opens nothing twice."""
    result = await troubles.stands_still(place, seconds=20)
    assert_kept(result)
    assert_back_in_time(result)
    assert longest(result, "until readiness showed it") <= SHOWN_WITHIN


async def test_a_database_whose_disk_is_full(place: Place, small: SmallDisk) -> None:
    """First no table can grow, then no log can be written and the server dies; when there is room all goes on."""
    with PostgresqlServer(small.folder / "server") as server:
        result = await troubles.disk_full(Place(server, place.broker_url, place.folder), small, seconds=6)
    assert_kept(result)
    assert_back_in_time(result)
    assert longest(result, "until readiness showed it") <= SHOWN_WITHIN


async def test_a_database_that_only_reads(place: Place) -> None:
    """No create leaves until it can be written again."""
    result = await troubles.read_only(place, seconds=2)
    assert_kept(result)
    assert_back_in_time(result)
    assert longest(result, "until readiness showed it") <= SHOWN_WITHIN


async def test_a_file_system_that_turns_read_only_under_sqlite(
    broker_url: str, tmp_path: Path, failing: FailingDisk
) -> None:
    """What was answered and could not be written down is found by look-ups once the disk is repaired."""
    result = await troubles.failed_disk(broker_url, tmp_path, failing, seconds=2)
    assert_kept(result)
    assert result.found_by_look_up == 4
    assert longest(result, "until readiness showed it") <= SHOWN_WITHIN

"""What the bench judges a large ledger by: rows as a worker would have left them, and plans that tell of every scan."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.bench import filling
from tests.bench.plans import Plan, watched
from tests.bench.scene import PROVIDER
from worker.core.overview import Filter
from worker.core.states import State
from worker.ledger import SqlLedger, open_ledger

_ROWS = 2000
_WHOLE = sa.text("SELECT count(*) FROM requests WHERE content_mode = 'nothing'")
_KINDS = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql),
]


@pytest.fixture(params=_KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is no ledger yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    found: str = request.getfixturevalue("postgresql_url")
    return found


async def test_a_filled_ledger_is_one_that_the_worker_reads(url: str) -> None:
    """In two steps, as the bench does it: the second adds to the first."""
    filling.fill(url, 0, 500)
    filling.fill(url, 500, _ROWS)
    async with open_ledger(url, exclusive=True) as ledger:
        entries = await ledger.entries(Filter(limit=_ROWS + 1))
        states = Counter(entry.state for entry in entries)
        kept = sum(entry.sealed_request != "" for entry in entries)
        assert len(entries) == _ROWS
        assert states == {State.PROVISIONED: _ROWS - 6, State.HELD: 2, State.IN_DOUBT: 2, State.WAITING: 2}
        assert _ROWS * 0.05 < kept < _ROWS * 0.2
        found = await ledger.find(filling.id_of(1001))
        assert found is not None
        assert found.state is State.HELD


async def test_a_statement_that_goes_through_a_whole_table_is_found(url: str) -> None:
    """And one by an index is not."""
    filling.fill(url, 0, _ROWS)
    with watched(url) as watch:
        async with open_ledger(url, exclusive=True) as ledger:
            watch.take(url)
            await ledger.find(filling.id_of(7))
            by_key = _explained(watch.take(url))
            await _ask_for_all(ledger)
            whole = _explained(watch.take(url))
    assert by_key
    assert [plan for plan in by_key if plan.scans] == []
    assert [plan.scans for plan in whole] == [("requests",)]


async def test_nothing_that_upkeep_asks_goes_through_a_whole_table(url: str) -> None:
    """The claim is the most frequent of them."""
    filling.fill(url, 0, _ROWS)
    with watched(url) as watch:
        async with open_ledger(url, exclusive=True) as ledger:
            watch.take(url)
            await ledger.claim_due(PROVIDER, "worker-bench", datetime.now(UTC), 10)
            plans = _explained(watch.take(url))
    assert any("requests" in step for plan in plans for step in plan.steps)
    assert [plan.statement for plan in plans if plan.scans] == []


async def test_the_age_of_a_doubt_is_found_by_the_key_of_its_attempts(url: str) -> None:
    """What is counted for the gauges every few seconds asks for the attempts of the few rows in doubt alone."""
    filling.fill(url, 0, _ROWS)
    with watched(url) as watch:
        async with open_ledger(url, exclusive=True) as ledger:
            watch.take(url)
            await ledger.standings()
            plans = _explained(watch.take(url))
    [counted] = [plan for plan in plans if any("attempts" in step for step in plan.steps)]
    assert counted.scans == counted.walks == ()


@pytest.mark.postgresql
async def test_a_claim_reads_no_more_than_it_takes(postgresql_url: str) -> None:
    """However many are due: PostgreSQL follows the index, and neither collects nor sorts them all."""
    filling.fill(postgresql_url, 0, _ROWS)
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute("UPDATE requests SET state = 'waiting', due_at = received_at")
        server.execute("VACUUM ANALYZE requests")
    with watched(postgresql_url) as watch:
        async with open_ledger(postgresql_url, exclusive=True) as ledger:
            watch.take(postgresql_url)
            assert len(await ledger.claim_due(PROVIDER, "worker-bench", datetime.now(UTC), 10)) == 10
            plans = _explained(watch.take(postgresql_url))
    steps = [step for plan in plans if plan.statement.startswith("WITH due") for step in plan.steps]
    assert any(step.startswith("Index Scan ix_requests_state_provider_due_at") for step in steps)
    assert [step for step in steps if step.startswith("Bitmap")] == []


async def _ask_for_all(ledger: SqlLedger) -> None:
    await ledger._reader.ask(lambda connection: connection.execute(_WHOLE).all())


def _explained(plans: list[Plan]) -> list[Plan]:
    return [plan for plan in plans if plan.steps]

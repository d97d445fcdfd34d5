"""A ledger moves from its file to a server: every row arrives, and at no moment are there two ledgers to work on."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa

from tests.ledger.killed_mover import step_of
from tests.ledger.moves import CLOCK, content, move, unusable
from tests.ledger.scene import PROVIDER, Scene, connected
from worker.core.errors import ConfigurationError, NotAllowed, WorkerError
from worker.core.shares import Wish
from worker.ledger import copying, moving, open_ledger
from worker.ledger.migrating import change, undisturbed
from worker.ledger.moving import Progress
from worker.ledger.schema import history, metadata
from worker.ledger.urls import store_at

pytestmark = pytest.mark.postgresql


# --- what arrives ---------------------------------------------------------------------------------------------


async def test_every_row_arrives_as_it_was(source: str, target: str) -> None:
    """All states, stories, events, dead letters, pauses, waits, pruned and large rows; and no table is forgotten."""
    before = content(source)
    assert all(before.values())
    move(source, target)
    assert content(target) == content(source) == before
    left = {table.name for table in metadata.sorted_tables} - set(before)
    assert left == {"workers", "shares", "moves"}


async def test_a_worker_goes_on_where_the_old_one_was(source: str, target: str) -> None:
    """What was being sent goes in doubt, what was not sent is given out, known keys are known; history counts on."""
    move(source, target)
    with connected(target) as connection:
        newest = connection.scalar(sa.select(sa.func.max(history.c.line)))
    async with open_ledger(target, clock=CLOCK, exclusive=True) as ledger:
        scene = Scene(ledger, CLOCK, target, worker="worker-2")
        await ledger.heartbeat(scene.worker, CLOCK.now())
        (sending,) = await ledger.find_by_key(None, "sending-key")
        (accepted,) = await ledger.find_by_key(None, "accepted-key")
        assert await ledger.rescue(CLOCK.now(), scene.worker) == [sending.request_id]
        claims = await ledger.claim_due(PROVIDER, scene.worker, CLOCK.now(), 100)
        assert accepted.request_id in {claim.entry.request_id for claim in claims}
        again = await ledger.accept(scene.arrival("provisioned-key"), scene.worker)
        assert type(again).__name__ == "Same"
        assert [pause.provider for pause in await ledger.pauses()] == [PROVIDER]
        found = await ledger.share(scene.worker, {PROVIDER: Wish(4, 0)}, CLOCK.now())
        assert found[PROVIDER].wait_until == scene.later(60)
    with connected(target) as connection:
        lines = connection.scalars(sa.select(history.c.line).where(history.c.line > newest)).all()
    assert lines == list(range(newest + 1, newest + 1 + len(lines)))
    assert lines


async def test_an_empty_ledger_can_be_moved(sqlite_url: str, target: str) -> None:
    """Also where there is no line of history to count on from."""
    move(sqlite_url, target)
    assert (unusable(sqlite_url) is None, unusable(target)) == (False, None)


async def test_an_older_file_is_brought_up_to_date_on_the_way(source: str, target: str) -> None:
    """Nobody has to migrate first."""
    before = content(source)
    del before["waits"], before["clocks"]
    with undisturbed(store_at(source)) as connection:
        change(connection, "there", "0001", may_lose=True)
    move(source, target)
    found = content(target)
    assert found.pop("waits") == found.pop("clocks") == []
    assert found == before


async def test_progress_is_told(source: str, target: str) -> None:
    """Each step, and each table from nothing to all of its rows."""
    told: list[Progress] = []
    move(source, target, told.append)
    assert [it.step for it in told if it.table is None] == [
        "marked",
        "prepared",
        "verified",
        "copied",
        "ended",
    ]
    rows = {name: len(rows) for name, rows in content(source).items()}
    for name, count in rows.items():
        steps = [it for it in told if it.table == name]
        assert (steps[0].done, steps[-1].done, steps[0].total) == (0, count, count)
    assert "history 200" in {step_of(it) for it in told}


# --- one ledger at a time -------------------------------------------------------------------------------------


async def test_the_file_is_no_ledger_any_more(source: str, target: str) -> None:
    """Neither a worker nor a command works on it; both are told where it went, and that it may have to be finished."""
    move(source, target)
    for exclusive in (True, False):
        with pytest.raises(
            ConfigurationError, match=r"was moved to 127\.0\.0\.1.*PROVISIONER_LEDGER__URL"
        ) as told:
            async with open_ledger(source, exclusive=exclusive):
                pass
        assert str(sa.make_url(target).password) not in str(told.value)
    with pytest.raises(NotAllowed, match=r"was moved to .* already"):
        move(source, target)


KILLED = [
    ("marked", "the file is marked, the server knows nothing"),
    ("prepared", "both are marked, nothing is copied"),
    ("requests 0", "nothing is copied, the transaction is open"),
    ("history 200", "half is copied"),
    ("verified", "all is copied, nothing is committed"),
    ("copied", "all is committed, the file does not know"),
    ("ended", "all is done"),
]


@pytest.mark.parametrize(("step", "reason"), KILLED, ids=[step for step, _ in KILLED])
async def test_a_move_that_is_killed_is_finished_by_starting_it_again(
    source: str, target: str, step: str, reason: str
) -> None:
    """Meanwhile no worker starts on the file, nor on a server that has not everything yet; then all is there, once."""
    before = content(source)
    words = [sys.executable, "-m", "tests.ledger.killed_mover", source, target, step]
    done = subprocess.run(words, check=False)  # noqa: ASYNC221 - nothing else runs
    assert done.returncode == -9, reason
    arrived = step in {"copied", "ended"}
    assert "was moved to" in (unusable(source) or "")
    assert (unusable(target) is None) is arrived, reason
    if step == "ended":
        with pytest.raises(NotAllowed, match="already"):
            move(source, target)
    else:
        move(source, target)
    assert content(target) == before, reason
    assert (unusable(source) is None, unusable(target)) == (False, None)


async def test_a_worker_that_starts_on_the_server_meanwhile_waits_or_is_refused(
    source: str, target: str
) -> None:
    """It must not take a ledger that is being filled for an empty one."""
    refused: list[str] = []

    async def start() -> None:
        with pytest.raises(ConfigurationError) as told:
            async with open_ledger(target, exclusive=True):
                pass
        refused.append(str(told.value))

    def told(progress: Progress) -> None:
        if progress.step == "prepared":
            asyncio.run(start())

    await asyncio.to_thread(move, source, target, told)
    assert "is being filled from" in refused[0]
    async with open_ledger(target, exclusive=True) as ledger:
        await ledger.check()


async def test_a_worker_that_was_opened_before_the_server_was_filled_does_not_begin(
    source: str, target: str
) -> None:
    """Its first sign of life finds that this is no longer the ledger it opened; it takes nothing in."""
    async with open_ledger(target, exclusive=True) as early:
        refused: list[bool] = []

        async def begin() -> None:
            try:
                await early.heartbeat("early", CLOCK.now())
            except ConfigurationError:
                refused.append(True)

        loop = asyncio.get_running_loop()

        def told(progress: Progress) -> None:
            if progress.step == "prepared":
                asyncio.run_coroutine_threadsafe(begin(), loop).result(60)

        await asyncio.to_thread(move, source, target, told)
        assert refused == [True]
        await early.heartbeat("early", CLOCK.now())


async def test_rows_that_do_not_arrive_are_noticed(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row less, or one that is not what it was: nothing is moved, and the next try begins anew."""
    before, real = content(source), copying.copy

    def lossy(leaving: sa.Connection, arriving: sa.Connection, table: sa.Table, told: Any) -> Any:
        found = real(leaving, arriving, table, told)
        if table is metadata.tables["events"]:
            arriving.execute(sa.text("UPDATE events SET publishes = publishes + 1 WHERE publishes = 1"))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(moving, "copy", lossy)
        with pytest.raises(WorkerError, match=r"rows of events arrived .*nothing was moved"):
            move(source, target)
    assert "is being filled" in (unusable(target) or "")
    move(source, target)
    assert content(target) == before

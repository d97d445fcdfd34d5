"""Group commit: many writes, one sync; one that fails concerns itself only."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.fakes import FixedClock
from tests.ledger.conftest import LASTING, SQL, new_ledger
from tests.ledger.scene import Scene, count_commits
from worker.core import states
from worker.core.errors import LedgerUnavailable, StaleClaim
from worker.core.states import State
from worker.ledger import SqlLedger, open_ledger, story
from worker.ledger.writer import Batch

PATIENCE = 60.0


@pytest.fixture(params=SQL)
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A new ledger of each kind that has a writer."""
    return new_ledger(request)


class Gate:
    """Keeps the writer's thread busy, so that everything handed in meanwhile meets in the next commit."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self._entered, self._open = threading.Event(), threading.Event()

    async def __aenter__(self) -> None:
        def wait(_: Batch) -> None:
            self._entered.set()
            assert self._open.wait(PATIENCE)

        self._busy = asyncio.create_task(self._ledger._writer.write(wait, slow=True))
        await asyncio.to_thread(self._entered.wait, PATIENCE)

    async def __aexit__(self, *_: object) -> None:
        self._open.set()
        await self._busy


async def handed_in(count: int) -> None:
    """Let that many tasks run up to where they wait for the ledger."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_queues_up_is_committed_together(scene: Scene) -> None:
    """A hundred writes that meet cost one commit."""
    async with Gate(scene.sql):
        commits = count_commits(scene.sql)
        tasks = [asyncio.create_task(scene.accepted(f"key-{number}")) for number in range(100)]
        await handed_in(3)
    claims = await asyncio.gather(*tasks)
    assert commits() == 2  # the gate's own, and that of all
    assert {(await scene.entry(claim)).state for claim in claims} == {State.ACCEPTED}


async def test_one_commit_is_bounded(scene: Scene) -> None:
    """However much queues up, the first of it does not wait for all of it."""
    async with Gate(scene.sql):
        commits = count_commits(scene.sql)
        tasks = [asyncio.create_task(scene.accepted(f"key-{number}")) for number in range(450)]
        await handed_in(3)
    await asyncio.gather(*tasks)
    assert commits() == 1 + 3


async def test_what_locks_others_out_is_committed_alone(scene: Scene) -> None:
    """A worker that freezes over a request holds nothing that the others need to go on."""
    together: list[set[str]] = []
    commits = count_commits(scene.sql)

    def noting(word: str) -> Callable[[Batch], None]:
        return lambda _: together.append({word, f"after {commits()}"})

    async with Gate(scene.sql):
        writes = [
            asyncio.create_task(scene.sql._writer.write(noting(word), slow=True, alone=word == "alone"))
            for word in ("first", "second", "alone", "third", "fourth")
        ]
        await handed_in(3)
    await asyncio.gather(*writes)
    assert together == [
        {"first", "after 1"},
        {"second", "after 1"},
        {"alone", "after 2"},
        {"third", "after 3"},
        {"fourth", "after 3"},
    ]


async def test_a_refusal_concerns_its_own_caller_only(scene: Scene) -> None:
    """A stale claim among good changes: it alone is refused, and all still share a commit."""
    good = [await scene.accepted(f"key-{number}") for number in range(5)]
    stale = await scene.sending("stale")
    async with Gate(scene.sql):
        commits = count_commits(scene.sql)
        tasks = [asyncio.create_task(scene.take(claim, states.SEND)) for claim in (*good, stale)]
        await handed_in(3)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["Claim"] * 5 + ["StaleClaim"]
    assert commits() == 2


async def test_of_a_unit_that_refuses_nothing_is_kept(scene: Scene) -> None:
    """Not even a row that it had left for later, although its neighbours' are written."""
    claim = await scene.accepted()
    (line,) = await scene.ledger.history(claim.entry.request_id)

    def refusing(batch: Batch) -> None:
        story.tell(batch, claim.entry.request_id, line)
        raise StaleClaim("changed its mind")

    async with Gate(scene.sql):
        tasks = [
            asyncio.create_task(scene.sql._writer.write(refusing)),
            asyncio.create_task(scene.ledger.note(claim.entry.request_id, line)),
        ]
        await handed_in(3)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], StaleClaim)
    assert await scene.ledger.history(claim.entry.request_id) == [line, line]


async def test_a_unit_that_breaks_takes_nobody_with_it(scene: Scene) -> None:
    """Whatever it had written is undone, its neighbours are written all the same, and its caller hears the reason."""

    def broken(batch: Batch) -> None:
        batch.connection.execute(sa.text("UPDATE requests SET source = 'broken'"))
        raise ZeroDivisionError("a mistake of ours")

    claims = [await scene.accepted(f"key-{number}") for number in range(3)]
    async with Gate(scene.sql):
        tasks = [asyncio.create_task(scene.take(claim, states.SEND)) for claim in claims]
        failing = asyncio.create_task(scene.sql._writer.write(broken))
        tasks.append(asyncio.create_task(scene.accepted("after it")))
        await handed_in(3)
    with pytest.raises(ZeroDivisionError):
        await failing
    assert [claim.entry.state for claim in await asyncio.gather(*tasks)] == [State.SENDING] * 3 + [
        State.ACCEPTED
    ]
    assert {(await scene.entry(claim)).source for claim in claims} == {"urn:test"}


async def test_a_rule_of_the_schema_that_is_broken_hurts_no_neighbour(scene: Scene) -> None:
    """The database itself refuses one row of the batch (on PostgreSQL that ends the whole transaction)."""
    await scene.provisioned("taken")
    claims = [await scene.sending(f"key-{number}") for number in range(3)]
    async with Gate(scene.sql):
        tasks = [
            asyncio.create_task(scene.take(claim, states.PROVISION, account_id=account))
            for claim, account in zip(claims, ("a-1", "taken", "a-2"), strict=True)
        ]
        await handed_in(3)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["Claim", "AccountClaimed", "Claim"]


async def test_a_caller_that_is_cancelled_is_written_all_the_same(scene: Scene) -> None:
    """A shutdown in the middle of a record loses the answer's way back, never the record."""
    claim = await scene.sending()
    async with Gate(scene.sql):
        task = asyncio.create_task(scene.take(claim, states.PROVISION, account_id="a-1"))
        await handed_in(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await scene.ledger.check()  # comes after it in the queue
    assert (await scene.entry(claim)).account_id == "a-1"


async def test_closing_commits_what_was_handed_in(ledger_url: str, clock: FixedClock) -> None:
    """Nothing that was handed in is lost by leaving; what comes later is refused."""
    async with open_ledger(ledger_url, clock=clock, exclusive=True) as ledger:
        scene = Scene(ledger, clock, ledger_url)
        await ledger.heartbeat(scene.worker, clock.now())
        tasks = [asyncio.create_task(scene.accepted(f"key-{number}")) for number in range(50)]
        await handed_in(3)
    assert len(await asyncio.gather(*tasks)) == 50
    assert len(scene.stored()["requests"]) == 50
    for late in (scene.accepted("too late"), ledger.standings()):
        with pytest.raises(LedgerUnavailable, match="closed"):
            await late


@pytest.mark.parametrize("ledger_url", LASTING, indirect=True)
async def test_reading_does_not_wait_for_writing(scene: Scene) -> None:
    """While the writer is busy an operator still gets an answer: what was committed last.

    (In memory, where nobody operates, there is one lock for all.)
    """
    claim = await scene.accepted()
    async with Gate(scene.sql):
        async with asyncio.timeout(PATIENCE):
            assert (await scene.entry(claim)).state is State.ACCEPTED


async def test_a_small_durable_write_proves_that_the_ledger_works(scene: Scene) -> None:
    """Each check is a commit of its own."""
    commits = count_commits(scene.sql)
    await scene.ledger.check()
    scene.clock.advance(1)
    await scene.ledger.check()
    assert commits() == 2
    assert [at for _, at in scene.stored()["checks"]] == [scene.now]


@pytest.mark.postgresql
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_a_deadlock_between_two_workers_costs_neither_a_write(
    scene: Scene, ledger_url: str, clock: FixedClock
) -> None:
    """PostgreSQL ends one of the two transactions; its units run again, and both are written."""
    one, two = await scene.accepted("one"), await scene.accepted("two")
    first, second = one.entry.request_id, two.entry.request_id
    meet = threading.Barrier(2)

    def crossing(*order: str) -> Callable[[Batch], None]:
        met = False

        def unit(batch: Batch) -> None:
            nonlocal met
            for request_id in order:
                batch.connection.execute(
                    sa.text("UPDATE requests SET deferrals = deferrals + 1 WHERE request_id = :id"),
                    {"id": request_id},
                )
                if not met:
                    met = True
                    meet.wait(PATIENCE)

        return unit

    async with open_ledger(ledger_url, clock=clock) as other:
        await asyncio.gather(
            scene.sql._writer.write(crossing(first, second)), other._writer.write(crossing(second, first))
        )
    assert [(await scene.entry(claim)).deferrals for claim in (one, two)] == [2, 2]


_LEAVES_IT_OPEN = """
import asyncio, sys
from datetime import UTC, datetime
from worker.ledger import open_ledger

async def main():
    opened = open_ledger(sys.argv[1], exclusive=True)
    ledger = await opened.__aenter__()
    await ledger.heartbeat("w", datetime.now(UTC))
    await ledger.standings()
    print("written", flush=True)
    return opened

loop = asyncio.new_event_loop()
kept = loop.run_until_complete(main())
"""


async def test_a_ledger_that_was_left_open_does_not_keep_the_process_alive(sqlite_url: str) -> None:
    """A process that ends without closing ends."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _LEAVES_IT_OPEN, sqlite_url],
        timeout=PATIENCE,
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (0, b"written\n")

"""A PostgreSQL server falls silent without hanging up: nobody waits for ever, and what it still does is harmless."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from tests.fakes import FixedClock
from tests.ledger.scene import Scene, connected, wait_for_others
from tests.ledger.test_writer import PATIENCE, handed_in
from tests.servers import frozen
from worker.core import states
from worker.core.entry import Claim
from worker.core.errors import LedgerUnavailable, StaleClaim
from worker.core.states import State
from worker.ledger import SqlLedger, migrate, open_ledger, postgresql
from worker.ledger.faults import Silence
from worker.ledger.postgresql import PostgresqlStore
from worker.ledger.silence import HeedfulConnection
from worker.ledger.writer import Batch
from worker.local.postgresql_server import PostgresqlServer

pytestmark = pytest.mark.postgresql

LIMIT = 1.2  # seconds
SILENT = rf"the ledger 127\.0\.0\.1:\d+/\w+ cannot be used: its server did not answer within {LIMIT} seconds"
CONNECTING = r"its server did not answer within 2 seconds"


def sql(scene: Scene) -> SqlLedger:
    """The ledger, with its threads."""
    assert isinstance(scene.ledger, SqlLedger)
    return scene.ledger


@pytest.fixture
async def scene(own_postgresql_server: PostgresqlServer, clock: FixedClock) -> AsyncIterator[Scene]:
    """A worker's ledger on a server that may be frozen, with connections to write and to read."""
    url = own_postgresql_server.create_database("ledger")
    async with open_ledger(url, clock=clock, exclusive=True) as ledger:
        found = Scene(ledger, clock, url)
        await ledger.heartbeat(found.worker, clock.now())
        yield found


async def attempts(scene: Scene, claim: Claim) -> int:
    """How often the row was marked as sending."""
    return len(await scene.ledger.attempts(claim.entry.request_id))


@contextmanager
def impatient() -> Iterator[None]:
    """Nobody waits long for an answer. (Before and after it a busy machine may take its time.)"""

    def keep(connection: HeedfulConnection, seconds: float) -> None:
        vars(connection)["limit"] = seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeedfulConnection, "limit", property(lambda _: LIMIT, keep), raising=False)
        yield


@contextmanager
def silent(server: PostgresqlServer) -> Iterator[None]:
    """The server says nothing and nobody waits long; two seconds to connect is the least that the driver allows."""
    connect = HeedfulConnection.open

    def in_haste(parameters: Mapping[str, Any], limit: float) -> HeedfulConnection:
        return connect({**parameters, "connect_timeout": 2}, limit)

    with pytest.MonkeyPatch.context() as patch, impatient(), frozen(server):
        patch.setattr(HeedfulConnection, "open", in_haste)
        yield


def when_asked(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> list[bool]:
    """Act before a server is asked for the nth time whether it still works; what it answered each time."""
    answers: list[bool] = []
    ask = HeedfulConnection._is_worked_on

    def acting(connection: HeedfulConnection) -> bool:
        act(len(answers) + 1)
        answers.append(ask(connection))
        return answers[-1]

    monkeypatch.setattr(HeedfulConnection, "_is_worked_on", acting)
    return answers


def ask_for(lock: int) -> Callable[[sa.Connection], None]:
    """A question that is not answered while somebody holds a lock."""
    return lambda reading: reading.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})").close()


# --- a server that stands still -------------------------------------------------------------------------------


async def test_a_write_that_nobody_answers(scene: Scene, own_postgresql_server: PostgresqlServer) -> None:
    """It is refused in words after the limit, and so is the next; when the server goes on, so does the ledger."""
    claim = await scene.accepted()
    with silent(own_postgresql_server):
        with pytest.raises(LedgerUnavailable, match=SILENT):
            await scene.take(claim, states.SEND)
        with pytest.raises(LedgerUnavailable, match=CONNECTING):
            await scene.ledger.check()
    await scene.take(claim, states.SEND)
    assert await attempts(scene, claim) == 1


async def test_a_question_that_nobody_answers(scene: Scene, own_postgresql_server: PostgresqlServer) -> None:
    """It is not asked once more, as it is when a connection was lost: that would only double the wait."""
    claim = await scene.accepted()
    assert await scene.entry(claim) == claim.entry
    with silent(own_postgresql_server):
        with pytest.raises(LedgerUnavailable, match=SILENT):
            await scene.entry(claim)
        with pytest.raises(LedgerUnavailable, match=CONNECTING):
            await scene.entry(claim)
    assert await scene.entry(claim) == claim.entry


async def test_a_commit_that_is_carried_out_after_it_was_given_up(
    scene: Scene, own_postgresql_server: PostgresqlServer
) -> None:
    """Nobody was told that it was safe to send, and the same step a second time meets the guards."""
    claim = await scene.accepted()
    engine = sql(scene)._writer._store._writing  # type: ignore[attr-defined]
    with ExitStack() as stack:

        def freeze(_: sa.Connection) -> None:
            stack.enter_context(silent(own_postgresql_server))

        sa.event.listen(engine, "commit", freeze, once=True)
        with pytest.raises(LedgerUnavailable, match=SILENT):
            await scene.take(claim, states.SEND)
    with pytest.raises(StaleClaim):
        await scene.take(claim, states.SEND)
    assert (await scene.entry(claim)).state is State.SENDING
    assert await attempts(scene, claim) == 1


async def test_a_transaction_that_was_given_up_before_its_commit_holds_nobody_up(
    scene: Scene, own_postgresql_server: PostgresqlServer
) -> None:
    """The server undoes it as soon as it goes on, so its rows are free."""
    claim = await scene.accepted()

    def change(batch: Batch) -> None:
        batch.connection.exec_driver_sql("UPDATE requests SET deferrals = 7")
        with silent(own_postgresql_server):
            batch.connection.exec_driver_sql("UPDATE requests SET deferrals = 8")

    with pytest.raises(LedgerUnavailable, match=SILENT):
        await sql(scene)._writer.write(change)
    assert (await scene.take(claim, states.SEND)).entry.deferrals == 0


async def test_the_ledger_is_closed_while_the_server_is_silent(
    scene: Scene, own_postgresql_server: PostgresqlServer, clock: FixedClock
) -> None:
    """What was under way is refused, nothing is waited for beyond the limits, and no thread stays behind."""
    before = set(threading.enumerate())
    async with AsyncExitStack() as opened:
        ledger = await opened.enter_async_context(open_ledger(scene.url, clock=clock))
        await ledger.check()
        with silent(own_postgresql_server):
            asked = [asyncio.create_task(work) for work in (ledger.check(), ledger.check(), ledger.pauses())]
            await handed_in(3)
            await opened.aclose()
    assert {type(found) for found in await asyncio.gather(*asked, return_exceptions=True)} == {
        LedgerUnavailable,
        Silence,
    }
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not (thread.name.startswith("ledger-") and thread.is_alive())


# --- a server that is slow ------------------------------------------------------------------------------------


async def test_a_long_question_is_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the server says that it works on it."""
    with connected(scene.url) as holder:
        ask_for(7)(holder)

        def let_it_be_answered(number: int) -> None:
            if number == 3:
                holder.rollback()
                wait_for_others(scene.url, "active")

        answers = when_asked(monkeypatch, let_it_be_answered)
        with impatient():
            await sql(scene)._reader.ask(ask_for(7))
    assert answers == [True, True, False]  # when it was asked last it had answered already


async def test_a_migration_waits_for_another_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long that takes: the limit is one of silence, not of work."""
    with connected(scene.url) as holder:
        ask_for(postgresql._MIGRATING)(holder)
        answers = when_asked(monkeypatch, lambda number: holder.rollback() if number == 3 else None)
        with impatient():
            await asyncio.to_thread(migrate, scene.url)
    assert answers[:2] == [True, True]


async def test_a_migration_is_given_up_when_the_server_is_silent(
    scene: Scene, own_postgresql_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer the question either is not waited for."""
    with connected(scene.url) as holder, impatient(), ExitStack() as stack:
        ask_for(postgresql._MIGRATING)(holder)
        answers = when_asked(monkeypatch, lambda _: stack.enter_context(silent(own_postgresql_server)))
        with pytest.raises(LedgerUnavailable, match=SILENT):
            await asyncio.to_thread(migrate, scene.url)
    assert answers == [False]


async def test_an_answer_that_was_lost_is_not_waited_for(scene: Scene) -> None:
    """The server has done what it was asked and waits for more: it says so, wherever its answer went."""
    link = PostgresqlStore(sa.make_url(scene.url)).connect_to_read()
    with link.connection as connection:
        connection.exec_driver_sql("SELECT 1")
        assert not postgresql._raw(connection)._is_worked_on()


async def test_a_server_that_lives_ends_what_takes_too_long_before_it_is_taken_for_silent(
    scene: Scene,
) -> None:
    """And ends the transaction of a worker that it hears nothing of, so that others come to its rows."""

    def milliseconds(batch: Batch) -> dict[str, int]:
        found = batch.connection.exec_driver_sql("SELECT name, setting FROM pg_settings WHERE unit = 'ms'")
        return {row.name: int(row.setting) for row in found}

    limits = await sql(scene)._writer.write(milliseconds)
    assert 0 < limits["lock_timeout"] < limits["statement_timeout"] < postgresql._SILENCE * 1000
    assert limits["idle_in_transaction_session_timeout"] == postgresql._SILENCE * 1000

"""The disk or the server fails: nobody is told that something is safe, and all is well again when they are."""

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg.pq import TransactionStatus

from tests.fakes import FixedClock
from tests.ledger.scene import Scene, connected
from tests.ledger.test_writer import Gate, handed_in
from worker.core import states
from worker.core.entry import Claim
from worker.core.errors import LedgerUnavailable
from worker.core.states import State
from worker.ledger import open_ledger, writer
from worker.local.postgresql_server import PostgresqlServer

on_sqlite = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
on_postgresql = [
    pytest.mark.postgresql,
    pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True),
]


def path_of(scene: Scene) -> Path:
    """The ledger's file."""
    return Path(scene.url.removeprefix("sqlite:///"))


def log_of(scene: Scene) -> Path:
    """The file with its recent writes."""
    return Path(f"{path_of(scene)}-wal")


def move(path: Path, elsewhere: Path) -> None:
    """Move a ledger with everything that belongs to it."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").rename(f"{elsewhere}{suffix}")


@contextmanager
def every_connection(scene: Scene, *pragmas: str) -> Iterator[None]:
    """The writer's connection, and every one it makes meanwhile, is given these pragmas."""

    def give(raw: sqlite3.Connection, _: object) -> None:
        for pragma in pragmas:
            raw.execute(f"PRAGMA {pragma}")

    engine = scene.sql._writer._store._writing  # type: ignore[attr-defined]
    link = scene.sql._writer._link
    assert link is not None
    give(link.connection.connection.driver_connection, None)  # type: ignore[arg-type]
    sa.event.listen(engine, "connect", give)
    yield
    sa.event.remove(engine, "connect", give)


async def refused(scene: Scene, claim: Claim, words: str) -> None:
    """No write is accepted, in these words; each names the file."""
    for write in (scene.accepted("new"), scene.take(claim, states.SEND), scene.ledger.check()):
        with pytest.raises(LedgerUnavailable, match=words) as told:
            await write
        assert str(path_of(scene)) in str(told.value)


async def works_again(scene: Scene, claim: Claim) -> None:
    """Without a restart, and without a trace of what was refused."""
    assert (await scene.entry(claim)).state is State.ACCEPTED
    assert (await scene.take(claim, states.SEND)).entry.state is State.SENDING
    assert (await scene.accepted("new")).entry.state is State.ACCEPTED
    await scene.ledger.check()


@on_sqlite
async def test_a_full_disk(scene: Scene) -> None:
    """Writes are refused, reads go on, and when there is room again so do the writes."""
    claim = await scene.accepted(context={"x": "y" * 20_000})
    with every_connection(scene, "max_page_count=1"):  # that is: as many as there are
        for number in range(100):  # what is free inside the file is used up first
            try:
                await scene.accepted(f"fill-{number}", context={"x": "y" * 20_000})
            except LedgerUnavailable:
                break
        with pytest.raises(LedgerUnavailable, match=r"ledger\.db cannot be used: the disk is full"):
            await scene.accepted("new", context={"x": "y" * 20_000})
        assert await scene.entry(claim) == claim.entry
    await works_again(scene, claim)


@on_sqlite
async def test_a_disk_that_becomes_read_only(scene: Scene) -> None:
    """As a file system does after an error of its own."""
    claim = await scene.accepted()
    with every_connection(scene, "query_only=ON"):
        await refused(scene, claim, "read-only")
    await works_again(scene, claim)


@on_sqlite
async def test_a_file_that_is_taken_away(scene: Scene) -> None:
    """Nothing is written to a file that no longer has a name, and no empty ledger appears in its place."""
    claim = await scene.accepted()
    path, elsewhere = path_of(scene), path_of(scene).with_name("elsewhere")
    move(path, elsewhere)
    await refused(scene, claim, "the file is gone")
    with pytest.raises(LedgerUnavailable):
        await scene.entry(claim)
    assert not path.exists()
    move(elsewhere, path)
    await works_again(scene, claim)


@on_sqlite
async def test_a_folder_that_is_none_any_more(scene: Scene) -> None:
    """As when a mount is lost: whatever the system says of the file, the ledger is away, to write and to read."""
    claim = await scene.accepted()
    folder = path_of(scene).parent
    elsewhere = folder.rename(folder.with_name(f"{folder.name}-moved"))
    folder.touch()
    await refused(scene, claim, "Not a directory")
    with pytest.raises(LedgerUnavailable, match="Not a directory"):
        await scene.entry(claim)
    folder.unlink()
    elsewhere.rename(folder)
    await works_again(scene, claim)


@on_sqlite
async def test_a_log_of_recent_writes_that_is_taken_away(scene: Scene) -> None:
    """Writing on into a removed log would lose every commit until the next checkpoint."""
    claim = await scene.accepted()
    log_of(scene).unlink()
    with pytest.raises(LedgerUnavailable, match="-wal was taken away"):
        await scene.take(claim, states.SEND)


@on_sqlite
async def test_a_file_that_is_overwritten_with_something_else(scene: Scene) -> None:
    """A restore that went wrong is told as what it is."""
    claim = await scene.accepted()
    path = path_of(scene)
    path.with_name("new").write_bytes(b"this is no database" * 1000)
    path.with_name("new").replace(path)
    with pytest.raises(LedgerUnavailable, match="was replaced"):
        await scene.take(claim, states.SEND)
    with pytest.raises(LedgerUnavailable, match="no ledger"):
        await scene.take(claim, states.SEND)


@on_sqlite
async def test_a_file_that_somebody_else_locks(
    ledger_url: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that holds the file for too long is told as such; afterwards writes go on."""
    monkeypatch.setattr(writer, "LOCK_PATIENCE", 0.01)
    async with open_ledger(ledger_url, clock=clock, exclusive=True) as ledger:
        scene = Scene(ledger, clock, ledger_url)
        claim = await scene.accepted()
        holder = sqlite3.connect(path_of(scene), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        await refused(scene, claim, "locks the file for too long")
        holder.close()
        await works_again(scene, claim)


@on_sqlite
async def test_a_lock_that_somebody_else_holds_stops_no_loop(ledger_url: str, clock: FixedClock) -> None:
    """Only the writes wait for it; heartbeats, answers and probes go on."""
    async with open_ledger(ledger_url, clock=clock, exclusive=True) as ledger:
        scene = Scene(ledger, clock, ledger_url)
        claim = await scene.accepted()
        holder = sqlite3.connect(path_of(scene), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(scene.take(claim, states.SEND))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        holder.close()
        assert (await waiting).entry.state is State.SENDING


@contextmanager
def no_file_may_grow(beyond: int) -> Iterator[None]:
    """The kernel refuses to make any file of this process longer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@on_sqlite
async def test_of_a_commit_that_fails_no_unit_reports_success(scene: Scene) -> None:
    """The write fails in the kernel, in the middle of the commit of twenty units: all are refused, none is stored."""
    claims = [await scene.accepted(f"key-{number}") for number in range(20)]
    before = scene.stored()
    async with Gate(scene.sql):
        tasks = [asyncio.create_task(scene.take(claim, states.SEND)) for claim in claims]
        await handed_in(3)
        grown = no_file_may_grow(log_of(scene).stat().st_size)
        grown.__enter__()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    grown.__exit__(None, None, None)
    assert {type(result) for result in results} == {LedgerUnavailable}
    assert len(set(map(id, results))) == len(results), "each caller raises an exception of its own"
    assert scene.stored() == before
    again = await asyncio.gather(*(scene.take(claim, states.SEND) for claim in claims))
    assert {claim.entry.state for claim in again} == {State.SENDING}


# --- PostgreSQL -----------------------------------------------------------------------------------------------


def hang_up(url: str) -> None:
    """Cut every other connection to this database."""
    with connected(url) as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def status_of(connection: sa.Connection) -> TransactionStatus:
    """What the driver is in the middle of."""
    driver: Any = connection.connection.driver_connection
    return TransactionStatus(driver.info.transaction_status)


class TestPostgresql:
    pytestmark = on_postgresql

    async def test_a_lost_connection_is_made_again(self, scene: Scene) -> None:
        """The write that met the loss is refused, the next one finds a new connection; a read does not even notice."""
        claim = await scene.accepted()
        assert await scene.entry(claim) == claim.entry
        hang_up(scene.url)
        with pytest.raises(LedgerUnavailable, match="terminating connection"):
            await scene.ledger.check()
        await works_again(scene, claim)

    async def test_why_a_connection_was_lost_is_told(self, scene: Scene) -> None:
        """In the server's words, whichever way the statement went that met the loss."""
        claim = await scene.accepted()
        for write in (scene.take(claim, states.SEND), scene.accepted("new"), scene.ledger.check()):
            hang_up(scene.url)
            with pytest.raises(LedgerUnavailable, match="terminating connection"):
                await write
            await scene.ledger.check()
        await works_again(scene, claim)

    async def test_a_connection_that_is_lost_during_the_commit(self, scene: Scene) -> None:
        """Nobody knows whether it was committed, so nobody is told that it was; the guards sort it out."""
        claims = [await scene.accepted(f"key-{number}") for number in range(5)]
        engine = scene.sql._writer._store._writing  # type: ignore[attr-defined]

        commits_cut = 0

        def cut(connection: sa.Connection) -> None:
            nonlocal commits_cut
            if status_of(connection) is TransactionStatus.INTRANS:  # not at the gate, which wrote nothing
                hang_up(scene.url)
                commits_cut += 1

        async with Gate(scene.sql):
            tasks = [asyncio.create_task(scene.take(claim, states.SEND)) for claim in claims]
            await handed_in(3)
            sa.event.listen(engine, "commit", cut)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        sa.event.remove(engine, "commit", cut)
        assert commits_cut == 1
        assert {type(result) for result in results} == {LedgerUnavailable}
        again = await asyncio.gather(*(scene.take(claim, states.SEND) for claim in claims))
        assert {claim.entry.attempts for claim in again} == {0}

    async def test_a_server_that_only_reads(self, scene: Scene) -> None:
        """A standby, or an operator's doing: told with PostgreSQL's own words and code, without a password."""
        claim = await scene.accepted()
        database = sa.make_url(scene.url).database
        with connected(scene.url) as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
        hang_up(scene.url)
        with pytest.raises(LedgerUnavailable):
            await scene.ledger.check()
        with pytest.raises(LedgerUnavailable, match="25006") as told:
            await scene.ledger.check()
        assert str(database) in str(told.value)
        assert str(sa.make_url(scene.url).password) not in str(told.value)
        with connected(scene.url) as connection:
            connection.exec_driver_sql("SET TRANSACTION READ WRITE")
            connection.exec_driver_sql(f'ALTER DATABASE "{database}" RESET default_transaction_read_only')
        await works_again(scene, claim)


@pytest.mark.postgresql
async def test_a_server_that_dies_and_comes_back(
    own_postgresql_server: PostgresqlServer, clock: FixedClock
) -> None:
    """Refused while it is away, in words; what was confirmed before is there afterwards."""
    url = own_postgresql_server.create_database("ledger")
    async with open_ledger(url, clock=clock, exclusive=True) as ledger:
        scene = Scene(ledger, clock, url)
        claim = await scene.accepted()
        own_postgresql_server.kill()
        for words in ("unexpected postmaster exit|no answer", "refused"):
            with pytest.raises(LedgerUnavailable, match=words):
                await scene.ledger.check()
        with pytest.raises(LedgerUnavailable):
            await scene.entry(claim)
        own_postgresql_server.start()
        await works_again(scene, claim)

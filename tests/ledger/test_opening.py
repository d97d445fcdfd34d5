"""What must be true before anybody relies on a ledger."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.fakes import FixedClock
from tests.ledger.scene import Scene, connected
from worker.core.errors import ConfigurationError, LedgerUnavailable
from worker.core.states import State
from worker.ledger import migrate, open_ledger, sqlite_path
from worker.ledger.urls import store_at
from worker.ledger.writer import Batch


def modes_in(folder: Path) -> dict[str, int]:
    """Who may read and write each file in a folder."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def pragma(scene: Scene, name: str) -> object:
    """What the connection that writes says about itself, where it may take its time."""
    return await scene.sql._writer.write(
        lambda batch: batch.connection.exec_driver_sql(f"PRAGMA {name}").scalar_one(), slow=True
    )


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("synchronous", 2, "FULL: with anything less a power cut may undo a commit"),
        ("journal_mode", "wal", "readers and the writer do not wait for each other"),
        ("foreign_keys", 1, "an attempt always has its request"),
        ("busy_timeout", 5000, "an operator's command may write beside the worker"),
    ],
)
async def test_the_connection_that_writes_is_durable(
    scene: Scene, name: str, value: object, reason: str
) -> None:
    """The pragmas are read back from the very connection that keeps the promises."""
    assert await pragma(scene, name) == value, reason


async def test_a_file_system_that_cannot_be_made_durable_is_refused(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that does not take is an error, not a wish."""
    monkeypatch.setattr("worker.ledger.sqlite._PRAGMAS", (("synchronous", 2), ("journal_mode", "nonsense")))
    with pytest.raises(ConfigurationError, match="journal_mode"):
        async with open_ledger(sqlite_url, exclusive=True):
            pass


@pytest.mark.postgresql
async def test_a_server_that_may_forget_is_told_not_to(postgresql_url: str) -> None:
    """Whatever a database is set to, the connection that writes waits for the server's disk, and so does the next."""

    def lose(batch: Batch) -> None:
        batch.connection.invalidate()
        raise LookupError

    def shown(batch: Batch) -> str:
        return str(batch.connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    migrate(postgresql_url)
    database = sa.make_url(postgresql_url).database
    with connected(postgresql_url) as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{database}" SET synchronous_commit = off')
    async with open_ledger(postgresql_url) as ledger:
        found = await ledger._writer.write(shown)
        with pytest.raises(LookupError):
            await ledger._writer.write(lose)
        again = await ledger._writer.write(shown)
    assert (found, again) == ("on", "on")


async def test_a_new_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    """The ledger, its log and its lock; whatever the umask says."""
    before = os.umask(0)
    try:
        async with open_ledger(f"sqlite:///{tmp_path / 'new.db'}", exclusive=True) as ledger:
            await ledger.check()
            modes = modes_in(tmp_path)
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("new.db", "new.db-wal", "new.db-shm", "new.db.lock"), 0o600)


async def test_a_missing_folder_is_not_made_up(tmp_path: Path) -> None:
    """It may be a volume that was not mounted; a ledger beside it would be gone with the container."""
    with pytest.raises(ConfigurationError, match="the ledger's volume mounted"):
        async with open_ledger(f"sqlite:///{tmp_path / 'volume' / 'ledger.db'}", exclusive=True):
            pass
    assert not (tmp_path / "volume").exists()


async def test_a_command_does_not_make_a_ledger(tmp_path: Path) -> None:
    """An operator who mistypes the path is told so, and no empty file is left behind."""
    with pytest.raises(LedgerUnavailable, match=r"typo\.db"):
        async with open_ledger(f"sqlite:///{tmp_path / 'typo.db'}"):
            pass
    assert modes_in(tmp_path) == {}


async def test_a_file_without_tables_is_no_ledger_yet(tmp_path: Path) -> None:
    """Only a worker makes the tables."""
    (tmp_path / "empty.db").touch()
    with pytest.raises(ConfigurationError, match="no ledger"):
        async with open_ledger(f"sqlite:///{tmp_path / 'empty.db'}"):
            pass


async def test_two_workers_on_one_file_are_refused(sqlite_url: str) -> None:
    """The second is told who is there and what to use instead; a command may look all the same."""
    async with open_ledger(sqlite_url, exclusive=True) as ledger:
        with pytest.raises(ConfigurationError, match=rf"process {os.getpid()}\).*PostgreSQL"):
            async with open_ledger(sqlite_url, exclusive=True):
                pass
        async with open_ledger(sqlite_url) as command:
            await command.check()
        await ledger.check()
    async with open_ledger(sqlite_url, exclusive=True) as ledger:
        await ledger.check()


_HOLDS_IT = """
import asyncio, sys
from worker.ledger import open_ledger
async def main():
    async with open_ledger(sys.argv[1], exclusive=True):
        print("open", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


async def test_a_killed_worker_leaves_no_lock(sqlite_url: str) -> None:
    """The system itself frees the lock, so a restart is never refused for a worker that is gone."""
    holder = subprocess.Popen(  # noqa: ASYNC220 - its few milliseconds disturb nobody
        [sys.executable, "-c", _HOLDS_IT, sqlite_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == b"open\n"
        with pytest.raises(ConfigurationError, match=f"process {holder.pid}"):
            async with open_ledger(sqlite_url, exclusive=True):
                pass
        holder.kill()
    async with open_ledger(sqlite_url, exclusive=True) as ledger:
        await ledger.check()


@pytest.mark.parametrize("name", ["worker-1", "worker-2"])
async def test_at_the_start_every_earlier_worker_on_the_file_is_dead(
    sqlite_url: str, clock: FixedClock, name: str
) -> None:
    """No lease is waited for: nobody else can be alive, whatever its heartbeat says and whatever it was called."""
    async with open_ledger(sqlite_url, clock=clock, exclusive=True) as ledger:
        scene = Scene(ledger, clock, sqlite_url)
        await ledger.heartbeat(scene.worker, clock.now())
        sending, unsent = await scene.sending("sent"), await scene.accepted("unsent")
    async with open_ledger(sqlite_url, clock=clock, exclusive=True) as ledger:
        await ledger.heartbeat(name, clock.now())
        assert await ledger.rescue(clock.now(), name) == [sending.entry.request_id]
        (claim,) = await ledger.claim_due(unsent.entry.provider, name, clock.now(), 10)
        assert claim.entry.request_id == unsent.entry.request_id


async def test_a_command_frees_nobodys_claims(sqlite_url: str, clock: FixedClock) -> None:
    """Looking at a ledger beside a worker must not end the worker's leases."""
    async with open_ledger(sqlite_url, clock=clock, exclusive=True) as ledger:
        scene = Scene(ledger, clock, sqlite_url)
        await ledger.heartbeat(scene.worker, clock.now())
        sending = await scene.sending()
        async with open_ledger(sqlite_url, clock=clock) as command:
            assert await command.rescue(clock.now(), "olivia") == []
        assert (await scene.entry(sending)).state is State.SENDING


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_opening_again_leaves_the_locks_of_this_process_alone(scene: Scene) -> None:
    """Without them another process would think it is the last one, and remove the log that we write to."""
    claim = await scene.accepted()
    migrate(scene.url)
    path = str(sqlite_path(scene.url))
    look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM requests').fetchall()"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", look, path], check=True)
    assert (await scene.entry(claim)).state is State.ACCEPTED
    await scene.ledger.check()


def test_a_url_names_a_file_or_a_server() -> None:
    """Relative and absolute files; a server under the names people use for it."""
    assert sqlite_path("sqlite:///ledger.db") == Path("ledger.db")
    assert sqlite_path("sqlite:////var/lib/ledger.db") == Path("/var/lib/ledger.db")
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        assert sqlite_path(f"{scheme}://u:secret@db.example:5433/ledger") is None
        assert store_at(f"{scheme}://u:secret@db.example:5433/ledger").place == "db.example:5433/ledger"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "names no file"),
        ("mysql://u:secret@host/db", "not at mysql:"),
        ("postgresql://u:secret@host", "not at postgresql:"),
        ("postgresql+psycopg2://u:secret@host/db", r"not at postgresql\+psycopg2:"),
        ("u:secret@nonsense", "cannot be read"),
    ],
)
def test_a_url_that_names_no_ledger_is_refused(url: str, words: str) -> None:
    """In words that name what would do, and never the password."""
    with pytest.raises(ConfigurationError, match=words) as told:
        migrate(url)
    assert "secret" not in str(told.value)


@pytest.mark.postgresql
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_settings_of_the_url_are_kept_beside_the_ledgers_own(ledger_url: str) -> None:
    """A schema that somebody chose in the URL is not lost to our time-outs."""
    with connected(ledger_url) as connection:
        connection.exec_driver_sql("CREATE SCHEMA own")
    own = f"{ledger_url}?options=-csearch_path%3Down"
    migrate(own)
    async with open_ledger(own) as ledger:
        await ledger.check()
    with connected(ledger_url) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM own.checks").scalar_one() == 1
        connection.exec_driver_sql("DROP SCHEMA own CASCADE")


async def test_a_ledger_in_memory_lives_as_long_as_it_is_open() -> None:
    """Writer and reader share it, another name is another ledger, and nothing outlives it: for trials only."""
    url = "sqlite:///:memory:trial"
    for _ in range(2):
        async with open_ledger(url, exclusive=True) as ledger:
            scene = Scene(ledger, FixedClock(), url)
            claim = await scene.accepted()
            assert await scene.entry(claim) == claim.entry
            async with open_ledger("sqlite:///:memory:", exclusive=True) as another:
                assert await another.find(claim.entry.request_id) is None
    with pytest.raises(ConfigurationError, match="there is no ledger at memory yet"):
        async with open_ledger(url):
            pass


def test_an_sqlite_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written with it."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigurationError, match=r"3\.35"):
        migrate(f"sqlite:///{tmp_path / 'ledger.db'}")
    with pytest.raises(ConfigurationError, match=r"3\.36"):
        migrate("sqlite:///:memory:")
    assert list(tmp_path.iterdir()) == []

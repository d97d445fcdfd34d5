"""A private PostgreSQL server: starts, stops and dies on request, and keeps to itself."""

import os
import shutil
import stat
from pathlib import Path

import psycopg
import pytest

from worker.local import postgresql_files
from worker.local.errors import ServerFailed, ServerMissing
from worker.local.postgresql_server import PostgresqlServer

pytestmark = pytest.mark.postgresql


def value(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row and row[0]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("turn", [1, 2])
def test_a_test_has_an_empty_database_of_its_own(turn: int, postgresql_url: str) -> None:
    """What one test leaves in its database is not there for the next."""
    execute(postgresql_url, "CREATE TABLE left_behind ()")
    assert value(postgresql_url, "SELECT count(*) FROM pg_tables WHERE tablename = 'left_behind'") == 1


def test_a_database_can_be_copied(postgresql_server: PostgresqlServer, postgresql_url: str) -> None:
    """A database made after a template has the template's content."""
    execute(postgresql_url, "CREATE TABLE found AS SELECT 7 AS number")
    template = postgresql_url.rpartition("/")[2]
    copy = postgresql_server.create_database("copied", template=template)
    assert value(copy, "SELECT number FROM found") == 7
    postgresql_server.drop_database("copied")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(copy)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "a database has a name"),
        ('x"; DROP DATABASE "y', "the name becomes part of a statement"),
        ("Upper", "without quotes, other programs would look for another name"),
    ],
)
def test_a_name_must_be_plain(name: str, reason: str, postgresql_server: PostgresqlServer) -> None:
    """A name that would need escaping is refused before the server is asked."""
    with pytest.raises(ValueError, match="not a name"):
        postgresql_server.create_database(name)


def test_a_second_database_of_a_name_is_an_error(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    """A statement that the server refuses raises with what it said."""
    with pytest.raises(ServerFailed, match="already exists"):
        postgresql_server.create_database(postgresql_url.rpartition("/")[2])


def test_the_password_is_needed_and_kept_private(postgresql_server: PostgresqlServer) -> None:
    """Nobody gets in without the password, which is in one file that only its owner reads."""
    password = postgresql_server._identity.password
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgresql_server.url().replace(password, "guessed"))
    file = postgresql_server._files.folder / "server.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert password not in repr(postgresql_server._identity)
    assert not (postgresql_server._files.folder / "password").exists()


def test_it_listens_on_the_loopback_address_only(postgresql_server: PostgresqlServer) -> None:
    """The server cannot be reached at another address of this machine."""
    assert value(postgresql_server.url(), "SHOW listen_addresses") == "127.0.0.1"
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(postgresql_server.url().replace("127.0.0.1", "127.0.0.2"))


def test_kill_and_restart_keep_data_and_address(own_postgresql_server: PostgresqlServer) -> None:
    """A server that was killed, and one that was restarted, has its data and its address as before."""
    url, before = own_postgresql_server.create_database("kept"), own_postgresql_server.pid
    execute(url, "CREATE TABLE kept AS SELECT 7 AS number")
    own_postgresql_server.kill()
    assert not own_postgresql_server.running
    own_postgresql_server.start()
    assert value(url, "SELECT number FROM kept") == 7
    own_postgresql_server.restart()
    assert own_postgresql_server.pid != before
    assert value(url, "SELECT number FROM kept") == 7


def test_a_durable_server_waits_for_the_disk(postgresql_server: PostgresqlServer) -> None:
    """A server meant to be durable syncs what it commits, unlike the one that tests share."""
    assert value(postgresql_server.url(), "SHOW fsync") == "off"
    with PostgresqlServer(durable=True) as durable:
        assert value(durable.url(), "SHOW fsync") == "on"


def test_a_killed_server_leaves_no_shared_memory(own_postgresql_server: PostgresqlServer) -> None:
    """The segment that PostgreSQL marks its data with is freed, although SIGKILL gave it no chance to."""
    pid_file = own_postgresql_server._files.data / "postmaster.pid"
    segment = pid_file.read_text().splitlines()[6].split()[1]
    assert segment in segments()
    own_postgresql_server.kill()
    assert segment not in segments()


def segments() -> set[str]:
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}


def test_root_runs_it_as_somebody_else(postgresql_server: PostgresqlServer) -> None:
    """The server's processes never belong to root, whoever starts it."""
    owner = Path(f"/proc/{postgresql_server.pid}").stat().st_uid
    assert owner != 0
    assert owner == os.geteuid() or os.geteuid() == 0


def test_a_folder_it_cannot_use_is_an_error(tmp_path: Path) -> None:
    """A server that cannot use its folder does not start, and the error is what PostgreSQL said."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("never\n")
    with pytest.raises(ServerFailed, match=r"did not start\n.+"):
        PostgresqlServer(tmp_path).start()


def test_nobody_attaches_to_a_server_that_is_gone(tmp_path: Path) -> None:
    """The process ids that a dead server left in its folder are not taken for a running server."""
    server = PostgresqlServer(tmp_path)
    server._files.write_identity(postgresql_files.Identity(1, "secret", keeper=os.getpid(), pid=os.getpid()))
    with pytest.raises(ServerFailed, match="no PostgreSQL server runs"):
        PostgresqlServer.attach(tmp_path)


def test_without_postgresql_the_error_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where PostgreSQL is not installed, the error says how to install it."""
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    with pytest.raises(ServerMissing, match=r"make test.*apt-get install postgresql"):
        PostgresqlServer(tmp_path).start()

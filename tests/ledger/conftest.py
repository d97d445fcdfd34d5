"""Every test of the ledger runs on a fresh one of each kind."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from tests.fakes import FixedClock
from tests.ledger.kinds import kept_plain, open_any
from tests.ledger.moves import make_filled
from tests.ledger.scene import Scene, empty
from worker.ledger import migrate
from worker.ledger.memory import memory_uri
from worker.ledger.sqlite import opened
from worker.local.postgresql_server import PostgresqlServer

SQL = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("memory", id="memory"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql),
]
LASTING = [SQL[0], SQL[2]]
"""Those that another process can use, and that outlive this one."""
KINDS = [*SQL, pytest.param("plain", id="plain")]
"""With the one in plain dicts, which other tests rely on: it must do what the real ones do."""


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger in SQLite, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "ledger.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_memory() -> Iterator[sqlite3.Connection]:
    """An empty ledger in memory, to be copied. (A file's cannot be: in memory there is no log of recent writes.)"""
    name = f"migrated-{uuid4().hex}"
    with closing(opened(memory_uri(name))) as kept:
        migrate(f"sqlite:///:memory:{name}")
        yield kept


@pytest.fixture(scope="session")
def migrated_database(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """A ledger in PostgreSQL, to be emptied before each test."""
    name = f"ledger_{uuid4().hex}"
    url = postgresql_server.create_database(name)
    migrate(url)
    yield url
    postgresql_server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_file: Path) -> str:
    """A new ledger in a file."""
    shutil.copy(migrated_file, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgresql_ledger_url(migrated_database: str) -> str:
    """An emptied ledger on the server."""
    empty(migrated_database)
    return migrated_database


@pytest.fixture
def memory_url(migrated_memory: sqlite3.Connection) -> Iterator[str]:
    """A new ledger in memory."""
    name = f"ledger-{uuid4().hex}"
    with closing(opened(memory_uri(name))) as kept:
        migrated_memory.backup(kept)
        yield f"sqlite:///:memory:{name}"


@pytest.fixture
def plain_url() -> Iterator[str]:
    """A new ledger in plain dicts."""
    with kept_plain() as url:
        yield url


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A new ledger of each kind."""
    return new_ledger(request)


def new_ledger(request: pytest.FixtureRequest) -> str:
    """A new ledger of the kind that a parameter names."""
    fixtures = {
        "sqlite": "sqlite_url",
        "memory": "memory_url",
        "postgresql": "postgresql_ledger_url",
        "plain": "plain_url",
    }
    url: str = request.getfixturevalue(fixtures[request.param])
    return url


@pytest.fixture(params=SQL)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place where no ledger is yet."""
    match request.param:
        case "sqlite":
            yield f"sqlite:///{tmp_path / 'new.db'}"
        case "memory":
            name = f"new-{uuid4().hex}"
            with closing(opened(memory_uri(name))):
                yield f"sqlite:///:memory:{name}"
        case _:
            yield request.getfixturevalue("postgresql_url")


@pytest.fixture
def clock() -> FixedClock:
    """Noon, until the test says otherwise."""
    return FixedClock()


@pytest.fixture
async def scene(ledger_url: str, clock: FixedClock) -> AsyncIterator[Scene]:
    """A worker's ledger, opened, with its first heartbeat."""
    async with open_any(ledger_url, clock=clock, lease=30, exclusive=True) as ledger:
        found = Scene(ledger, clock, ledger_url)
        await ledger.heartbeat(found.worker, clock.now())
        yield found


# --- moving ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with rows of every kind, to be copied."""
    path = tmp_path_factory.mktemp("filled") / "ledger.db"
    asyncio.run(make_filled(f"sqlite:///{path}"))
    return path


@pytest.fixture
def source(filled: Path, tmp_path: Path) -> str:
    """A copy of it."""
    shutil.copy(filled, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def target(postgresql_url: str) -> str:
    """An empty database."""
    return postgresql_url

"""Every test of the ledger runs on a fresh one of each kind."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.fakes import FixedClock
from tests.ledger.scene import Scene, empty
from worker.ledger import migrate, open_ledger
from worker.local.postgresql_server import PostgresqlServer

KINDS = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql),
]


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger in SQLite, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "ledger.db"
    migrate(f"sqlite:///{path}")
    return path


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


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A new ledger of each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgresql_ledger_url"
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture(params=KINDS)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place where no ledger is yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def clock() -> FixedClock:
    """Noon, until the test says otherwise."""
    return FixedClock()


@pytest.fixture
async def scene(ledger_url: str, clock: FixedClock) -> AsyncIterator[Scene]:
    """A worker's ledger, opened, with its first heartbeat."""
    async with open_ledger(ledger_url, clock=clock, lease=30, exclusive=True) as ledger:
        found = Scene(ledger, clock, ledger_url)
        await ledger.heartbeat(found.worker, clock.now())
        yield found

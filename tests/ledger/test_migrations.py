"""The migrations make the tables the code knows, once, and refuse what they do not know."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.fakes import FixedClock
from tests.ledger.conftest import LASTING, SQL, new_ledger
from tests.ledger.scene import PROVIDER, Scene, connected
from worker.core.errors import ConfigurationError, NotAllowed
from worker.core.shares import Wish
from worker.ledger import migrate, open_ledger
from worker.ledger.fit import VERSION, revision_of
from worker.ledger.migrating import MigrationStep, alembic_config, change, revisions, undisturbed
from worker.ledger.rest import at_rest
from worker.ledger.schema import REVISION, metadata
from worker.ledger.standing import standing
from worker.ledger.urls import store_at

OLDEST = "0001"


@pytest.fixture(params=SQL)
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A new ledger of each kind that has migrations."""
    return new_ledger(request)


@pytest.fixture
def connection(new_url: str) -> Iterator[sa.Connection]:
    """A connection to a ledger that was migrated just now."""
    migrate(new_url)
    with connected(new_url) as found:
        yield found


def differences(connection: sa.Connection) -> list[object]:
    """What an automatic migration would do now."""
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def definitions(connection: sa.Connection) -> list[str]:
    """What comparing leaves out: checks, the conditions of indexes, and triggers."""
    if connection.dialect.name == "sqlite":
        found = "SELECT sql FROM sqlite_master WHERE type = 'trigger' OR sql LIKE '% WHERE %'"
    else:
        found = "SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '% WHERE %' "
        found += " UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    statement = sa.text(found)
    return sorted(" ".join(str(text).split()) for text in connection.scalars(statement))


def test_the_migrated_tables_are_those_of_the_code(connection: sa.Connection) -> None:
    """Every table, column, type, key and index."""
    assert differences(connection) == []
    checks = sa.inspect(connection).get_check_constraints("requests")
    assert [check["name"] for check in checks] == ["ck_requests_due"]
    conditions = [text for text in definitions(connection) if "WHERE" in text]
    wanted = [index for table in metadata.tables.values() for index in table.indexes]
    partial = [index for index in wanted if index.dialect_options["sqlite"]["where"] is not None]
    assert len([text for text in conditions if "INDEX" in text]) == len(partial) == 4


def test_down_and_up_again_gives_the_same(connection: sa.Connection) -> None:
    """Each step can be taken back, and leaves nothing behind."""
    before = definitions(connection)
    config = alembic_config(connection)
    command.downgrade(config, "base")
    assert sa.inspect(connection).get_table_names() == ["alembic_version"]
    command.upgrade(config, "head")
    assert differences(connection) == []
    assert definitions(connection) == before


def test_the_code_knows_its_newest_migration(connection: sa.Connection) -> None:
    """A new step without a new `REVISION`, or the other way round, would migrate at every start, or never."""
    scripts = ScriptDirectory.from_config(alembic_config(connection))
    assert scripts.get_heads() == [REVISION]
    assert revisions() == tuple(sorted(revisions())), "older and newer are told apart by their numbers"


def test_many_workers_that_start_at_once_migrate_once(new_url: str) -> None:
    """All of them find the ledger ready; none fails for having come second."""
    with ThreadPoolExecutor(6) as workers:
        list(workers.map(migrate, [new_url] * 6))
    with connected(new_url) as connection:
        assert differences(connection) == []


@pytest.fixture
def marked(ledger_url: str) -> Iterator[Callable[[str], None]]:
    """Makes the ledger look as if another version had written it, until the test ends."""

    def mark(revision: str) -> None:
        with connected(ledger_url) as connection:
            connection.execute(sa.update(VERSION).values(version_num=revision))

    yield mark
    mark(REVISION)


@pytest.mark.parametrize("exclusive", [True, False])
async def test_a_ledger_newer_than_the_code_is_refused(
    ledger_url: str, marked: Callable[[str], None], exclusive: bool
) -> None:
    """An old worker would write what the new one does not expect; it is told what helps, and nothing changes."""
    marked("9999")
    helps = rf"schema 9999.*newest version .*ledger migrate --to {REVISION}`"
    with pytest.raises(ConfigurationError, match=helps):
        async with open_ledger(ledger_url, exclusive=exclusive):
            pass
    with pytest.raises(ConfigurationError, match=helps):
        migrate(ledger_url)
    with undisturbed(store_at(ledger_url)) as connection, pytest.raises(ConfigurationError, match=helps):
        change(connection, "there", "0001", may_lose=True)
    with connected(ledger_url) as connection:
        assert revision_of(connection) == "9999"


@pytest.fixture
def go_back(ledger_url: str) -> Iterator[Callable[[str], None]]:
    """Brings the ledger back to an older schema, until the test ends."""

    def back(revision: str) -> None:
        with undisturbed(store_at(ledger_url)) as connection:
            change(connection, "there", revision, may_lose=True)

    yield back
    migrate(ledger_url)


@pytest.mark.parametrize("ledger_url", ["sqlite", "memory"], indirect=True)
async def test_an_older_file_is_brought_up_to_date_by_the_worker(
    ledger_url: str, clock: FixedClock, go_back: Callable[[str], None]
) -> None:
    """Nobody else can be using it; its rows stay. A command that comes before the worker is told what helps."""
    async with open_ledger(ledger_url, clock=clock, exclusive=True) as ledger:
        claim = await Scene(ledger, clock, ledger_url).accepted()
    go_back(OLDEST)
    with pytest.raises(ConfigurationError, match="`provisioner ledger migrate`"):
        async with open_ledger(ledger_url):
            pass
    async with open_ledger(ledger_url, clock=clock, exclusive=True) as ledger:
        found = await ledger.find(claim.entry.request_id)
        assert found is not None
        assert found.idempotency_key == claim.entry.idempotency_key


@pytest.mark.postgresql
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("exclusive", [True, False])
async def test_an_older_ledger_on_a_server_is_left_to_a_person(
    ledger_url: str, exclusive: bool, go_back: Callable[[str], None]
) -> None:
    """Others may be running on it; the worker names the command and changes nothing."""
    go_back(OLDEST)
    with pytest.raises(ConfigurationError, match="stop all workers, then run `provisioner ledger migrate`"):
        async with open_ledger(ledger_url, exclusive=exclusive):
            pass
    with connected(ledger_url) as connection:
        assert revision_of(connection) == OLDEST


# --- by hand --------------------------------------------------------------------------------------------------


async def test_down_and_up_by_hand(scene: Scene) -> None:
    """Each step is told with what it brings or forgets; the rows of requests are not touched."""
    claim = await scene.accepted()
    before = scene.stored()["requests"]
    told: list[MigrationStep] = []
    with undisturbed(store_at(scene.url)) as connection:
        down = change(connection, "there", OLDEST, may_lose=True, told=told.append)
        up = change(connection, "there", REVISION, may_lose=False, told=told.append)
        nothing = change(connection, "there", REVISION, may_lose=False)
    assert [*down, *up] == told
    downwards, upwards = [("0002", False), (OLDEST, False)], [("0002", True), (REVISION, True)]
    assert [(step.revision, step.loses is None) for step in told] == downwards + upwards
    assert all(step.words for step in told)
    assert nothing == []
    assert scene.stored()["requests"] == before
    assert await scene.entry(claim) == claim.entry


async def test_what_would_be_forgotten_is_told_first(scene: Scene) -> None:
    """Going back needs a yes; without it nothing changes."""
    with undisturbed(store_at(scene.url)) as connection:
        with pytest.raises(NotAllowed, match=r"forgets .*the waits .*--yes"):
            change(connection, "there", OLDEST, may_lose=False)
        assert revision_of(connection) == REVISION


@pytest.mark.parametrize("ledger_url", LASTING, indirect=True)
async def test_nobody_migrates_under_a_living_worker(scene: Scene) -> None:
    """The worker is named: on a server by its sign of life, until its lease is over; a file by its process."""
    store, lease = store_at(scene.url), timedelta(seconds=30)
    with (
        pytest.raises(NotAllowed, match=r"worker-1 \(0 seconds ago\)|process \d+"),
        at_rest(store, scene.clock, lease),
    ):
        pass
    if scene.url.startswith("sqlite"):
        return
    scene.clock.advance(30)
    with at_rest(store, scene.clock, lease) as connection:
        assert revision_of(connection) == REVISION


@pytest.mark.postgresql
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_a_worker_that_was_opened_before_a_migration_does_not_begin(
    ledger_url: str, clock: FixedClock, go_back: Callable[[str], None]
) -> None:
    """Between its start and its first sign of life it cannot be seen; so it looks again when it begins."""
    async with open_ledger(ledger_url, clock=clock, exclusive=True) as ledger:
        scene = Scene(ledger, clock, ledger_url)
        go_back(OLDEST)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="ledger migrate"):
                await ledger.heartbeat(scene.worker, clock.now())
        with pytest.raises(ConfigurationError, match="ledger migrate"):
            await scene.accepted()
        migrate(ledger_url)
        await scene.accepted()


@pytest.mark.postgresql
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
@pytest.mark.usefixtures("go_back")
async def test_a_worker_that_begins_during_a_migration_waits_for_it(
    ledger_url: str, clock: FixedClock
) -> None:
    """Either the migration sees the worker, or the worker sees the migration."""
    async with open_ledger(ledger_url, clock=clock, exclusive=True) as ledger:
        with at_rest(store_at(ledger_url), clock, timedelta(0)) as connection:
            beginning = asyncio.create_task(ledger.heartbeat("worker-1", clock.now()))
            await asyncio.sleep(0)  # it is handed in
            change(connection, "there", OLDEST, may_lose=True)
        with pytest.raises(ConfigurationError, match="ledger migrate"):
            await beginning


# --- how it stands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [REVISION, OLDEST])
async def test_a_ledger_tells_how_it_stands(
    scene: Scene, revision: str, go_back: Callable[[str], None]
) -> None:
    """Place, schema, workers with their slots, rows and size; of an older schema as well."""
    await scene.ledger.share(scene.worker, {PROVIDER: Wish(4, 0)}, scene.now)
    await scene.provisioned()
    await scene.accepted("open")
    await scene.ledger.bury(scene.letter(), None)
    scene.clock.advance(31)
    await scene.ledger.heartbeat("worker-2", scene.now)
    go_back(revision)
    with undisturbed(store_at(scene.url)) as connection:
        found = standing(connection, "there", scene.later(-30))
    assert (found.place, found.schema, found.moved_to) == ("there", revision, None)
    assert (found.words is None) is (revision == REVISION)
    slots = {PROVIDER: 4} if revision == REVISION else {}
    assert [(it.worker, it.alive, it.slots) for it in found.workers] == [
        ("worker-2", True, {}),
        ("worker-1", False, slots),
    ]
    assert found.requests == {"accepted": 1, "provisioned": 1}
    assert found.dead_letters == {"open": 1}
    assert found.rows == {"attempts": 1, "events": 1, "history": 5}
    assert found.size > 10_000


def test_a_place_without_a_ledger_tells_so(new_url: str) -> None:
    """Nothing is made by looking."""
    store = store_at(new_url)
    store.prepare()
    with undisturbed(store) as connection:
        found = standing(connection, "there", FixedClock().now())
    assert (found.schema, found.words, found.workers, found.requests) == (None, None, [], {})

"""The migrations make the tables the code knows, once, and refuse what they do not know."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.ledger.scene import Scene, connected
from worker.core.errors import ConfigurationError
from worker.ledger import migrate, open_ledger
from worker.ledger.migrating import alembic_config
from worker.ledger.schema import REVISION, metadata


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


def test_many_workers_that_start_at_once_migrate_once(new_url: str) -> None:
    """All of them find the ledger ready; none fails for having come second."""
    with ThreadPoolExecutor(6) as workers:
        list(workers.map(migrate, [new_url] * 6))
    with connected(new_url) as connection:
        assert differences(connection) == []


@pytest.mark.parametrize("exclusive", [True, False])
async def test_a_ledger_newer_than_the_code_is_refused(
    scene: Scene, ledger_url: str, exclusive: bool
) -> None:
    """An old worker would write what the new one does not expect; it is told so, and nothing changes."""
    version = "UPDATE alembic_version SET version_num = '{}'"
    await scene.accepted()
    before = scene.stored()
    with connected(ledger_url) as connection:
        connection.exec_driver_sql(version.format("9999"))
    try:
        if exclusive:
            with pytest.raises(ConfigurationError, match="9999"):
                migrate(ledger_url)
        else:
            with pytest.raises(ConfigurationError, match="9999"):
                async with open_ledger(ledger_url):
                    pass
    finally:
        with connected(ledger_url) as connection:
            connection.exec_driver_sql(version.format(REVISION))
    assert scene.stored() == before

"""Bringing a ledger to the schema of this code, once, however many workers start at the same time; and back.

A worker makes a ledger where there is none, and brings an older SQLite file up to date: nobody else can be using it.
On a server others may be running on an older schema, so a person migrates it, with all workers stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from worker.core.errors import ConfigurationError, NotAllowed
from worker.ledger.faults import in_words
from worker.ledger.fit import VERSION, coming_from, misfit, moved_to, revision_of, verify
from worker.ledger.schema import REVISION
from worker.ledger.store import Store
from worker.ledger.urls import store_at
from worker.ledger.writer import close_quietly

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script

_SCRIPTS: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """One migration, up or down.

    Attributes:
        revision: What the ledger has afterwards.
        words: What the migration brings or, on the way down, takes away.
        loses: What the way down forgets; None on the way up.
    """

    revision: str
    words: str
    loses: str | None


Told = Callable[[MigrationStep], None]


def make_ready(store: Store) -> None:
    """What a worker does at its start. Blocks; others that start meanwhile, or move a ledger to here, are waited for.

    Raises:
        ConfigurationError: the ledger has a schema that a person must migrate, or was moved.
        LedgerUnavailable: its disk or server cannot be used.
    """
    store.prepare()
    with undisturbed(store) as connection:
        found = revision_of(connection)
        is_file = connection.dialect.name == "sqlite"
        if found is None or (is_file and found < REVISION):
            climb(connection, found, REVISION)
        verify(connection, store.place)


def migrate(url: str) -> None:
    """Create the ledger or bring it up to date, wherever it is.

    Raises:
        ConfigurationError: the URL names no ledger, or the ledger was written by a newer version of this code.
        LedgerUnavailable: its disk or server cannot be used.
    """
    store = store_at(url)
    store.prepare()
    with undisturbed(store) as connection:
        bring_up(connection, store.place)


def bring_up(connection: sa.Connection, place: str) -> None:
    """Create the tables or bring them up to date.

    Raises:
        ConfigurationError: they were written by a newer version of this code.
    """
    found = revision_of(connection)
    if found is not None and found > REVISION:
        raise ConfigurationError(misfit(place, found))
    if found != REVISION:
        climb(connection, found, REVISION)


def revisions() -> tuple[str, ...]:
    """Every revision that this code knows, the oldest first."""
    return tuple(script.revision for script in _scripts())


def change(
    connection: sa.Connection, place: str, to: str, *, may_lose: bool, told: Told = lambda _: None
) -> Sequence[MigrationStep]:
    """Bring a ledger, on which nobody works, up or down to one of the known revisions.

    Raises:
        ConfigurationError: there is no ledger, or it has a schema that this code does not know.
        NotAllowed: the way down would lose something that was not agreed to.
    """
    found = revision_of(connection)
    if found is None:
        raise ConfigurationError(f"there is no ledger at {place} yet; a worker creates it when it starts")
    if found > REVISION:
        raise ConfigurationError(misfit(place, found))
    if to < found and (elsewhere := moved_to(connection)) is not None:
        raise NotAllowed(f"the ledger at {place} was moved to {elsewhere}; going back would forget that")
    if to < found and (source := coming_from(connection)) is not None:
        raise NotAllowed(f"the ledger at {place} is being filled from {source}; going back would forget that")
    steps = _steps(found, to)
    lost = [step.loses for step in steps if step.loses]
    if lost and not may_lose:
        raise NotAllowed(f"going from schema {found} to {to} forgets {'; '.join(lost)}; add --yes to do so")
    climb(connection, found, to, told)
    return steps


@contextmanager
def undisturbed(store: Store) -> Iterator[sa.Connection]:
    """One transaction in which nobody else makes, migrates or moves this ledger. Failures are told in words."""
    try:
        link = store.connect()
        try:
            with link.connection.begin():
                store.serialise(link.connection)
                yield link.connection
        finally:
            close_quietly(link)
    except Exception as error:
        told = in_words(error, store.place)
        if told is error:
            raise
        raise told from error


def lock_out(connection: sa.Connection) -> None:
    """Until the transaction ends no worker can begin on this ledger."""
    if revision_of(connection) is not None:
        connection.execute(sa.select(VERSION.c.version_num).with_for_update())


def climb(connection: sa.Connection, found: str | None, to: str, told: Told = lambda _: None) -> None:
    """Take every step from one revision to another, in the transaction of the connection."""
    from alembic import command  # noqa: PLC0415 - only who really migrates pays for loading it

    config = alembic_config(connection)
    for step in _steps(found, to):
        told(step)
        move = command.upgrade if step.loses is None else command.downgrade
        move(config, step.revision)


def alembic_config(connection: sa.Connection | None = None) -> "Config":
    """What the migration tool is told: where the scripts lie, and to use this connection's transaction."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _steps(found: str | None, to: str) -> list[MigrationStep]:
    scripts = _scripts()
    names = [script.revision for script in scripts]
    here, there = (-1 if found is None else names.index(found)), names.index(to)
    if here <= there:
        return [
            MigrationStep(script.revision, _words(script), None) for script in scripts[here + 1 : there + 1]
        ]
    down = range(here, there, -1)
    return [MigrationStep(names[at - 1], _words(scripts[at]), scripts[at].module.loses) for at in down]


def _scripts() -> "list[Script]":
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return [*ScriptDirectory.from_config(alembic_config()).walk_revisions()][::-1]


def _words(script: Any) -> str:
    words: str = script.doc
    return words.rstrip(".")

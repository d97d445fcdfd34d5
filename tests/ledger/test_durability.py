"""What was confirmed is there after a SIGKILL, whenever it struck."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from tests.ledger.conftest import LASTING
from tests.ledger.scene import connected, wait_for_others
from worker.core.states import State
from worker.ledger import migrate, open_ledger
from worker.ledger.schema import attempts, events, history, requests

STEPS = ("accepted", "sending", "provisioned", "published")
REACHED = {
    "accepted": set(State),
    "sending": {State.SENDING, State.PROVISIONED},
    "provisioned": {State.PROVISIONED},
    "published": {State.PROVISIONED},
}


@contextmanager
def killed(url: str, callers: int, after: int) -> Iterator[list[tuple[str, str]]]:
    """What a writer said was confirmed before it was killed after so many lines."""
    command = [sys.executable, "-m", "tests.ledger.killed_writer", url, str(callers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(after)]
        writer.kill()
        said += writer.stdout.readlines()
    assert writer.returncode == -9
    # The last line may have been cut by the kill.
    yield [(line.split()[0], line.split()[1]) for line in said if line.endswith("\n")]


@pytest.mark.parametrize("ledger_url", LASTING, indirect=True)
@pytest.mark.parametrize(("seed", "callers"), [(1, 1), (2, 40)])
async def test_everything_that_was_confirmed_is_there_after_a_kill(
    ledger_url: str, seed: int, callers: int
) -> None:
    """Each confirmed step is in the row, the attempt, the event and the story; and nothing is half there."""
    after = random.Random(seed).randrange(50, 400)
    with killed(ledger_url, callers, after) as confirmed:
        assert len(confirmed) >= after
    if ledger_url.startswith("postgresql"):
        wait_for_others(ledger_url)  # the server still carries out what the writer asked for last
    async with open_ledger(ledger_url, exclusive=True) as ledger:
        await ledger.check()
    with connected(ledger_url) as connection:
        state_of = {row.request_id: row.state for row in connection.execute(sa.select(requests))}
        published = {row.event_id: row.published_at for row in connection.execute(sa.select(events))}
        sent = set(connection.scalars(sa.select(attempts.c.request_id)))
        lines = connection.execute(sa.select(history.c.subject_id, history.c.enters)).all()
    for step, request_id in confirmed:
        assert state_of[request_id] in REACHED[step], f"{step}, then {state_of[request_id]}"
        assert step == "accepted" or request_id in sent
        assert step != "provisioned" or request_id in published
        assert step != "published" or published[request_id] is not None
    assert {request_id for request_id, state in state_of.items() if state is not State.ACCEPTED} == sent
    assert {request_id for request_id, state in state_of.items() if state is State.PROVISIONED} == set(
        published
    )
    assert len(lines) == len(state_of) + len(sent) + len(published)


@pytest.mark.parametrize("new_url", LASTING, indirect=True)
async def test_a_migration_that_is_killed_half_way_leaves_nothing(new_url: str) -> None:
    """The tables are made in one transaction, so the next start finds none of them and makes them all."""
    program = f"""
import os, signal
from alembic import op
from worker.ledger import migrate
tables = []
make = op.create_table
def create(name, *columns, **options):
    make(name, *columns, **options)
    tables.append(name)
    if len(tables) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
op.create_table = create
migrate({new_url!r})
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)  # noqa: ASYNC221 - nothing else runs
    assert done.returncode == -9
    with connected(new_url) as connection:
        assert sa.inspect(connection).get_table_names() == []
    migrate(new_url)
    async with open_ledger(new_url) as ledger:
        await ledger.check()

"""What is closed long ago is forgotten; what is open, or not yet told, never."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import FixedClock
from tests.ledger.conftest import SQL
from tests.ledger.kinds import open_any
from tests.ledger.scene import Scene, connected
from worker.core import states
from worker.core.dead_letter import LetterState
from worker.core.entry import Accepted, Conflict, Same
from worker.core.errors import NotAllowed
from worker.core.states import FINAL, State

DAY = 86400.0


async def closed(scene: Scene, key: str = "key-1") -> str:
    """A provisioned row whose event is confirmed."""
    claim = await scene.provisioned(key)
    await scene.ledger.mark_published(str(claim.entry.event_id), scene.now)
    return claim.entry.request_id


async def test_content_goes_and_the_promise_stays(scene: Scene) -> None:
    """No body, event, attempt or story is left; key, fingerprint, state and account still answer a request."""
    request_id = await closed(scene)
    scene.clock.advance(DAY)
    assert await scene.ledger.prune(scene.now, 10) == 1
    entry = await scene.ledger.find(request_id)
    assert entry is not None
    assert (entry.sealed_request, entry.context, entry.baseline) == ("", {}, {})
    assert (entry.state, entry.account_id) == (State.PROVISIONED, "key-1")
    assert await scene.ledger.events(request_id) == []
    assert await scene.ledger.attempts(request_id) == []
    assert await scene.ledger.history(request_id) == []
    assert await scene.ledger.accept(scene.arrival(), scene.worker) == Same(entry)
    other = scene.arrival(same=lambda _: False)
    assert await scene.ledger.accept(other, scene.worker) == Conflict(entry)
    assert await scene.ledger.prune(scene.now, 10) == 0


async def test_only_what_was_closed_before_then_goes(scene: Scene) -> None:
    """The moment itself is not before it."""
    await closed(scene)
    assert await scene.ledger.prune(scene.now, 10) == 0
    assert await scene.ledger.prune(scene.later(0.000001), 10) == 1


async def test_no_more_goes_at_once_than_asked_for(scene: Scene) -> None:
    """Pruning is done in small steps, the oldest first, so that it never holds up a request."""
    ids = []
    for number in range(3):
        ids.append(await closed(scene, f"key-{number}"))
        scene.clock.advance(1)
    assert await scene.ledger.prune(scene.now, 2) == 2
    left = [request_id for request_id in ids if await scene.ledger.history(request_id)]
    assert left == ids[2:]


async def test_an_event_that_nobody_confirmed_keeps_its_row(scene: Scene) -> None:
    """Nothing is forgotten before it was told, however long RabbitMQ is away."""
    claim = await scene.provisioned()
    scene.clock.advance(DAY)
    assert await scene.ledger.prune(scene.now, 10) == 0
    await scene.ledger.mark_published(str(claim.entry.event_id), scene.now)
    assert await scene.ledger.prune(scene.now, 10) == 1


async def test_a_pruned_request_cannot_be_run_again(scene: Scene) -> None:
    """Its content is gone; the operator is told so instead of a request that can never be sent."""
    claim = await scene.take(await scene.accepted(), states.REJECT)
    assert await scene.ledger.prune(scene.later(1), 10) == 1
    with pytest.raises(NotAllowed, match="pruned; `provisioner explain` tells what is left to do"):
        await scene.operate(claim.entry, states.REPLAY)


async def test_closed_dead_letters_go_and_open_ones_stay(scene: Scene) -> None:
    """A pruned one that comes again is kept again as it came, and knows when that was the first time."""
    for name in ("open", "closed"):
        await scene.ledger.bury(scene.letter(name), None)
    await scene.ledger.change_dead_letter("closed", LetterState.DISCARDED, "olivia", "", scene.now)
    assert await scene.ledger.prune(scene.later(1), 10) == 1
    assert await scene.ledger.dead_letter("open") == scene.letter("open")
    pruned = await scene.ledger.dead_letter("closed")
    assert pruned is not None
    assert (pruned.sealed_message, pruned.problems, pruned.state) == ("", (), "discarded")
    again = scene.later(DAY)
    assert await scene.ledger.bury(scene.letter("closed", received_at=again), None)
    assert await scene.ledger.dead_letter("closed") == scene.letter("closed", changed_at=again)


@pytest.mark.parametrize("ledger_url", SQL, indirect=True)
async def test_the_history_is_append_only_whoever_writes(scene: Scene) -> None:
    """Not even somebody with the database's own tools changes or removes a line of a row that was not pruned."""
    await closed(scene)
    before = scene.stored()
    for statement in ("UPDATE history SET note = 'never happened'", "DELETE FROM history"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), connected(scene.url) as connection:
            connection.exec_driver_sql(statement)
    assert scene.stored() == before


KEPT = sorted(set(State) - FINAL)


@contextmanager
def _a_loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(State), st.integers(0, 20), st.booleans()), min_size=1, max_size=8
    ),
    before=st.integers(0, 20),
    limit=st.integers(0, 10),
)
def test_pruning_never_touches_an_open_row(
    ledger_url: str, rows: list[tuple[State, int, bool]], before: int, limit: int
) -> None:
    """Whatever there is, how old it is and what was confirmed: open rows and untold events are as they were."""

    async def run() -> None:
        clock = FixedClock()
        async with open_any(ledger_url, clock=clock, exclusive=True) as ledger:
            scene = Scene(ledger, clock, ledger_url)
            start = scene.now
            made = []
            for number, (state, at, confirmed) in enumerate(rows):
                clock.advance(max(0, at - (clock.now() - start).total_seconds()))
                claim = await scene.bring(state, key=f"{scene.arrival().request_id}-{number}")
                if confirmed and claim.entry.event_id:
                    await ledger.mark_published(claim.entry.event_id, clock.now())
                made.append((claim.entry, confirmed or not claim.entry.event_id, clock.now()))
            moment = scene.later(before - 20)
            pruned = await ledger.prune(moment, limit)
            may_go = [entry for entry, told, at in made if entry.state in FINAL and told and at < moment]
            gone = [entry for entry, _, _ in made if await ledger.history(entry.request_id) == []]
            assert pruned >= len(gone) == min(limit, len(may_go), len(gone))
            assert all(entry in may_go for entry in gone)
            for entry, _, _ in made:
                assert entry in gone or await ledger.find(entry.request_id) == entry

    with _a_loop() as runner:
        runner.run(run())


async def test_a_replayed_row_is_open_again_and_kept(scene: Scene) -> None:
    """Closed long ago and running again now: its age as a closed row is over."""
    claim = await scene.take(await scene.accepted(), states.REJECT)
    scene.clock.advance(DAY)
    await scene.operate(claim.entry, states.REPLAY)
    assert await scene.ledger.prune(scene.later(1), 10) == 0
    assert not isinstance(await scene.ledger.accept(scene.arrival(), scene.worker), Accepted)
    assert len(await scene.ledger.history(claim.entry.request_id)) == 3

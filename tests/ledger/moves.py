"""A ledger with rows of every kind, and how tests move it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from contracts.reason import ReasonCode
from tests.fakes import FixedClock
from tests.ledger.killed_mover import step_of
from tests.ledger.scene import PROVIDER, SEEN, Scene, connected
from worker.core import states
from worker.core.dead_letter import LetterState
from worker.core.errors import ConfigurationError
from worker.core.overview import Pause
from worker.core.sealing import Sealed
from worker.core.shares import Wish
from worker.core.states import State
from worker.core.story import HistoryLine
from worker.ledger import copying, moving, open_ledger
from worker.ledger.fit import verify
from worker.ledger.migrating import undisturbed
from worker.ledger.moving import Progress
from worker.ledger.urls import store_at

CLOCK = FixedClock()
UNICODE = "Zoë ☃ \N{PILE OF POO} \u202e'\"\\ é"
BIG = "x" * 3_000_000


async def make_filled(url: str) -> None:
    """A ledger with rows of every kind, left behind by a worker that was killed."""
    async with open_ledger(url, clock=CLOCK, exclusive=True) as ledger:
        scene = Scene(ledger, CLOCK, url)
        await ledger.heartbeat(scene.worker, CLOCK.now())
        await fill(scene)


async def fill(scene: Scene) -> None:
    """Rows of every kind, in every state, with everything that a row may hold."""
    ledger = scene.ledger
    for state in State:
        await scene.bring(state, f"{state}-key")
    note = HistoryLine(
        scene.now, UNICODE, "note", None, None, None, UNICODE, {UNICODE: [1.5, None, True, 2**70]}
    )
    large = {"sealed_request": Sealed(BIG), "context": {"subject": UNICODE}, "deadline": scene.now}
    claim = await scene.accepted(f"key-{UNICODE}", **large)
    await ledger.note(claim.entry.request_id, note)
    claim = await scene.take(
        claim, states.SEND, counts=True, baseline={"seen": {"deep": [UNICODE, "\0\ud800"]}}
    )
    await scene.take(
        claim, states.NOT_DONE, seen=SEEN, due_at=scene.later(3600), reason=ReasonCode.PROVIDER_BUSY
    )
    await ledger.bury(scene.letter("open"), scene.event("letter"))
    for closed in (LetterState.REPLAYED, LetterState.DISCARDED):
        await ledger.bury(scene.letter(closed, message_id=UNICODE, size=2**40), None)
        await ledger.change_dead_letter(closed, closed, "olivia", UNICODE, scene.now)
    await ledger.pause(Pause(PROVIDER, "operator", UNICODE, UNICODE, scene.now))
    await ledger.share(scene.worker, {PROVIDER: Wish(4, 0, wait_until=scene.later(60))}, scene.now)
    await ledger.check()
    await scene.take(await scene.sending("pruned"), states.REFUSE, reason=ReasonCode.PROVIDER_VALIDATION)
    assert await ledger.prune(scene.later(1), 10) > 0
    await ledger.mark_published(scene.event("provisioned-key").event_id, scene.now)
    await asyncio.gather(*(scene.provisioned(f"many-{number}") for number in range(120)))


def move(source: str, target: str, told: Callable[[Progress], None] = lambda _: None) -> None:
    """Move, at a fixed time."""
    moving.move(source, target, CLOCK.now, told)


def content(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that is moved."""
    with connected(url) as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
            for table in copying.COPIED
        }


def unusable(url: str) -> str | None:
    """Why a worker may not work there; None when it may."""
    with undisturbed(store_at(url)) as connection:
        try:
            verify(connection, "there")
        except ConfigurationError as error:
            return str(error)
    return None


@contextmanager
def interrupted(source: str, target: str, step: str) -> Iterator[None]:
    """A move that ended in the middle."""

    def stop(progress: Progress) -> None:
        if step_of(progress) == step:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        move(source, target, stop)
    yield

"""Which queues are read: as lanes and ledger allow, no more and no less."""

import asyncio
from typing import Any

import pytest

from tests.builders import make_message, make_outcome
from tests.core.world import DEAD_LETTERS, World
from tests.fakes import FakeDelivery
from worker.core.dead_letter import LetterState
from worker.core.errors import BrokerUnavailable
from worker.core.observer import LaneState
from worker.core.overview import LetterFilter
from worker.core.states import State
from worker.core.verdict import Effect, Verdict

QUEUE = "requests.acme"
OUTAGE = make_outcome(Verdict.IN_DOUBT, effect=Effect.OUTAGE)
LONG_WAIT = make_outcome(Verdict.NOT_DONE, effect=Effect.LIMIT, wait=60)


async def test_every_queue_is_read_with_a_prefetch_of_its_concurrency(world: World) -> None:
    """What waits unacknowledged here is bounded by what may run here; of dead letters, which may be large, by two."""
    await world.intake.adjust()
    prefetches = {queue: prefetch for queue, (_, prefetch) in world.doors.open_now.items()}
    assert prefetches == {QUEUE: world.lane.concurrency, DEAD_LETTERS: 2}
    assert world.intake.reading == {QUEUE, DEAD_LETTERS}


async def test_each_queue_has_its_own_handler(world: World) -> None:
    """A request's queue feeds its lane, the dead letters' queue is drained into rows."""
    await world.intake.adjust()
    request, dead = FakeDelivery(make_message()), FakeDelivery(make_message(b"nonsense"))
    await world.doors.open_now[QUEUE][0](request)
    await world.doors.open_now[DEAD_LETTERS][0](dead)
    await world.calm()
    assert (await world.entry()).state is State.PROVISIONED
    assert len(await world.ledger.real.dead_letters(LetterFilter(state=LetterState.OPEN, limit=10))) == 1
    assert (request.verbs, dead.verbs) == (["ack"], ["ack"])


CLOSERS = [
    (lambda world: world.lane.pause(LaneState.PAUSED_BY_OPERATOR, ""), "an operator paused the provider"),
    (lambda world: [world.lane.learn(OUTAGE) for _ in range(5)], "its breaker is open"),
    (lambda world: world.lane.learn(LONG_WAIT), "it asked for a long wait"),
    (lambda world: world.lane.stop(), "the process ends"),
]


@pytest.mark.parametrize(("close", "reason"), CLOSERS, ids=[reason for _, reason in CLOSERS])
async def test_a_lane_that_takes_no_work_fills_its_queue(world: World, close: Any, reason: str) -> None:
    """A backlog waits at the broker, where it is seen; dead letters are drained all the same."""
    await world.intake.adjust()
    close(world)
    await world.intake.adjust()
    assert world.intake.reading == {DEAD_LETTERS}, reason
    assert world.doors.story[-1] == f"close {QUEUE}"


async def test_a_sick_ledger_closes_every_queue(world: World) -> None:
    """Without a ledger nothing is taken in, not even dead letters."""
    await world.intake.adjust()
    world.gate.sick(OSError("disk full"))
    await world.intake.adjust()
    assert world.doors.open_now == {}


async def test_nothing_is_opened_or_closed_twice(world: World) -> None:
    """The doors are touched only where something changes."""
    for _ in range(3):
        await world.intake.adjust()
    world.lane.stop()
    for _ in range(3):
        await world.intake.adjust()
    assert world.doors.story == [f"open {QUEUE}", f"open {DEAD_LETTERS}", f"close {QUEUE}"]


async def test_the_loop_follows_changes_at_once_and_time_by_looking(world: World) -> None:
    """A change wakes it; a wait that merely passes is noticed at the next look; at the end all queues are closed."""
    stopping = asyncio.Event()
    loop = asyncio.create_task(world.intake.run(stopping))
    await world.calm()
    assert world.intake.reading == {QUEUE, DEAD_LETTERS}
    world.lane.learn(LONG_WAIT)
    await world.calm()
    assert world.intake.reading == {DEAD_LETTERS}
    await world.pass_time(55)
    await world.pass_time(1)
    assert world.intake.reading == {QUEUE, DEAD_LETTERS}
    stopping.set()
    await loop
    assert world.doors.open_now == {}


async def test_a_queue_that_closes_slowly_keeps_no_other_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one queue is still closed, the others are closed already: when the ledger fails, and at the end."""
    answered = asyncio.Event()
    close = world.doors.close

    async def slow(queue: str) -> None:
        if queue == QUEUE:
            await answered.wait()
        await close(queue)

    monkeypatch.setattr(world.doors, "close", slow)
    await world.intake.adjust()
    world.gate.sick(OSError("disk full"))
    adjusting = asyncio.create_task(world.intake.adjust())
    await world.calm()
    assert (set(world.doors.open_now), adjusting.done()) == ({QUEUE}, False)
    answered.set()
    await adjusting
    assert world.intake.reading == frozenset()

    world.gate.recovered()
    answered.clear()
    stopping = asyncio.Event()
    loop = asyncio.create_task(world.intake.run(stopping))
    await world.calm()
    assert world.intake.reading == {QUEUE, DEAD_LETTERS}
    stopping.set()
    await world.calm()
    assert (set(world.doors.open_now), loop.done()) == ({QUEUE}, False)
    answered.set()
    await loop
    assert world.doors.open_now == {}


async def test_a_loop_that_is_cancelled_closes_nothing_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cancels the loop while queues are closed finds nothing of it still at work."""
    ended: list[str] = []

    async def silent(queue: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(queue)

    monkeypatch.setattr(world.doors, "close", silent)
    stopping = asyncio.Event()
    loop = asyncio.create_task(world.intake.run(stopping))
    await world.calm()
    stopping.set()
    await world.calm()
    loop.cancel()
    await asyncio.wait({loop})
    assert (loop.cancelled(), set(ended)) == (True, {QUEUE, DEAD_LETTERS})


async def test_what_the_broker_refused_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One queue that cannot be opened or closed now is tried at the next look, and keeps no other from its turn."""

    async def away(queue: str, *_: object, **__: object) -> None:
        if queue == QUEUE:
            raise BrokerUnavailable("no answer")

    stopping = asyncio.Event()
    loop = asyncio.create_task(world.intake.run(stopping))
    with monkeypatch.context() as broken:
        broken.setattr(world.doors, "open", away)
        for _ in range(3):
            await world.pass_time(1)
        assert world.intake.reading == {DEAD_LETTERS}
    await world.pass_time(1)
    assert world.intake.reading == {QUEUE, DEAD_LETTERS}
    with monkeypatch.context() as broken:
        broken.setattr(world.doors, "close", away)
        world.gate.sick(OSError("disk full"))
        await world.calm()
        assert world.intake.reading == {QUEUE}
    await world.pass_time(1)
    assert world.intake.reading == frozenset()
    stopping.set()
    await loop

"""One lane: its slots, its waits and its states."""

import asyncio
from typing import Any

import pytest

from contracts.reason import ReasonCode
from tests.builders import make_outcome
from tests.fakes import FixedClock, FreeLimiter, Watch
from worker.core.breaker import BreakerPolicy
from worker.core.lanes import Lane, LaneClosed, Slot
from worker.core.observer import LaneChanged, LaneState
from worker.core.verdict import Effect, Verdict

OUTAGE = make_outcome(Verdict.IN_DOUBT, effect=Effect.OUTAGE)
ANSWER = make_outcome(Verdict.NOT_DONE)


def limit(wait: float | None) -> Any:
    """An answer that asks us to wait."""
    return make_outcome(Verdict.NOT_DONE, reason=ReasonCode.RATE_LIMITED, effect=Effect.LIMIT, wait=wait)


class Rig:
    """A lane with everything around it in the test's hands."""

    def __init__(self, concurrency: int = 2) -> None:
        self.clock = FixedClock()
        self.watch = Watch()
        self.changed = asyncio.Event()
        self.limiter = FreeLimiter()
        self.lane = Lane(
            "acme",
            concurrency=concurrency,
            limiter=self.limiter,
            policy=BreakerPolicy(failures=2, cooldown=30),
            clock=self.clock,
            observer=self.watch,
            changed=self.changed,
        )

    def waiting(self) -> asyncio.Task[Slot]:
        """Somebody who asks for a slot."""
        return asyncio.create_task(self.lane.slot())

    async def break_it(self) -> None:
        """Open its breaker."""
        for _ in range(2):
            self.lane.learn(OUTAGE)


async def turns(count: int = 5) -> None:
    """Let every task come to its next wait."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_more_slots_than_its_concurrency_are_given() -> None:
    """The third waits until one of two is freed."""
    rig = Rig()
    first, _ = await rig.lane.slot(), await rig.lane.slot()
    third = rig.waiting()
    await turns()
    assert not third.done()
    first.free()
    await third
    assert rig.lane.in_use == 2


async def test_a_slot_is_freed_once_however_often_asked() -> None:
    """Freeing twice gives nobody a place that is not there."""
    rig = Rig()
    slot, other = await rig.lane.slot(), await rig.lane.slot()
    slot.free()
    slot.free()
    assert rig.lane.in_use == 1
    other.free()
    assert rig.lane.in_use == 0


async def test_slots_are_given_in_the_order_of_asking() -> None:
    """Nobody is passed over, not even by one who asks in the moment a slot is freed."""
    rig = Rig(concurrency=1)
    slot = await rig.lane.slot()
    order: list[str] = []

    async def ask(name: str) -> None:
        mine = await rig.lane.slot()
        order.append(name)
        await turns(1)
        mine.free()

    early = [asyncio.create_task(ask(name)) for name in ("first", "second")]
    await turns()
    late = asyncio.create_task(ask("late"))
    slot.free()
    await asyncio.gather(*early, late)
    assert order == ["first", "second", "late"]


async def test_a_cancelled_waiter_leaves_its_turn_to_the_next() -> None:
    """Whoever stops waiting, even in the moment of being called, does not take a free slot with them."""
    rig = Rig(concurrency=1)
    slot = await rig.lane.slot()
    first, second = rig.waiting(), rig.waiting()
    await turns()
    slot.free()
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert rig.lane.in_use == 1


async def test_freeing_a_slot_does_not_stumble_over_a_cancelled_waiter() -> None:
    """A waiter that was cancelled in the same moment is passed over."""
    rig = Rig(concurrency=1)
    slot = await rig.lane.slot()
    first, second = rig.waiting(), rig.waiting()
    await turns()
    first.cancel()
    slot.free()
    await asyncio.wait_for(second, 1)
    assert rig.lane.in_use == 1


CLOSERS = [
    (lambda lane: lane.stop(), "the process ends"),
    (lambda lane: lane.pause(LaneState.PAUSED_BY_OPERATOR, ""), "an operator paused it"),
    (lambda lane: lane.pause(LaneState.PAUSED_BY_CREDENTIALS, ""), "our credentials are refused"),
    (lambda lane: [lane.learn(OUTAGE), lane.learn(OUTAGE)], "its breaker opened"),
    (lambda lane: lane.learn(limit(60)), "it must wait for long"),
]


@pytest.mark.parametrize(("close", "reason"), CLOSERS, ids=[reason for _, reason in CLOSERS])
async def test_a_closing_lane_turns_everybody_away(close: Any, reason: str) -> None:
    """Those who wait and those who come later learn that the lane takes no work."""
    rig = Rig(concurrency=1)
    await rig.lane.slot()
    waiter = rig.waiting()
    await turns()
    close(rig.lane)
    with pytest.raises(LaneClosed):
        await asyncio.wait_for(waiter, 1)
    with pytest.raises(LaneClosed):
        await rig.lane.slot()
    assert not rig.lane.takes_work, reason
    assert rig.changed.is_set()


async def test_a_short_wait_keeps_the_queue_open() -> None:
    """For a few seconds the lane holds its breath; for longer its queue is left alone."""
    rig = Rig()
    seen = []
    for wait in (10, 11):
        rig.lane.learn(limit(wait))
        seen.append(rig.lane.takes_work)
    rig.clock.advance(1)
    assert [*seen, rig.lane.takes_work] == [True, False, True]


async def test_permission_waits_as_long_as_the_provider_asked() -> None:
    """A create starts only when the wait is over, and then the rate counts."""
    rig = Rig()
    rig.lane.learn(limit(9))
    permission = asyncio.create_task(rig.lane.permission())
    await turns()
    assert (rig.clock.naps, rig.limiter.acquired) == ((9.0,), 0)
    rig.clock.advance(9)
    await permission
    assert rig.limiter.acquired == 1


async def test_a_shorter_wait_does_not_shorten_a_longer_one() -> None:
    """Two answers that cross: the longer of their waits is kept."""
    rig = Rig()
    rig.lane.learn(limit(9))
    rig.lane.learn(limit(None))
    permission = asyncio.create_task(rig.lane.permission())
    await turns()
    assert rig.clock.naps == (9.0,)
    permission.cancel()


@pytest.mark.parametrize(("close", "reason"), CLOSERS[:4], ids=[reason for _, reason in CLOSERS[:4]])
async def test_permission_is_refused_by_a_lane_that_closed_meanwhile(close: Any, reason: str) -> None:
    """Who waited for it through a pause sends nothing."""
    rig = Rig()
    rig.lane.learn(limit(9))
    permission = asyncio.create_task(rig.lane.permission())
    await turns()
    close(rig.lane)
    rig.clock.advance(9)
    with pytest.raises(LaneClosed):
        await permission
    assert not rig.lane.takes_work, reason


async def test_while_trying_one_create_is_let_through() -> None:
    """After a healthy probe a single slot is given; an answer gives all back."""
    rig = Rig()
    await rig.break_it()
    rig.lane.probed(healthy=True, detail="")
    assert rig.lane.state is LaneState.TRYING
    slot, waiter = await rig.lane.slot(), rig.waiting()
    await turns()
    assert not waiter.done()
    rig.lane.learn(ANSWER)
    await asyncio.wait_for(waiter, 1)
    assert (rig.lane.state, rig.lane.in_use) == (LaneState.OPEN, 2)
    slot.free()


async def test_an_outage_while_trying_closes_the_lane_again() -> None:
    """One more outage is enough."""
    rig = Rig()
    await rig.break_it()
    rig.lane.probed(healthy=True, detail="")
    rig.lane.learn(OUTAGE)
    assert rig.lane.state is LaneState.BROKEN
    assert not rig.lane.wants_probe()
    rig.clock.advance(30)
    assert rig.lane.wants_probe()


async def test_a_pause_counts_before_the_breaker() -> None:
    """What a person did is shown first, and what the breaker knows comes back when the pause is lifted."""
    rig = Rig()
    await rig.break_it()
    seen = []
    for pause in (LaneState.PAUSED_BY_OPERATOR, None):
        rig.lane.pause(pause, "by hand")
        seen.append(rig.lane.state)
    assert seen == [LaneState.PAUSED_BY_OPERATOR, LaneState.BROKEN]


async def test_each_change_of_state_is_told_once() -> None:
    """Observers hear of turns, not of repetitions."""
    rig = Rig()
    for _ in range(5):
        rig.lane.learn(OUTAGE)
    rig.lane.pause(LaneState.PAUSED_BY_OPERATOR, "by hand")
    rig.lane.pause(LaneState.PAUSED_BY_OPERATOR, "by hand")
    rig.lane.pause(None, "resumed")
    told = [fact.state for fact in rig.watch.all(LaneChanged)]
    assert told == [LaneState.BROKEN, LaneState.PAUSED_BY_OPERATOR, LaneState.BROKEN]

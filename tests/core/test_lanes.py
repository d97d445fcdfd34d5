"""One lane: its slots, its waits and its states."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from contracts.reason import ReasonCode
from tests.builders import make_outcome
from tests.fakes import FixedClock, FreeLimiter, Watch
from worker.core.breaker import BreakerPolicy
from worker.core.lanes import Lane, LaneClosed, Limiter, Slot
from worker.core.observer import LaneChanged, LaneState
from worker.core.shares import Share, Wish
from worker.core.verdict import Effect, Verdict

OUTAGE = make_outcome(Verdict.IN_DOUBT, effect=Effect.OUTAGE)
ANSWER = make_outcome(Verdict.NOT_DONE)


def limit(wait: float | None) -> Any:
    """An answer that asks us to wait."""
    return make_outcome(Verdict.NOT_DONE, reason=ReasonCode.RATE_LIMITED, effect=Effect.LIMIT, wait=wait)


class Turnstile:
    """A rate limit that lets through whoever the test lets through."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(0)

    async def acquire(self, wanted: Callable[[], bool]) -> None:
        await self.turns.acquire()


class Rig:
    """A lane with everything around it in the test's hands."""

    def __init__(self, concurrency: int = 2, limiter: Limiter | None = None) -> None:
        self.clock = FixedClock()
        self.watch = Watch()
        self.changed = asyncio.Event()
        self.free = FreeLimiter()
        self.lane = Lane(
            "acme",
            concurrency=concurrency,
            limiter=limiter or self.free,
            policy=BreakerPolicy(failures=2, cooldown=30),
            clock=self.clock,
            observer=self.watch,
            changed=self.changed,
        )

    def share(self, slots: int, *, wait: float = 0, lease: float = 30) -> None:
        """This worker's part changes."""
        until = self.clock.now() + timedelta(seconds=wait)
        self.lane.share(Share(slots, until), self.clock.monotonic() + lease)

    def waiting(self) -> asyncio.Task[Slot]:
        """Somebody who asks for a slot."""
        return asyncio.create_task(self.lane.acquire_slot())

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
    first, _ = await rig.lane.acquire_slot(), await rig.lane.acquire_slot()
    third = rig.waiting()
    await turns()
    assert not third.done()
    first.free()
    await third
    assert rig.lane.in_use == 2


async def test_a_slot_is_freed_once_however_often_asked() -> None:
    """Freeing twice gives nobody a place that is not there."""
    rig = Rig()
    slot, other = await rig.lane.acquire_slot(), await rig.lane.acquire_slot()
    slot.free()
    slot.free()
    assert rig.lane.in_use == 1
    other.free()
    assert rig.lane.in_use == 0


async def test_slots_are_given_in_the_order_of_asking() -> None:
    """Nobody is passed over, not even by one who asks in the moment a slot is freed."""
    rig = Rig(concurrency=1)
    slot = await rig.lane.acquire_slot()
    order: list[str] = []

    async def ask(name: str) -> None:
        mine = await rig.lane.acquire_slot()
        order.append(name)
        await turns(1)
        mine.free()

    early = [asyncio.create_task(ask(name)) for name in ("first", "second")]
    await turns()
    late = asyncio.create_task(ask("late"))
    slot.free()
    await asyncio.gather(*early, late)
    assert order == ["first", "second", "late"]


async def test_who_had_a_turn_already_is_served_before_those_who_wait() -> None:
    """A request that a dead worker had begun does not stand at the end of the line again."""
    rig = Rig(concurrency=1)
    slot, waiting = await rig.lane.acquire_slot(), rig.waiting()
    await turns()
    again = asyncio.create_task(rig.lane.acquire_slot(first=True))
    await turns()
    slot.free()
    await turns()
    assert (again.done(), waiting.done()) == (True, False)
    (await again).free()
    await waiting


async def test_a_cancelled_waiter_leaves_its_turn_to_the_next() -> None:
    """Whoever stops waiting, even in the moment of being called, does not take a free slot with them."""
    rig = Rig(concurrency=1)
    slot = await rig.lane.acquire_slot()
    first, second = rig.waiting(), rig.waiting()
    await turns()
    slot.free()
    first.cancel()
    await asyncio.wait_for(second, 60)
    assert rig.lane.in_use == 1


async def test_freeing_a_slot_does_not_stumble_over_a_cancelled_waiter() -> None:
    """A waiter that was cancelled in the same moment is passed over."""
    rig = Rig(concurrency=1)
    slot = await rig.lane.acquire_slot()
    first, second = rig.waiting(), rig.waiting()
    await turns()
    first.cancel()
    slot.free()
    await asyncio.wait_for(second, 60)
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
    await rig.lane.acquire_slot()
    waiter = rig.waiting()
    await turns()
    close(rig.lane)
    with pytest.raises(LaneClosed):
        await asyncio.wait_for(waiter, 60)
    with pytest.raises(LaneClosed):
        await rig.lane.acquire_slot()
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
    assert (rig.clock.naps, rig.free.acquired) == ((9.0,), 0)
    rig.clock.advance(9)
    await permission
    assert rig.free.acquired == 1


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


async def test_a_wait_asked_for_while_others_wait_for_their_turn_is_kept_by_them() -> None:
    """They were let into the line before the provider asked; they start after the wait all the same."""
    turnstile = Turnstile()
    rig = Rig(limiter=turnstile)
    permission = asyncio.create_task(rig.lane.permission())
    await turns()
    rig.lane.learn(limit(9))
    turnstile.turns.release()
    await turns()
    assert (permission.done(), rig.clock.naps) == (False, (9.0,))
    rig.clock.advance(9)
    turnstile.turns.release()
    await permission


async def test_an_outage_while_others_wait_for_their_turn_turns_them_away() -> None:
    """Also when the provider is being tried again by then: the one create is that of the next who asks for a slot."""
    turnstile = Turnstile()
    rig = Rig(limiter=turnstile)
    permissions = [asyncio.create_task(rig.lane.permission()) for _ in range(2)]
    await turns()
    await rig.break_it()
    rig.lane.probed(healthy=True, detail="")
    for _ in permissions:
        turnstile.turns.release()
    for permission in permissions:
        with pytest.raises(LaneClosed):
            await permission
    assert rig.lane.state is LaneState.TRYING


async def test_a_stopped_lane_turns_away_who_waits_for_a_day_at_the_next_look() -> None:
    """A process that ends does not wait out what a provider asked for."""
    rig = Rig()
    rig.lane.learn(limit(86400))
    permission = asyncio.create_task(rig.lane.permission())
    await turns()
    rig.lane.stop()
    (nap,) = rig.clock.naps
    rig.clock.advance(nap)
    with pytest.raises(LaneClosed):
        await permission


async def test_while_trying_one_create_is_let_through() -> None:
    """After a healthy probe a single slot is given; an answer gives all back."""
    rig = Rig()
    await rig.break_it()
    rig.lane.probed(healthy=True, detail="")
    assert rig.lane.state is LaneState.TRYING
    slot, waiter = await rig.lane.acquire_slot(), rig.waiting()
    await turns()
    assert not waiter.done()
    rig.lane.learn(ANSWER)
    await asyncio.wait_for(waiter, 60)
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


async def test_a_long_wait_that_the_provider_asked_for_is_told() -> None:
    """Whoever sees its queue without a consumer finds the reason; a wait of seconds is not worth a word."""
    rig = Rig()
    rig.lane.learn(limit(10))
    rig.lane.learn(limit(60))
    rig.share(2, wait=60)
    rig.clock.advance(50)
    rig.share(2, wait=10)
    told = [fact.state for fact in rig.watch.all(LaneChanged)]
    assert told == [LaneState.ASKED_TO_WAIT, LaneState.OPEN]


async def test_answers_that_change_nothing_do_not_wake_whoever_opens_the_queues() -> None:
    """There is one for every request."""
    rig = Rig()
    rig.lane.learn(ANSWER)
    assert not rig.changed.is_set()
    await rig.break_it()
    assert rig.changed.is_set()


# --- what all workers share -----------------------------------------------------------------------------------


async def test_a_part_that_grows_serves_those_who_wait() -> None:
    """New slots are given out at once, in the order of asking."""
    rig = Rig(concurrency=4)
    rig.share(1)
    await rig.lane.acquire_slot()
    waiters = [rig.waiting() for _ in range(3)]
    await turns()
    rig.share(3)
    await turns()
    assert [waiter.done() for waiter in waiters] == [True, True, False]
    assert rig.lane.in_use == 3


async def test_a_part_that_shrinks_ends_nothing_and_begins_nothing() -> None:
    """What runs is finished; the next one begins when fewer run than the part that is left."""
    rig = Rig(concurrency=3)
    slots = [await rig.lane.acquire_slot() for _ in range(3)]
    rig.share(1)
    waiter = rig.waiting()
    assert (rig.lane.in_use, rig.lane.wish.keeps) == (3, 3)
    slots[0].free()
    slots[1].free()
    await turns()
    assert (waiter.done(), rig.lane.wish.keeps) == (False, 1)
    slots[2].free()
    await asyncio.wait_for(waiter, 60)
    assert rig.lane.in_use == 1


async def test_what_a_lane_keeps_holds_until_it_hears_the_answer() -> None:
    """While the ledger divides the slots, nothing is begun above what was named as kept."""
    rig = Rig(concurrency=4)
    rig.share(2)
    await rig.lane.acquire_slot()
    keeps = rig.lane.wish.keeps
    waiters = [rig.waiting() for _ in range(3)]
    await turns()
    assert rig.lane.in_use == keeps == 2
    assert [waiter.done() for waiter in waiters] == [True, False, False]


async def test_a_lane_without_slots_takes_no_work() -> None:
    """With more workers than slots this one has none: its queue is left alone, and those who wait are turned away."""
    rig = Rig()
    rig.share(1)
    await rig.lane.acquire_slot()
    waiter = rig.waiting()
    await turns()
    rig.changed.clear()
    rig.share(0)
    with pytest.raises(LaneClosed):
        await waiter
    assert (rig.lane.takes_work, rig.changed.is_set()) == (False, True)
    rig.changed.clear()
    rig.share(1)
    assert (rig.lane.takes_work, rig.changed.is_set()) == (True, True)


async def test_a_part_lapses_unless_it_is_renewed() -> None:
    """Others take a silent worker for dead: it begins nothing from that moment on, until it has asked again."""
    rig = Rig()
    rig.share(2, lease=30)
    await rig.lane.acquire_slot()
    seen = []
    for seconds in (29, 1):
        rig.clock.advance(seconds)
        seen.append(rig.lane.takes_work)
    assert seen == [True, False]
    with pytest.raises(LaneClosed):
        await rig.lane.permission()
    with pytest.raises(LaneClosed):
        await rig.lane.acquire_slot()
    rig.share(2)
    await rig.lane.permission()
    await rig.lane.acquire_slot()
    assert rig.lane.in_use == 2


async def test_the_part_of_the_rate_is_that_of_the_slots() -> None:
    """Slots that are still used count, so that whoever waits for the rate is never left without any."""
    rig = Rig(concurrency=4)
    assert rig.lane.part == 1
    rig.share(2)
    assert rig.lane.part == 0.5
    await rig.lane.acquire_slot()
    rig.share(0)
    assert rig.lane.part == 0.25


@pytest.mark.parametrize(("close", "reason"), CLOSERS[:4], ids=[reason for _, reason in CLOSERS[:4]])
async def test_a_closed_lane_leaves_its_part_to_others(close: Any, reason: str) -> None:
    """Whatever keeps this worker from asking the provider, it keeps no slot from others."""
    rig = Rig()
    await rig.lane.acquire_slot()
    close(rig.lane)
    assert rig.lane.wish.leaves, reason


async def test_a_wait_is_passed_on_until_all_know_of_it() -> None:
    """What this worker was asked for stands in its wish until the answer holds it; nothing else does."""
    rig = Rig()
    until = rig.clock.now() + timedelta(seconds=9)
    rig.lane.learn(limit(9))
    rig.lane.learn(limit(3))
    wishes = [rig.lane.wish]
    for wait in (5, 9, 60):
        rig.share(2, wait=wait)
        wishes.append(rig.lane.wish)
    assert wishes == [Wish(2, 2, wait_until=until)] * 2 + [Wish(2, 2)] * 2
    assert not rig.lane.takes_work


async def test_a_wait_that_an_operator_ended_is_over() -> None:
    """A provider that asked for a day may be asked again at once, also by those who wait for it already."""
    rig = Rig()
    rig.lane.learn(limit(86400))
    rig.share(2, wait=86400)
    permission = asyncio.create_task(rig.lane.permission())
    await turns()
    rig.share(2)
    assert rig.lane.takes_work
    (nap,) = rig.clock.naps
    rig.clock.advance(nap)
    await permission
    assert nap == 10.0

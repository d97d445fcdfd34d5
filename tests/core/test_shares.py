"""How slots are divided among workers, and how fast each may then begin: the arithmetic."""

import asyncio
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FixedClock
from worker.core.pace import Pace
from worker.core.shares import Wish, fair_part, settled

NAMES = st.sets(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=8)


@given(limit=st.integers(0, 50), members=NAMES)
def test_fair_parts_are_the_whole_and_nearly_equal(limit: int, members: set[str]) -> None:
    """Nothing is lost in dividing, and nobody has two more than another."""
    parts = [fair_part(limit, members, member) for member in members]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


@given(
    limit=st.integers(1, 20),
    keeps=st.integers(0, 20),
    leaves=st.booleans(),
    has=st.integers(0, 20),
    others=st.integers(0, 30),
    part=st.integers(0, 20),
)
def test_a_worker_grows_only_into_what_is_free(
    limit: int, keeps: int, leaves: bool, has: int, others: int, part: int
) -> None:
    """Whatever stands in the ledger, one worker's step never makes too many slots out of enough."""
    slots = settled(Wish(limit, keeps, leaves), has=has, others=others, part=part)
    assert slots + others <= max(limit, has + others)
    assert slots <= max(has, part)
    assert slots >= min(has, keeps)
    assert not leaves or slots <= keeps


# --- pace -----------------------------------------------------------------------------------------------------


@dataclass
class Runners:
    """Some who wait for the same pace, and when each was let go."""

    rate: float

    def __post_init__(self) -> None:
        self.wanted = True
        self.clock = FixedClock()
        self.pace = Pace(lambda: self.rate, self.clock)
        self.started: list[tuple[str, float]] = []

    async def run(self, name: str) -> None:
        """Wait, and write down when."""
        await self.pace.acquire(lambda: self.wanted)
        self.started.append((name, self.clock.monotonic()))

    async def until(self, seconds: float) -> None:
        """Let time pass in eighths of a second."""
        while self.clock.monotonic() < seconds:
            await turns()
            self.clock.advance(0.125)
        await turns()


async def turns() -> None:
    """Let every task come to its next wait."""
    for _ in range(8):
        await asyncio.sleep(0)


async def test_one_starts_after_the_other_in_the_order_of_asking() -> None:
    """The first at once, the next ones no sooner than the rate allows."""
    runners = Runners(rate=2)
    tasks = [asyncio.create_task(runners.run(name)) for name in "abcd"]
    await runners.until(1.5)
    assert runners.started == [("a", 0), ("b", 0.5), ("c", 1.0), ("d", 1.5)]
    await asyncio.gather(*tasks)


async def test_time_in_which_nobody_asked_is_not_saved_up() -> None:
    """After an idle hour the rate is what it was: no burst."""
    runners = Runners(rate=2)
    runners.clock.advance(3600)
    tasks = [asyncio.create_task(runners.run(name)) for name in "abc"]
    await runners.until(3601)
    assert [at - 3600 for _, at in runners.started] == [0, 0.5, 1.0]
    await asyncio.gather(*tasks)


async def test_a_rate_that_falls_holds_for_those_who_wait_already() -> None:
    """Another worker has a part of it from now on; nobody starts by the old rate."""
    runners = Runners(rate=2)
    tasks = [asyncio.create_task(runners.run(name)) for name in "abc"]
    await runners.until(0.25)
    runners.rate = 0.5
    await runners.until(4)
    assert runners.started == [("a", 0), ("b", 2), ("c", 4)]
    await asyncio.gather(*tasks)


async def test_a_rate_that_rises_is_noticed_within_a_second() -> None:
    """Whoever waits by a slow rate does not wait it out."""
    runners = Runners(rate=1 / 64)
    tasks = [asyncio.create_task(runners.run(name)) for name in "ab"]
    await runners.until(2.5)
    runners.rate = 2
    await runners.until(4)
    assert runners.started == [("a", 0), ("b", 3)]
    await asyncio.gather(*tasks)


async def test_who_stops_waiting_leaves_their_turn() -> None:
    """A cancelled request starts nothing, and the next one starts when it would have."""
    runners = Runners(rate=2)
    tasks = [asyncio.create_task(runners.run(name)) for name in "abc"]
    await turns()
    tasks[1].cancel()
    await runners.until(0.5)
    assert runners.started == [("a", 0), ("c", 0.5)]
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_those_who_need_not_start_any_more_are_let_go_within_a_second() -> None:
    """Nobody waits out a slow rate to do nothing, and none of them takes the turn of a later one."""
    runners = Runners(rate=1 / 64)
    tasks = [asyncio.create_task(runners.run(name)) for name in "abcd"]
    await runners.until(0.5)
    runners.wanted = False
    await runners.until(1)
    runners.wanted = True
    tasks.append(asyncio.create_task(runners.run("e")))
    await runners.until(64)
    assert runners.started == [("a", 0), ("b", 1), ("c", 1), ("d", 1), ("e", 64)]
    await asyncio.gather(*tasks)

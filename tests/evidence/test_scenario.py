"""Scenarios, played on a clock that the test moves."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.evidence.line import turns
from tests.evidence.scenario import Cue, Happened, Scenario
from tests.fakes import FixedClock


class Stage:
    """Where actions leave their trace."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.trace: list[str] = []

    def cue(self, at: float, name: str) -> Cue:
        """Something that is done at once."""

        async def act() -> None:
            self.trace.append(name)

        return Cue(at, name, act)

    def slow(self, at: float, name: str, seconds: float) -> Cue:
        """Something that takes its time."""

        async def act() -> None:
            await self.clock.sleep(seconds)
            self.trace.append(name)

        return Cue(at, name, act)

    def broken(self, at: float, name: str) -> Cue:
        """Something that fails."""

        async def act() -> None:
            raise OSError(name)

        return Cue(at, name, act)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due."""
        self.clock.advance(seconds)
        await turns()


@pytest.fixture
def stage() -> Stage:
    """An empty stage."""
    return Stage()


async def test_everything_happens_at_its_time(stage: Stage) -> None:
    """A cue happens when its time has come, not before, whatever the order in which the cues were given."""
    scenario = Scenario([stage.cue(5, "late"), stage.cue(0, "first"), stage.cue(2, "second")], stage.clock)
    playing = asyncio.create_task(scenario.play())
    seen = []
    for seconds in (0, 1.9, 0.1, 2.9, 0.1):
        await stage.pass_time(seconds)
        seen.append(list(stage.trace))
    await playing
    whole = ["first", "second", "late"]
    assert seen == [whole[:1], whole[:1], whole[:2], whole[:2], whole]
    assert [(one.name, one.began) for one in scenario.happened] == [("first", 0), ("second", 2), ("late", 5)]
    assert (scenario.failed, scenario.missing) == ((), ())


async def test_same_time_keeps_the_order_given(stage: Stage) -> None:
    """Two cues of one moment happen in the order in which they were written down."""
    scenario = Scenario([stage.cue(0, "cut"), stage.cue(0, "heal")], stage.clock)
    await scenario.play()
    assert stage.trace == ["cut", "heal"]


async def test_failure_is_kept_and_the_rest_happens(stage: Stage) -> None:
    """What fails is told with its error, and what comes after it is done all the same."""
    scenario = Scenario([stage.broken(0, "restart"), stage.cue(0, "heal")], stage.clock)
    await scenario.play()
    assert stage.trace == ["heal"]
    (failed,) = scenario.failed
    assert (failed.name, str(failed.error)) == ("restart", "restart")


async def test_slow_action_delays_the_next_and_says_so(stage: Stage) -> None:
    """A cue never begins while another is being done; the report has the true times."""
    scenario = Scenario([stage.slow(1, "restart", 10), stage.cue(2, "heal")], stage.clock)
    playing = asyncio.create_task(scenario.play())
    for seconds in (0, 1, 10):
        await stage.pass_time(seconds)
    await playing
    assert scenario.happened == (Happened("restart", 1, 11), Happened("heal", 11, 11))


async def test_cancelled_scenario_says_what_is_missing(stage: Stage) -> None:
    """A scenario that is stopped knows what was done and what was not, the one under way included."""
    scenario = Scenario(
        [stage.cue(0, "done"), stage.slow(1, "under way", 10), stage.cue(50, "never")], stage.clock
    )
    playing = asyncio.create_task(scenario.play())
    await stage.pass_time(0)
    await stage.pass_time(5)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert [one.name for one in scenario.happened] == ["done"]
    assert scenario.missing == ("under way", "never")


async def test_played_again_it_begins_anew(stage: Stage) -> None:
    """A second play happens from its own beginning and tells only of itself."""
    scenario = Scenario([stage.cue(0, "once")], stage.clock)
    await scenario.play()
    stage.clock.advance(100)
    await scenario.play()
    assert scenario.happened == (Happened("once", 0, 0),)
    assert stage.trace == ["once", "once"]


async def _act() -> None:
    """Do nothing."""


IMPOSSIBLE: list[tuple[Sequence[tuple[float, str, Callable[[], Awaitable[object]]]], str]] = [
    ([(-1.0, "early", _act)], "before the beginning"),
    ([(0.0, "same", _act), (1.0, "same", _act)], "one name"),
]


@pytest.mark.parametrize(("cues", "reason"), IMPOSSIBLE)
def test_impossible_scenario_is_refused(
    cues: Sequence[tuple[float, str, Callable[[], Awaitable[object]]]], reason: str
) -> None:
    """A scenario that cannot be played, or not be told, is refused before it begins."""
    with pytest.raises(ValueError, match=reason):
        Scenario([Cue(*cue) for cue in cues], FixedClock())

"""A scenario: what happens when, decided before it begins, so that a run can be told and repeated.

It drives proxies, servers and workers beside a load:

    scenario = Scenario([Cue(5.0, "broker restarts", restart), Cue(20.0, "provider stalls", stall)], SystemClock())
    playing = asyncio.create_task(scenario.play())
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from worker.core.clock import Clock


@dataclass(frozen=True, slots=True)
class Cue:
    """One thing to happen.

    Attributes:
        at: Seconds from the beginning of the scenario.
        name: What it is, in words for a report.
        action: Does it.
    """

    at: float
    name: str
    action: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that happened.

    Attributes:
        name: What it was.
        began: Seconds from the beginning at which it began; later than planned where the one before took longer.
        ended: Seconds from the beginning at which it ended.
        error: What it failed with, or None.
    """

    name: str
    began: float
    ended: float
    error: Exception | None = None


class Scenario:
    """Plays cues in the order of their times, one after the other; those of the same time in the order given.

    Raises:
        ValueError: a time is below zero, or two cues bear one name.
    """

    def __init__(self, cues: Sequence[Cue], clock: Clock) -> None:
        if any(cue.at < 0 for cue in cues):
            raise ValueError("nothing happens before the beginning")
        if len({cue.name for cue in cues}) < len(cues):
            raise ValueError("two cues bear one name")
        self.cues = tuple(sorted(cues, key=lambda cue: cue.at))
        self._clock = clock
        self._happened: list[Happened] = []

    @property
    def happened(self) -> tuple[Happened, ...]:
        """What was done so far, also after `play` was cancelled."""
        return tuple(self._happened)

    @property
    def failed(self) -> tuple[Happened, ...]:
        """What of it failed."""
        return tuple(one for one in self._happened if one.error is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what was not brought to an end yet."""
        done = {one.name for one in self._happened}
        return tuple(cue.name for cue in self.cues if cue.name not in done)

    async def play(self) -> None:
        """Play it from the beginning to the end. What fails is kept and does not keep the rest from happening."""
        self._happened.clear()
        beginning = self._clock.monotonic()
        for cue in self.cues:
            await self._clock.sleep(beginning + cue.at - self._clock.monotonic())
            began = self._clock.monotonic() - beginning
            error = await _error_of(cue)
            self._happened.append(Happened(cue.name, began, self._clock.monotonic() - beginning, error))


async def _error_of(cue: Cue) -> Exception | None:
    try:
        await cue.action()
    except Exception as error:  # noqa: BLE001 - it is kept for whoever asks; the rest must happen all the same
        return error
    return None

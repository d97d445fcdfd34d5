"""A rate limit whose rate may change while somebody waits."""

import asyncio
import math
from collections.abc import Callable

from worker.core.clock import Clock

_LOOK_AGAIN_AFTER = (
    1.0  # seconds after which it is noticed that the rate rose, or that nobody wants to start any more
)


class Pace:
    """Lets one create start after the other, in the order of asking, never sooner than the rate allows."""

    def __init__(self, rate: Callable[[], float], clock: Clock) -> None:
        """`rate` tells the starts per second at this moment; above 0 whenever somebody asks to start."""
        self._rate = rate
        self._clock = clock
        self._last = -math.inf
        self._turn = asyncio.Lock()

    async def acquire(self, wanted: Callable[[], bool]) -> None:
        """Wait until one more create may start, or none is wanted any more: then no turn is taken."""
        async with self._turn:
            while wanted() and (wait := self._last + 1 / self._rate() - self._clock.monotonic()) > 0:
                await self._clock.sleep(min(wait, _LOOK_AGAIN_AFTER))
            if wanted():
                self._last = self._clock.monotonic()

"""A rate limit whose rate may change while somebody waits."""

import asyncio
import math
from collections.abc import Callable

from worker.core.clock import Clock

_LOOK_AGAIN_AFTER = 1.0  # seconds after which a rate that rose meanwhile is noticed


class Pace:
    """Lets one create start after the other, in the order of asking, never sooner than the rate allows."""

    def __init__(self, rate: Callable[[], float], clock: Clock) -> None:
        """`rate` tells the starts per second at this moment; above 0 whenever somebody asks to start."""
        self._rate = rate
        self._clock = clock
        self._last = -math.inf
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait until one more create may start."""
        async with self._turn:
            while (wait := self._last + 1 / self._rate() - self._clock.monotonic()) > 0:
                await self._clock.sleep(min(wait, _LOOK_AGAIN_AFTER))
            self._last = self._clock.monotonic()

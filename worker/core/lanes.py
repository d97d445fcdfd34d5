"""One lane per provider: its slots, its rate, its breaker and its pauses. A slow provider blocks only its own lane.

Slots, rate and waits are shared by all workers of the provider: a lane has this worker's part of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol, assert_never

from worker.core.breaker import Breaker, BreakerPolicy, BreakerState
from worker.core.clock import Clock
from worker.core.observer import LaneChanged, LaneState, Observer
from worker.core.shares import Share, Wish
from worker.core.verdict import Effect, Outcome

_LONGEST_QUIET_WAIT = 10.0  # seconds a lane may be asked to wait before its queue is left alone meanwhile


class Limiter(Protocol):
    """A rate limit."""

    async def acquire(self, wanted: Callable[[], bool]) -> None:
        """Wait until one more create may start, or none is wanted any more."""
        ...


class LaneClosed(Exception):
    """The lane stopped taking work while somebody waited for a slot."""


class Slot:
    """The right to have one create under way. Freed once, however often asked."""

    def __init__(self, lane: "Lane") -> None:
        self._lane: Lane | None = lane

    def free(self) -> None:
        """Give it back."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.give_back()


class Lane:
    """Whether and how fast one provider is asked."""

    def __init__(
        self,
        provider: str,
        *,
        concurrency: int,
        limiter: Limiter,
        policy: BreakerPolicy,
        clock: Clock,
        observer: Observer,
        changed: asyncio.Event,
        slots: int | None = None,
    ) -> None:
        """A lane that is open.

        Args:
            provider: Its name.
            concurrency: Creates under way at once, over all workers.
            limiter: The rate.
            policy: When the breaker opens.
            clock: Time.
            observer: Is told each change of state.
            changed: Is set whenever this lane may take work that it could not take before, or no longer.
            slots: This worker's part of the concurrency, until it is told another; None: all of it.
        """
        self.provider = provider
        self.concurrency = concurrency
        self._slots = concurrency if slots is None else slots
        self._lapses_at: float | None = None
        self._limiter = limiter
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._in_use = 0
        self._breaker = Breaker()
        self._outages = 0  # times that the breaker opened
        self._pause: LaneState | None = None
        self._wait_until: datetime | None = None
        self._unshared_wait_until: datetime | None = (
            None  # the same, while the other workers do not know of it
        )
        self._stopped = False
        self._told = LaneState.OPEN
        self._waiters: deque[asyncio.Future[Slot]] = deque()
        self._changed = changed

    @property
    def state(self) -> LaneState:
        """A pause counts before the breaker, and that before a wait that the provider asked for."""
        if self._pause is not None:
            return self._pause
        match self._breaker.state:
            case BreakerState.CLOSED:
                return LaneState.ASKED_TO_WAIT if self._wait_left() > _LONGEST_QUIET_WAIT else LaneState.OPEN
            case BreakerState.OPEN:
                return LaneState.BROKEN
            case BreakerState.TRYING:
                return LaneState.TRYING
            case _:
                assert_never(self._breaker.state)

    @property
    def takes_work(self) -> bool:
        """Whether its queue should be read: open (or trying), with a slot, and not told to wait for long."""
        return self._is_open and self._allowed() > 0 and self._wait_left() <= _LONGEST_QUIET_WAIT

    @property
    def slots(self) -> int:
        """This worker's part of the concurrency."""
        return self._slots

    @property
    def in_use(self) -> int:
        """Slots taken; more than there are while what was begun with a larger part is finished."""
        return self._in_use

    @property
    def part(self) -> float:
        """How much of the provider's rate is this worker's, above 0 and up to 1."""
        return max(1, self._keeps) / self.concurrency

    @property
    def wish(self) -> Wish:
        """What this worker asks of the slots that all workers share."""
        return Wish(
            self.concurrency, self._keeps, leaves=not self._is_open, wait_until=self._unshared_wait_until
        )

    def share(self, share: Share, lapses_at: float) -> None:
        """From now on this part is this worker's; nothing that runs is ended.

        Args:
            share: What it got.
            lapses_at: Monotonic time from which others may take the part, so that nothing is begun any more.
        """
        before = (self._slots, self.takes_work)
        self._slots, self._lapses_at = share.slots, lapses_at
        if self._unshared_wait_until is not None and self._unshared_wait_until <= share.wait_until:
            self._unshared_wait_until = None  # all know of it
        self._wait_until = max(share.wait_until, self._unshared_wait_until or share.wait_until)
        if before != (self._slots, self.takes_work):
            self._changed.set()
        waits = self.state is LaneState.ASKED_TO_WAIT
        self._tell("another worker was asked to wait" if waits else "the wait is over, but for seconds")

    @property
    def stopped(self) -> bool:
        """Whether the process ends."""
        return self._stopped

    async def acquire_slot(self, *, first: bool = False) -> Slot:
        """Wait for a slot, in the order of asking.

        Args:
            first: Whether to be served before all who wait already.

        Raises:
            LaneClosed: the lane takes no work, or stopped taking it while we waited.
        """
        waiter: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        (self._waiters.appendleft if first else self._waiters.append)(waiter)
        self._serve()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().free()  # given in the very moment in which nobody wanted it any more
            raise

    def give_back(self) -> None:
        """A slot was freed."""
        self._in_use -= 1
        self._serve()

    async def permission(self) -> None:
        """Wait until the rate allows a create and no wait that the provider asked for is left; looks again after each.

        Raises:
            LaneClosed: the lane closed meanwhile: nothing may be sent. Also if its breaker opened and by now lets one
                create through: that is the next to ask for a slot.
        """
        outages = self._outages
        while True:
            while (wait := self._wait_left()) > 0 and self._is_open:
                await self._clock.sleep(min(wait, _LONGEST_QUIET_WAIT))  # an operator may end a long one
            await self._limiter.acquire(lambda: self._is_open and self._outages == outages)
            if not self._may_begin or self._outages != outages:
                raise LaneClosed
            if not self._wait_left():
                return

    def check_permission(self) -> None:
        """Make sure that a permission still holds.

        Raises:
            LaneClosed: since then the lane has closed, or the provider asked for a wait.
        """
        if not self._may_begin or self._wait_left():
            raise LaneClosed

    def learn(self, outcome: Outcome) -> None:
        """What an attempt says about the provider itself."""
        now = self._clock.now()
        match outcome.effect:
            case Effect.OUTAGE:
                was_open = self._breaker.state is BreakerState.OPEN
                self._breaker = self._breaker.after_outage(now, self._policy)
                self._outages += self._breaker.state is BreakerState.OPEN and not was_open
            case Effect.LIMIT:
                self._breaker = self._breaker.after_answer()
                until = now + timedelta(seconds=outcome.wait or 1.0)
                if until > (self._wait_until or now):
                    self._wait_until = self._unshared_wait_until = until
            case Effect.PAUSE | Effect.NONE:
                self._breaker = self._breaker.after_answer()
            case _:
                assert_never(outcome.effect)
        self._tell(outcome.reason)

    def wants_probe(self) -> bool:
        """Whether the breaker's cooldown is over."""
        return self._breaker.wants_probe(self._clock.now())

    def probed(self, *, healthy: bool, detail: str) -> None:
        """The harmless read came back."""
        self._breaker = self._breaker.after_probe(healthy=healthy, now=self._clock.now(), policy=self._policy)
        self._tell(detail)

    def pause(self, state: LaneState | None, detail: str) -> None:
        """Set or, with None, lift the pause that the ledger remembers."""
        if state is not self._pause:
            self._pause = state
            self._tell(detail)

    def stop(self) -> None:
        """Take no more work, for good: the process ends."""
        self._stopped = True
        self._notify()

    @property
    def _is_open(self) -> bool:
        return not self._stopped and self._pause is None and self._breaker.state is not BreakerState.OPEN

    @property
    def _may_begin(self) -> bool:
        return self._is_open and not self._lapsed

    @property
    def _lapsed(self) -> bool:
        return self._lapses_at is not None and self._clock.monotonic() >= self._lapses_at

    @property
    def _keeps(self) -> int:
        return max(self._in_use, self._slots)

    def _allowed(self) -> int:
        if self._lapsed:
            return 0
        return min(self._slots, 1) if self.state is LaneState.TRYING else self._slots

    def _wait_left(self) -> float:
        if self._wait_until is None:
            return 0.0
        left = (self._wait_until - self._clock.now()).total_seconds()
        if left <= 0:
            self._wait_until = None
        return max(0.0, left)

    def _tell(self, detail: str) -> None:
        if self.state is not self._told:
            self._told = self.state
            self._observer.tell(LaneChanged(self.provider, self.state, detail))
            self._changed.set()
        self._serve()

    def _notify(self) -> None:
        self._changed.set()
        self._serve()

    def _serve(self) -> None:
        """Hand free slots to those who wait, or turn them away."""
        while self._waiters and (not self.takes_work or self._in_use < self._allowed()):
            waiter = self._waiters.popleft()
            if waiter.done():
                continue  # cancelled
            if self.takes_work:
                self._in_use += 1
                waiter.set_result(Slot(self))
            else:
                waiter.set_exception(LaneClosed())

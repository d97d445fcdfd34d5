"""Time that is only counted: an event loop in one thread whose clock moves when nothing is left to do."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BEGINNING = 1000.0
"""What the loop's clock shows at first; not 0, so that nobody takes a time for a duration."""

_WORK = 1e-6
"""Seconds that one turn of the loop takes; code that asks the clock until it has moved would never end without."""

_world: Context = Context()
"""Where the surroundings' own timers run: in nobody's process."""


class Standstill(Exception):
    """Somebody waits for something that will never come: nothing is ready and no timer is set."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs whatever is ready; when nothing is, it is at once as late as the next timer wants it to be.

    Everything happens in one thread and in an order that follows from what was scheduled before, so what is run on it
    twice with the same random numbers happens twice in the same way.
    """

    _ready: deque[asyncio.Handle]

    get_debug = staticmethod(bool)  # False, as quickly as can be: each handle asks

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING
        self.broken: list[str] = []
        """What was raised where nobody could catch it."""
        self._timers: list[tuple[float, int, asyncio.Handle]] = []
        self._set = 0
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Seconds on the loop's clock."""
        return self.now

    def after(self, seconds: float, action: Callable[..., object], *arguments: Any) -> asyncio.Handle:
        """Let the surroundings do something later, in nobody's process."""
        timer = asyncio.Handle(action, arguments, self, _world)
        self._set += 1
        heapq.heappush(self._timers, (self.now + seconds, self._set, timer))
        return timer

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back in the next turn; without the checks of the base class, which take longer than all the rest."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back then; of two with the same time, the one that was set first."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, timer))
        return timer

    def _run_once(self) -> None:
        """One turn: what is ready now. The base class calls this until it is told to stop."""
        ready, timers = self._ready, self._timers
        if not ready:
            self._wait()
        self.now += _WORK
        while timers and timers[0][0] <= self.now:
            timer = heapq.heappop(timers)[2]
            if not timer._cancelled:
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _wait(self) -> None:
        """Nothing is left to do now, so it is as late as the next timer says."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Standstill("nothing is ready and nothing is due")
        self.now = max(self.now, timers[0][0])

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.broken.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""


def run(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run until `main` is done; then end every task that is left, and the loop."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        _end_all(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _end_all(loop: VirtualLoop) -> None:
    for _ in range(3):  # a task that is cancelled may wait once more for one that it began
        left = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

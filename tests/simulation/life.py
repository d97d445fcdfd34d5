"""One process of a worker: all it does outside passes here, so that it can be killed or frozen at any await."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from tests.simulation.loop import VirtualLoop

T = TypeVar("T")

_process: ContextVar["Life"] = ContextVar("process")
_FEW = 64  # tasks that are kept before those that are done are forgotten


class Life:
    """A process, from its start to its end.

    Args:
        name: Of the worker, new for each life.
        loop: On which it runs, with everybody else.
        crossed: Is told each time this process is about to go out into the world, or comes back from it; may kill it
            or freeze it right there.
    """

    def __init__(self, name: str, loop: VirtualLoop, crossed: Callable[["Life", str], None]) -> None:
        self.name = name
        self.loop = loop
        self.dead = False
        self.frozen_until = 0.0
        self._died_at = math.inf
        self._crossed = crossed
        self._asleep: list[asyncio.Future[None]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._context: Context = copy_context()
        self._context.run(_process.set, self)

    @property
    def frozen(self) -> bool:
        """Whether no step is made at this moment."""
        return self.frozen_until > self.loop.now

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start a task of this process; what it starts belongs to the process too."""
        return self.loop.create_task(work, name=name, context=self._context)

    def touch(self, where: str) -> None:
        """Say how far it has come, without leaving the process."""
        if not self.dead:
            self._crossed(self, where)

    async def cross(self, where: str) -> None:
        """Go out into the world, or come back from it: the dead do neither, the frozen wait.

        Raises:
            CancelledError: this process was killed.
        """
        if not self.dead:
            self._crossed(self, where)
        if self.dead or self.frozen_until > self.loop.now:
            await self.wake()

    async def wake(self) -> None:
        """Wait until the process makes steps again.

        Raises:
            CancelledError: it was killed.
        """
        while self.frozen and not self.dead:
            await self.thawed()
        if self.dead:
            raise asyncio.CancelledError

    def thawed(self) -> asyncio.Future[None]:
        """Done when it goes on."""
        waking: asyncio.Future[None] = self.loop.create_future()
        self._asleep.append(waking)
        return waking

    async def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        waking = self.loop.create_future()
        timer = self.loop.after(seconds, _wake, waking)
        try:
            await waking
        finally:
            timer.cancel()

    def freeze(self, seconds: float) -> None:
        """No step is made for that long."""
        self.frozen_until = max(self.frozen_until, self.loop.now + seconds)
        self.loop.after(self.frozen_until - self.loop.now, self._thaw_in_time)

    def thaw(self) -> None:
        """It goes on, where it stood."""
        self.frozen_until = min(self.frozen_until, self.loop.now)
        asleep, self._asleep = self._asleep, []
        for waking in asleep:
            _wake(waking)

    def _thaw_in_time(self) -> None:
        if not self.frozen:  # else something made it longer
            self.thaw()

    def kill(self) -> None:
        """From now on nothing that it does has any effect, and its tasks end."""
        self.dead = True
        self._died_at = self.loop.now
        for task in self._tasks:
            task.cancel()

    def lived_on(self, since: float, seconds: float) -> bool:
        """Whether it went on for so long after a moment, without a stop."""
        return min(self._died_at, self.loop.now) - max(since, self.frozen_until) >= seconds

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Remember a task of this process."""
        if self.dead:
            task.cancel()
            return
        if len(self._tasks) > _FEW and len(self._tasks) & 63 == 0:
            self._tasks = [known for known in self._tasks if not known.done()]
        self._tasks.append(task)


def follow_processes(loop: VirtualLoop) -> None:
    """From now on each task is kept by the process that starts it."""

    def make(_: asyncio.AbstractEventLoop, work: Any, context: Context | None = None, **options: Any) -> Any:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context, **options)
        life = _process.get(None) if context is None else context.get(_process)
        if life is not None:
            life.keep(task)
        return task

    loop.set_task_factory(make)


def _wake(waking: asyncio.Future[None]) -> None:
    if not waking.done():
        waking.set_result(None)


class MachineClock:
    """The clocks of a machine: its time of day may be set, its monotonic one goes on."""

    def __init__(self, life: Life, wall: Callable[[], Any]) -> None:
        self._life = life
        self._wall = wall

    era = "simulated"

    def now(self) -> Any:
        return self._wall()

    def time_of_day(self) -> Any:
        return self._wall()

    def agree(self, reference: object, as_of: float) -> float:
        """It shows what it was set to."""
        return 0.0

    def monotonic(self) -> float:
        return self._life.loop.now

    async def sleep(self, seconds: float) -> None:
        await self._life.pass_time(max(0.0, seconds))
        await self._life.cross("slept")

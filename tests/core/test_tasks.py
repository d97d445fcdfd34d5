"""Named tasks, and waiting for the first of several things."""

import asyncio
from functools import partial

import pytest

from worker.core.tasks import FirstOf, Tasks


async def test_a_task_is_named_while_it_runs_and_then_forgotten() -> None:
    """What is under way can be read, and nothing piles up."""
    tasks, gate = Tasks(), asyncio.Event()
    tasks.start(gate.wait(), "b")
    tasks.start(gate.wait(), "a")
    under_way = tasks.names
    gate.set()
    assert await tasks.wait(5)
    assert (under_way, tasks.names) == (("a", "b"), ())


async def test_waiting_includes_what_is_started_meanwhile() -> None:
    """A task that starts another is waited for together with it."""
    tasks, done = Tasks(), []

    async def parent() -> None:
        tasks.start(child(), "child")

    async def child() -> None:
        await asyncio.sleep(0)
        done.append("child")

    tasks.start(parent(), "parent")
    assert await tasks.wait(5)
    assert done == ["child"]


async def test_waiting_ends_after_its_time_and_leaves_the_tasks_alone() -> None:
    """Out of patience is not a reason to cut anything."""
    tasks, gate = Tasks(), asyncio.Event()
    task = tasks.start(gate.wait(), "stuck")
    assert not await tasks.wait(0)
    assert not task.done()
    await tasks.cancel()
    assert task.cancelled()


async def test_a_task_that_fails_does_not_stop_the_waiting() -> None:
    """Its error belongs to whoever asks the task."""

    async def fail() -> None:
        raise ZeroDivisionError

    tasks = Tasks()
    task = tasks.start(fail(), "fail")
    assert await tasks.wait(5)
    with pytest.raises(ZeroDivisionError):
        task.result()


class Waits:
    """Things that may come, and how often each was begun to be waited for."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    async def wait(self, name: str, event: asyncio.Event) -> None:
        self.begun.append(name)
        try:
            await event.wait()
        finally:
            self.ended.append(name)


async def test_what_did_not_come_is_waited_for_on() -> None:
    """Only what came is waited for anew the next time; in the end nobody is left waiting."""
    waits, often, never = Waits(), asyncio.Event(), asyncio.Event()
    often.set()
    async with FirstOf(partial(waits.wait, "often", often), partial(waits.wait, "never", never)) as first:
        for _ in range(3):
            await first.next()
    assert (waits.begun.count("often"), waits.begun.count("never")) == (3, 1)
    assert sorted(waits.ended) == ["never", "often", "often", "often"]


async def test_being_cancelled_ends_all_of_them() -> None:
    """A wait that is given up leaves no task behind."""
    waits, never = Waits(), asyncio.Event()

    async def wait() -> None:
        async with FirstOf(*(partial(waits.wait, name, never) for name in ("one", "two"))) as first:
            await first.next()

    waiting = asyncio.create_task(wait())
    for _ in range(3):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert sorted(waits.ended) == ["one", "two"]


async def test_a_wait_that_breaks_is_heard_of() -> None:
    """A loop whose reason to go on is broken must not go on as if it had come."""

    async def fail() -> None:
        raise ZeroDivisionError

    async with FirstOf(asyncio.Event().wait, fail) as first:
        with pytest.raises(ZeroDivisionError):
            await first.next()

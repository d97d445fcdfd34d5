"""Named tasks, and waiting for the first of several things."""

import asyncio

import pytest

from worker.core.tasks import Tasks, first_of


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


async def test_the_first_ends_the_others() -> None:
    """Whoever waits for one of several leaves nobody waiting behind."""
    stopped = asyncio.Event()

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    await first_of(long(), asyncio.sleep(0))
    assert stopped.is_set()


async def test_being_cancelled_ends_all_of_them() -> None:
    """A wait that is given up leaves no task behind."""
    stopped = []

    async def long(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(name)

    waiting = asyncio.create_task(first_of(long("one"), long("two")))
    for _ in range(3):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert sorted(stopped) == ["one", "two"]

"""Faults that let time pass: waits, gates, answers and accounts that come late."""

import asyncio
from typing import Any

import pytest

from tests.providers.known import KNOWN
from worker.sandbox import Fault, Rule, Sandbox

every_provider = pytest.mark.parametrize("provider", KNOWN)


async def test_late_answer(caller: Any, sandbox: Sandbox, naps: Any) -> None:
    """The account is made at once, the true answer comes after the wait."""
    sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, seconds=45))
    sent = asyncio.create_task(caller.create("phone_com"))
    await naps.begun.wait()
    assert naps.asked == [45]
    assert sandbox.creates("phone_com").made == 1
    assert not sent.done()
    naps.over.set()
    assert str((await sent).json["id"]) == sandbox.accounts("phone_com")[0].id


async def test_slow(caller: Any, sandbox: Sandbox, naps: Any) -> None:
    """Nothing is made before the wait is over; then everything goes its way."""
    sandbox.faults.add(Rule(fault=Fault.SLOW, seconds=0.05))
    sent = asyncio.create_task(caller.create("phone_com"))
    await naps.begun.wait()
    assert (sandbox.creates("phone_com").attempted, sandbox.creates("phone_com").made) == (1, 0)
    naps.over.set()
    assert (await sent).status == 200
    assert sandbox.creates("phone_com").made == 1


async def test_going_away_does_not_stop_slow_work(caller: Any, sandbox: Sandbox, naps: Any) -> None:
    """A client that gives up while the provider is slow gets an account all the same."""
    sandbox.faults.add(Rule(fault=Fault.SLOW, seconds=60))
    sent = asyncio.create_task(caller.create("phone_com"))
    await naps.begun.wait()
    sent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sent
    naps.over.set()
    await sandbox.settle()
    assert sandbox.creates("phone_com").made == 1


async def test_slow_goes_with_another_fault(caller: Any, sandbox: Sandbox, naps: Any) -> None:
    """A request can be slow and then cut."""
    sandbox.faults.add(Rule(fault=Fault.SLOW, seconds=2), Rule(fault=Fault.CUT_BEFORE_CREATE))
    naps.over.set()
    assert await caller.raw_create("gateway360") == b""
    assert naps.asked == [2]


async def test_a_gate_is_waited_for(caller: Any, sandbox: Sandbox) -> None:
    """With until the wait ends when the test opens the gate; others are not held up, an open gate is no
    wait.
    """
    sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, until="door", match="patient"))
    sent = asyncio.create_task(caller.create("gateway360", user_name="patient"))
    assert (await caller.create("gateway360", user_name="other")).status == 200
    assert not sent.done()
    sandbox.gate("door").set()
    assert (await sent).status == 200
    assert (await caller.create("gateway360", user_name="patient2")).status == 200


@every_provider
async def test_delayed_create(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """The connection closes at once, the account comes into being after the wait."""
    sandbox.faults.add(Rule(fault=Fault.DELAYED_CREATE, provider=provider, until="done"))
    assert await caller.raw_create(provider) == b""
    assert (sandbox.creates(provider).attempted, sandbox.creates(provider).made) == (1, 0)
    sandbox.gate("done").set()
    await sandbox.settle()
    assert sandbox.creates(provider).made == 1


async def test_a_delayed_create_can_come_too_late(caller: Any, sandbox: Sandbox) -> None:
    """If somebody else takes the name meanwhile, the delayed create makes nothing."""
    sandbox.faults.add(Rule(fault=Fault.DELAYED_CREATE, until="done", times=1))
    assert await caller.raw_create("phone_com") == b""
    assert (await caller.create("phone_com")).status == 200
    sandbox.gate("done").set()
    await sandbox.settle()
    assert sandbox.creates("phone_com").made == 1


async def test_lagging_read(caller: Any, sandbox: Sandbox) -> None:
    """The account exists at once, so its name is taken, but no look-up shows it before the wait is over."""
    sandbox.faults.add(Rule(fault=Fault.LAGGING_READ, until="caught up", times=1))
    assert await caller.raw_create("phone_com") == b""
    assert sandbox.creates("phone_com").made == 1
    assert (await caller.get("phone_com", caller.path("phone_com"))).json["items"] == []
    assert (await caller.create("phone_com")).status == 422
    sandbox.gate("caught up").set()
    await sandbox.settle()
    assert len((await caller.get("phone_com", caller.path("phone_com"))).json["items"]) == 1

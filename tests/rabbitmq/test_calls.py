"""Calls to the broker: one kind of error, and cancellation exactly when somebody asked for it; no broker needed."""

import asyncio
from contextlib import suppress

import pytest
from aiormq.exceptions import (
    AMQPConnectionError,
    ChannelClosed,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from worker.core.errors import BrokerUnavailable, PublishUnconfirmed
from worker.rabbitmq.calls import NOT_FOUND, PRECONDITION_FAILED, Refused, answering


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AMQPConnectionError("reset"), "the connection was lost"),
        (ConnectionResetError(104, "reset"), "the socket broke"),
        (ChannelInvalidStateError("closed"), "a RuntimeError of the library"),
        (RecursionError(), "a frame that broke the reader"),
        (asyncio.CancelledError(), "a cancellation nobody asked for: we closed the connection"),
        (Exception(), "what aiormq raises where it knows no reason"),
    ],
)
async def test_whatever_the_library_raises_is_one_error(error: BaseException, reason: str) -> None:
    """The core knows one word for it, and the words for people begin with what was tried."""
    with pytest.raises(BrokerUnavailable, match="asking: ") as raised:
        async with answering(1, "asking"):
            raise error
    assert not isinstance(raised.value, Refused), reason


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ChannelNotFoundEntity("NOT_FOUND - no queue"), NOT_FOUND),
        (ChannelPreconditionFailed("PRECONDITION_FAILED - inequivalent"), PRECONDITION_FAILED),
        (ChannelClosed(None, None), 0),
    ],
)
async def test_closed_channel_is_an_answer(error: Exception, code: int) -> None:
    """It carries the broker's code and words."""
    with pytest.raises(Refused) as raised:
        async with answering(1, "asking"):
            raise error
    assert raised.value.code == code
    assert str(error) in raised.value.text


async def test_our_own_errors_pass() -> None:
    """What was said precisely is not said again vaguely."""
    with pytest.raises(PublishUnconfirmed, match=r"^unroutable$"):
        async with answering(1, "asking"):
            raise PublishUnconfirmed("unroutable")


async def test_deadline() -> None:
    """No answer is an error that says how long we waited."""
    with pytest.raises(BrokerUnavailable, match=r"asking: no answer within 0\.01 s"):
        async with answering(0.01, "asking"):
            await asyncio.Event().wait()


@pytest.mark.parametrize("instead", [None, ChannelClosed(200, "meanwhile"), asyncio.CancelledError()])
async def test_cancellation_is_never_lost(instead: BaseException | None) -> None:
    """The library may swallow a cancellation or raise something else instead; the caller ends all the same."""

    async def ask() -> None:
        async with answering(10, "asking"):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            if instead is not None:
                raise instead
        pytest.fail("went on")

    asking = asyncio.create_task(ask())
    await asyncio.to_thread(lambda: None)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_deadline_of_the_caller_stays_a_deadline() -> None:
    """A shorter time-out around the call is that caller's own."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), answering(10, "asking"):
            await asyncio.Event().wait()


async def test_cleaning_up_after_a_cancellation() -> None:
    """A task that ends may still ask the broker something: its old cancellation does not count again."""
    cleaned: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            async with answering(1, "cleaning up"):
                cleaned.append(True)

    working = asyncio.create_task(work())
    await asyncio.to_thread(lambda: None)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert cleaned == [True]

"""Every call to the broker goes through `answering`: it has a deadline, and it fails in one way only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.exceptions import AMQPChannelError
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from worker.core.errors import BrokerUnavailable, WorkerError

NO_PERMISSION, NOT_FOUND, LOCKED, PRECONDITION_FAILED = 403, 404, 405, 406

_CODES: dict[type[AMQPChannelError], int] = {
    ChannelAccessRefused: NO_PERMISSION,
    ChannelNotFoundEntity: NOT_FOUND,
    ChannelLockedResource: LOCKED,
    ChannelPreconditionFailed: PRECONDITION_FAILED,
}


class Refused(BrokerUnavailable):
    """The broker answered a call by closing its channel: missing, locked, other arguments or no permission.

    Attributes:
        code: AMQP reply code, 0 where the broker gave none.
        text: The broker's own words.
    """

    def __init__(self, what: str, code: int, text: str) -> None:
        super().__init__(f"{what}: {text}")
        self.code = code
        self.text = text


@asynccontextmanager
async def answering(seconds: float, what: str) -> AsyncIterator[None]:
    """A deadline around what is inside, and one kind of error for everything the client library may raise.

    The library also loses cancellations: whoever waits on a channel that is closed at the same moment gets the
    channel's error instead, or none. And it gives cancellations nobody asked for, to whoever waits on a connection
    that we close. Here a cancellation ends the caller exactly when somebody asked for it.

    Raises:
        BrokerUnavailable: no answer within `seconds`, or the connection was lost meanwhile.
        Refused: the broker said no and closed the channel.
    """
    requests = _cancellations()
    try:
        async with asyncio.timeout(seconds):
            yield
    except (Exception, asyncio.CancelledError) as error:
        if _cancellations() > requests:
            raise asyncio.CancelledError from error
        if isinstance(error, WorkerError):
            raise
        raise _translated(error, seconds, what) from error
    if _cancellations() > requests:
        raise asyncio.CancelledError


def in_words(error: BaseException) -> str:
    """What went wrong, for people. The client library's errors name addresses and entities, never a password."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _translated(error: BaseException, seconds: float, what: str) -> BrokerUnavailable:
    match error:
        case TimeoutError():
            return BrokerUnavailable(f"{what}: no answer within {seconds:g} s")
        case asyncio.CancelledError():
            return BrokerUnavailable(f"{what}: the connection was closed")
        case AMQPChannelError():
            return Refused(what, _CODES.get(type(error), 0), in_words(error))
        case _:
            return BrokerUnavailable(f"{what}: {in_words(error)}")


def _cancellations() -> int:
    """How often somebody asked for the end of the running task; `asyncio.timeout` takes its own request back."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0

"""One connection to RabbitMQ, opened in one go and thrown away in one go. What keeps one alive is `link.py`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, urlsplit

import aiormq
from aio_pika.connection import make_url
from aiormq.abc import AbstractChannel

from worker.core.errors import BrokerUnavailable, ConfigurationError
from worker.rabbitmq.calls import answering, in_words
from worker.rabbitmq.transport import Transport

URL_SETTING = "PROVISIONER_BROKER__URL"

_GOODBYE = 2.0
"""Seconds an orderly close may take before the socket is cut, or a channel is left to its connection."""

_ACCESS_REFUSED, _NOT_ALLOWED = 403, 530


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Where the broker is, and how long to wait for it. All times in seconds.

    Attributes:
        url: amqp:// or amqps://, with user and password. Never shown; `address` is the form for people.
        declare: Whether the worker declares the topology, or only checks that all of it is there.
        heartbeat: Asked of the broker; after three the client gives a silent connection up, if no call did before.
        connect_timeout: For one try to connect, TLS and login included.
        operation_timeout: For every other call, and for one publish from waiting for its turn to the confirmation.
        publishes_in_flight: Publishes that may wait for their confirmation at the same time.
        longest_pause: Between two tries to connect; the pauses grow up to it. Short: together with a try that is not
            answered it is how long the worker may stay away after the broker has come back.
        watch_every: Between two looks of the watchdog; the second that finds a queue stuck rebuilds the connection.

    Raises:
        ConfigurationError: the URL is none.
    """

    url: str = field(repr=False)
    declare: bool = True
    heartbeat: int = 12
    connect_timeout: float = 10.0
    operation_timeout: float = 10.0
    publishes_in_flight: int = 200
    longest_pause: float = 4.0
    watch_every: float = 10.0

    def __post_init__(self) -> None:
        _parts(self.url)

    @property
    def address(self) -> str:
        """The URL without its password and without its query."""
        parts = _parts(self.url)
        user = f"{parts.username}:***@" if parts.username else ""
        return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def virtual_host(self) -> str:
        """As the client library asks for it."""
        return make_url(self.url).path.removeprefix("/").replace("%2F", "/") or "/"


class Connection:
    """An open connection and its socket.

    Built on aiormq, the layer below aio-pika's own connections: those cannot be closed without waiting for the other
    side, and keep two callbacks for every channel they ever had.

    Attributes:
        end: Done as soon as the connection is lost or given up; its result is the reason.
    """

    def __init__(self, amqp: aiormq.Connection, transport: Transport) -> None:
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._amqp = amqp
        self._transport = transport
        amqp.closing.add_done_callback(self._closed)

    @classmethod
    async def open(cls, settings: ConnectionSettings, name: str) -> Self:
        """Connect and log in; `name` is what the broker's own tools will show.

        Raises:
            BrokerUnavailable: no such host, refused, silent, TLS failed.
            ConfigurationError: the broker refuses user, password or virtual host.
        """
        _silence_client_library()
        transport = Transport()
        amqp = aiormq.Connection(
            make_url(settings.url, heartbeat=settings.heartbeat),
            transport_factory=transport,
            client_properties={"connection_name": f"provisioner {name}"},
        )
        try:
            async with answering(settings.connect_timeout, f"connecting to {settings.address}"):
                await amqp.connect()
        except ConfigurationError as error:
            raise ConfigurationError(f"{URL_SETTING} ({settings.address}): {error}") from error
        except BaseException as error:
            transport.abort()
            if isinstance(error, BrokerUnavailable) and transport.farewell is not None:
                raise _rejected(settings, *transport.farewell) from None
            raise
        return cls(amqp, transport)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: ConnectionSettings, name: str) -> AsyncIterator[Self]:
        """A connection for the block.

        Raises:
            BrokerUnavailable: no such host, refused, silent, TLS failed.
            ConfigurationError: the broker refuses user, password or virtual host.
        """
        connection = await cls.open(settings, name)
        try:
            yield connection
        finally:
            await connection.close()

    @property
    def blocked(self) -> str:
        """Why the broker does not listen to publishers now (memory or disk alarm), or ""."""
        return self._transport.blocked

    @property
    def broker(self) -> str:
        """Name and version of the broker."""
        known = self._amqp.server_properties
        return " ".join(str(known[name]) for name in ("product", "version") if name in known)

    def give_up(self, reason: str) -> None:
        """Note why this connection is of no use any more. The first reason counts."""
        if not self.end.done():
            self.end.set_result(self.why(reason))

    def why(self, reason: str) -> str:
        """Why it is of no use: the broker's words, where it said any, before ours."""
        farewell = self._transport.farewell
        return f"closed by the broker: {farewell[0]} {farewell[1]}" if farewell is not None else reason

    async def channel(self, *, seconds: float, confirms: bool = False) -> AbstractChannel:
        """A channel; with `confirms` every publish waits for its confirmation, and a returned one raises.

        Raises:
            BrokerUnavailable: no channel within `seconds`.
        """
        async with answering(seconds, "opening a channel"):
            return await self._amqp.channel(publisher_confirms=confirms)

    @asynccontextmanager
    async def throwaway_channel(self, *, seconds: float) -> AsyncIterator[AbstractChannel]:
        """A channel for questions that the broker may answer by closing it.

        Raises:
            BrokerUnavailable: no channel within `seconds`.
        """
        channel = await self.channel(seconds=seconds)
        try:
            yield channel
        finally:
            with suppress(BrokerUnavailable):
                async with answering(min(seconds, _GOODBYE), "closing a channel"):
                    await channel.close()

    async def ask_for(self, exchange: str, *, seconds: float) -> None:
        """Ask whether an exchange is there, which also shows whether the broker answers.

        Raises:
            Refused: it is not.
            BrokerUnavailable: no answer within `seconds`.
        """
        async with (
            self.throwaway_channel(seconds=seconds) as channel,
            answering(seconds, f"looking at {exchange}"),
        ):
            await channel.exchange_declare(exchange, passive=True)

    async def close(self) -> None:
        """Say goodbye if that is quick, then cut the socket. Never waits long, may be repeated."""
        goodbye = asyncio.create_task(self._amqp.close(), name="goodbye to the broker")
        goodbye.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.wait({goodbye}, timeout=_GOODBYE)
        finally:
            goodbye.cancel()
            await self.cut()

    async def cut(self) -> None:
        """Cut the socket without another word. Whatever waits on it ends."""
        self._transport.abort()
        await asyncio.wait({self.end}, timeout=_GOODBYE)

    def _closed(self, closing: asyncio.Future[object]) -> None:
        self.give_up(reason_of(closing))


def reason_of(closing: asyncio.Future[object]) -> str:
    """Why a connection or a channel was closed, as the client library knows it."""
    error = None if closing.cancelled() else closing.exception()
    return in_words(error) if error is not None else "closed"


def _rejected(settings: ConnectionSettings, code: int, text: str) -> BrokerUnavailable | ConfigurationError:
    """What a farewell during the login means. A limit that is reached may be free again later."""
    if code == _ACCESS_REFUSED or (code == _NOT_ALLOWED and "limit" not in text):
        return ConfigurationError(f"{URL_SETTING} ({settings.address}): the broker refuses the login: {text}")
    return BrokerUnavailable(f"connecting to {settings.address}: closed by the broker: {code} {text}")


def _parts(url: str) -> SplitResult:
    """The URL in parts. The error shows nothing of it: what is no URL may hold a password in any place."""
    with suppress(ValueError):
        parts = urlsplit(url)
        misplaced = parts.fragment or "@" in parts.path + parts.query
        usable = (
            parts.scheme in {"amqp", "amqps"} and parts.hostname and parts.port != 0 and make_url(url).host
        )
        if usable and not misplaced:
            return parts
    raise ConfigurationError(
        f"{URL_SETTING} must be of the form amqp://user:password@host:port/vhost; in user and password "
        "the signs : / @ # ? % are written %3A %2F %40 %23 %3F %25"
    )


def _silence_client_library() -> None:
    """Its records repeat what the observer is told, and some of them hold whole messages."""
    for name in ("aio_pika", "aiormq"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

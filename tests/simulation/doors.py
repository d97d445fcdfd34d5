"""The two connections of one process to the broker, as a model of `worker/rabbitmq/`: consumers and publisher."""

import asyncio
from functools import partial
from typing import Final

from tests.simulation.broker import Broker, Channel, Publication
from tests.simulation.life import Life
from tests.simulation.weather import Fault
from worker.core.broker import Handler, Message
from worker.core.errors import PublishUnconfirmed

_IN_TIME: Final = 10.0  # seconds within which the broker must confirm
_AFTER_A_FAILURE: Final = 5.0  # seconds a delivery rests whose handler raised


class Delivery:
    """One handing-over. Its verbs are written, not confirmed."""

    def __init__(self, doors: "Doors", channel: Channel, tag: int, message: Message) -> None:
        self._doors = doors
        self._channel = channel
        self._tag = tag
        self._settled = False
        self.message = message

    @property
    def open(self) -> bool:
        return not self._settled and self._channel.open

    async def ack(self) -> None:
        await self._settle("ack")

    async def reject(self) -> None:
        await self._settle("reject")

    async def requeue(self) -> None:
        await self._settle("requeue")

    async def _settle(self, verb: str) -> None:
        await self._doors.life.cross(verb)
        if self.open:
            self._settled = True
            self._doors.write(self._channel, self._tag, verb)
            await self._doors.life.cross(f"{verb}ed")


class Doors:
    """The way in: what is wished for outlives each connection."""

    def __init__(self, broker: Broker, life: Life) -> None:
        self.life = life
        self._broker = broker
        self._scene = broker.scene
        self._wishes: dict[str, tuple[Handler, int]] = {}
        self._channels: dict[str, Channel] = {}
        self._handling: dict[asyncio.Task[None], None] = {}
        self._connected = True

    async def open(self, queue: str, handler: Handler, *, prefetch: int) -> None:
        """Consume from now on, on this connection and on every later one; another prefetch wants a new consumer."""
        await self.life.cross("open")
        self._wishes[queue] = (handler, prefetch)
        channel = self._channels.get(queue)
        if channel is not None and channel.prefetch != prefetch:
            self._broker.end(self._channels.pop(queue))
        self._subscribe(queue)

    async def close(self, queue: str) -> None:
        """Consume no more; what has no verb goes back."""
        await self.life.cross("close")
        self._wishes.pop(queue, None)
        channel = self._channels.pop(queue, None)
        if channel is not None:
            self._broker.end(channel)
        await self.life.cross("closed")

    async def drain(self) -> None:
        """Wait until no handler runs."""
        while self._handling:
            await asyncio.wait(tuple(self._handling))

    def lose(self, until_again: float | None) -> None:
        """The connection breaks. With None it is for good: the process is gone."""
        self._connected = False
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            self._broker.end(channel)
        if until_again is not None:
            self._scene.loop.after(until_again, self.restore)

    def write(self, channel: Channel, tag: int, verb: str) -> None:
        """A verb is on its way; if the connection breaks before it arrives, it never does."""
        self._scene.trace.tell(self.life.name, f"{verb} {tag}")
        self._broker.later(self._scene.between(0.0002, 0.003), self._broker.settle, channel, tag, verb)

    def restore(self) -> None:
        """The connection is up again."""
        if not self.life.dead and not self._connected:
            self._connected = True
            for queue in self._wishes:
                self._subscribe(queue)

    def _subscribe(self, queue: str) -> None:
        if self._connected and queue not in self._channels:
            _, prefetch = self._wishes[queue]
            channel = Channel(queue, prefetch, partial(self._arrived, queue))
            self._channels[queue] = channel
            self._broker.subscribe(channel)

    def _arrived(self, queue: str, tag: int, message: Message) -> None:
        channel = self._channels.get(queue)
        wish = self._wishes.get(queue)
        if channel is None or wish is None or self.life.dead:
            return
        self._scene.trace.tell(self.life.name, f"delivery {tag} {message.message_id}")
        delivery = Delivery(self, channel, tag, message)
        handling = self.life.start(self._handle(wish[0], delivery), f"delivery {tag}")
        self._handling[handling] = None
        handling.add_done_callback(self._handling.pop)

    async def _handle(self, handler: Handler, delivery: Delivery) -> None:
        await self.life.cross("delivery")
        try:
            await handler(delivery)
        except Exception as error:  # noqa: BLE001 - as the consumer does: it rests, then goes back
            self._scene.trace.fail("no surprises", f"handler of {delivery.message.queue}: {error!r}")
            await self.life.pass_time(_AFTER_A_FAILURE)
            await delivery.requeue()


class Exit:
    """The way out: each result is confirmed, or nobody knows."""

    def __init__(self, broker: Broker, life: Life) -> None:
        self._broker = broker
        self._life = life
        self._scene = broker.scene
        self._connected = True
        self._waiting: list[asyncio.Future[None]] = []

    async def publish(self, body: bytes, *, event_id: str, event_type: str, routing_key: str) -> None:
        """Publish one result and wait for the confirmation.

        Raises:
            PublishUnconfirmed: returned, refused, not confirmed in time, or not connected.
        """
        await self._life.cross("publish")
        if not self._connected:
            raise PublishUnconfirmed("publish: not connected")
        confirmed: asyncio.Future[None] = self._life.loop.create_future()
        self._waiting.append(confirmed)
        late = self._scene.loop.after(_IN_TIME, self._refuse, confirmed, "publish: not confirmed in time")
        self._send(Publication(body, event_id, event_type, routing_key), confirmed)
        try:
            await confirmed
        finally:
            late.cancel()
            self._waiting.remove(confirmed)
        await self._life.cross("confirmed")

    def lose(self, until_again: float | None) -> None:
        """The connection breaks; what was written may have arrived, or not."""
        self._connected = False
        for confirmed in tuple(self._waiting):
            self._refuse(confirmed, "publish: the connection was lost")
        if until_again is not None:
            self._scene.loop.after(until_again, self.restore)

    def restore(self) -> None:
        """The connection is up again."""
        self._connected = not self._life.dead

    def _send(self, result: Publication, confirmed: asyncio.Future[None]) -> None:
        there, back = (self._scene.between(0.0002, 0.005) for _ in range(2))
        trouble = self._trouble(result) if self._scene.strikes(Fault.PUBLISH) else None
        match trouble:
            case None:
                self._broker.later(there, self._take, result, confirmed, back)
            case "late":
                self._broker.later(there, self._take, result, confirmed, _IN_TIME + back)
            case "confirm lost":
                self._broker.later(there, self._broker.take, result)
            case "arrives late":
                self._broker.later(_IN_TIME + 5 * there, self._broker.take, result)
            case "lost":
                pass
            case words:
                self._broker.later(there, self._refuse, confirmed, f"publish: {words}")

    def _trouble(self, result: Publication) -> str:
        kinds = ("late", "confirm lost", "arrives late", "lost", "returned as unroutable", "refused")
        kind = self._scene.dice.choice(kinds)
        self._scene.trace.fault(f"publish {kind}", self._life.name, result.event_id)
        return kind

    def _take(self, result: Publication, confirmed: asyncio.Future[None], back: float) -> None:
        self._broker.take(result)
        self._broker.later(back, self._confirm, confirmed)

    def _confirm(self, confirmed: asyncio.Future[None]) -> None:
        if not confirmed.done():
            confirmed.set_result(None)

    def _refuse(self, confirmed: asyncio.Future[None], words: str) -> None:
        if not confirmed.done():
            confirmed.set_exception(PublishUnconfirmed(words))

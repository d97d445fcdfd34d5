"""RabbitMQ as a model: quorum queues that keep what has no verb, confirms that may fail, connections that break.

It loses nothing that it confirmed. What it hands over may come again, late, or in another order.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.simulation.scene import Scene
from tests.simulation.weather import Fault
from worker.core.broker import Message
from worker.rabbitmq.topology import DEAD_LETTERS, request_key, request_queue

_AHEAD: Final = 10  # messages among which a queue that reorders chooses


@dataclass(slots=True)
class Letter:
    """A message in a queue, and how often it came back."""

    message: Message
    returns: int = 0


@dataclass(frozen=True, slots=True)
class Publication:
    """A result that the broker took."""

    body: bytes
    event_id: str
    event_type: str
    routing_key: str


class Channel:
    """A consumer of one queue, as the broker sees it: what it was handed and gave no verb for."""

    def __init__(self, queue: str, prefetch: int, arrived: Callable[[int, Message], None]) -> None:
        self.queue = queue
        self.prefetch = prefetch
        self.arrived = arrived
        self.unsettled: dict[int, Letter] = {}
        self.open = True


@dataclass
class Broker:
    """The node.

    Attributes:
        queues: What waits, by queue.
        taken: Is told each result that was taken, at once.
        restarts: Is called when every connection breaks.
    """

    scene: Scene
    providers: tuple[str, ...]
    taken: Callable[[Publication], None]
    queues: dict[str, deque[Letter]] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    _frozen_until: float = 0.0
    _tag: int = 0
    _underway: int = 0

    def __post_init__(self) -> None:
        self._by_key = {request_key(name): request_queue(name) for name in self.providers}
        self.queues = {queue: deque() for queue in (*self._by_key.values(), DEAD_LETTERS)}

    # --- time -------------------------------------------------------------------------------------------------

    def later(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do something later; a node that is frozen does it when it goes on."""
        self.scene.loop.after(seconds, self._do, action, arguments)

    def _do(self, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        left = self._frozen_until - self.scene.loop.now
        if left > 0:
            self.scene.loop.after(left, self._do, action, arguments)
        else:
            action(*arguments)

    def freeze(self, seconds: float) -> None:
        """Nothing happens here for a while."""
        self._frozen_until = max(self._frozen_until, self.scene.loop.now + seconds)

    def thaw(self) -> None:
        """It goes on."""
        self._frozen_until = 0.0

    # --- the way in -------------------------------------------------------------------------------------------

    def put(self, message: Message) -> None:
        """Somebody publishes to the requests exchange; what no queue takes becomes a dead letter."""
        queue = self._by_key.get(message.routing_key, DEAD_LETTERS)
        self.queues[queue].append(Letter(replace(message, queue=queue)))
        self.pump(queue)

    def subscribe(self, channel: Channel) -> None:
        """A consumer begins."""
        self.channels.append(channel)
        self.pump(channel.queue)

    def end(self, channel: Channel) -> None:
        """A consumer is gone, whatever the reason: what it has goes back to where it was."""
        if not channel.open:
            return
        channel.open = False
        self.channels.remove(channel)
        for letter in reversed(channel.unsettled.values()):
            self._back(channel.queue, letter)
        channel.unsettled.clear()
        self.pump(channel.queue)

    def settle(self, channel: Channel, tag: int, verb: str) -> None:
        """A verb arrives; on a channel that is gone it is too late."""
        letter = channel.unsettled.pop(tag, None)
        if letter is None:
            return
        if verb == "requeue":
            self._back(channel.queue, letter)
        elif verb == "reject":
            self._bury(channel.queue, letter)
        self.pump(channel.queue)

    def pump(self, queue: str) -> None:
        """Hand out what waits to whoever has room."""
        waiting = self.queues[queue]
        while waiting:
            free = [one for one in self.channels if one.queue == queue and len(one.unsettled) < one.prefetch]
            if not free:
                return
            channel = free[0] if len(free) == 1 else self.scene.dice.choice(free)
            self._hand_out(channel, self._next(waiting))

    @property
    def empty(self) -> bool:
        """Whether it has nothing left that somebody must settle."""
        return not (
            self._underway or any(self.queues.values()) or any(channel.unsettled for channel in self.channels)
        )

    def _next(self, waiting: deque[Letter]) -> Letter:
        if len(waiting) > 1 and self.scene.strikes(Fault.REORDER):
            self.scene.trace.faults[Fault.REORDER] += 1
            place = self.scene.dice.randrange(min(len(waiting), _AHEAD))
            letter = waiting[place]
            del waiting[place]
            return letter
        return waiting.popleft()

    def _hand_out(self, channel: Channel, letter: Letter) -> None:
        self._tag += 1
        channel.unsettled[self._tag] = letter
        message = replace(letter.message, redelivered=True) if letter.returns else letter.message
        self.later(self.scene.between(0.0002, 0.005), self._arrive, channel, self._tag, message)

    def _arrive(self, channel: Channel, tag: int, message: Message) -> None:
        if tag in channel.unsettled:
            channel.arrived(tag, message)

    def _back(self, queue: str, letter: Letter) -> None:
        letter.returns += 1
        if queue != DEAD_LETTERS and letter.returns >= self.scene.weather.delivery_limit:
            self._bury(queue, letter)
        else:
            self.queues[queue].appendleft(letter)

    def _bury(self, queue: str, letter: Letter) -> None:
        """At least once: from queue to queue, with a confirmation of its own."""
        headers: Mapping[str, object] = {**letter.message.headers, "x-first-death-queue": queue}
        dead = replace(letter.message, headers=headers, queue=DEAD_LETTERS)
        for _ in range(1 + self.scene.strikes(Fault.TWICE_DEAD)):
            self._underway += 1
            self.later(self.scene.between(0.001, 0.05), self._forward, dead)

    def _forward(self, dead: Message) -> None:
        self._underway -= 1
        self.queues[DEAD_LETTERS].append(Letter(dead))
        self.pump(DEAD_LETTERS)

    # --- the way out ------------------------------------------------------------------------------------------

    def take(self, result: Publication) -> None:
        """A result is in its queues, for good."""
        self.taken(result)

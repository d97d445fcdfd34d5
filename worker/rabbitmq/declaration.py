"""The topology and the real broker: declare it, or say in words where they differ.

AMQP shows no queue's arguments. But declaring a queue again is harmless where everything is equal, and where it is not
the broker names the first argument that differs. Policies and bindings cannot be seen this way, and nothing can without
the right to configure: the broker then refuses before it compares.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, assert_never

from aiormq.abc import AbstractChannel

from worker.core.errors import BrokerUnavailable, ConfigurationError, TopologyMismatch
from worker.rabbitmq.calls import NO_PERMISSION, NOT_FOUND, PRECONDITION_FAILED, Refused, answering
from worker.rabbitmq.connection import Connection, ConnectionSettings
from worker.rabbitmq.topology import Binding, Exchange, Queue, Topology

DECLARE_SETTING = "PROVISIONER_BROKER__DECLARE"

# RabbitMQ says: inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received 'drop-head' but current is 'x';
# where one side has no such argument: received none but current is the value '5' of type 'short'.
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' .*: received (?P<wanted>.+) but current is (?P<present>.+?)\"?$"
)
_VALUE = re.compile(r"^(?:the value )?'(?P<value>.*?)'(?: of type '.*')?$")


@dataclass(frozen=True, slots=True)
class Difference:
    """One queue or exchange that is not as declared.

    Attributes:
        entity: "queue" or "exchange".
        name: Its name.
        argument: What differs; the first one, the broker tells no more. Empty where all of it is missing.
        wanted: As declared here.
        present: As it is on the broker.
    """

    entity: str
    name: str
    argument: str
    wanted: str
    present: str

    def __str__(self) -> str:
        if not self.argument:
            return f"{self.entity} {self.name} is missing"
        return f"{self.entity} {self.name} has {self.argument} {self.present} where {self.wanted} is wanted"

    @property
    def remedy(self) -> str:
        """The commands that help, for people."""
        if not self.argument:
            return f"set {DECLARE_SETTING}=true, or import the definitions that the worker exports"
        if self.entity == "queue":
            return (
                "rabbitmqctl list_queues name type arguments policy messages; once it is empty: "
                f"rabbitmqctl delete_queue {self.name} --if-empty --if-unused, and start the worker, which declares it"
            )
        return f"rabbitmqadmin delete exchange name={self.name}, and start the worker, which declares and binds it"


@dataclass(frozen=True, slots=True)
class Uncompared:
    """One queue or exchange that is there, and nobody knows how: the broker compares for no user who may not configure.

    Attributes:
        entity: "queue" or "exchange".
        name: Its name.
    """

    entity: str
    name: str

    def __str__(self) -> str:
        return f"{self.entity} {self.name} is there and could not be compared: the user has no configure right on it"

    @property
    def remedy(self) -> str:
        """The command that helps, for people."""
        return "run `provisioner topology check` once with a user that has it, such as the one that declares"


Deviation = Difference | Uncompared
"""What is to be said of one queue or exchange that is not known to be as wanted."""


async def settle(
    topology: Topology, connection: Connection, settings: ConnectionSettings
) -> list[Uncompared]:
    """What a start needs: the topology is there as declared, but for what could not be compared, which is returned.

    A queue about which the broker gives no answer is passed over: it must not stop the others, and whoever needs it is
    told then.

    Raises:
        TopologyMismatch: it is not; the text names every difference and what helps.
        ConfigurationError: the broker's user may not declare.
        BrokerUnavailable: no answer.
    """
    if settings.declare:
        await _declare_exchanges(topology, connection, settings.operation_timeout)
        for queue in topology.queues:
            with _passing_over(connection):
                await _provide(topology, queue, connection, settings)
        return []
    differences, uncompared = _sorted(await _deviations(topology, connection, settings.operation_timeout))
    if differences:
        raise _mismatch(differences, None)
    return uncompared


async def restore(
    topology: Topology, queue: str, connection: Connection, settings: ConnectionSettings
) -> None:
    """Create one queue that is missing, and what it needs around it.

    Raises:
        TopologyMismatch: something is there with other arguments; the text names every difference and what helps.
        ConfigurationError: the broker's user may not declare.
        BrokerUnavailable: no answer, or the broker cannot create it.
    """
    await _declare_exchanges(topology, connection, settings.operation_timeout)
    for missing in topology.queues:
        if missing.name == queue:
            await _provide(topology, missing, connection, settings)


async def bind(topology: Topology, queue: str, connection: Connection, *, seconds: float) -> None:
    """Bind one queue as it should be. Harmless where it is; needed where somebody made it anew without its bindings.

    Raises:
        BrokerUnavailable: no answer, or the broker refuses.
    """
    async with connection.throwaway_channel(seconds=seconds) as channel:
        for binding in topology.bindings:
            if binding.queue == queue:
                await _bind(channel, binding, seconds)


async def declare(topology: Topology, connection: Connection, *, seconds: float) -> None:
    """Create what is missing. Harmless where it is there already.

    Args:
        topology: What to declare.
        connection: Where; the channel is thrown away.
        seconds: Deadline for each call.

    Raises:
        TopologyMismatch: something is there with other arguments; the text names every difference and what helps.
        ConfigurationError: the broker's user may not declare.
        BrokerUnavailable: no answer.
    """
    await _declare_exchanges(topology, connection, seconds)
    for queue in topology.queues:
        async with _explained(topology, connection, seconds):
            await _declare_queue(topology, queue, connection, seconds)


async def check(topology: Topology, connection: Connection, *, seconds: float) -> list[Deviation]:
    """What is missing, different or could not be compared, without changing anything.

    Raises:
        BrokerUnavailable: no answer.
    """
    found = [await _compare(connection, entity, seconds) for entity in topology.entities]
    return [deviation for deviation in found if deviation is not None]


async def _declare_exchanges(topology: Topology, connection: Connection, seconds: float) -> None:
    async with (
        _explained(topology, connection, seconds),
        connection.throwaway_channel(seconds=seconds) as channel,
    ):
        for exchange in topology.exchanges:
            await _declare_one(channel, exchange, seconds)


async def _provide(
    topology: Topology, queue: Queue, connection: Connection, settings: ConnectionSettings
) -> None:
    """One queue, created on a connection of its own: RabbitMQ closes the one over which it cannot create it."""
    seconds = settings.operation_timeout
    async with _explained(topology, connection, seconds):
        if await _is_there(queue, connection, seconds):
            await _declare_queue(topology, queue, connection, seconds)
        else:
            async with Connection.opened(settings, f"declare {queue.name}") as apart:
                await _declare_queue(topology, queue, apart, seconds)


async def _is_there(queue: Queue, connection: Connection, seconds: float) -> bool:
    try:
        async with connection.throwaway_channel(seconds=seconds) as channel:
            await _declare_one(channel, queue, seconds, passive=True)
    except Refused as refusal:
        if refusal.code != NOT_FOUND:
            raise
        return False
    return True


async def _declare_queue(topology: Topology, queue: Queue, connection: Connection, seconds: float) -> None:
    async with connection.throwaway_channel(seconds=seconds) as channel:
        await _declare_one(channel, queue, seconds)
        for binding in topology.bindings:
            if binding.queue == queue.name:
                await _bind(channel, binding, seconds)


@contextmanager
def _passing_over(connection: Connection) -> Iterator[None]:
    """Trouble with one queue is no trouble of the connection's, as long as that is open."""
    try:
        yield
    except BrokerUnavailable:
        if connection.end.done():
            raise


@asynccontextmanager
async def _explained(topology: Topology, connection: Connection, seconds: float) -> AsyncIterator[None]:
    """What a refusal inside means for a person."""
    try:
        yield
    except Refused as refusal:
        if refusal.code == PRECONDITION_FAILED:
            differences, _ = _sorted(await check(topology, connection, seconds=seconds))
            raise _mismatch([found for found in differences if found.argument], refusal) from None
        if refusal.code == NO_PERMISSION:
            raise ConfigurationError(
                f"{refusal}; give the user that right, or set {DECLARE_SETTING}=false"
            ) from None
        raise


async def _deviations(topology: Topology, connection: Connection, seconds: float) -> list[Deviation]:
    """As far as the broker answers."""
    found = []
    for entity in topology.entities:
        with _passing_over(connection):
            found.append(await _compare(connection, entity, seconds))
    return [deviation for deviation in found if deviation is not None]


def _sorted(deviations: list[Deviation]) -> tuple[list[Difference], list[Uncompared]]:
    differences: list[Difference] = []
    uncompared: list[Uncompared] = []
    for deviation in deviations:
        match deviation:
            case Difference():
                differences.append(deviation)
            case Uncompared():
                uncompared.append(deviation)
            case _:
                assert_never(deviation)
    return differences, uncompared


async def _compare(connection: Connection, entity: Exchange | Queue, seconds: float) -> Deviation | None:
    """None where it is as wanted. First whether it is there at all: declaring it would create it."""
    try:
        for passive in (True, False):
            async with connection.throwaway_channel(seconds=seconds) as channel:
                await _declare_one(channel, entity, seconds, passive=passive)
    except Refused as refusal:
        if refusal.code == NOT_FOUND and "inaccessible" not in refusal.text:
            return Difference(_kind(entity), entity.name, "", "", "")
        if refusal.code == PRECONDITION_FAILED:
            return _difference(entity, refusal.text)
        if refusal.code == NO_PERMISSION:
            return Uncompared(_kind(entity), entity.name)
        raise
    return None


async def _declare_one(
    channel: AbstractChannel, entity: Exchange | Queue, seconds: float, *, passive: bool = False
) -> None:
    arguments: dict[str, Any] = dict(entity.arguments)
    async with answering(seconds, f"declaring {_kind(entity)} {entity.name}"):
        match entity:
            case Exchange(name=name, kind=kind):
                await channel.exchange_declare(
                    name, exchange_type=kind, durable=True, passive=passive, arguments=arguments
                )
            case Queue(name=name):
                await channel.queue_declare(name, durable=True, passive=passive, arguments=arguments)
            case _:
                assert_never(entity)


async def _bind(channel: AbstractChannel, binding: Binding, seconds: float) -> None:
    async with answering(seconds, f"binding {binding.queue}"):
        await channel.queue_bind(binding.queue, binding.exchange, binding.routing_key)


def _difference(entity: Exchange | Queue, text: str) -> Difference:
    """The broker's words, taken apart; as they are, where another version says it in another way."""
    found = _INEQUIVALENT.search(text)
    if found is None:
        return Difference(_kind(entity), entity.name, "something", "something else", f"({text})")
    wanted, present = (_value(found[side]) for side in ("wanted", "present"))
    return Difference(_kind(entity), entity.name, found["argument"], wanted, present)


def _value(words: str) -> str:
    found = _VALUE.match(words)
    return found["value"] if found else words


def _mismatch(differences: list[Difference], refusal: Refused | None) -> TopologyMismatch:
    """Every difference with what helps; or the refusal itself, where a broker too old knows an argument less."""
    if not differences:
        return TopologyMismatch(str(refusal))
    listed = "".join(f"\n- {difference}\n  {difference.remedy}" for difference in differences)
    return TopologyMismatch(f"RabbitMQ is not as it should be:{listed}")


def _kind(entity: Exchange | Queue) -> str:
    return "queue" if isinstance(entity, Queue) else "exchange"

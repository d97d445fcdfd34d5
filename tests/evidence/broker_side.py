"""What stands on the broker, as the broker itself says."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.evidence.troubled_house import TroubledHouse, troubled_house
from tests.rabbitmq.members import Members
from worker.local.rabbitmq_node import RabbitmqNode
from worker.rabbitmq.topology import AUDIT, DEAD_LETTERS, Topology, request_queue

_USUAL: Mapping[str, str] = {}
# RabbitMQ writes down where its quorum queues are half a second after they were declared. A node that is killed before
# never serves them again, and no client can help that.
_WRITE_DOWN = "[ok = dets:sync(Table) || Table <- dets:all()], ok."
_AHEAD = 8  # deliveries that a provider's queue hands out ahead: its default concurrency
_DEAD_AHEAD = 2


@dataclass(frozen=True)
class Place:
    """A node that may be hurt, and a folder."""

    node: RabbitmqNode
    folder: Path

    @asynccontextmanager
    async def house(
        self, *, proxy_port: int | None = None, settings: Mapping[str, str] = _USUAL
    ) -> AsyncIterator[TroubledHouse]:
        """A house on a virtual host of its own; the worker reaches it through a proxy where one is named."""
        vhost = f"troubles-{uuid4().hex}"
        url = await asyncio.to_thread(self.node.add_vhost, vhost)
        seen_at = url.replace(f":{self.node.port}/", f":{proxy_port}/") if proxy_port else None
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        async with troubled_house(url, folder, seen_at=seen_at, settings=settings) as house:
            await self.ctl("eval", _WRITE_DOWN)
            yield house

    def side(self, house: TroubledHouse) -> "BrokerSide":
        """The broker's own view of a house."""
        return BrokerSide(self.node, house.broker_url.rpartition("/")[2])

    async def ctl(self, *words: str) -> None:
        """Tell the node something."""
        await asyncio.to_thread(self.node.rabbitmqctl, *words)


@dataclass(frozen=True, slots=True)
class Standing:
    """Queues with their arguments, bindings, and the worker's consumers with their prefetch."""

    queues: frozenset[tuple[str, str]]
    bindings: frozenset[tuple[str, str, str]]
    consumers: tuple[tuple[str, int], ...]


def wanted(providers: Collection[str]) -> Standing:
    """What must stand there for one worker with these providers."""
    topology = Topology(tuple(sorted(providers)))
    consumers = [(request_queue(name), _AHEAD) for name in providers] + [(DEAD_LETTERS, _DEAD_AHEAD)]
    return Standing(
        frozenset((queue.name, _listed(dict(queue.arguments).items())) for queue in topology.queues),
        frozenset((one.exchange, one.queue, one.routing_key) for one in topology.bindings),
        tuple(sorted(consumers)),
    )


class BrokerSide:
    """One virtual host of a node, looked at with RabbitMQ's own tool."""

    def __init__(self, node: RabbitmqNode, vhost: str) -> None:
        self._node = node
        self._vhost = vhost

    async def standing(self) -> Standing:
        """What stands there now. The requesters' own consumer is left out."""
        queues, bindings, consumers = await asyncio.gather(
            self._list("queues", "name", "arguments"),
            self._list("bindings", "source_name", "destination_name", "routing_key"),
            self._list("consumers", "queue_name", "prefetch_count"),
        )
        return Standing(
            frozenset(
                (one["name"], _listed((name, value) for name, _, value in one["arguments"])) for one in queues
            ),
            frozenset(
                (one["source_name"], one["destination_name"], one["routing_key"])
                for one in bindings
                if one["source_name"]
            ),
            tuple(
                sorted(
                    (one["queue_name"], one["prefetch_count"])
                    for one in consumers
                    if one["queue_name"] != AUDIT
                )
            ),
        )

    async def unacknowledged(self) -> int:
        """Deliveries that wait for a verb, asked of the channels: what queues say of it is some seconds old."""
        words = ("list_channels", "vhost", "messages_unacknowledged", "--formatter", "json")
        channels = json.loads(await self._ctl(*words))
        return sum(one["messages_unacknowledged"] for one in channels if one["vhost"] == self._vhost)

    @property
    def members(self) -> Members:
        """The processes behind its queues."""
        return Members(self._node, self._vhost)

    async def close_connections(self) -> None:
        """Close every connection to this virtual host."""
        await self._ctl("close_all_connections", "--vhost", self._vhost, "evidence")

    async def _list(self, what: str, *columns: str) -> Sequence[dict[str, Any]]:
        words = (f"list_{what}", "--vhost", self._vhost, *columns, "--formatter", "json")
        listed: list[dict[str, Any]] = json.loads(await self._ctl(*words))
        return listed

    async def _ctl(self, *words: str) -> str:
        return await asyncio.to_thread(self._node.rabbitmqctl, *words)


def _listed(arguments: Any) -> str:
    return json.dumps(sorted(arguments))

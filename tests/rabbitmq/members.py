"""The process behind a queue, stopped or frozen under the broker, as when its machine is lost or hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker.local.rabbitmq_node import RabbitmqNode

_MEMBER = (
    '{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)), '
    "Member = amqqueue:get_pid(Queue), ok = {order}."
)
_STOP, _START = "ra:stop_server(quorum_queues, Member)", "ra:restart_server(quorum_queues, Member)"
_FREEZE, _THAW = "sys:suspend(Member)", "sys:resume(Member)"
# A quorum queue's process is registered under a name made of both; whoever has that name keeps the queue from starting.
_OCCUPY = "register('{vhost}_{queue}', spawn(fun () -> receive leave -> ok end end))."
_LEAVE = "'{vhost}_{queue}' ! leave."


class Members:
    """The processes behind the queues of one virtual host."""

    def __init__(self, node: RabbitmqNode, vhost: str) -> None:
        self._node = node
        self._vhost = vhost

    @asynccontextmanager
    async def stopped(self, queue: str) -> AsyncIterator[None]:
        """While the block runs, the one member that a quorum queue has on this node is gone: nobody leads it."""
        await self._eval(_MEMBER, queue, order=_STOP)
        try:
            yield
        finally:
            await self._eval(_MEMBER, queue, order=_START)

    @asynccontextmanager
    async def frozen(self, queue: str) -> AsyncIterator[None]:
        """While the block runs, the process of a queue of either kind answers nothing."""
        await self._eval(_MEMBER, queue, order=_FREEZE)
        try:
            yield
        finally:
            await self._eval(_MEMBER, queue, order=_THAW)

    @asynccontextmanager
    async def impossible(self, queue: str) -> AsyncIterator[None]:
        """While the block runs, a queue of this name cannot be made."""
        await self._eval(_OCCUPY, queue)
        try:
            yield
        finally:
            await self._eval(_LEAVE, queue)

    async def _eval(self, words: str, queue: str, **more: str) -> None:
        order = words.format(vhost=self._vhost, queue=queue, **more)
        await asyncio.to_thread(self._node.rabbitmqctl, "eval", order)

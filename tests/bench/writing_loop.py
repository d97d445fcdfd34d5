"""The floor: the bare loop with the four durable writes that a request cannot do without, and nothing else.

Plain SQL on sqlite3, written together with whatever waits, one sync for each commit. No states, no history, no guards,
no validation, no encryption, no logs: what any ledger costs a loop in Python before it keeps a single promise.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop
from aio_pika.abc import AbstractIncomingMessage

from tests.bench.bare_loop import Loop, work
from tests.bench.peers.outgoing import outgoing
from tests.bench.peers.work import body_of, result_of

_TABLE: Final = (
    "create table requests (key text primary key, state text, body text, account_id text, event text)"
)
_ACCEPT: Final = "insert into requests (key, state, body) values (:key, 'accepted', :body)"
_SEND: Final = "update requests set state = 'sending' where key = :key and state = 'accepted'"
_RECORD: Final = (
    "update requests set state = 'provisioned', account_id = :account_id, event = :event "
    "where key = :key and state = 'sending'"
)
_MARK: Final = "update requests set event = null where key = :key"

Write = tuple[str, Mapping[str, Any]]


class Book:
    """Group commit, as the worker's: what came while the last one was under way is in the next, and a thread waits for
    the disk.
    """

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.execute(_TABLE)
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[Write, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def write(self, statement: str, **row: Any) -> None:
        """Returns once it is on the disk."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((statement, row), done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        await done

    async def _commit_all(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting, []
            self._connection.execute("begin immediate")
            for (statement, row), _ in together:
                self._connection.execute(statement, row)
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.execute, "commit")
            for _, done in together:
                done.set_result(None)
        self._committing = None


@dataclass(frozen=True, slots=True)
class WritingLoop(Loop):
    """The bare loop, with a book."""

    book: Book

    async def handle(self, message: AbstractIncomingMessage) -> None:
        """From the delivery to the acknowledgement."""
        async with message.process(requeue=True):
            request = json.loads(message.body)
            key = request["data"]["idempotency_key"]
            await self.book.write(_ACCEPT, key=key, body=message.body)
            await self.book.write(_SEND, key=key)
            async with self.session.post(self.url, json=body_of(request)) as answer:
                answer.raise_for_status()
                account = await answer.json()
            result = result_of(request, account, "writing")
            await self.book.write(_RECORD, key=key, account_id=account["accountId"], event=result.body)
            await self.results.publish(outgoing(result), result.routing_key)
            await self.book.write(_MARK, key=key)


def book() -> Book:
    """A new one, where the bench said."""
    return Book(Path(os.environ["BENCH_BOOK"]))


async def main() -> None:
    """Run until killed."""
    await work(partial(WritingLoop, book=book()))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

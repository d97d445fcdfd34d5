"""The thread that reads, on a connection of its own, so that a long question never waits behind or holds up a write."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa

from worker.core.errors import LedgerUnavailable
from worker.ledger.faults import Silence, in_words
from worker.ledger.store import Link, Store
from worker.ledger.writer import close_quietly

T = TypeVar("T")


class Reader:
    """Asks questions, one after the other, each in a transaction of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._link: Link | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-reader")

    async def ask(self, question: Callable[[sa.Connection], T]) -> T:
        """The answer.

        Raises:
            LedgerUnavailable: there is none.
        """
        if self._closed:
            raise LedgerUnavailable(f"the ledger {self._store.place} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)

    async def close(self) -> None:
        """Answer what was asked, then let go."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown(wait=False)

    def _ask(self, question: Callable[[sa.Connection], T]) -> T:
        kept = self._link is not None
        try:
            return self._answer(question)
        except LedgerUnavailable as error:
            if isinstance(error, Silence) or not kept:
                raise
        return self._answer(question)  # the connection may have been lost since the last question

    def _answer(self, question: Callable[[sa.Connection], T]) -> T:
        try:
            link = self._link = self._link or self._store.connect_to_read()
            link.verify()
            with link.connection.begin():
                return question(link.connection)
        except Exception as error:
            self._drop()
            told = in_words(error, self._store.place)
            if told is error:
                raise
            raise told from error

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            close_quietly(link)

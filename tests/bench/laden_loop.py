"""The best that could be had: the bare loop that writes, which also does all that the worker does for each request.

It validates, seals, encrypts, builds the event, logs and counts, by the very code of the worker, with throw-away keys
and for nothing; each call has a connection of its own. It keeps no promise, as nothing of it is ever asked. What the
worker costs beyond this is what the promises themselves cost: states and their history, guards, claims, limits, steps
that can be repeated.
"""

import asyncio
import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop
from aio_pika.abc import AbstractIncomingMessage

from tests.bench.bare_loop import work
from tests.bench.costs import pieces
from tests.bench.writing_loop import WritingLoop, book
from worker import telemetry


@dataclass(frozen=True, slots=True)
class LadenLoop(WritingLoop):
    """The bare loop that writes, with a load."""

    load: Sequence[Callable[[], object]]

    async def handle(self, message: AbstractIncomingMessage) -> None:
        """From the delivery to the acknowledgement."""
        for carry in self.load:
            carry()
        await WritingLoop.handle(self, message)


def pace_collector() -> None:
    """As the worker does it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


def main() -> None:
    """Run until killed."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        telemetry.configure_logs("info", "json", stream=nowhere)
        load = [piece.do for piece in pieces()]
        pace_collector()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(partial(LadenLoop, book=book(), load=load), keeps_connections=False))


if __name__ == "__main__":
    main()

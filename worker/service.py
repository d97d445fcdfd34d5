"""One process's life: open the doors, run the three loops, drain on a signal, let go."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from worker.core.desk import Desk
from worker.core.errors import WorkerError
from worker.core.intake import Intake
from worker.core.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class Service:
    """The running worker.

    Attributes:
        deliveries_settled: Waits until every delivery that was taken up has its verb.
        drain: Seconds that running creates get to finish and be recorded once the process was told to stop.
    """

    desk: Desk
    intake: Intake
    upkeep: Upkeep
    deliveries_settled: Callable[[], Coroutine[Any, Any, None]]
    drain: float

    async def run(self, stopping: asyncio.Event) -> bool:
        """Run until told to stop; whether everything under way was finished in time.

        A loop that ends by itself is a defect: the process stops with its error, and its supervisor starts a new one.
        """
        ended = asyncio.Event()
        await self.upkeep.once()
        intake = asyncio.create_task(self.intake.run(stopping), name="intake")
        upkeep = asyncio.create_task(self.upkeep.run(ended), name="upkeep")
        stop = asyncio.create_task(stopping.wait(), name="stop")
        await asyncio.wait({intake, upkeep, stop}, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        await intake
        drained = await self._drained()
        ended.set()
        await asyncio.gather(upkeep, stop)
        with contextlib.suppress(WorkerError):
            await self.desk.ledger.retire(self.desk.worker)
        return drained

    async def _drained(self) -> bool:
        """Intake has stopped; creates that are out are finished and recorded, within the limit.

        Upkeep goes on meanwhile: its heartbeat says that this worker lives, so nobody takes its requests for orphans.
        """
        log = structlog.get_logger("worker.service")
        for lane in self.desk.lanes.values():
            lane.stop()
        self.desk.tasks.start(self.deliveries_settled(), "deliveries")
        log.info("draining", under_way=len(self.desk.tasks.names), seconds=self.drain)
        drained = await self.desk.tasks.wait(self.drain)
        if not drained:
            log.warning(
                "drain_timed_out", left=self.desk.tasks.names, effect="what was sent stays sending for upkeep"
            )
            await self.desk.tasks.cancel()
        return drained


@contextlib.contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets. A second signal ends the process at once, as the system does by default."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        loop.remove_signal_handler(number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopping
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            if stopping.is_set():  # all is done: the same wish, said once more, must not look like a failure
                signal.signal(number, signal.SIG_IGN)

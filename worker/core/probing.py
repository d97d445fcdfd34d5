"""Probes: a harmless read tells whether an outage is over, or refused credentials are taken again."""

from datetime import datetime, timedelta

from worker.core.calls import Calls
from worker.core.desk import Desk
from worker.core.errors import LedgerUnavailable
from worker.core.lanes import Lane
from worker.core.observer import LaneState, Surprised
from worker.core.pausing import lift_our_pause


class Probing:
    """Asks the providers that are not asked for anything else."""

    def __init__(self, desk: Desk, every: float) -> None:
        """Nobody is probed yet.

        Args:
            desk: What is needed.
            every: Seconds between two probes of a provider that refused our credentials.
        """
        self._desk = desk
        self._calls = Calls(desk)
        self._every = timedelta(seconds=every)
        self._next: dict[str, datetime] = {}
        self._under_way: set[str] = set()

    def begin_due(self) -> None:
        """Start the probes that are due, one per provider at a time."""
        for name, lane in self._desk.lanes.items():
            if self._is_due(name, lane) and not lane.stopped and name not in self._under_way:
                self._under_way.add(name)
                self._desk.tasks.start(self._probe(name, lane), f"probe {name}")

    def _is_due(self, name: str, lane: Lane) -> bool:
        if lane.state is LaneState.PAUSED_BY_CREDENTIALS:
            now = self._desk.clock.now()
            return now >= self._next.setdefault(name, now + self._every)
        self._next.pop(name, None)
        return lane.wants_probe()

    async def _probe(self, name: str, lane: Lane) -> None:
        try:
            probe = await self._calls.probe(self._desk.providers[name])
            if lane.state is not LaneState.PAUSED_BY_CREDENTIALS:
                lane.probed(healthy=probe.healthy, detail=probe.detail)
            elif probe.healthy:
                await lift_our_pause(self._desk, name)
            else:
                self._next.pop(name, None)
        except LedgerUnavailable as error:
            self._desk.gate.sick(error)
        except Exception as error:  # noqa: BLE001 - probed again in the next round
            self._desk.observer.tell(Surprised("probe", error))
        finally:
            self._under_way.discard(name)

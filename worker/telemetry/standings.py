"""Gauges of what stands in the ledger.

They are the same on every worker of one ledger: take their `max`, not their sum. A series
``..._oldest_timestamp_seconds`` is there only while something stands, so that ``time()`` minus it is always an
age. Before the ledger was counted for the first time there is none of these series, nor once the newest count is old: a
worker that lost its ledger would tell of what others have settled long since.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.core.overview import Standing
from worker.core.states import OPEN, State

OTHER = "other"
"""Stands for a provider that is not configured (any more), so that the label stays bounded."""

_UNPUBLISHED = "unpublished"
_DEAD_LETTER = "dead_letter"
_KEPT = 120.0  # seconds for which a count is shown


class Standings(Collector):
    """The newest count, put into series at each scrape, so that what is gone leaves none behind."""

    def __init__(self, providers: Iterable[str], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._providers = frozenset(providers)
        self._monotonic = monotonic
        self._newest: Sequence[Standing] = ()
        self._shown_until = -math.inf

    def count(self, standings: Sequence[Standing]) -> None:
        """Forget the count before and show this one."""
        self._newest = tuple(standings)
        self._shown_until = self._monotonic() + _KEPT

    @property
    def _known(self) -> bool:
        return self._monotonic() < self._shown_until

    def collect(self) -> Iterator[Metric]:
        """Three pairs of gauges: how many, and since when the oldest."""
        yield from _pair(
            "provisioner_requests",
            "provisioner_requests_oldest_timestamp_seconds",
            "requests that are not final, by state",
            self._requests(),
            since=" (in doubt: since the first create that may have opened an account)",
        )
        yield from _pair(
            "provisioner_results_unpublished",
            "provisioner_results_unpublished_oldest_timestamp_seconds",
            "result events that RabbitMQ has not confirmed",
            self._of_kind(_UNPUBLISHED),
        )
        yield from _pair(
            "provisioner_dead_letters_open",
            "provisioner_dead_letters_oldest_timestamp_seconds",
            "dead letters that nobody replayed or discarded",
            self._of_kind(_DEAD_LETTER),
        )

    def _requests(self) -> "dict[_Labels, _Heap]":
        if not self._known:
            return {}
        heaps: dict[_Labels, _Heap] = {
            (provider, state.value): _Heap() for provider in sorted(self._providers) for state in _STATES
        }
        for standing in self._newest:
            labels = (standing.provider if standing.provider in self._providers else OTHER, standing.kind)
            if standing.kind in _STATES:
                heaps[labels] = heaps.get(labels, _Heap()).with_(standing)
        return heaps

    def _of_kind(self, kind: str) -> "dict[_Labels, _Heap]":
        if not self._known:
            return {}
        heap = _Heap()
        for standing in self._newest:
            heap = heap.with_(standing) if standing.kind == kind else heap
        return {(): heap}


_Labels = tuple[str, ...]
_STATES = tuple(state for state in State if state in OPEN)


@dataclass(frozen=True, slots=True)
class _Heap:
    """How many there are, and since when the oldest."""

    count: int = 0
    oldest: datetime | None = None

    def with_(self, standing: Standing) -> "_Heap":
        times = [time for time in (self.oldest, standing.oldest) if time is not None]
        return _Heap(self.count + standing.count, min(times, default=None)) if standing.count else self


def _pair(
    counts: str, oldest: str, what: str, heaps: Mapping[_Labels, _Heap], since: str = ""
) -> Iterator[Metric]:
    names = ["provider", "state"] if counts == "provisioner_requests" else []
    number = GaugeMetricFamily(counts, f"Number of {what}.", labels=names)
    time = GaugeMetricFamily(
        oldest, f"Since when the oldest stands of the {what}{since}; absent with none.", labels=names
    )
    for labels, heap in heaps.items():
        number.add_metric(labels, heap.count)
        if heap.oldest is not None:
            time.add_metric(labels, heap.oldest.timestamp())
    yield number
    yield time

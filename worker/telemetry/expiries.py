"""Gauge of when consumers' keys run out, asked anew at each scrape: a newer key may have begun meanwhile."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.telemetry.standings import OTHER

Expiries = Callable[[], Mapping[str, float]]
"""Seconds since 1970 by source, "" for every source without keys of its own. Sources with keys come from the settings,
so they are few."""


class KeyExpiries(Collector):
    """One series for each source whose keys run out one day."""

    def __init__(self, expiries: Expiries) -> None:
        self._expiries = expiries

    def collect(self) -> Iterator[Metric]:
        """The moment for each source; none for keys that do not expire."""
        gauge = GaugeMetricFamily(
            "provisioner_consumer_key_expiry_timestamp_seconds",
            "When the newest usable key of a consumer expires with no newer one to take over; 0 where none has begun.",
            labels=["source"],
        )
        for source, moment in self._expiries().items():
            gauge.add_metric([source or OTHER], moment)
        yield gauge

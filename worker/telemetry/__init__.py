"""Telemetry: logs and metrics, fed by the facts of `worker.core.observer`, and the port that shows health."""

from worker.telemetry.log_observer import LogObserver
from worker.telemetry.logs import configure_logs
from worker.telemetry.masking import Mask
from worker.telemetry.metrics import Metrics
from worker.telemetry.probes import Probes

__all__ = ["LogObserver", "Mask", "Metrics", "Probes", "configure_logs"]

"""Metrics: facts as numbers for Prometheus. Every label has few values; none comes from a request."""

import platform
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import assert_never, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from contracts.reason import CATALOGUE, ReasonCode
from contracts.result import ABANDONED_TYPE, HELD_TYPE, PROVISIONED_TYPE, REJECTED_TYPE
from contracts.result import Outcome as ResultOutcome
from worker import __version__
from worker.core.observer import (
    Began,
    BrokerChanged,
    Buried,
    Called,
    ClockStepped,
    Counted,
    Ended,
    Fact,
    Finished,
    LaneChanged,
    LaneState,
    LedgerChanged,
    Moved,
    Published,
    QueueChanged,
    QueueRestored,
    QueueState,
    Received,
    Rescued,
    StrayAccount,
    Surprised,
    TopologyUncompared,
    Unsettled,
)
from worker.core.provider import Finding
from worker.core.states import Actor, State
from worker.core.verdict import Effect
from worker.telemetry.expiries import Expiries, KeyExpiries
from worker.telemetry.standings import OTHER, Standings

_CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300)
_END_TO_END_BUCKETS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400)
_PUBLISH_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Implements `worker.core.observer.Observer`.

    Args:
        providers: Names of the configured providers; their series exist from the start, at zero.
        revision: What was built, such as a commit.
        key_expiries: When the consumers' keys run out.
        monotonic: By which a count of the ledger gets old.

    Attributes:
        registry: For the HTTP handler; holds the process's own metrics as well.
    """

    def __init__(
        self,
        providers: Iterable[str],
        *,
        revision: str = "unknown",
        key_expiries: Expiries = dict,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = frozenset(providers)
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the package left this one out
        ProcessCollector(registry=self.registry)
        build = Info("provisioner_build", "What runs.", registry=self.registry)
        build.info({"version": __version__, "revision": revision, "python": platform.python_version()})
        self._requests = _Requests(self.registry)
        self._calls = _Calls(self.registry)
        self._broker = _Broker(self.registry)
        self._ledger = _Ledger(self.registry)
        self._standings = Standings(self._providers, monotonic)
        self.registry.register(self._standings)
        self.registry.register(KeyExpiries(key_expiries))
        self._begin_at_zero()

    def tell(self, fact: Fact) -> None:
        """Count one fact."""
        match fact:
            case Received() | Began() | Ended() | Moved() | Finished() | StrayAccount():
                self._requests.tell(fact, self._label(fact.provider))
            case Called() | LaneChanged():
                self._calls.tell(fact, self._label(fact.provider))
            case Buried() | Published() | BrokerChanged() | QueueChanged() | Unsettled():
                self._broker.tell(fact)
            case LedgerChanged() | Rescued() | ClockStepped() | Surprised():
                self._ledger.tell(fact)
            case Counted():
                self._standings.count(fact.standings)
            case TopologyUncompared() | QueueRestored():
                pass  # a word in the log; there is nothing to count
            case _:
                assert_never(fact)

    def _label(self, provider: str) -> str:
        return provider if provider in self._providers else OTHER

    def _begin_at_zero(self) -> None:
        for provider in sorted(self._providers):
            self._requests.begin_at_zero(provider)
            self._calls.begin_at_zero(provider)
        self._broker.begin_at_zero()


class _Requests:
    """The way of requests through the worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        self._received = counter(
            "provisioner_requests_received_total",
            "Valid requests taken from a queue; novelty is new, same or conflict.",
            ["provider", "content_mode", "novelty"],
        )
        self._finished = counter(
            "provisioner_requests_finished_total",
            "Results that workers recorded; a held request counts as held and again when a worker settles it. What an "
            "operator settles is not among them.",
            ["provider", "outcome"],
        )
        self._rejected = counter(
            "provisioner_requests_rejected_total",
            "Requests rejected; dry runs, which can end in nothing else, are left out.",
            ["provider"],
        )
        self._end_to_end = Histogram(
            "provisioner_request_end_to_end_seconds",
            "From taking a request, or letting it run again, to recording its result; without its time in RabbitMQ.",
            ["provider", "outcome"],
            buckets=_END_TO_END_BUCKETS,
            registry=registry,
        )
        self._in_progress = Gauge(
            "provisioner_requests_in_progress",
            "Requests that a slot of this worker works on.",
            ["provider"],
            registry=registry,
        )
        self._retries = counter(
            "provisioner_retries_scheduled_total",
            "Requests put off to be tried again, by reason.",
            ["provider", "reason"],
        )
        self._stray_accounts = counter(
            "provisioner_stray_accounts_total",
            "Accounts named by an answer whose request has no place for them any more.",
            ["provider"],
        )

    def tell(self, fact: Received | Began | Ended | Moved | Finished | StrayAccount, provider: str) -> None:
        match fact:
            case Received():
                self._received.labels(provider, fact.content_mode, fact.novelty).inc()
            case Began():
                self._in_progress.labels(provider).inc()
            case Ended():
                self._in_progress.labels(provider).dec()
            case Moved():
                if fact.enters is State.WAITING and fact.transition.by is not Actor.OPERATOR:
                    self._retries.labels(provider, fact.reason).inc()
            case Finished():
                self._finished.labels(provider, fact.outcome).inc()
                if fact.outcome is ResultOutcome.REJECTED and not fact.dry_run:
                    self._rejected.labels(provider).inc()
                self._end_to_end.labels(provider, fact.outcome).observe(fact.seconds)
            case StrayAccount():
                self._stray_accounts.labels(provider).inc()

    def begin_at_zero(self, provider: str) -> None:
        for content_mode in ("structured", "binary", "plain"):
            for novelty in ("new", "same", "conflict"):
                self._received.labels(provider, content_mode, novelty)
        for outcome in ResultOutcome:
            if outcome is not ResultOutcome.ABANDONED:  # nobody but operators abandons
                self._finished.labels(provider, outcome)
                self._end_to_end.labels(provider, outcome)
        for reason in CATALOGUE.values():
            if reason.retried == "yes":
                self._retries.labels(provider, reason.code)
        self._rejected.labels(provider)
        self._in_progress.labels(provider)
        self._stray_accounts.labels(provider)


class _Calls:
    """What was asked of providers, and whether they are asked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        self._seconds = Histogram(
            "provisioner_provider_call_seconds",
            "Calls of a provider. The result of prepare and create is a reason code, of look_up a finding, of probe "
            "healthy or unhealthy.",
            ["provider", "operation", "result"],
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self._look_ups = counter(
            "provisioner_look_ups_total",
            "Look-ups of requests in doubt, by what they found.",
            ["provider", "finding"],
        )
        self._refused = counter(
            "provisioner_provider_credentials_refused_total",
            "Creates, and calls before them, in which a provider refused our credentials or our configuration.",
            ["provider"],
        )
        self._state = Gauge(
            "provisioner_provider_state",
            "1 for the state in which the provider is, 0 for the others; its requests run only when it is open.",
            ["provider", "state"],
            registry=registry,
        )

    def tell(self, fact: Called | LaneChanged, provider: str) -> None:
        if isinstance(fact, LaneChanged):
            self._set_state(provider, fact.state)
            return
        self._seconds.labels(provider, fact.operation, fact.result).observe(fact.seconds)
        if fact.operation == "look_up":
            self._look_ups.labels(provider, fact.result).inc()
        if fact.outcome is not None and fact.outcome.effect is Effect.PAUSE:
            self._refused.labels(provider).inc()

    def begin_at_zero(self, provider: str) -> None:
        self._seconds.labels(provider, "create", ReasonCode.CREATED)
        for finding in get_args(Finding):
            self._look_ups.labels(provider, finding.word)
        self._refused.labels(provider)
        self._set_state(provider, LaneState.OPEN)

    def _set_state(self, provider: str, state: LaneState) -> None:
        for each in LaneState:
            self._state.labels(provider, each).set(each is state)


class _Broker:
    """RabbitMQ: connections, queues, and what goes in and out."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self._buried = counter(
            "provisioner_dead_letters_total", "Messages that could not become requests.", ["reason"]
        )
        self._published = counter(
            "provisioner_events_published_total",
            "Attempts to publish a result event; confirmed, or unconfirmed and tried again.",
            ["type", "result"],
        )
        self._publish_seconds = Histogram(
            "provisioner_publish_seconds",
            "From publishing a result event to its confirmation by RabbitMQ, or to giving up waiting for it.",
            buckets=_PUBLISH_BUCKETS,
            registry=registry,
        )
        self._connected = gauge(
            "provisioner_broker_connected", "Whether the connection to RabbitMQ is up.", ["connection"]
        )
        self._reconnects = counter(
            "provisioner_broker_reconnects_total",
            "Times the connection to RabbitMQ came up again.",
            ["connection"],
        )
        self._not_served = gauge(
            "provisioner_queue_not_served",
            "Whether a queue should be consumed here and RabbitMQ, though connected, does not serve it.",
            ["queue"],
        )
        self._unsettled = counter(
            "provisioner_deliveries_unsettled_total",
            "Deliveries whose verb did not reach RabbitMQ, which hands them over again, by verb.",
            ["verb"],
        )
        self._was_up: set[str] = set()

    def tell(self, fact: Buried | Published | BrokerChanged | QueueChanged | Unsettled) -> None:
        match fact:
            case Buried():
                self._buried.labels(fact.reason).inc()
            case Published():
                result = "confirmed" if fact.confirmed else "unconfirmed"
                self._published.labels(fact.event_type, result).inc()
                self._publish_seconds.observe(fact.seconds)
            case BrokerChanged():
                self._broker_changed(fact)
            case QueueChanged():
                self._not_served.labels(fact.queue).set(fact.state is QueueState.NOT_SERVED)
            case Unsettled():
                self._unsettled.labels(fact.verb).inc()

    def begin_at_zero(self) -> None:
        for reason in ReasonCode:
            self._buried.labels(reason)
        for event_type in (PROVISIONED_TYPE, REJECTED_TYPE, HELD_TYPE, ABANDONED_TYPE):
            for result in ("confirmed", "unconfirmed"):
                self._published.labels(event_type, result)
        for verb in ("ack", "reject", "requeue"):
            self._unsettled.labels(verb)
        for connection in ("consume", "publish"):
            self._connected.labels(connection)
            self._reconnects.labels(connection)

    def _broker_changed(self, fact: BrokerChanged) -> None:
        self._connected.labels(fact.connection).set(fact.up)
        if fact.up and fact.connection in self._was_up:
            self._reconnects.labels(fact.connection).inc()
        if fact.up:
            self._was_up.add(fact.connection)


class _Ledger:
    """The ledger, and what should not happen."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        self._up = Gauge(
            "provisioner_ledger_up",
            "Whether the ledger takes writes, and takes them in time; while it does not, intake stops.",
            registry=registry,
        )
        self._failures = counter(
            "provisioner_ledger_failures_total",
            "Times the ledger failed or hung after it had worked; while it goes on failing that is one time.",
        )
        self._rescued = counter(
            "provisioner_rescued_total",
            "Requests left sending by a dead worker, or forgotten by this one, in doubt since this one found them.",
        )
        self._clock_steps = counter(
            "provisioner_clock_steps_total",
            "Times the clock where the ledger lies was set by a second or more while this worker ran.",
        )
        self._surprises = counter(
            "provisioner_surprises_total",
            "Errors that should not happen and were survived, by where.",
            ["where"],
        )

    def tell(self, fact: LedgerChanged | Rescued | ClockStepped | Surprised) -> None:
        match fact:
            case LedgerChanged():
                self._up.set(fact.well)
                self._failures.inc(not fact.well)
            case Rescued():
                self._rescued.inc(len(fact.request_ids))
            case ClockStepped():
                self._clock_steps.inc()
            case Surprised():
                self._surprises.labels(fact.where).inc()

"""Metrics: each one moves with its fact, and the page is what Prometheus expects."""

import re
import subprocess
from datetime import timedelta
from typing import get_args

import pytest
from prometheus_client import generate_latest

from contracts.reason import ReasonCode
from tests.telemetry import facts
from worker import __version__
from worker.core.observer import Counted, Fact, Finished, LaneState, Observer
from worker.core.overview import Standing
from worker.telemetry import Metrics

PHONE = {"provider": "phone_com"}
UNCOUNTED = (
    facts.SENDS,
    facts.HURRIED,
    facts.HOLDS,
    facts.DOUBTS,
    facts.RESCUED_NONE,
    facts.RESTORED,
    facts.UNCOMPARED,
)
EXPIRIES = {"": 1_800_000_000.0, "urn:crm": 0.0}
SINCE = facts.SINCE.timestamp()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(["phone_com", "gateway360"], revision="abc", key_expiries=lambda: EXPIRIES)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"provisioner_{name}", labels)


@pytest.mark.parametrize(
    ("fact", "name", "labels"),
    [
        (
            facts.RECEIVED,
            "requests_received_total",
            {**PHONE, "content_mode": "structured", "novelty": "new"},
        ),
        (
            facts.CONFLICT,
            "requests_received_total",
            {**PHONE, "content_mode": "plain", "novelty": "conflict"},
        ),
        (facts.FINISHED, "requests_finished_total", {**PHONE, "outcome": "provisioned"}),
        (facts.FINISHED, "request_end_to_end_seconds_count", {**PHONE, "outcome": "provisioned"}),
        (facts.REJECTED, "requests_rejected_total", PHONE),
        (facts.STRAY, "stray_accounts_total", PHONE),
        (facts.BEGAN, "requests_in_progress", PHONE),
        (facts.WAITS, "retries_scheduled_total", {**PHONE, "reason": "rate_limited"}),
        (
            facts.CREATED,
            "provider_call_seconds_count",
            {**PHONE, "operation": "create", "result": "created"},
        ),
        (facts.LOOKED_UP, "look_ups_total", {**PHONE, "finding": "absent"}),
        (facts.CREATE_REFUSED, "provider_credentials_refused_total", PHONE),
        (facts.PAUSED, "provider_state", {**PHONE, "state": "paused_by_credentials"}),
        (facts.BURIED, "dead_letters_total", {"reason": "not_json"}),
        (
            facts.PUBLISHED,
            "events_published_total",
            {"type": "account.provisioned.v1", "result": "confirmed"},
        ),
        (facts.UNPUBLISHED, "events_published_total", {"type": "account.held.v1", "result": "unconfirmed"}),
        (facts.PUBLISHED, "publish_seconds_count", {}),
        (facts.CONNECTED, "broker_connected", {"connection": "consume"}),
        (facts.LEDGER_WELL, "ledger_up", {}),
    ],
)
def test_metric_goes_from_zero_to_one(
    metrics: Metrics, fact: Fact, name: str, labels: dict[str, str]
) -> None:
    """Each series is there at zero before the first fact, and at one after it."""
    assert value(metrics, name, **labels) == 0
    metrics.tell(fact)
    assert value(metrics, name, **labels) == 1


@pytest.mark.parametrize(
    ("fact", "name", "labels", "amount"),
    [
        (facts.FINISHED, "request_end_to_end_seconds_sum", {**PHONE, "outcome": "provisioned"}, 1.5),
        (
            facts.CREATE_REFUSED,
            "provider_call_seconds_sum",
            {**PHONE, "operation": "create", "result": "credentials_refused"},
            0.2,
        ),
        (
            facts.PROBED,
            "provider_call_seconds_sum",
            {**PHONE, "operation": "probe", "result": "healthy"},
            0.1,
        ),
        (facts.TRIED_DRY, "requests_finished_total", {**PHONE, "outcome": "rejected"}, 1),
        (facts.TRIED_DRY, "requests_rejected_total", PHONE, 0),
        (facts.FINISHED, "requests_rejected_total", PHONE, 0),
        (facts.UNPUBLISHED, "publish_seconds_sum", {}, 10.0),
        (facts.RESCUED, "rescued_total", {}, 2),
        (facts.RESCUED_NONE, "rescued_total", {}, 0),
        (facts.UNSETTLED, "deliveries_unsettled_total", {"verb": "ack"}, 1),
        (facts.SURPRISED, "surprises_total", {"where": "upkeep"}, 1),
        (facts.CONSUMED, "queue_not_served", {"queue": facts.CONSUMED.queue}, 0),
        (facts.NOT_SERVED, "queue_not_served", {"queue": facts.NOT_SERVED.queue}, 1),
        (facts.LEDGER_SICK, "ledger_up", {}, 0),
        (facts.COUNTED, "requests", {**PHONE, "state": "in_doubt"}, 3),
        (facts.COUNTED, "requests_oldest_timestamp_seconds", {**PHONE, "state": "in_doubt"}, SINCE),
        (facts.HURRIED, "retries_scheduled_total", {**PHONE, "reason": "replayed_by_operator"}, 0),
        (facts.DOUBTS, "retries_scheduled_total", {**PHONE, "reason": "rate_limited"}, 0),
    ],
)
def test_fact_moves_its_metric(
    metrics: Metrics, fact: Fact, name: str, labels: dict[str, str], amount: float
) -> None:
    """Amounts are those of the fact; what is no retry, no rescue, no success does not count as one."""
    metrics.tell(fact)
    assert value(metrics, name, **labels) == amount


def test_work_that_ended_is_no_longer_in_progress(metrics: Metrics) -> None:
    """A slot counts from its beginning to its end."""
    for fact in (facts.BEGAN, facts.BEGAN, facts.ENDED):
        metrics.tell(fact)
    assert value(metrics, "requests_in_progress", **PHONE) == 1


def test_provider_is_in_exactly_one_state(metrics: Metrics) -> None:
    """Of all states one is 1; at the start that is open."""
    for fact, state in (
        (None, LaneState.OPEN),
        (facts.PAUSED, facts.PAUSED.state),
        (facts.OPENED, LaneState.OPEN),
    ):
        if fact is not None:
            metrics.tell(fact)
        states = {each: value(metrics, "provider_state", state=each, **PHONE) for each in LaneState}
        assert states == {each: float(each is state) for each in LaneState}


def test_reconnects_count_from_the_second_connection(metrics: Metrics) -> None:
    """The first connection is none; each one after a loss is."""
    for fact, connected, reconnects in (
        (facts.CONNECTED, 1, 0),
        (facts.DISCONNECTED, 0, 0),
        (facts.CONNECTED, 1, 1),
    ):
        metrics.tell(fact)
        assert value(metrics, "broker_connected", connection="consume") == connected
        assert value(metrics, "broker_reconnects_total", connection="consume") == reconnects
    assert value(metrics, "broker_connected", connection="publish") == 0


def test_first_connection_after_failed_attempts_is_no_reconnect(metrics: Metrics) -> None:
    """A broker that was away at the start makes no reconnect."""
    metrics.tell(facts.DISCONNECTED)
    metrics.tell(facts.CONNECTED)
    assert value(metrics, "broker_reconnects_total", connection="consume") == 0


def test_a_count_does_not_say_that_the_ledger_works(metrics: Metrics) -> None:
    """A count that was read before a write failed, and ends after it, leaves the ledger down: nothing else is told."""
    for fact, up in (
        (facts.COUNTED, 0),
        (facts.LEDGER_WELL, 1),
        (facts.LEDGER_SICK, 0),
        (facts.COUNTED, 0),
        (facts.LEDGER_WELL, 1),
    ):
        metrics.tell(fact)
        assert value(metrics, "ledger_up") == up


def test_the_end_of_keys_is_asked_at_each_scrape() -> None:
    """A key that takes over meanwhile moves the moment, and one that does not expire has no series."""
    moments = {"": 5.0, "urn:crm": 7.0}
    metrics = Metrics([], key_expiries=lambda: moments)
    assert value(metrics, "consumer_key_expiry_timestamp_seconds", source="other") == 5
    del moments[""]
    moments["urn:crm"] = 9.0
    assert value(metrics, "consumer_key_expiry_timestamp_seconds", source="other") is None
    assert value(metrics, "consumer_key_expiry_timestamp_seconds", source="urn:crm") == 9


def test_standings_are_unknown_before_the_first_count(metrics: Metrics) -> None:
    """A worker that has not counted yet does not claim that nothing is in doubt."""
    assert value(metrics, "requests", state="in_doubt", **PHONE) is None
    assert value(metrics, "results_unpublished") is None
    assert value(metrics, "dead_letters_open") is None


def test_an_old_count_is_no_longer_shown() -> None:
    """A worker that lost its ledger does not tell of doubts that others have settled since."""
    now = 1000.0
    metrics = Metrics(["phone_com"], monotonic=lambda: now)
    metrics.tell(facts.COUNTED)
    now += 119
    assert value(metrics, "requests", state="in_doubt", **PHONE) == 3
    now += 2
    assert value(metrics, "requests", state="in_doubt", **PHONE) is None
    assert value(metrics, "results_unpublished") is None
    metrics.tell(facts.COUNTED)
    assert value(metrics, "requests", state="in_doubt", **PHONE) == 3


def test_each_time_that_the_ledger_fails_is_counted(metrics: Metrics) -> None:
    """One that works again at every look shows in nothing else: the gauge is right most of the time."""
    for _ in range(2):
        metrics.tell(facts.LEDGER_SICK)
        metrics.tell(facts.LEDGER_WELL)
    assert value(metrics, "ledger_failures_total") == 2
    assert value(metrics, "ledger_up") == 1


def test_nobody_waits_for_workers_to_abandon(metrics: Metrics) -> None:
    """Only operators do, and no worker counts them: a series that stays at zero would say that there are none."""
    assert value(metrics, "requests_finished_total", outcome="abandoned", **PHONE) is None
    assert value(metrics, "requests_finished_total", outcome="held", **PHONE) == 0


def test_standing_that_disappears_goes_to_zero(metrics: Metrics) -> None:
    """Counts go to zero, the times of the oldest disappear with the last one."""
    older = facts.SINCE - timedelta(hours=1)
    metrics.tell(
        Counted(
            (
                Standing("phone_com", "held", 2, facts.SINCE),
                Standing("phone_com", "unpublished", 1, facts.SINCE),
                Standing("gateway360", "unpublished", 4, older),
                Standing("", "dead_letter", 7, older),
            )
        )
    )
    assert value(metrics, "requests", state="held", **PHONE) == 2
    assert value(metrics, "results_unpublished") == 5
    assert value(metrics, "results_unpublished_oldest_timestamp_seconds") == older.timestamp()
    assert value(metrics, "dead_letters_open") == 7
    assert value(metrics, "dead_letters_oldest_timestamp_seconds") == older.timestamp()
    metrics.tell(Counted((Standing("phone_com", "held", 0, None),)))
    assert value(metrics, "requests", state="held", **PHONE) == 0
    assert value(metrics, "requests", state="held", provider="gateway360") == 0
    assert value(metrics, "results_unpublished") == 0
    assert value(metrics, "dead_letters_open") == 0
    assert "oldest_timestamp_seconds{" not in page(metrics)
    assert not re.search(r"^provisioner_\w+_oldest_timestamp_seconds ", page(metrics), re.MULTILINE)


def test_label_of_a_provider_stays_bounded(metrics: Metrics) -> None:
    """Rows of providers that are not configured are shown together under one name."""
    metrics.tell(Counted((Standing("gone", "held", 1, facts.SINCE), Standing("typo", "held", 2, None))))
    metrics.tell(Finished("gone", "r1", facts.FINISHED.outcome, ReasonCode.CREATED, 1.0))
    assert value(metrics, "requests", provider="other", state="held") == 3
    assert value(metrics, "requests_finished_total", provider="other", outcome="provisioned") == 1
    assert "gone" not in page(metrics)


def test_final_states_are_no_gauge(metrics: Metrics) -> None:
    """Closed requests are counted by counters, not by what stands."""
    metrics.tell(Counted((Standing("phone_com", "provisioned", 9, facts.SINCE),)))
    assert value(metrics, "requests", state="provisioned", **PHONE) is None


def test_build_is_told(metrics: Metrics) -> None:
    """Version and revision of what runs are labels of one series."""
    assert f'version="{__version__}"' in page(metrics)
    assert re.search(r'provisioner_build_info\{.*revision="abc".*\} 1\.0', page(metrics))


def test_every_kind_of_fact_is_counted_by_some_metric(metrics: Metrics) -> None:
    """No kind of fact passes without a trace, and none has a request's own words in a label."""
    observer: Observer = metrics
    for fact in facts.FACTS:
        before = page(metrics)
        observer.tell(fact)
        assert (page(metrics) == before) is (fact in UNCOUNTED)
    assert {type(fact) for fact in facts.FACTS} == set(get_args(Fact))
    assert not re.search("order-1|r1|d1|e1|a-4711|disk full", page(metrics))


def test_promtool_has_no_complaint(metrics: Metrics) -> None:
    """Prometheus's own linter finds nothing to say about names, types and help texts."""
    for fact in facts.FACTS:
        metrics.tell(fact)
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=page(metrics), capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def page(metrics: Metrics) -> str:
    """The page without the process's own metrics, which move by themselves."""
    lines = generate_latest(metrics.registry).decode().splitlines(keepends=True)
    return "".join(line for line in lines if "process_" not in line)

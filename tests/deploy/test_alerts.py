"""The alert rules: their syntax, their cases, their runbook, and the metrics that they lean on."""

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.builders import make_entry
from worker.core.observer import Counted, QueueChanged, QueueState, Surprised
from worker.core.overview import Standing
from worker.core.provider import Absent, ProviderSettings
from worker.core.retry import LookUp, Retry, after_look_up
from worker.core.states import OPEN, State
from worker.rabbitmq.topology import DEAD_LETTERS
from worker.telemetry.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
GROUPS = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
CASES = yaml.safe_load((PROMETHEUS / "rules_test.yaml").read_text())["tests"]
NOT_OURS = {
    "up": {"job", "instance"},
    "rabbitmq_alarms_memory_used_watermark": set(),
    "rabbitmq_alarms_free_disk_space_watermark": set(),
    "rabbitmq_detailed_queue_messages": {"queue", "vhost"},
    "rabbitmq_detailed_queue_messages_ready": {"queue", "vhost"},
    "rabbitmq_detailed_queue_consumers": {"queue", "vhost"},
}
"""What Prometheus itself and RabbitMQ's plugin (3.10 and later) provide, with their labels."""


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; that it is missing is a failure, because `make test` installs it."""
    program = shutil.which("promtool")
    assert program is not None, "promtool is missing: install Debian's package prometheus"
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, cwd=PROMETHEUS)


def test_the_configuration_is_valid_and_finds_its_rules() -> None:
    """Promtool accepts prometheus.yaml and every rule file that it names."""
    done = promtool("check", "config", "prometheus.yaml")
    assert done.returncode == 0, done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_every_alert_behaves_as_its_cases_say() -> None:
    """Promtool runs rules_test.yaml without a difference."""
    done = promtool("test", "rules", "rules_test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)  # promtool computes for a minute
@pytest.mark.parametrize("instead", ["vector(1)", "vector(1) > 2"], ids=["always", "never"])
def test_the_cases_notice_alerts_that_always_or_never_fire(instead: str, tmp_path: Path) -> None:
    """With every expression replaced by a constant, a case of every single alert fails."""
    broken = [{**group, "rules": [{**rule, "expr": instead} for rule in group["rules"]]} for group in GROUPS]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": broken}))
    shutil.copy(PROMETHEUS / "rules_test.yaml", tmp_path)
    done = promtool("test", "rules", tmp_path / "rules_test.yaml")
    differences = re.findall(r'expr: "([^\n]+?)", time:', done.stdout + done.stderr)
    noticed = {alert for alert in ALERTS if any(alert in each for each in differences)}
    assert noticed == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(alert: str) -> None:
    """Both kinds name the alert, so that a reader finds them."""
    expected = [
        bool(case["exp_samples"])
        for group in CASES
        for case in group.get("promql_expr_test", [])
        if f'alertname="{alert}"' in case["expr"]
    ]
    assert set(expected) == {True, False}


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_a_woken_person_needs(alert: str) -> None:
    """Summary, description, severity, and a runbook address whose heading exists."""
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert len(rule["annotations"]["description"]) > 60
    address = "{{ $externalLabels.runbooks }}deploy/README.md"
    assert rule["annotations"]["runbook_url"] == f"{address}#{alert.lower()}"
    assert f"### {alert}" in (DEPLOY / "README.md").read_text().splitlines()


def test_no_runbook_entry_is_left_over() -> None:
    """Every third-level heading below "Alerts" is an alert that exists."""
    text = (DEPLOY / "README.md").read_text().split("\n## Alerts\n")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^### (.+)$", text, re.MULTILINE)) == sorted(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_annotations_use_only_labels_that_the_alert_has(alert: str) -> None:
    """A label in a text also stands in an expected sample, or the text would have a hole."""
    used = set(re.findall(r"\$labels\.(\w+)", str(ALERTS[alert]["annotations"])))
    samples = [
        sample["labels"]
        for group in CASES
        for case in group.get("promql_expr_test", [])
        if f'alertname="{alert}"' in case["expr"]
        for sample in case["exp_samples"]
    ]
    for label in used:
        assert any(f'{label}="' in each for each in samples), label


def test_jobs_that_rules_name_are_scraped() -> None:
    """The rules and the scrape configuration agree on the names of jobs."""
    jobs = {
        job["job_name"]
        for job in yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())["scrape_configs"]
    }
    named = {name for rule in ALERTS.values() for name in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert named <= jobs
    assert {"provisioner", "rabbitmq-queues"} <= named


def seconds(duration: str) -> int:
    """A duration of Prometheus, as far as it is used here."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def settled_after(doubt_begins: float) -> float:
    """Seconds after a create at which a provider that never shows its account is believed, by the default settings.

    Args:
        doubt_begins: Seconds after the create at which the doubt begins: it was cut off, or is listened for no more.
    """
    settings = ProviderSettings(base_url="http://x")
    sent = datetime(2026, 1, 1, tzinfo=UTC)
    row = make_entry(state=State.IN_DOUBT, attempts=1, attempt_sent_at=sent)
    now = sent + timedelta(seconds=doubt_begins + settings.look_up_schedule[0])
    while isinstance(
        decision := after_look_up(Absent({}), row, now=now, is_late=False, settings=settings), LookUp
    ):
        now = decision.due_at
        row = replace(row, look_ups=row.look_ups + 1, absences=row.absences + decision.absent)
    assert isinstance(decision, Retry)
    return (now - sent).total_seconds()


@pytest.mark.parametrize("doubt_begins", [0, 30, 60, 120])
def test_nobody_is_woken_for_a_doubt_that_the_worker_is_about_to_settle(doubt_begins: float) -> None:
    """The page leaves ten minutes to spare after the look-ups that prove an absence, whenever the answer was lost."""
    rule = ALERTS["InDoubtTooLong"]
    [threshold] = re.findall(r"> (\d+)\s*$", rule["expr"])
    assert settled_after(doubt_begins) + 600 <= int(threshold) + seconds(rule["for"])


def exposed() -> dict[str, dict[str, set[str]]]:
    """Every series that the worker can show: its name, its labels and the values seen for each."""
    metrics = Metrics(["phone_com"], key_expiries=lambda: {"": 0.0})
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    kinds = [*(state.value for state in OPEN), "unpublished", "dead_letter"]
    metrics.tell(Counted([Standing("phone_com", kind, 1, moment) for kind in kinds]))
    metrics.tell(Surprised("upkeep", ValueError()))
    metrics.tell(QueueChanged(DEAD_LETTERS, QueueState.CONSUMED))
    series: dict[str, dict[str, set[str]]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            labels = series.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return series


def selectors() -> list[tuple[str, str, str]]:
    """Alert, metric and matchers of every selector in the rules."""
    pattern = r"\b(provisioner_\w+|rabbitmq_\w+|process_\w+|up)\b(?:\{([^}]*)\})?"
    return [
        (alert, name, matchers)
        for alert, rule in ALERTS.items()
        for name, matchers in re.findall(pattern, rule["expr"])
    ]


@pytest.mark.parametrize(("alert", "name", "matchers"), sorted(set(selectors())))
def test_every_metric_and_label_in_a_rule_exists(alert: str, name: str, matchers: str) -> None:
    """The worker's registry has the metric, the label, and for states, outcomes and connections the very values."""
    series = exposed()
    labels = NOT_OURS.get(name, series.get(name, {}).keys()) | {"instance", "job"}
    assert name in NOT_OURS or name in series, f"{alert}: no metric {name}"
    for label, _, values in re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', matchers):
        assert label in labels, f"{alert}: {name} has no label {label}"
        if name in series and label in {"state", "outcome", "connection"}:
            assert set(values.split("|")) <= series[name][label], (
                f"{alert}: {name}{{{label}}} is never {values}"
            )


def test_the_cases_feed_only_metrics_that_exist() -> None:
    """A series in rules_test.yaml is one that the worker, RabbitMQ or Prometheus gives, with labels it has."""
    series = exposed()
    fed = [each["series"] for group in CASES for each in group.get("input_series", [])]
    for each in fed:
        name, _, matchers = each.partition("{")
        labels = NOT_OURS.get(name, series.get(name, {}).keys()) | {"instance", "job"}
        assert name in NOT_OURS or name in series, each
        assert set(re.findall(r'(\w+)="', matchers)) <= labels, each

"""Facts as lines: each kind has its event, its level and what binds it to a request."""

from typing import Any, get_args

import pytest

from tests.telemetry import facts
from tests.telemetry.conftest import Logs
from worker.core.observer import Fact, Observer
from worker.telemetry import LogObserver

BOUND = {"request_id": "r1", "idempotency_key": "order-1", "provider": "phone_com"}


@pytest.mark.parametrize(
    ("fact", "level", "event", "said"),
    [
        (
            facts.RECEIVED,
            "info",
            "request_received",
            {**BOUND, "novelty": "new", "content_mode": "structured"},
        ),
        (facts.CONFLICT, "warning", "request_received", {**BOUND, "novelty": "conflict"}),
        (facts.BURIED, "warning", "message_buried", {"dead_letter_id": "d1", "reason": "not_json"}),
        (facts.BEGAN, "debug", "work_began", {"request_id": "r1", "provider": "phone_com"}),
        (facts.ENDED, "debug", "work_ended", {"request_id": "r1"}),
        (
            facts.CREATED,
            "info",
            "provider_called",
            {"operation": "create", "result": "created", "seconds": 0.123, "request_id": "r1"},
        ),
        (
            facts.CREATE_REFUSED,
            "warning",
            "provider_called",
            {"verdict": "not_done", "rule": "phone_com.401", "moment": "answer_read", "status": 401},
        ),
        (facts.LOOKED_UP, "info", "provider_called", {"operation": "look_up", "result": "absent"}),
        (facts.PROBED, "debug", "provider_called", {"operation": "probe", "result": "healthy"}),
        (
            facts.WAITS,
            "info",
            "request_moved",
            {**BOUND, "transition": "not_done", "enters": "waiting", "reason": "rate_limited", "attempt": 2},
        ),
        (facts.SENDS, "debug", "request_moved", {**BOUND, "transition": "send", "enters": "sending"}),
        (facts.DOUBTS, "warning", "request_moved", {**BOUND, "transition": "doubt", "reason": "no_answer"}),
        (facts.HOLDS, "warning", "request_moved", {**BOUND, "enters": "held"}),
        (
            facts.FINISHED,
            "info",
            "request_finished",
            {"outcome": "provisioned", "reason": "created", "seconds": 1.5},
        ),
        (facts.RESTORED, "warning", "queue_made_anew", {"queue": "provisioning.requests.phone_com"}),
        (
            facts.UNCOMPARED,
            "warning",
            "topology_not_compared",
            {"what": ["queue q could not be compared"], "remedy": "run the check with another user"},
        ),
        (
            facts.STRAY,
            "warning",
            "stray_account",
            {"provider": "phone_com", "request_id": "r1", "account_id": "a-4711"},
        ),
        (
            facts.PUBLISHED,
            "debug",
            "result_published",
            {"event_id": "e1", "event_type": "account.provisioned.v1"},
        ),
        (facts.UNPUBLISHED, "warning", "result_not_published", {"detail": "no confirm in time"}),
        (
            facts.PAUSED,
            "warning",
            "provider_state_changed",
            {"state": "paused_by_credentials", "detail": "401"},
        ),
        (facts.OPENED, "info", "provider_state_changed", {"state": "open"}),
        (facts.CONNECTED, "info", "broker_connected", {"connection": "consume"}),
        (facts.DISCONNECTED, "warning", "broker_disconnected", {"detail": "heartbeat missed"}),
        (facts.CONSUMED, "info", "queue_state_changed", {"queue": facts.CONSUMED.queue, "state": "consumed"}),
        (
            facts.NOT_SERVED,
            "warning",
            "queue_state_changed",
            {"state": "not_served", "detail": "541 INTERNAL_ERROR"},
        ),
        (facts.LEDGER_WELL, "info", "ledger_well", {}),
        (facts.LEDGER_SICK, "error", "ledger_failed", {"detail": "disk full"}),
        (facts.RESCUED, "warning", "requests_rescued", {"request_ids": ["r1", "r2"]}),
        (facts.SURPRISED, "error", "surprise", {"where": "upkeep", "exception": "RuntimeError: boom"}),
    ],
)
def test_fact_becomes_a_line(logs: Logs, fact: Fact, level: str, event: str, said: dict[str, Any]) -> None:
    """Each fact is one line with its level, its event and its fields."""
    LogObserver("worker-1").tell(fact)
    assert (logs.line["level"], logs.line["event"], logs.line["worker"]) == (level, event, "worker-1")
    assert said.items() <= logs.line.items()


def test_facts_without_news_are_silent(logs: Logs) -> None:
    """Counting the ledger and rescuing nobody happen every second and say nothing."""
    for fact in (facts.COUNTED, facts.RESCUED_NONE):
        LogObserver("worker-1").tell(fact)
    assert logs.text == ""


def test_no_kind_of_fact_is_forgotten(logs: Logs) -> None:
    """Every kind of fact there is can be told, and no line shows an unknown object or a field that is nothing."""
    observer: Observer = LogObserver("worker-1")
    for fact in facts.FACTS:
        observer.tell(fact)
    assert {type(fact) for fact in facts.FACTS} == set(get_args(Fact))
    assert len(logs.lines) == len(facts.FACTS) - 2
    assert not [
        value for line in logs.lines for value in line.values() if value is None or str(value).startswith("<")
    ]

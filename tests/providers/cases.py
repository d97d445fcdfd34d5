"""What makes the sandbox answer so that a row of a provider's rules decides, and what must come of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.reason import ReasonCode as Code
from tests.providers.bench import Bench
from worker.core.verdict import Effect, Verdict
from worker.sandbox import Fault, Operation

Arrange = Callable[[Bench], None]
Expected = tuple[Verdict, Code, bool, Effect]

DONE, NOT_DONE, IN_DOUBT = Verdict.DONE, Verdict.NOT_DONE, Verdict.IN_DOUBT
NONE, LIMIT, OUTAGE, PAUSE = Effect.NONE, Effect.LIMIT, Effect.OUTAGE, Effect.PAUSE

REFUSED: Expected = (NOT_DONE, Code.PROVIDER_VALIDATION, False, NONE)
LIMITED: Expected = (NOT_DONE, Code.RATE_LIMITED, True, LIMIT)
CREDENTIALS: Expected = (NOT_DONE, Code.CREDENTIALS_REFUSED, True, PAUSE)
PERMISSION: Expected = (NOT_DONE, Code.PERMISSION_REFUSED, True, PAUSE)
MISSING: Expected = (NOT_DONE, Code.ENDPOINT_MISSING, True, PAUSE)
REFUSED_ONCE_MORE: Expected = (IN_DOUBT, Code.PROVIDER_VALIDATION, False, NONE)
TAKEN_ONCE_MORE: Expected = (IN_DOUBT, Code.NAME_TAKEN, False, NONE)
CONFLICT: Expected = (IN_DOUBT, Code.CONFLICT_AT_PROVIDER, False, NONE)
PASSED: Expected = (NOT_DONE, Code.DRY_RUN_PASSED, False, NONE)
UNANSWERED: Expected = (NOT_DONE, Code.PROVIDER_BUSY, True, OUTAGE)
MADE: Expected = (DONE, Code.CREATED, False, NONE)
LOST: Expected = (DONE, Code.CREDENTIALS_LOST, False, NONE)


@dataclass(frozen=True)
class Case:
    """One row: what is arranged, what happens between preparing and the create, and what must come of it."""

    rule_id: str
    expected: Expected
    arrange: Arrange = lambda _bench: None
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    order: Mapping[str, Any] = field(default_factory=dict)
    vanishes: bool = False
    too_late: bool = False
    reason: str = ""


def fault(kind: Fault, operation: Operation = Operation.CREATE, **options: Any) -> Arrange:
    """Let the operation go wrong in this way."""
    return lambda bench: bench.break_reads(kind, operation, **options)


def says(
    status: int,
    body: object,
    operation: Operation = Operation.CREATE,
    headers: Mapping[str, str] | None = None,
) -> Arrange:
    """Let the operation be answered with this JSON."""
    named = {"Content-Type": "application/json", **(headers or {})}
    return fault(Fault.STATUS, operation, status=status, body=json.dumps(body), headers=named)


def page(status: int) -> Arrange:
    """Let the create be answered with a page that is nobody's API."""
    return fault(Fault.STATUS, status=status, body="<h1>Blocked</h1>", headers={"Content-Type": "text/html"})


def unreachable(bench: Bench) -> None:
    """Nothing listens where the provider should be."""
    bench.base_url = "http://127.0.0.1:1"


def nowhere(status: int) -> Arrange:
    """Redirect the create to a place that nobody serves."""
    return fault(Fault.REDIRECT, status=status, location="http://127.0.0.1:1/")


DRY_RUN = {"dry_run": True}
SENT_BEFORE = {"sent_before": True}
AFTER_DOUBT = {"sent_before": True, "after_doubt": True}
IMPATIENT = {"listen_for": 2.0}


def common(provider: str, own_shape: object) -> list[Case]:
    """The rows that every provider's list has, and how each is shown."""
    lost: Expected = (IN_DOUBT, Code.CONNECTION_LOST, False, OUTAGE)
    unreadable: Expected = (IN_DOUBT, Code.UNREADABLE_ANSWER, False, NONE)
    return [
        Case("dry_run_passed", PASSED, order=DRY_RUN),
        Case("common.not_sent", (NOT_DONE, Code.UNREACHABLE, True, OUTAGE), vanishes=True),
        Case("common.too_late", (NOT_DONE, Code.UNREACHABLE, True, NONE), too_late=True),
        Case(f"{provider}.created", MADE),
        Case(f"{provider}.created", MADE, fault(Fault.SLOW, seconds=0.01), reason="slow is no failure"),
        Case(
            "common.no_answer",
            (IN_DOUBT, Code.NO_ANSWER, False, OUTAGE),
            fault(Fault.LATE_ANSWER, until="never"),
            IMPATIENT,
        ),
        Case(
            "common.garbled_status_line",
            (IN_DOUBT, Code.GARBLED_ANSWER, False, OUTAGE),
            fault(Fault.GARBLED_STATUS_LINE, creates=True),
        ),
        Case("common.connection_lost", lost, fault(Fault.CUT_AFTER_CREATE)),
        Case("common.connection_lost", lost, fault(Fault.RESET_AFTER_CREATE)),
        Case("common.connection_lost", lost, fault(Fault.CUT_BEFORE_CREATE), reason="nobody can tell"),
        Case("common.moved", (NOT_DONE, Code.REDIRECTED, True, PAUSE), nowhere(307)),
        Case("common.moved", (NOT_DONE, Code.REDIRECTED, True, PAUSE), nowhere(308)),
        Case("common.redirect", (IN_DOUBT, Code.REDIRECTED, False, PAUSE), nowhere(302)),
        Case(
            "common.answer_too_large",
            (IN_DOUBT, Code.ANSWER_TOO_LARGE, False, NONE),
            fault(Fault.HUGE_BODY, size=2_000_000),
        ),
        Case("common.success_unreadable", unreadable, fault(Fault.EMPTY_BODY)),
        Case("common.success_unreadable", unreadable, fault(Fault.HTML_WITH_200, creates=True)),
        Case("common.success_unreadable", unreadable, fault(Fault.WRONG_JSON)),
        Case("common.success_unreadable", unreadable, fault(Fault.TRUNCATED_BODY)),
        Case("common.success_unreadable", unreadable, says(202, {"id": "1"}), reason="202 is no promise"),
        Case(
            "common.server_error",
            (IN_DOUBT, Code.SERVER_ERROR, False, OUTAGE),
            fault(Fault.SERVER_ERROR_AFTER_CREATE),
        ),
        Case(
            "common.server_error",
            (IN_DOUBT, Code.SERVER_ERROR, False, OUTAGE),
            fault(Fault.UNAVAILABLE, seconds=3),
            reason="not even a 503 with Retry-After proves that nothing was done",
        ),
        Case("common.foreign_limit", (IN_DOUBT, Code.UNREADABLE_ANSWER, False, LIMIT), page(429)),
        *(
            Case("common.foreign", (IN_DOUBT, Code.UNREADABLE_ANSWER, False, OUTAGE), page(status))
            for status in (400, 401, 403, 404, 422)
        ),
        *(
            Case(
                "common.unlisted",
                (IN_DOUBT, Code.UNEXPECTED_STATUS, False, NONE),
                says(status, own_shape),
            )
            for status in (408, 425)
        ),
    ]

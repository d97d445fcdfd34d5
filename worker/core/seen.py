"""What was seen, as it goes into the history; and outcomes that do not come from the wire."""

from dataclasses import replace
from typing import assert_never

from contracts.reason import ReasonCode
from worker.core.change import Seen
from worker.core.provider import Finding, Found
from worker.core.verdict import Moment, Outcome, Verdict


def surprise(verdict: Verdict) -> Outcome:
    """Our own code broke: the moment is unknown, so the caller says what is honest."""
    return Outcome(verdict, ReasonCode.INTERNAL_ERROR, "worker.surprise", Moment.PREPARING, retry=True)


def harmless(outcome: Outcome) -> Outcome:
    """In a provider's test mode nothing is created, whatever is seen on the wire."""
    match outcome.verdict:
        case Verdict.NOT_DONE:
            return outcome
        case Verdict.DONE:
            return replace(
                outcome, verdict=Verdict.NOT_DONE, reason=ReasonCode.DRY_RUN_PASSED, retry=False, created=None
            )
        case Verdict.IN_DOUBT:
            return replace(outcome, verdict=Verdict.NOT_DONE, retry=True)
        case _:
            assert_never(outcome.verdict)


def seen_in(outcome: Outcome | None) -> Seen | None:
    if outcome is None:
        return None
    detail = {"account_id": outcome.created.account_id} if outcome.created else {}
    return Seen(
        outcome.verdict,
        outcome.rule_id,
        outcome.moment,
        outcome.status,
        outcome.error_id,
        outcome.message,
        detail,
    )


def seen_by_look_up(finding: Finding) -> Seen:
    detail = dict(finding.evidence)
    if isinstance(finding, Found):
        detail["account_id"] = finding.created.account_id
    return Seen(type(finding).__name__.lower(), "look_up", Moment.ANSWER_READ, detail=detail)

"""What was seen, as it goes into the history; and outcomes that do not come from the wire."""

from dataclasses import replace
from typing import Final, assert_never

from contracts.reason import ReasonCode
from worker.core.change import Seen
from worker.core.entry import Entry
from worker.core.provider import Finding, Found, ProviderSettings
from worker.core.verdict import Moment, Outcome, Verdict

PLACE: Final = "place"
"""Under this name the baseline of an attempt says where its create was sent."""

NOBODY_WAS_ASKED: Final = Seen(
    "absent", "look_up.dry_run", Moment.PREPARING, message="a test mode creates nothing"
)
"""What ends the doubt about a dry run."""


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
    return Seen(finding.word, "look_up", Moment.ANSWER_READ, detail=detail)


def sent_elsewhere(entry: Entry, settings: ProviderSettings) -> Seen | None:
    """What tells a person that the attempt in doubt went to another place than the settings name now.

    Whoever asks here finds nothing, however long the account has existed there.
    """
    sent_to = entry.baseline.get(PLACE)
    if sent_to in {None, settings.place}:
        return None
    detail = {"sent_to": sent_to, "settings_name": settings.place}
    return Seen("elsewhere", "look_up.elsewhere", Moment.PREPARING, detail=detail)

"""What an answer still settles that comes when its request has moved on. Pure functions."""

from datetime import datetime

from contracts.reason import ReasonCode
from worker.core.entry import Entry
from worker.core.recording import Stage
from worker.core.retry import Decision, Hold, Provision
from worker.core.states import State
from worker.core.verdict import Created, Outcome, Verdict


def awaits(entry: Entry, decision: Decision, outcome: Outcome, sent_at: datetime | None) -> Stage | None:
    """What the answer to an attempt of that time still settles once the row moved on: its doubt, what a person is to
    find, or that no account was there, before another is opened.
    """
    is_newest = entry.attempt_sent_at == sent_at
    match entry.state:
        case State.IN_DOUBT if is_newest and _says_something(outcome):
            return Stage.LATE
        case State.HELD if isinstance(decision, Provision):
            return Stage.LATE_PROOF if _is_missing(entry, decision.created, is_newest=is_newest) else None
        case State.ACCEPTED | State.WAITING if isinstance(decision, Provision | Hold) and decision.created:
            return Stage.THERE_AFTER_ALL
        case _:
            return None


def _says_something(outcome: Outcome) -> bool:
    """Whether it says more than the doubt itself: "it exists" speaks against every look-up that finds nothing."""
    return outcome.verdict is not Verdict.IN_DOUBT or outcome.reason is ReasonCode.CONFLICT_AT_PROVIDER


def _is_missing(entry: Entry, created: Created, *, is_newest: bool) -> bool:
    """Whether a held request lacks this account, or the credentials of it: nobody else may ever have them.

    While a newer attempt may have opened another account, a person must look.
    """
    if entry.account_id == created.account_id or entry.reason is ReasonCode.ATTEMPTS_EXHAUSTED:
        return True
    return is_newest and entry.reason is not ReasonCode.CREDENTIALS_LOST

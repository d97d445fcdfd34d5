"""Decisions: what becomes of a request after an attempt or a look-up. Pure functions, no clock of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from contracts.reason import ReasonCode
from worker.core.entry import Entry
from worker.core.provider import Absent, Finding, Found, ProviderSettings, Several, Taken, Unclear
from worker.core.verdict import Created, Effect, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a create that did not happen is tried again. Durations in seconds.

    Attributes:
        base: Upper bound of the first wait; each further one doubles it.
        cap: Upper bound of every wait.
        attempts: Attempts after which a person is asked.
        max_age: Age of a request after which a person is asked instead of trying again.
    """

    base: float = 2.0
    cap: float = 600.0
    attempts: int = 8
    max_age: float = 86400.0


REFUSALS: Final = frozenset(
    {ReasonCode.NAME_TAKEN, ReasonCode.PROVIDER_VALIDATION, ReasonCode.VERIFICATION_REQUIRED}
)
"""Why a create is refused; of one in doubt: refused as if an earlier attempt of ours stood in its way."""
REFUSED_OR_CONFLICT: Final = REFUSALS | {ReasonCode.CONFLICT_AT_PROVIDER}


@dataclass(frozen=True, slots=True)
class Provision:
    """Record the account."""

    created: Created


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close: nothing was created and nothing will be."""

    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing was created; try again then. `counts`: whether the attempt is used up."""

    reason: ReasonCode
    due_at: datetime
    counts: bool


@dataclass(frozen=True, slots=True)
class LookUp:
    """The account may exist; look then. `absent`: this look-up counts as one that found nothing."""

    reason: ReasonCode
    due_at: datetime
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """A person must look. `created` is set when the account is known and something is missing."""

    reason: ReasonCode
    created: Created | None = None

    @classmethod
    def known(cls, account_id: str) -> "Hold":
        """The account came to light another way, and nobody here has what its provider shows only once."""
        return cls(ReasonCode.CREDENTIALS_LOST, Created(account_id, {}))


Decision = Provision | Refuse | Retry | LookUp | Hold

Draw = Callable[[], float]
"""A random number from 0 up to, not including, 1."""


def after_attempt(
    outcome: Outcome,
    entry: Entry,
    *,
    now: datetime,
    policy: RetryPolicy,
    look_up_after: float | None,
    time_left: float | None,
    draw: Draw,
) -> Decision:
    """What follows from one attempt.

    Args:
        outcome: The verdict and what it rests on.
        entry: The row with this attempt already counted.
        now: When the outcome was known.
        policy: Waits and limits.
        look_up_after: Seconds until the first look-up; None when the provider cannot be asked.
        time_left: Seconds until the request's deadline; None where it has none.
        draw: Jitter.
    """
    match outcome.verdict:
        case Verdict.DONE:
            return _done(outcome, now, look_up_after)
        case Verdict.IN_DOUBT:
            return _doubt(outcome.reason, now, look_up_after)
        case Verdict.NOT_DONE:
            return _not_done(outcome, entry, now, policy, time_left, draw)
        case _:
            assert_never(outcome.verdict)


def _done(outcome: Outcome, now: datetime, look_up_after: float | None) -> Decision:
    if outcome.created is None:
        return _doubt(outcome.reason, now, look_up_after)
    if outcome.created.missing:
        return Hold(ReasonCode.CREDENTIALS_LOST, outcome.created)
    return Provision(outcome.created)


def _doubt(reason: ReasonCode, now: datetime, look_up_after: float | None) -> Decision:
    if look_up_after is None:
        return Hold(reason)
    return LookUp(reason, now + timedelta(seconds=look_up_after))


def _not_done(
    outcome: Outcome, entry: Entry, now: datetime, policy: RetryPolicy, time_left: float | None, draw: Draw
) -> Decision:
    if not outcome.retry:
        return Refuse(outcome.reason)
    counts = outcome.effect not in (Effect.LIMIT, Effect.PAUSE)
    too_old = (now - entry.since).total_seconds() > policy.max_age and outcome.effect is not Effect.PAUSE
    if too_old or (counts and entry.attempts >= policy.attempts):
        return Hold(ReasonCode.ATTEMPTS_EXHAUSTED)
    wait = _wait(outcome.wait, entry.attempts if counts else entry.deferrals + 1, policy, draw)
    # At the deadline the request is taken up once more, only to be rejected: never later than that.
    due_in = wait if time_left is None else max(0.0, min(wait, time_left))
    return Retry(outcome.reason, now + timedelta(seconds=due_in), counts)


def _wait(asked: float | None, tries: int, policy: RetryPolicy, draw: Draw) -> float:
    """Full jitter under a doubling, capped bound; a wait the provider asked for is kept, with jitter on top."""
    bound = min(policy.cap, policy.base * 2.0 ** min(max(tries - 1, 0), 32))
    if asked is not None:
        return min(asked, policy.max_age) + draw() * policy.base
    return draw() * bound


def after_look_up(
    finding: Finding, entry: Entry, *, now: datetime, is_late: bool, settings: ProviderSettings
) -> Provision | Refuse | Retry | LookUp | Hold:
    """What follows from one look-up of a request in doubt. Only agreeing ones after the settle time prove absence.

    Args:
        finding: What it found.
        entry: The row in doubt.
        now: When the question was asked.
        is_late: Whether the request's deadline has passed.
        settings: How long the provider takes to settle, and how often it is asked.
    """
    match finding:
        case Found(created=created):
            return Hold(ReasonCode.CREDENTIALS_LOST, created) if created.missing else Provision(created)
        case Several():
            return Hold(ReasonCode.LOOK_UP_AMBIGUOUS)
        case Absent():
            return _absent_or_denied(entry, now, settings, is_late=is_late)
        case Taken(only_one=only_one):
            return _taken(entry, now, settings, only_one=only_one, is_late=is_late)
        case Unclear():
            return _look_again(entry, now, settings, absent=False)
        case _:
            assert_never(finding)


def _absent(
    entry: Entry, now: datetime, settings: ProviderSettings, *, is_late: bool
) -> Refuse | Retry | LookUp | Hold:
    settled = _age_of_doubt(entry, now) >= settings.settle
    if not settled or entry.absences + 1 < settings.agreeing_look_ups:
        return _look_again(entry, now, settings, absent=settled)
    if is_late:
        return Refuse(ReasonCode.DEADLINE_PASSED)
    return Retry(ReasonCode.CONFIRMED_ABSENT, now, counts=False)


def _absent_or_denied(
    entry: Entry, now: datetime, settings: ProviderSettings, *, is_late: bool
) -> Refuse | Retry | LookUp | Hold:
    """A provider that says "it exists" and does not show it contradicts itself: that proves nothing.

    Where it only refused, and no attempt before was in doubt, nothing of ours was in the way: the refusal stands.
    """
    decision = _absent(entry, now, settings, is_late=is_late)
    if not isinstance(decision, Retry | Refuse):
        return decision
    if entry.reason is ReasonCode.CONFLICT_AT_PROVIDER:
        return Hold(ReasonCode.LOOK_UP_AMBIGUOUS)
    return Refuse(entry.reason) if entry.reason in REFUSALS else decision


def _taken(
    entry: Entry, now: datetime, settings: ProviderSettings, *, only_one: bool, is_late: bool
) -> Refuse | Retry | LookUp | Hold:
    """Somebody else's account explains a provider that spoke of a conflict, or refused; to any other doubt it is an
    absence.
    """
    is_explained = entry.reason in REFUSED_OR_CONFLICT
    if is_explained and only_one:
        return Refuse(ReasonCode.NAME_TAKEN)
    decision = _absent(entry, now, settings, is_late=is_late)
    return Refuse(ReasonCode.NAME_TAKEN) if is_explained and isinstance(decision, Retry) else decision


def _look_again(entry: Entry, now: datetime, settings: ProviderSettings, *, absent: bool) -> LookUp | Hold:
    if _age_of_doubt(entry, now) >= settings.give_up_look_ups_after:
        return Hold(ReasonCode.LOOK_UP_EXHAUSTED)
    schedule = settings.look_up_schedule
    wait = schedule[min(entry.look_ups + 1, len(schedule) - 1)]
    return LookUp(entry.reason or ReasonCode.NO_ANSWER, now + timedelta(seconds=wait), absent)


def _age_of_doubt(entry: Entry, now: datetime) -> float:
    return (now - (entry.attempt_sent_at or entry.changed_at)).total_seconds()

"""What follows from an attempt or a look-up: the decisions as tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.reason import ReasonCode
from tests.builders import make_entry, make_outcome
from worker.core.provider import Absent, Found, ProviderSettings, Several, Taken, Unclear
from worker.core.retry import (
    Decision,
    Hold,
    LookUp,
    Provision,
    Refuse,
    Retry,
    RetryPolicy,
    after_attempt,
    after_look_up,
)
from worker.core.states import State
from worker.core.verdict import Created, Effect, Outcome, Verdict

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
POLICY = RetryPolicy(base=2, cap=600, attempts=8, max_age=3600)
SETTINGS = ProviderSettings(base_url="http://x", settle=300, agreeing_look_ups=2, look_up_schedule=(15, 60))
ACCOUNT = Created("A-1", {})


def decide(
    outcome: Outcome, look_up_after: float | None = 15, time_left: float | None = None, draw: float = 0.5
) -> Decision:
    """The decision after an attempt, with the middle of the jitter."""
    return after_attempt(
        outcome,
        make_entry(received_at=NOW, since=NOW, attempts=1),
        now=NOW,
        policy=POLICY,
        look_up_after=look_up_after,
        time_left=time_left,
        draw=lambda: draw,
    )


def test_a_known_account_is_provisioned() -> None:
    """Done with an id is done."""
    outcome = make_outcome(Verdict.DONE, created=ACCOUNT)
    assert decide(outcome) == Provision(ACCOUNT)


def test_an_account_with_something_missing_is_held() -> None:
    """A created account whose credentials nobody has needs a person, and keeps its id."""
    half = Created("A-1", {}, missing=("api_key",))
    assert decide(make_outcome(Verdict.DONE, created=half)) == Hold(ReasonCode.CREDENTIALS_LOST, half)


def test_done_without_an_id_is_in_doubt() -> None:
    """An account that exists under an unknown id is looked up."""
    decision = decide(make_outcome(Verdict.DONE, reason=ReasonCode.UNREADABLE_ANSWER))
    assert decision == LookUp(ReasonCode.UNREADABLE_ANSWER, NOW + timedelta(seconds=15))


def test_in_doubt_is_looked_up_where_it_can_be() -> None:
    """Doubt at a provider that can be asked becomes a look-up, never another attempt."""
    decision = decide(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.NO_ANSWER))
    assert decision == LookUp(ReasonCode.NO_ANSWER, NOW + timedelta(seconds=15))


def test_in_doubt_is_held_where_nobody_can_be_asked() -> None:
    """Doubt at a provider without a look-up goes to a person."""
    decision = decide(make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.NO_ANSWER), look_up_after=None)
    assert decision == Hold(ReasonCode.NO_ANSWER)


def test_a_final_refusal_is_final() -> None:
    """Not done and not worth repeating ends the request."""
    decision = decide(make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN))
    assert decision == Refuse(ReasonCode.NAME_TAKEN)


def test_an_outage_is_tried_again_with_growing_jittered_waits() -> None:
    """The bound doubles with each attempt; the wait is drawn below it."""
    outcome = make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.OUTAGE)
    waits = []
    for attempts in (1, 2, 3, 4):
        entry = make_entry(received_at=NOW, since=NOW, attempts=attempts)
        decision = after_attempt(
            outcome, entry, now=NOW, policy=POLICY, look_up_after=15, time_left=None, draw=lambda: 0.5
        )
        assert isinstance(decision, Retry)
        waits.append((decision.due_at - NOW).total_seconds())
    assert waits == [1, 2, 4, 8]


def test_the_wait_a_provider_asks_for_is_kept_and_uses_up_no_attempt() -> None:
    """A limit is waited out: at least as long as asked, without counting."""
    outcome = make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.LIMIT, wait=30)
    assert decide(outcome, draw=0.0) == Retry(outcome.reason, NOW + timedelta(seconds=30), counts=False)


def test_used_up_attempts_go_to_a_person() -> None:
    """The last attempt that certainly created nothing ends in held, not in silence."""
    entry = make_entry(received_at=NOW, since=NOW, attempts=8)
    outcome = make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.OUTAGE)
    decision = after_attempt(
        outcome, entry, now=NOW, policy=POLICY, look_up_after=15, time_left=None, draw=lambda: 0.5
    )
    assert decision == Hold(ReasonCode.ATTEMPTS_EXHAUSTED)


def test_a_request_that_waits_for_credentials_never_grows_too_old() -> None:
    """Our refused credentials are not the request's fault, however long their repair takes."""
    old = make_entry(received_at=NOW - timedelta(days=9), since=NOW - timedelta(days=9), attempts=99)
    outcome = make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.PAUSE)
    decision = after_attempt(
        outcome, old, now=NOW, policy=POLICY, look_up_after=15, time_left=None, draw=lambda: 0.5
    )
    assert isinstance(decision, Retry)
    assert not decision.counts


def test_age_counts_from_the_last_time_an_operator_put_it_back() -> None:
    """A request that was replayed after days is tried again; one that was left alone as long goes to a person."""
    outcome = make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.OUTAGE)
    decisions = []
    for since in (NOW, NOW - timedelta(days=9)):
        entry = make_entry(received_at=NOW - timedelta(days=9), since=since, attempts=1)
        decisions.append(
            after_attempt(
                outcome, entry, now=NOW, policy=POLICY, look_up_after=15, time_left=None, draw=lambda: 0.5
            )
        )
    assert isinstance(decisions[0], Retry)
    assert decisions[1] == Hold(ReasonCode.ATTEMPTS_EXHAUSTED)


def test_a_retry_is_never_due_after_the_deadline() -> None:
    """At its deadline a request is taken up again, to be rejected in time."""
    outcome = make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.LIMIT, wait=60)
    for left, due_in in ((5.0, 5.0), (-5.0, 0.0)):
        due_at = NOW + timedelta(seconds=due_in)
        assert decide(outcome, time_left=left) == Retry(outcome.reason, due_at, counts=False)


@given(st.integers(0, 200), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_negative_or_above_its_cap(attempts: int, draw: float) -> None:
    """Whatever the counters and the jitter, waits stay within bounds."""
    entry = make_entry(received_at=NOW, since=NOW, attempts=attempts)
    outcome = make_outcome(Verdict.NOT_DONE, retry=True, effect=Effect.OUTAGE)
    policy = replace(POLICY, attempts=1000)
    decision = after_attempt(
        outcome, entry, now=NOW, policy=policy, look_up_after=15, time_left=None, draw=lambda: draw
    )
    assert isinstance(decision, Retry)
    assert NOW <= decision.due_at <= NOW + timedelta(seconds=600)


ABSENCES = [
    (
        10,
        0,
        LookUp(ReasonCode.NO_ANSWER, NOW + timedelta(seconds=60), absent=False),
        "before the settle time it proves nothing",
    ),
    (
        10,
        5,
        LookUp(ReasonCode.NO_ANSWER, NOW + timedelta(seconds=60), absent=False),
        "however often it is repeated",
    ),
    (
        400,
        0,
        LookUp(ReasonCode.NO_ANSWER, NOW + timedelta(seconds=60), absent=True),
        "one look-up after it is not enough",
    ),
    (400, 1, Retry(ReasonCode.CONFIRMED_ABSENT, NOW, counts=False), "the second that agrees is proof"),
]


@pytest.mark.parametrize(
    ("age", "absences", "decision", "reason"), ABSENCES, ids=[row[3] for row in ABSENCES]
)
def test_absence_needs_agreeing_look_ups_after_the_settle_time(
    age: float, absences: int, decision: Decision, reason: str
) -> None:
    """A look-up that finds nothing is believed late and not alone."""
    entry = make_entry(
        state=State.IN_DOUBT,
        attempt_sent_at=NOW - timedelta(seconds=age),
        reason=ReasonCode.NO_ANSWER,
        absences=absences,
    )
    assert after_look_up(Absent({}), entry, now=NOW, is_late=False, settings=SETTINGS) == decision, reason


def test_confirmed_absence_after_the_deadline_is_a_rejection() -> None:
    """Nothing was created and nothing will be: the requester is told."""
    entry = make_entry(
        state=State.IN_DOUBT,
        attempt_sent_at=NOW - timedelta(seconds=400),
        absences=1,
    )
    decision = after_look_up(Absent({}), entry, now=NOW, is_late=True, settings=SETTINGS)
    assert decision == Refuse(ReasonCode.DEADLINE_PASSED)


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "after the deadline"])
def test_what_the_provider_says_exists_and_does_not_show_is_a_persons_business(*, is_late: bool) -> None:
    """It contradicts itself, so neither may another create be sent nor the request be told as certainly not done."""
    entry = make_entry(
        state=State.IN_DOUBT,
        reason=ReasonCode.CONFLICT_AT_PROVIDER,
        attempt_sent_at=NOW - timedelta(seconds=400),
        absences=1,
    )
    decision = after_look_up(Absent({}), entry, now=NOW, is_late=is_late, settings=SETTINGS)
    assert decision == Hold(ReasonCode.LOOK_UP_AMBIGUOUS)


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "after the deadline"])
@pytest.mark.parametrize(
    "refusal", [ReasonCode.NAME_TAKEN, ReasonCode.PROVIDER_VALIDATION, ReasonCode.VERIFICATION_REQUIRED]
)
def test_a_refusal_stands_once_no_account_of_ours_is_in_its_way(
    refusal: ReasonCode, *, is_late: bool
) -> None:
    """It was looked up only because an earlier attempt might have been what it is about: nothing is sent again."""
    entry = make_entry(
        state=State.IN_DOUBT, reason=refusal, attempt_sent_at=NOW - timedelta(seconds=400), absences=1
    )
    decision = after_look_up(Absent({}), entry, now=NOW, is_late=is_late, settings=SETTINGS)
    assert decision == Refuse(refusal)


@pytest.mark.parametrize(("age", "absences", "counts"), [(10, 0, False), (10, 5, False), (400, 0, True)])
def test_a_refusal_that_may_be_about_our_own_account_stands_no_sooner_than_any_absence(
    age: float, absences: int, *, counts: bool
) -> None:
    """Until look-ups that agree after the settle time, the account that it speaks of may be ours."""
    entry = make_entry(
        state=State.IN_DOUBT,
        reason=ReasonCode.NAME_TAKEN,
        attempt_sent_at=NOW - timedelta(seconds=age),
        absences=absences,
    )
    decision = after_look_up(Absent({}), entry, now=NOW, is_late=False, settings=SETTINGS)
    assert decision == LookUp(ReasonCode.NAME_TAKEN, NOW + timedelta(seconds=60), counts)


AGAIN = LookUp(ReasonCode.CONFLICT_AT_PROVIDER, NOW + timedelta(seconds=60))
TAKEN: list[tuple[ReasonCode, bool, float, int, Decision, str]] = [
    (
        ReasonCode.CONFLICT_AT_PROVIDER,
        True,
        10,
        0,
        Refuse(ReasonCode.NAME_TAKEN),
        "no second account can bear the name: at once",
    ),
    (ReasonCode.CONFLICT_AT_PROVIDER, False, 10, 5, AGAIN, "ours may bear it too, and still come"),
    (
        ReasonCode.CONFLICT_AT_PROVIDER,
        False,
        400,
        0,
        replace(AGAIN, absent=True),
        "ours may bear it too, and one look-up is not enough",
    ),
    (
        ReasonCode.CONFLICT_AT_PROVIDER,
        False,
        400,
        1,
        Refuse(ReasonCode.NAME_TAKEN),
        "ours is proven absent, and the next create would meet the same name",
    ),
    (
        ReasonCode.PROVIDER_VALIDATION,
        True,
        10,
        0,
        Refuse(ReasonCode.NAME_TAKEN),
        "it explains a refusal that names nothing",
    ),
    (
        ReasonCode.NO_ANSWER,
        True,
        10,
        0,
        replace(AGAIN, reason=ReasonCode.NO_ANSWER),
        "the provider has said nothing of a conflict",
    ),
    (
        ReasonCode.NO_ANSWER,
        True,
        400,
        1,
        Retry(ReasonCode.CONFIRMED_ABSENT, NOW, counts=False),
        "proven absent: the provider is asked what it says of the name",
    ),
]


@pytest.mark.parametrize(
    ("doubt", "only_one", "age", "absences", "decision", "reason"), TAKEN, ids=[row[-1] for row in TAKEN]
)
def test_a_name_that_is_somebody_elses_is_refused_where_that_explains_a_conflict(
    doubt: ReasonCode, only_one: bool, age: float, absences: int, decision: Decision, reason: str
) -> None:
    """The provider spoke of a conflict and the account that bears the name is another's: nothing is sent again."""
    entry = make_entry(
        state=State.IN_DOUBT,
        attempt_sent_at=NOW - timedelta(seconds=age),
        reason=doubt,
        absences=absences,
    )
    finding = Taken({}, only_one=only_one)
    assert after_look_up(finding, entry, now=NOW, is_late=False, settings=SETTINGS) == decision, reason


def test_found_is_provisioned() -> None:
    """One account that is ours settles the doubt."""
    decision = after_look_up(Found(ACCOUNT, {}), make_entry(), now=NOW, is_late=False, settings=SETTINGS)
    assert decision == Provision(ACCOUNT)


def test_several_candidates_go_to_a_person() -> None:
    """Two accounts that could be ours are never guessed between."""
    decision = after_look_up(Several(("a", "b"), {}), make_entry(), now=NOW, is_late=False, settings=SETTINGS)
    assert decision == Hold(ReasonCode.LOOK_UP_AMBIGUOUS)


def test_a_failed_look_up_proves_nothing_but_not_for_ever() -> None:
    """A look-up that cannot be made is repeated, and after a day a person is asked."""
    young = make_entry(attempt_sent_at=NOW - timedelta(seconds=400), reason=ReasonCode.NO_ANSWER)
    old = make_entry(attempt_sent_at=NOW - timedelta(days=2), reason=ReasonCode.NO_ANSWER)
    assert isinstance(after_look_up(Unclear({}), young, now=NOW, is_late=False, settings=SETTINGS), LookUp)
    decision = after_look_up(Unclear({}), old, now=NOW, is_late=False, settings=SETTINGS)
    assert decision == Hold(ReasonCode.LOOK_UP_EXHAUSTED)

"""Every way from every state: the allowed ones are taken, all others write nothing."""

from dataclasses import replace
from typing import Any

import pytest

from contracts.reason import ReasonCode
from tests.ledger.scene import SEEN, Scene
from worker.core import states
from worker.core.change import Change
from worker.core.entry import Claim, Entry
from worker.core.errors import AccountClaimed, AccountKnown, StaleClaim, UnknownRequest
from worker.core.states import FINAL, TRANSITIONS, Actor, State, Transition
from worker.core.story import Attempt, HistoryLine
from worker.core.verdict import Verdict


async def take(scene: Scene, claim: Claim, way: Transition, **more: Any) -> Entry:
    """Take a way as whoever may take it does."""
    if way.by is Actor.OPERATOR:
        return await scene.operate(claim.entry, way, **more)
    return (await scene.take(claim, way, **more)).entry


@pytest.mark.parametrize("state", State)
async def test_a_way_leaves_its_own_states_and_no_other(scene: Scene, state: State) -> None:
    """From a state it leaves a way enters its target; from any other it raises `StaleClaim` and nothing is written."""
    stuck = await scene.bring(state, key="stuck")
    before = scene.stored()
    for way in TRANSITIONS:
        if state not in way.leaves:
            with pytest.raises(StaleClaim):
                await take(scene, stuck, way)
    assert scene.stored() == before
    for way in TRANSITIONS:
        if state in way.leaves:
            claim = await scene.bring(state, key=way.name)
            after = await take(scene, claim, way)
            assert (after.state, await scene.entry(claim)) == (way.enters, after), way.name


async def test_every_change_appends_its_line_of_history(scene: Scene) -> None:
    """Who took which way when, from where to where, why, and what it rests on."""
    for way in TRANSITIONS:
        state = min(way.leaves)
        claim = await scene.bring(state, key=way.name)
        told = await scene.ledger.history(claim.entry.request_id)
        after = await take(scene, claim, way, seen=SEEN, note="because")
        *older, line = await scene.ledger.history(claim.entry.request_id)
        assert older == told
        assert (line.at, line.name, line.note) == (scene.now, way.name, "because")
        assert line.actor == ("olivia" if way.by is Actor.OPERATOR else scene.worker)
        assert (line.leaves, line.enters, line.reason) == (state, way.enters, "internal_error")
        assert (line.detail["rule"], line.detail["moment"]) == (SEEN.rule_id, "answer_read")
        assert (line.detail["status"], line.detail["fence"]) == (422, after.fence)


async def test_the_history_names_the_state_that_was_really_left(scene: Scene) -> None:
    """A way that leaves several states tells which one it was, even under a claim that was taken earlier."""
    old = await scene.accepted()
    await scene.take(old, states.WAIT)
    await scene.take(old, states.SEND)
    *_, line = await scene.ledger.history(old.entry.request_id)
    assert (line.name, line.leaves) == ("send", "waiting")


async def test_there_is_no_way_from_in_doubt_to_sending(scene: Scene) -> None:
    """However a worker tries, a row in doubt is not sent again before it was confirmed absent."""
    listening = await scene.in_doubt()
    with pytest.raises(StaleClaim):
        await scene.take(listening, states.SEND)
    (looking,) = await scene.ledger.claim_look_ups(listening.entry.provider, scene.worker, scene.now, 1)
    with pytest.raises(StaleClaim):
        await scene.take(looking, states.SEND)
    claim = await scene.take(looking, states.CONFIRM_ABSENT)
    assert (await scene.take(claim, states.SEND)).entry.state is State.SENDING


# --- counters -------------------------------------------------------------------------------------------------


async def test_a_send_counts_an_attempt_and_keeps_what_was_seen_before_it(scene: Scene) -> None:
    """The intent is a row of its own, durable before the first byte leaves."""
    claim = await scene.take(await scene.accepted(), states.SEND, counts=True, baseline={"accounts": ["a"]})
    assert (claim.entry.attempts, claim.entry.attempt_sent_at) == (1, scene.now)
    assert claim.entry.baseline == {"accounts": ["a"]}
    (attempt,) = await scene.ledger.attempts(claim.entry.request_id)
    assert (attempt.number, attempt.begun_at, attempt.ended_at) == (1, scene.now, None)
    assert (attempt.baseline, attempt.worker, attempt.fence) == (
        {"accounts": ["a"]},
        scene.worker,
        claim.fence,
    )


@pytest.mark.parametrize(
    ("way", "counts", "attempts", "deferrals", "reason"),
    [
        (states.NOT_DONE, True, 1, 0, "counted when it was sent, and only then"),
        (states.NOT_DONE, False, 0, 1, "a 429 uses no attempt up"),
    ],
)
async def test_what_did_not_happen_may_give_its_attempt_back(
    scene: Scene, way: Transition, counts: bool, attempts: int, deferrals: int, reason: str
) -> None:
    """The counters tell how many attempts were used up, and how often we only waited."""
    after = (await scene.take(await scene.sending(), way, counts=counts)).entry
    assert (after.attempts, after.deferrals) == (attempts, deferrals), reason


async def test_a_late_not_done_gives_its_attempt_back_too(scene: Scene) -> None:
    """It makes no difference whether the 429 came in time."""
    after = (await scene.take(await scene.in_doubt(), states.LATE_NOT_DONE, counts=False)).entry
    assert (after.attempts, after.deferrals, after.doubted) == (0, 1, True)


async def test_confirming_absence_keeps_the_attempt_that_was_used(scene: Scene) -> None:
    """The create was sent and did not happen; that is an attempt."""
    after = (await scene.take(await scene.in_doubt(), states.CONFIRM_ABSENT, counts=False)).entry
    assert (after.attempts, after.deferrals) == (1, 0)


@pytest.mark.parametrize(("counts", "attempts", "deferrals"), [(True, 1, 0), (False, 0, 1)])
async def test_a_wait_is_an_attempt_or_a_deferral(
    scene: Scene, counts: bool, attempts: int, deferrals: int
) -> None:
    """A token that could not be had uses an attempt up, a limit or a pause does not."""
    after = (await scene.take(await scene.accepted(), states.WAIT, counts=counts)).entry
    assert (after.attempts, after.deferrals) == (attempts, deferrals)


async def test_attempts_never_fall_below_zero(scene: Scene) -> None:
    """An attempt that was not counted when it was sent cannot be given back."""
    claim = await scene.take(await scene.accepted(), states.SEND, counts=False)
    after = (await scene.take(claim, states.NOT_DONE, counts=False)).entry
    assert after.attempts == 0


async def test_agreeing_look_ups_are_counted_in_a_row(scene: Scene) -> None:
    """Each look-up counts; one that is not *absent* breaks the row; the next attempt starts anew."""
    claim = await scene.in_doubt()
    seen = []
    for absent in (True, True, False, True):
        claim = await scene.take(claim, states.LOOK_AGAIN, absent=absent)
        seen.append((claim.entry.look_ups, claim.entry.absences))
    assert seen == [(1, 1), (2, 2), (3, 0), (4, 1)]
    claim = await scene.take(claim, states.CONFIRM_ABSENT)
    claim = await scene.take(claim, states.SEND, counts=True)
    assert (claim.entry.look_ups, claim.entry.absences, claim.entry.attempts) == (0, 0, 2)


async def test_a_look_up_that_a_person_hurries_agrees_with_no_earlier_one(scene: Scene) -> None:
    """Two within a moment are one witness: the row of agreeing ones begins anew, the schedule does not."""
    claim = await scene.take(await scene.in_doubt(), states.LOOK_AGAIN, absent=True)
    after = await scene.operate(claim.entry, states.LOOK_UP_NOW)
    assert (after.look_ups, after.absences, after.doubted) == (1, 0, True)


async def test_once_in_doubt_always_doubted(scene: Scene) -> None:
    """That a second account may exist is remembered to the end."""
    claim = await scene.in_doubt()
    assert claim.entry.doubted
    claim = await scene.take(claim, states.CONFIRM_ABSENT)
    claim = await scene.take(claim, states.SEND)
    assert (await scene.take(claim, states.PROVISION)).entry.doubted


@pytest.mark.parametrize(
    ("state", "way"),
    [
        (State.ACCEPTED, states.WAIT),
        (State.SENDING, states.NOT_DONE),
        (State.SENDING, states.DOUBT),
        (State.IN_DOUBT, states.LOOK_AGAIN),
    ],
)
async def test_what_upkeep_takes_up_is_never_without_a_time(
    scene: Scene, state: State, way: Transition
) -> None:
    """A forgotten time means at once, not never."""
    assert (await scene.take(await scene.bring(state), way)).entry.due_at == scene.now


@pytest.mark.parametrize("state", sorted(FINAL | {State.HELD}))
async def test_what_upkeep_does_not_take_up_has_no_time(scene: Scene, state: State) -> None:
    """A row that is closed or held is not due."""
    assert (await scene.bring(state)).entry.due_at is None


# --- attempts -------------------------------------------------------------------------------------------------


async def test_a_verdict_completes_the_newest_attempt_only(scene: Scene) -> None:
    """Each attempt keeps what became of it, with everything it rests on."""
    claim = await scene.take(await scene.sending(), states.NOT_DONE, seen=SEEN)
    claim = await scene.take(claim, states.SEND)
    first, second = await scene.ledger.attempts(claim.entry.request_id)
    assert first == Attempt(
        1, scene.worker, 1, scene.now, scene.now, "answer_read", 422, "not_done", "phone_com.422",
        ReasonCode.INTERNAL_ERROR, "E1", "no", {}, {"hint": "none"},
    )  # fmt: skip
    assert (second.number, second.verdict, second.ended_at) == (2, None, None)


async def test_a_late_answer_replaces_what_was_known_of_the_attempt(scene: Scene) -> None:
    """First nothing was heard, then the answer came: the attempt tells the answer, the history tells both."""
    claim = await scene.in_doubt()
    late = SEEN.__class__(Verdict.DONE, "phone_com.201", SEEN.moment, 201)
    claim = await scene.take(claim, states.LATE_ANSWER, seen=late, account_id="a-1")
    (attempt,) = await scene.ledger.attempts(claim.entry.request_id)
    assert (attempt.verdict, attempt.status) == ("done", 201)
    assert [line.name for line in await scene.ledger.history(claim.entry.request_id)] == [
        "accept", "send", "doubt", "late_answer",
    ]  # fmt: skip


async def test_a_look_up_is_told_in_the_history_and_leaves_the_attempt_alone(scene: Scene) -> None:
    """What a look-up found is evidence about the account, not about the exchange."""
    claim = await scene.take(await scene.in_doubt(), states.LOOK_AGAIN, seen=SEEN, absent=True)
    (attempt,) = await scene.ledger.attempts(claim.entry.request_id)
    assert (attempt.verdict, attempt.rule_id) == ("in_doubt", None)
    *_, line = await scene.ledger.history(claim.entry.request_id)
    assert (line.detail["absent"], line.detail["detail"]) == (True, {"hint": "none"})


async def test_a_wait_does_not_touch_the_attempt_before_it(scene: Scene) -> None:
    """Preparing failed, so nothing was sent: the attempt before keeps its own end."""
    claim = await scene.take(await scene.sending(), states.NOT_DONE, seen=SEEN)
    await scene.take(claim, states.WAIT, seen=SEEN.__class__("not_done", "token.401", SEEN.moment, 401))
    (attempt,) = await scene.ledger.attempts(claim.entry.request_id)
    assert attempt.rule_id == "phone_com.422"


# --- accounts and operators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [states.REFUSE, states.HOLD], ids=["refused", "held"])
async def test_no_account_is_not_said_where_one_is_known(scene: Scene, way: Transition) -> None:
    """An older attempt's answer named it meanwhile: the change is refused, and with the account it is written."""
    claim = await scene.sending()
    line = HistoryLine(scene.now, "worker-1", "answer_after_all", None, None, None, None, {})
    await scene.ledger.note(claim.entry.request_id, line, "a-1")
    before = scene.stored()
    with pytest.raises(AccountKnown, match="a-1") as refused:
        await scene.take(claim, way, event=scene.event("none"))
    assert (refused.value.account_id, scene.stored()) == ("a-1", before)
    held = await scene.take(claim, states.HOLD, account_id="a-1", event=scene.event("held"))
    assert (held.entry.state, held.entry.account_id) == (State.HELD, "a-1")


async def test_no_create_is_announced_where_an_account_is_known(scene: Scene) -> None:
    """What an older attempt opened came to light after the row was claimed: another create is not begun."""
    claim = await scene.take(await scene.sending(), states.NOT_DONE, due_at=scene.now)
    (claim,) = await scene.ledger.claim_due(claim.entry.provider, scene.worker, scene.later(1), 1)
    line = HistoryLine(scene.now, "worker-1", "found_after_all", None, None, None, None, {})
    await scene.ledger.note(claim.entry.request_id, line, "a-1")
    before = scene.stored()
    with pytest.raises(AccountKnown, match="a-1") as refused:
        await scene.take(claim, states.SEND)
    assert (refused.value.account_id, scene.stored()) == ("a-1", before)


async def test_one_account_is_never_given_to_two_requests(scene: Scene) -> None:
    """The second claim on an account is refused, writes nothing and names the owner; its neighbours are not hurt."""
    first = await scene.provisioned("a-1")
    second = await scene.sending("key-2")
    before = scene.stored()
    with pytest.raises(AccountClaimed, match=first.entry.request_id):
        await scene.take(second, states.PROVISION, account_id="a-1", event=scene.event("second"))
    assert scene.stored() == before
    with pytest.raises(AccountClaimed):
        await scene.operate(
            (await scene.take(second, states.HOLD)).entry, states.RESOLVE_CREATED, account_id="a-1"
        )
    assert await scene.ledger.owner_of(first.entry.provider, "a-1") == first.entry.request_id


async def test_the_same_account_id_at_another_provider_is_another_account(scene: Scene) -> None:
    """Two providers may well count their accounts alike."""
    await scene.provisioned("a-1")
    other = await scene.sending("key-2", provider="postcode_eu")
    assert (await scene.take(other, states.PROVISION, account_id="a-1")).entry.account_id == "a-1"


async def test_an_operators_change_ends_the_workers_claim(scene: Scene) -> None:
    """The worker that was about to send finds its claim stale, so nothing is sent."""
    claim = await scene.accepted()
    after = await scene.operate(claim.entry, states.ABANDON, note="not wanted any more")
    assert (after.state, after.fence) == (State.ABANDONED, claim.fence + 1)
    with pytest.raises(StaleClaim):
        await scene.take(claim, states.SEND)


async def test_an_operator_changes_only_what_they_looked_at(scene: Scene) -> None:
    """A row that moved on since is refused; a double click applies once."""
    claim = await scene.in_doubt()
    await scene.operate(claim.entry, states.RESOLVE_NOT_CREATED)
    before = scene.stored()
    with pytest.raises(StaleClaim, match="accepted"):
        await scene.operate(claim.entry, states.RESOLVE_NOT_CREATED)
    assert scene.stored() == before


@pytest.mark.parametrize("way", [states.LATE_HOLD, states.LOOK_AGAIN], ids=lambda way: way.name)
async def test_an_operator_is_refused_where_a_claim_goes_on(scene: Scene, way: Transition) -> None:
    """A late answer, or a look-up, may have shown the account since the operator looked: the fence does not tell."""
    claim = await scene.in_doubt()
    scene.clock.advance(1)
    after = await scene.take(claim, way, account_id="a-1" if way is states.LATE_HOLD else None)
    assert after.fence == claim.fence
    for wanted in (states.RESOLVE_NOT_CREATED, states.ABANDON):
        with pytest.raises(StaleClaim):
            await scene.operate(claim.entry, wanted)


async def test_an_operator_hears_of_a_request_that_does_not_exist(scene: Scene) -> None:
    """A mistyped id is not a stale row."""
    claim = await scene.in_doubt()
    change = Change(states.ABANDON, scene.now, ReasonCode.ABANDONED_BY_OPERATOR, "olivia")
    with pytest.raises(UnknownRequest, match="nobody"):
        await scene.ledger.operate(replace(claim.entry, request_id="nobody"), change)


async def test_looking_up_sooner_leaves_what_the_doubt_is_about(scene: Scene) -> None:
    """By that it is judged what a look-up proves; the story tells who wanted it."""
    claim = await scene.take(await scene.sending(), states.DOUBT, reason=ReasonCode.CONFLICT_AT_PROVIDER)
    after = await scene.operate(claim.entry, states.LOOK_UP_NOW, reason=ReasonCode.REPLAYED_BY_OPERATOR)
    assert after.reason is ReasonCode.CONFLICT_AT_PROVIDER
    assert (await scene.ledger.history(after.request_id))[-1].reason == ReasonCode.REPLAYED_BY_OPERATOR


@pytest.mark.parametrize(
    ("state", "way"),
    [
        (State.REJECTED, states.REPLAY),
        (State.HELD, states.REPLAY_HELD),
        (State.IN_DOUBT, states.RESOLVE_NOT_CREATED),
    ],
)
async def test_running_a_request_again_starts_anew(scene: Scene, state: State, way: Transition) -> None:
    """Counters and age are forgotten; the generation makes new outcomes new events."""
    claim = await scene.bring(state)
    scene.clock.advance(100)
    after = await scene.operate(claim.entry, way)
    assert (after.attempts, after.deferrals, after.look_ups, after.absences) == (0, 0, 0, 0)
    assert (after.generation, after.since, after.received_at) == (1, scene.now, claim.entry.received_at)
    (again,) = await scene.ledger.claim_due(after.provider, scene.worker, scene.now, 10)
    assert again.entry.request_id == claim.entry.request_id


@pytest.mark.parametrize(
    ("way", "state"), [(states.RESOLVE_NOT_CREATED, State.IN_DOUBT), (states.REPLAY_HELD, State.HELD)]
)
async def test_only_a_persons_word_ends_what_was_seen_before_an_attempt(
    scene: Scene, way: Transition, state: State
) -> None:
    """A bulk replay says nothing about what a provider shows; that nothing was created does."""
    claim = await scene.take(await scene.accepted(), states.SEND, baseline={"same_name": ["a-1"]})
    if state is State.IN_DOUBT:
        claim = await scene.take(claim, states.DOUBT)
    else:
        waiting = await scene.take(await scene.take(claim, states.DOUBT), states.CONFIRM_ABSENT)
        claim = await scene.take(waiting, states.HOLD_UNSENT)
    after = await scene.operate(claim.entry, way)
    assert after.baseline == ({} if way is states.RESOLVE_NOT_CREATED else {"same_name": ["a-1"]})


@pytest.mark.parametrize("forgets", [True, False])
async def test_a_deadline_is_forgotten_on_the_word_of_who_runs_the_request_again(
    scene: Scene, forgets: bool
) -> None:
    """A person who runs a late request again wants it run; whether it is late the calendar says, not the ledger."""
    deadline = scene.later(50)
    claim = await scene.take(await scene.accepted(deadline=deadline), states.REJECT)
    scene.clock.advance(100)
    after = await scene.operate(claim.entry, states.REPLAY, forgets_deadline=forgets)
    assert after.deadline == (None if forgets else deadline)


@pytest.mark.parametrize(
    ("state", "way"), [(State.WAITING, states.RETRY_NOW), (State.IN_DOUBT, states.LOOK_UP_NOW)]
)
async def test_a_person_may_have_it_done_at_once(scene: Scene, state: State, way: Transition) -> None:
    """What was due later is due now, without a new generation."""
    claim = await scene.bring(state)
    after = await scene.operate(claim.entry, way)
    assert (after.due_at, after.generation) == (scene.now, 0)

"""Who may work on a row: claims, fences, leases, and what becomes of a dead worker's rows."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes import FixedClock
from tests.ledger.kinds import open_any
from tests.ledger.scene import PROVIDER, Scene
from worker.core import states
from worker.core.entry import Accepted, Claim
from worker.core.errors import StaleClaim
from worker.core.ledger import Ledger
from worker.core.states import State


@pytest.fixture
async def other(ledger_url: str, clock: FixedClock, scene: Scene) -> AsyncIterator[Ledger]:
    """A second ledger on the same database, as another process has it."""
    async with open_any(ledger_url, clock=clock, lease=30) as ledger:
        yield ledger


async def due(scene: Scene, worker: str = "worker-2", limit: int = 100) -> list[str]:
    """Keys of the rows that a worker gets when it asks for due work."""
    claims = await scene.ledger.claim_due(PROVIDER, worker, scene.now, limit)
    return [claim.entry.idempotency_key for claim in claims]


async def freed(scene: Scene, key: str = "key-1", **changes: object) -> Claim:
    """A row that nobody works on."""
    claim = await scene.accepted(key, **changes)
    await scene.ledger.release(claim)
    return claim


# --- claims ---------------------------------------------------------------------------------------------------


async def test_a_claim_moves_the_fence_on(scene: Scene) -> None:
    """The new holder has the row under the next number; the old one can no longer change it."""
    old = await freed(scene)
    (claim,) = await scene.ledger.claim_due(PROVIDER, "worker-2", scene.now, 1)
    assert (claim.fence, claim.worker, claim.entry.fence) == (old.fence + 1, "worker-2", old.fence + 1)
    with pytest.raises(StaleClaim):
        await scene.take(old, states.SEND)
    assert (await scene.take(claim, states.SEND)).entry.state is State.SENDING


async def test_due_work_is_given_out_the_longest_due_first(scene: Scene) -> None:
    """Nobody is overtaken, whatever order the rows were written in."""
    for key, seconds in (("b", 2), ("a", 1), ("c", 3)):
        await scene.take(await scene.accepted(key), states.WAIT, due_at=scene.later(seconds))
    scene.clock.advance(10)
    assert await due(scene, limit=2) == ["a", "b"]
    assert await due(scene) == ["c"]


async def test_a_row_is_claimed_only_when_its_time_has_come(scene: Scene) -> None:
    """Not a moment earlier, and from that moment on."""
    await scene.take(await scene.accepted(), states.WAIT, due_at=scene.later(5))
    scene.clock.advance(4.999999)
    assert await due(scene) == []
    scene.clock.advance(0.000001)
    assert await due(scene) == ["key-1"]


async def test_each_provider_has_its_own_work(scene: Scene) -> None:
    """A lane is never given another lane's request."""
    await freed(scene, provider="postcode_eu")
    assert await due(scene) == []
    assert len(await scene.ledger.claim_due("postcode_eu", "worker-2", scene.now, 1)) == 1


@pytest.mark.parametrize("state", sorted(set(State) - {State.ACCEPTED, State.WAITING}))
async def test_only_unsent_rows_are_given_out_to_be_sent(scene: Scene, state: State) -> None:
    """Whatever else a row is, it is not work for a sender."""
    await scene.bring(state)
    scene.clock.advance(1000)
    assert await due(scene) == []


async def test_look_ups_are_given_out_when_they_are_due(scene: Scene) -> None:
    """A worker that listens on is left in peace until the time it named; then its late answer is stale."""
    listening = await scene.in_doubt(due_in=5)
    assert await scene.ledger.claim_look_ups(PROVIDER, "worker-2", scene.now, 10) == []
    scene.clock.advance(5)
    (looking,) = await scene.ledger.claim_look_ups(PROVIDER, "worker-2", scene.now, 10)
    assert await scene.ledger.claim_look_ups(PROVIDER, "worker-3", scene.now, 10) == []
    with pytest.raises(StaleClaim):
        await scene.take(listening, states.LATE_ANSWER, account_id="a-1")
    assert (await scene.take(looking, states.FOUND, account_id="a-1")).entry.state is State.PROVISIONED


async def test_a_late_answer_settles_a_row_that_nobody_else_has_taken_up(scene: Scene) -> None:
    """The claim that `DOUBT` gave back still fits, before and after the time it named."""
    listening = await scene.in_doubt(due_in=5)
    scene.clock.advance(60)
    claim = await scene.take(listening, states.LATE_ANSWER, account_id="a-1")
    assert claim.entry.account_id == "a-1"


async def test_a_released_row_is_at_once_anybodys(scene: Scene) -> None:
    """Unchanged but for its holder; a second release, or a stale one, does nothing."""
    claim = await freed(scene)
    assert await scene.entry(claim) == claim.entry
    (taken,) = await scene.ledger.claim_due(PROVIDER, "worker-2", scene.now, 1)
    await scene.ledger.release(claim)
    assert await due(scene, "worker-3") == []
    assert (await scene.entry(taken)).fence == taken.fence


async def test_a_row_that_is_being_sent_is_not_released(scene: Scene) -> None:
    """Only a verdict or a death ends a sending."""
    claim = await scene.sending()
    await scene.ledger.release(claim)
    assert await scene.ledger.rescue(scene.now, "upkeep") == []
    assert (await scene.take(claim, states.PROVISION)).entry.state is State.PROVISIONED


async def test_two_workers_never_get_the_same_row(scene: Scene, other: Ledger) -> None:
    """They ask at the same time, over and over; each row goes to one of them."""
    keys = [f"key-{number:03}" for number in range(60)]
    await asyncio.gather(*(freed(scene, key) for key in keys))

    async def ask(ledger: Ledger, worker: str) -> list[str]:
        got: list[str] = []
        for _ in range(6):
            claims = await ledger.claim_due(PROVIDER, worker, scene.now, 10)
            got += [claim.entry.idempotency_key for claim in claims]
        return got

    one, two = await asyncio.gather(ask(scene.ledger, "worker-1"), ask(other, "worker-2"))
    assert not set(one) & set(two)
    rest = await ask(scene.ledger, "worker-1")  # rows that both passed over while the other was claiming them
    assert sorted(one + two + rest) == keys


async def test_of_two_workers_with_the_same_claim_one_change_wins(scene: Scene, other: Ledger) -> None:
    """A guard in the database decides, not who believes to hold the row."""
    claim = await scene.in_doubt()
    changes = (
        scene.ledger.record(claim, scene.change(states.LATE_ANSWER, account_id="a-1")),
        other.record(claim, scene.change(states.HOLD_IN_DOUBT)),
    )
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Claim", "StaleClaim"]


async def test_the_same_key_taken_by_two_workers_at_once_is_one_row(scene: Scene, other: Ledger) -> None:
    """Two queues, two workers, one key: one of them is told that the other has it."""
    for number in range(10):
        arrivals = [scene.arrival(f"key-{number}") for _ in range(2)]
        answers = await asyncio.gather(
            scene.ledger.accept(arrivals[0], "worker-1"), other.accept(arrivals[1], "worker-2")
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Accepted", "Same"]


# --- the living and the dead ----------------------------------------------------------------------------------


async def test_a_living_workers_rows_are_left_alone(scene: Scene) -> None:
    """As long as its heartbeats come, nothing is rescued, however long the create takes."""
    claim = await scene.sending()
    for _ in range(10):
        scene.clock.advance(20)
        await scene.ledger.heartbeat(scene.worker, scene.now)
        assert await scene.ledger.rescue(scene.now, "upkeep") == []
    assert (await scene.entry(claim)).state is State.SENDING


async def test_a_worker_that_is_silent_for_a_lease_is_dead(scene: Scene) -> None:
    """What it was sending goes in doubt, told in the history and the attempt; what it had not sent is free."""
    sending, unsent = await scene.sending("sent"), await scene.accepted("unsent")
    scene.clock.advance(29.999)
    assert await scene.ledger.rescue(scene.now, "upkeep") == []
    scene.clock.advance(0.001)
    assert await scene.ledger.rescue(scene.now, "upkeep") == [sending.entry.request_id]
    entry = await scene.entry(sending)
    assert (entry.state, entry.reason, entry.due_at) == (State.IN_DOUBT, "worker_died", scene.now)
    *_, line = await scene.ledger.history(entry.request_id)
    assert (line.name, line.actor, line.note) == ("rescue", "upkeep", "left sending by worker-1")
    (attempt,) = await scene.ledger.attempts(entry.request_id)
    assert (attempt.verdict, attempt.reason, attempt.ended_at) == ("in_doubt", "worker_died", scene.now)
    assert await due(scene) == ["unsent"]
    with pytest.raises(StaleClaim):
        await scene.take(unsent, states.SEND)
    assert await scene.ledger.rescue(scene.now, "upkeep") == []


async def test_a_worker_that_was_only_frozen_finds_its_claims_ended(scene: Scene) -> None:
    """It wakes up with an answer, or about to send: neither changes the row any more."""
    sending, unsent = await scene.sending("sent"), await scene.accepted("unsent")
    scene.clock.advance(31)
    await scene.ledger.rescue(scene.now, "upkeep")
    await scene.ledger.heartbeat(scene.worker, scene.now)
    before = scene.stored()
    for claim, way in ((sending, states.PROVISION), (sending, states.LATE_ANSWER), (unsent, states.SEND)):
        with pytest.raises(StaleClaim):
            await scene.take(claim, way)
    assert scene.stored() == before


async def test_a_worker_that_retires_leaves_its_rows_to_the_others_at_once(scene: Scene) -> None:
    """Nobody waits for its lease; an answer that it still gets counts until somebody rescues the row."""
    sent, answered = await scene.sending("sent"), await scene.sending("answered")
    unsent = await scene.accepted("unsent")
    await scene.ledger.retire(scene.worker)
    assert await due(scene) == ["unsent"]
    with pytest.raises(StaleClaim):
        await scene.take(unsent, states.SEND)
    await scene.take(answered, states.PROVISION, account_id="a-1")
    assert await scene.ledger.rescue(scene.now, "upkeep") == [sent.entry.request_id]


async def test_a_row_in_doubt_whose_looker_died_is_looked_at_again(scene: Scene) -> None:
    """A look-up is lost with its worker; the row is due as before."""
    await scene.in_doubt()
    await scene.ledger.heartbeat("worker-2", scene.now)
    assert len(await scene.ledger.claim_look_ups(PROVIDER, "worker-2", scene.now, 1)) == 1
    scene.clock.advance(31)
    assert await scene.ledger.claim_look_ups(PROVIDER, "worker-3", scene.now, 1) == []
    await scene.ledger.rescue(scene.now, "upkeep")
    assert len(await scene.ledger.claim_look_ups(PROVIDER, "worker-3", scene.now, 1)) == 1


async def test_a_restart_under_the_same_name_finds_its_own_orphans(scene: Scene, other: Ledger) -> None:
    """A container that is restarted keeps its name; its first heartbeat must not make the dead look alive."""
    sending = await scene.sending("sent")
    await scene.accepted("unsent")
    await other.heartbeat(scene.worker, scene.now)
    assert await other.rescue(scene.now, scene.worker) == [sending.entry.request_id]
    assert await due(scene) == ["unsent"]


async def test_a_claim_that_came_before_the_first_heartbeat_is_not_ended_by_it(
    scene: Scene, other: Ledger
) -> None:
    """Whichever loop of a worker is the first to speak, it says that the worker begins."""
    arrivals = [scene.arrival(f"key-{number}") for number in range(20)]
    *accepted, _ = await asyncio.gather(
        *(other.accept(arrival, "worker-2") for arrival in arrivals), other.heartbeat("worker-2", scene.now)
    )
    assert await other.rescue(scene.now, "upkeep") == []
    for acceptance in accepted:
        assert isinstance(acceptance, Accepted)
        assert (await scene.take(acceptance.claim, states.SEND)).entry.state is State.SENDING


async def test_what_a_living_worker_forgot_is_let_go(scene: Scene) -> None:
    """A write whose fate was unknown leaves a row claimed that nobody works on."""
    working, unsent = await scene.sending("working"), await scene.accepted("unsent")
    sent = await scene.sending("sent")
    in_flight = frozenset({working.entry.request_id})
    assert await scene.ledger.forget(scene.worker, in_flight, "upkeep") == []
    assert await due(scene) == []
    scene.clock.advance(31)
    await scene.ledger.heartbeat(scene.worker, scene.now)
    assert await scene.ledger.forget(scene.worker, in_flight, "upkeep") == [sent.entry.request_id]
    assert (await scene.entry(sent)).state is State.IN_DOUBT
    assert (await scene.entry(working)).state is State.SENDING
    assert await due(scene) == ["unsent"]
    with pytest.raises(StaleClaim):
        await scene.take(unsent, states.SEND)


async def test_what_another_worker_holds_is_not_forgotten(scene: Scene) -> None:
    """Each worker knows only what it works on itself."""
    claim = await scene.sending()
    scene.clock.advance(31)
    assert await scene.ledger.forget("worker-2", frozenset(), "upkeep") == []
    assert (await scene.entry(claim)).state is State.SENDING

"""What people and gauges ask: lists, standings, pauses."""

from dataclasses import replace

import pytest

from contracts.reason import ReasonCode
from tests.ledger.scene import PROVIDER, SEEN, Scene
from worker.core import states
from worker.core.overview import CREDENTIALS, OPERATOR, Filter, LetterFilter, Pause, Standing
from worker.core.states import State


@pytest.fixture
async def rows(scene: Scene) -> Scene:
    """Four rows a minute apart: held, in doubt, provisioned elsewhere, waiting."""
    await scene.take(await scene.sending("held"), states.HOLD, reason=ReasonCode.NO_ANSWER)
    scene.clock.advance(60)
    await scene.in_doubt("doubt")
    scene.clock.advance(60)
    other = await scene.sending("other", provider="postcode_eu", source="urn:b")
    await scene.take(other, states.PROVISION, account_id="a-1")
    scene.clock.advance(60)
    await scene.bring(State.WAITING, "waiting")
    return scene


async def listed(scene: Scene, wanted: Filter) -> list[str]:
    """Keys of the rows, in the order they are shown."""
    return [entry.idempotency_key for entry in await scene.ledger.entries(wanted)]


async def test_rows_are_listed_the_newest_first(rows: Scene) -> None:
    """All of them without a wish, and no more than the limit."""
    assert await listed(rows, Filter()) == ["waiting", "other", "doubt", "held"]
    assert await listed(rows, Filter(limit=2)) == ["waiting", "other"]


async def test_each_wish_narrows_the_list(rows: Scene) -> None:
    """Wishes are joined by *and*; an empty set of states means none."""
    assert await listed(rows, Filter(states=frozenset({State.HELD, State.IN_DOUBT}))) == ["doubt", "held"]
    assert await listed(rows, Filter(states=frozenset())) == []
    assert await listed(rows, Filter(provider="postcode_eu")) == ["other"]
    assert await listed(rows, Filter(source="urn:b")) == ["other"]
    assert await listed(rows, Filter(reason=ReasonCode.NO_ANSWER)) == ["held"]
    assert await listed(rows, Filter(older_than=rows.later(-90))) == ["doubt", "held"]
    assert await listed(rows, Filter(newer_than=rows.later(-90))) == ["waiting", "other"]
    window = Filter(newer_than=rows.later(-150), older_than=rows.later(-90))
    assert await listed(rows, window) == ["doubt"]
    assert await listed(rows, Filter(provider=PROVIDER, older_than=rows.later(-150))) == ["held"]


async def test_what_does_not_exist_is_not_found(scene: Scene) -> None:
    """Nothing is made up."""
    assert await scene.ledger.find("nobody") is None
    assert await scene.ledger.find_by_key(None, "nothing") == []
    assert await scene.ledger.owner_of(PROVIDER, "a-1") is None
    assert await scene.ledger.dead_letter("nothing") is None
    assert await scene.ledger.history("nothing") == []
    assert await scene.ledger.attempts("nothing") == []


@pytest.mark.parametrize("text", ["\udcff", "a\0"])
async def test_what_no_database_takes_is_not_found(rows: Scene, text: str) -> None:
    """Nor is what free text keeps in its place: a name that is no UTF-8 is nobody's."""
    await rows.ledger.bury(rows.letter("l", idempotency_key=text, source=text, provider=text), None)
    assert await rows.ledger.find(text) is None
    assert await rows.ledger.dead_letter(text) is None
    assert await rows.ledger.find_by_key(None, text) == []
    assert await rows.ledger.find_by_key(text, "held") == []
    assert await listed(rows, Filter(provider=text)) == await listed(rows, Filter(source=text)) == []
    for wanted in (
        LetterFilter(provider=text),
        LetterFilter(source=text),
        LetterFilter(idempotency_key=text),
    ):
        assert await rows.ledger.dead_letters(wanted) == []


async def test_standings_count_open_rows_and_tell_the_oldest(rows: Scene) -> None:
    """Per provider and kind; what is closed is not open, what is confirmed is not unpublished."""
    rejected = await rows.take(
        await rows.accepted("rejected"), states.REJECT, event=rows.event("unconfirmed")
    )
    await rows.ledger.bury(rows.letter("l", provider=PROVIDER), rows.event("of the letter"))
    await rows.ledger.bury(rows.letter("m"), None)
    await rows.ledger.mark_published(rows.event("of the letter").event_id, rows.now)
    found = await rows.ledger.standings()
    assert sorted(found, key=repr) == [
        Standing(PROVIDER, "dead_letter", 1, rows.now),
        Standing(PROVIDER, "held", 1, rows.later(-180)),
        Standing(PROVIDER, "in_doubt", 1, rows.later(-120)),
        Standing(PROVIDER, "unpublished", 1, rows.now),
        Standing(PROVIDER, "waiting", 1, rows.now),
        Standing("unknown", "dead_letter", 1, rows.now),
    ]
    assert rejected.entry.state is State.REJECTED


async def test_the_age_in_the_standings_is_not_reset_by_a_look_up(scene: Scene) -> None:
    """A row that is looked at every minute is still in doubt since it came."""
    claim = await scene.in_doubt()
    scene.clock.advance(3600)
    await scene.take(claim, states.LOOK_AGAIN)
    (standing,) = await scene.ledger.standings()
    assert standing.oldest == scene.later(-3600)


async def test_a_doubt_is_as_old_as_its_attempt(scene: Scene) -> None:
    """However long the request waited before it was sent."""
    claim = await scene.accepted("patient")
    scene.clock.advance(3600)
    await scene.take(await scene.take(claim, states.SEND), states.DOUBT)
    scene.clock.advance(60)
    (standing,) = await scene.ledger.standings()
    assert (standing.kind, standing.oldest) == ("in_doubt", scene.later(-60))


async def test_a_request_that_goes_from_one_doubt_into_the_next_is_undecided_since_the_first(
    scene: Scene,
) -> None:
    """Each doubt is disproved within a quarter of an hour, and still nobody has an account."""
    claim = await scene.sending("unlucky")
    begun = scene.now
    for _ in range(3):
        scene.clock.advance(900)
        absent = await scene.take(await scene.take(claim, states.DOUBT), states.CONFIRM_ABSENT)
        claim = await scene.take(absent, states.SEND)
    await scene.take(claim, states.DOUBT)
    (standing,) = await scene.ledger.standings()
    assert (standing.kind, standing.oldest) == ("in_doubt", begun)


async def test_attempts_that_were_refused_do_not_make_a_doubt_older(scene: Scene) -> None:
    """A provider that says "later" for hours leaves nothing undecided."""
    claim = await scene.take(await scene.sending("patient"), states.NOT_DONE, seen=SEEN)
    scene.clock.advance(3600)
    await scene.take(await scene.take(claim, states.SEND), states.DOUBT)
    (standing,) = await scene.ledger.standings()
    assert (standing.kind, standing.oldest) == ("in_doubt", scene.now)


async def test_a_doubt_that_a_person_has_settled_does_not_make_the_next_one_older(scene: Scene) -> None:
    """On the person's word it is a new run, undecided since its own create."""
    claim = await scene.in_doubt("told")
    scene.clock.advance(3600)
    entry = await scene.operate(claim.entry, states.RESOLVE_NOT_CREATED)
    (again,) = await scene.ledger.claim_due(PROVIDER, scene.worker, scene.now, 1)
    assert again.entry.request_id == entry.request_id
    await scene.take(await scene.take(again, states.SEND), states.DOUBT)
    (standing,) = await scene.ledger.standings()
    assert (standing.kind, standing.oldest) == ("in_doubt", scene.now)


async def test_a_result_that_was_told_once_keeps_nobody_waiting(scene: Scene) -> None:
    """Told again after months it is counted while it waits, and is not months late."""
    event = scene.event("old")
    claim = await scene.take(await scene.accepted("r"), states.SEND)
    await scene.take(claim, states.PROVISION, event=event)
    (untold,) = await scene.ledger.standings()
    assert untold == Standing(PROVIDER, "unpublished", 1, event.recorded_at)
    await scene.ledger.mark_published(event.event_id, scene.now)
    scene.clock.advance(60 * 86400)
    await scene.ledger.mark_unpublished(claim.entry.request_id, scene.now, "w", "asked again")
    assert await scene.ledger.standings() == [Standing(PROVIDER, "unpublished", 1, None)]


def a_pause(scene: Scene, cause: str, by: str) -> Pause:
    """A pause that begins now."""
    return Pause(PROVIDER, cause, by, "because", scene.now)


async def test_a_pause_holds_until_somebody_ends_it(scene: Scene) -> None:
    """It survives restarts as a row, and both ends are told in its history."""
    pause = a_pause(scene, "credentials", "worker")
    await scene.ledger.pause(pause)
    assert await scene.ledger.pauses() == [pause]
    assert await scene.ledger.resume(PROVIDER, "olivia", "new key", scene.now)
    assert await scene.ledger.pauses() == []
    assert not await scene.ledger.resume(PROVIDER, "olivia", "new key", scene.now)
    story = await scene.ledger.pause_history(PROVIDER, 10)
    assert [(line.name, line.actor, line.note) for line in story] == [
        ("resume", "olivia", "new key"), ("pause", "worker", "because"),
    ]  # fmt: skip
    assert len(await scene.ledger.pause_history(PROVIDER, 1)) == 1


async def test_a_worker_lifts_its_own_pause_and_nothing_else(scene: Scene) -> None:
    """A person's that replaced it stays, and without a pause nothing is touched, whatever the provider asked for."""
    await scene.ledger.pause(a_pause(scene, CREDENTIALS, "worker"))
    await scene.ledger.pause(a_pause(scene, OPERATOR, "olivia"))
    assert not await scene.ledger.lift(PROVIDER, CREDENTIALS, "worker", "taken again", scene.now)
    assert [pause.by for pause in await scene.ledger.pauses()] == ["olivia"]
    assert await scene.ledger.resume(PROVIDER, "olivia", "done", scene.now)
    await scene.ledger.pause(a_pause(scene, CREDENTIALS, "worker"))
    lifted = [
        await scene.ledger.lift(PROVIDER, CREDENTIALS, "worker", "taken again", scene.now) for _ in range(2)
    ]
    assert lifted == [True, False]
    story = await scene.ledger.pause_history(PROVIDER, 10)
    assert [(line.name, line.actor) for line in story][:2] == [("resume", "worker"), ("pause", "worker")]


async def test_a_persons_pause_is_not_overwritten_by_the_workers(scene: Scene) -> None:
    """And the worker's own is kept as it began, however often it is made again."""
    first = a_pause(scene, "credentials", "worker")
    await scene.ledger.pause(first)
    scene.clock.advance(5)
    await scene.ledger.pause(a_pause(scene, "credentials", "worker"))
    assert await scene.ledger.pauses() == [first]
    ours = a_pause(scene, "operator", "olivia")
    await scene.ledger.pause(ours)
    await scene.ledger.pause(replace(first, since=scene.later(1)))
    assert await scene.ledger.pauses() == [ours]
    story = await scene.ledger.pause_history(PROVIDER, 10)
    assert [line.actor for line in story] == ["olivia", "worker"]

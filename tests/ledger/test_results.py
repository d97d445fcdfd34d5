"""Result events: recorded with their change, handed out until they are confirmed."""

import asyncio
from dataclasses import replace

import pytest

from tests.fakes import FixedClock
from tests.ledger.kinds import open_any
from tests.ledger.scene import Scene
from worker.core import states
from worker.core.sealing import Sealed


async def unpublished(scene: Scene, limit: int = 100) -> list[str]:
    """Ids of the events that are handed out now."""
    return [line.event.event_id for line in await scene.ledger.claim_unpublished(scene.now, limit)]


async def test_an_event_is_recorded_with_its_change_and_waits_to_be_published(scene: Scene) -> None:
    """It is stored as it was given, names its request, and is the newest event of the row."""
    claim = await scene.provisioned()
    (line,) = await scene.ledger.events(claim.entry.request_id)
    assert line.event == scene.event("key-1")
    assert (line.subject_id, line.published_at, line.publishes) == (claim.entry.request_id, None, 0)
    assert claim.entry.event_id == line.event.event_id


async def test_an_event_is_handed_out_until_it_is_confirmed(scene: Scene) -> None:
    """Recorded or tried before then; each handing-out is a try, so the next is only later."""
    claim = await scene.provisioned()
    assert await unpublished(scene) == []
    scene.clock.advance(10)
    assert await unpublished(scene) == [claim.entry.event_id]
    assert await unpublished(scene) == []
    scene.clock.advance(10)
    assert await unpublished(scene) == [claim.entry.event_id]
    await scene.ledger.mark_published(str(claim.entry.event_id), scene.now)
    scene.clock.advance(10)
    assert await unpublished(scene) == []
    (line,) = await scene.ledger.events(claim.entry.request_id)
    assert (line.published_at, line.publishes) == (scene.later(-10), 1)


async def test_events_are_handed_out_the_oldest_first(scene: Scene) -> None:
    """And no more of them than asked for."""
    ids = []
    for key in ("c", "a", "b"):
        ids.append((await scene.provisioned(key)).entry.event_id)
        scene.clock.advance(1)
    assert await unpublished(scene, limit=2) == ids[:2]


async def test_two_workers_are_not_handed_the_same_event_at_once(
    scene: Scene, ledger_url: str, clock: FixedClock
) -> None:
    """Publishing twice would be harmless, and is a waste."""
    for number in range(20):
        await scene.provisioned(f"key-{number}")
    clock.advance(10)
    async with open_any(ledger_url, clock=clock) as other:
        one, two = await asyncio.gather(
            scene.ledger.claim_unpublished(clock.now(), 10), other.claim_unpublished(clock.now(), 10)
        )
    both = [line.event.event_id for line in (*one, *two)]
    assert len(both) == len(set(both))


async def test_the_same_event_again_keeps_the_first_one(scene: Scene) -> None:
    """Same row, same outcome, same generation: whoever was told once is told the same again."""
    claim = await scene.take(await scene.sending(), states.HOLD, event=scene.event("held"))
    other = replace(scene.event("held"), sealed_body=Sealed("s:another rendering"))
    await scene.operate(claim.entry, states.RESOLVE_CREATED, event=other)
    (line,) = await scene.ledger.events(claim.entry.request_id)
    assert line.event.sealed_body == "s:held"


async def test_the_newest_event_can_be_published_again(scene: Scene) -> None:
    """An operator, or a request that came again, has the last word said once more."""
    claim = await scene.take(await scene.sending(), states.HOLD, event=scene.event("held"))
    scene.clock.advance(1)
    entry = await scene.operate(claim.entry, states.RESOLVE_CREATED, event=scene.event("done"))
    for name in ("held", "done"):
        await scene.ledger.mark_published(scene.event(name).event_id, scene.now)
    scene.clock.advance(1)
    newest = scene.event("done").event_id
    assert (
        await scene.ledger.mark_unpublished(entry.request_id, scene.now, "olivia", "they lost it") == newest
    )
    assert await unpublished(scene) == [newest]
    *_, line = await scene.ledger.history(entry.request_id)
    assert (line.name, line.actor, line.note) == ("publish_again", "olivia", "they lost it")
    held, done = await scene.ledger.events(entry.request_id)
    assert (held.publishes, done.publishes, done.published_at) == (1, 1, None)


async def test_the_event_of_an_earlier_run_is_not_published_again(scene: Scene) -> None:
    """A rejected request that an operator lets run again is open: that it was rejected is no longer true."""
    claim = await scene.take(await scene.sending(), states.REFUSE, event=scene.event("refused"))
    entry = await scene.operate(claim.entry, states.REPLAY)
    before = scene.stored()
    assert entry.event_id == scene.event("refused").event_id
    assert not await scene.ledger.mark_unpublished(entry.request_id, scene.now, "olivia", None)
    assert scene.stored() == before


async def test_a_request_without_an_event_has_nothing_to_publish_again(scene: Scene) -> None:
    """An open request, or none at all: nothing is said and nothing is written."""
    claim = await scene.sending()
    before = scene.stored()
    for request_id in (claim.entry.request_id, "nobody"):
        assert not await scene.ledger.mark_unpublished(request_id, scene.now, "olivia", None)
    assert scene.stored() == before


async def test_evidence_is_noted_without_changing_the_state(scene: Scene) -> None:
    """A late answer to a row that somebody else settled is kept in the story."""
    claim = await scene.provisioned()
    before = await scene.entry(claim)
    (*_, newest) = await scene.ledger.history(claim.entry.request_id)
    line = replace(newest, name="answer_after_all", leaves=None, enters=None, detail={"account_id": "a-2"})
    await scene.ledger.note(claim.entry.request_id, line)
    assert (await scene.ledger.history(claim.entry.request_id))[-1] == line
    assert await scene.entry(claim) == before


@pytest.mark.parametrize(
    ("words", "stored", "reason"),
    [
        ("schön — 不", "schön — 不", "any text stays as it is"),
        ("a\0b", "a\ufffdb", "PostgreSQL has no NUL in text"),
        ("half \ud83d", "half ?", "half a surrogate pair is no text anywhere"),
    ],
)
async def test_a_note_is_never_refused_for_its_letters(
    scene: Scene, words: str, stored: str, reason: str
) -> None:
    """What somebody wrote, or a provider answered, must not keep a verdict from being recorded."""
    claim = await scene.sending()
    change = scene.change(states.HOLD, note=words, seen=None)
    await scene.ledger.record(claim, change)
    *_, line = await scene.ledger.history(claim.entry.request_id)
    assert line.note == stored, reason


async def test_evidence_that_is_no_json_is_kept_as_words(scene: Scene) -> None:
    """A value that slipped through as an object must not keep a verdict from being recorded."""
    claim = await scene.take(await scene.sending(), states.HOLD, seen=None)
    (*_, newest) = await scene.ledger.history(claim.entry.request_id)
    odd = replace(newest, detail={"at": scene.now, "half": "\ud83d", "nul": "\0"})  # type: ignore[dict-item]
    await scene.ledger.note(claim.entry.request_id, odd)
    *_, line = await scene.ledger.history(claim.entry.request_id)
    assert line.detail == {"at": str(scene.now), "half": "\ud83d", "nul": "\0"}

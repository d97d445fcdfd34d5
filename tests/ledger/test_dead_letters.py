"""Messages that could not become requests: kept once, shown, closed by a person."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.reason import ReasonCode
from tests.ledger.scene import Scene
from worker.core.change import Event
from worker.core.dead_letter import LetterState
from worker.core.errors import NotAllowed, UnknownRequest
from worker.core.overview import LetterFilter


async def test_a_dead_letter_is_kept_as_it_came_with_its_event(scene: Scene) -> None:
    """What is shown later is what was buried; the event waits to be published."""
    letter = scene.letter(provider="phone_com", problems=({"pointer": "/a", "message": "no"}, {"n": 1}))
    assert await scene.ledger.bury(letter, scene.event())
    assert await scene.ledger.dead_letter("letter") == letter
    (line,) = await scene.ledger.events("letter")
    assert (line.event, line.subject_id) == (scene.event(), "letter")
    (told,) = await scene.ledger.history("letter")
    assert (told.name, told.enters, told.reason, told.at) == ("bury", "open", "not_json", scene.now)


async def test_the_same_delivery_twice_is_one_dead_letter(scene: Scene) -> None:
    """The broker delivers again after a crash; nothing changes but the time it was last seen to die."""
    assert await scene.ledger.bury(scene.letter(), scene.event())
    before = scene.stored()
    assert not await scene.ledger.bury(scene.letter(received_at=scene.later(5)), scene.event("other"))
    assert await scene.ledger.dead_letter("letter") == scene.letter(changed_at=scene.later(5))
    after = scene.stored()
    before.pop("dead_letters")
    after.pop("dead_letters")
    assert after == before


@pytest.mark.parametrize("state", [None, LetterState.REPLAYED], ids=["open", "closed"])
async def test_the_event_of_a_second_death_waits_to_be_confirmed_again(
    scene: Scene, state: LetterState | None
) -> None:
    """The broker took it once; it is kept as it was, and upkeep has it unless its burier is quicker."""
    await scene.ledger.bury(scene.letter(), scene.event())
    await scene.ledger.mark_published(scene.event().event_id, scene.now)
    if state:
        await scene.ledger.change_dead_letter("letter", state, "olivia", "fixed", scene.later(1))
    await scene.ledger.bury(scene.letter(received_at=scene.later(5)), scene.event())
    (line,) = await scene.ledger.events("letter")
    assert (line.event, line.published_at, line.publishes) == (scene.event(), None, 1)
    assert await scene.ledger.claim_unpublished(scene.later(5), 10) == []
    assert len(await scene.ledger.claim_unpublished(scene.later(6), 10)) == 1


def ids(event: Event) -> str:
    """What to sort by."""
    return event.event_id


DEATHS: list[tuple[dict[str, Any], str]] = [
    ({"reason": ReasonCode.NOT_UTF8}, "another reason"),
    ({"problems": ({"pointer": "/a", "message": "is missing"},)}, "other problems"),
]


@pytest.mark.parametrize(("death", "reason"), DEATHS, ids=[reason for _, reason in DEATHS])
async def test_an_open_one_that_dies_of_something_else_tells_the_newest(
    scene: Scene, death: dict[str, Any], reason: str
) -> None:
    """What is shown is why it died last, and since when; its sender is answered anew, and no replay closes it."""
    await scene.ledger.bury(scene.letter(), scene.event("first"))
    again = scene.letter(received_at=scene.later(5), **death)
    assert await scene.ledger.bury(again, scene.event("second"))
    assert await scene.ledger.dead_letter("letter") == replace(again, changed_at=scene.later(5)), reason
    events = [line.event for line in await scene.ledger.events("letter")]
    assert sorted(events, key=ids) == sorted([scene.event("first"), scene.event("second")], key=ids)
    told = [(line.leaves, line.enters, line.reason) for line in await scene.ledger.history("letter")]
    assert told == [(None, "open", "not_json"), ("open", "open", again.reason)]
    with pytest.raises(NotAllowed, match="died again"):
        await scene.ledger.change_dead_letter(
            "letter", LetterState.REPLAYED, "olivia", "fixed", scene.later(6)
        )
    assert not await scene.ledger.bury(replace(again, received_at=scene.later(7)), scene.event("second"))
    assert await scene.ledger.dead_letter("letter") == replace(again, changed_at=scene.later(7))


async def test_one_that_died_again_while_it_was_replayed_stays_open(scene: Scene) -> None:
    """A replay whose message comes back before it is marked must not close the row it came back to."""
    await scene.ledger.bury(scene.letter(), None)
    looked_at = await scene.ledger.dead_letter("letter")
    assert looked_at is not None
    await scene.ledger.bury(scene.letter(received_at=scene.later(5)), None)
    with pytest.raises(NotAllowed, match="died again"):
        await scene.ledger.change_dead_letter(
            "letter", LetterState.REPLAYED, "olivia", "fixed", scene.later(6), seen_at=looked_at.changed_at
        )
    still = await scene.ledger.dead_letter("letter")
    assert still is not None
    assert still.state is LetterState.OPEN


async def test_one_that_was_replayed_and_died_again_is_open_again(scene: Scene) -> None:
    """The replay did not help, and that is visible, and so is when it first died of this."""
    await scene.ledger.bury(scene.letter(), None)
    await scene.ledger.change_dead_letter(
        "letter", LetterState.REPLAYED, "olivia", "fixed upstream", scene.now
    )
    scene.clock.advance(5)
    again = scene.letter()
    first = await scene.ledger.dead_letter("letter")
    assert first is not None
    assert await scene.ledger.bury(again, None)
    opened = replace(again, received_at=first.received_at, changed_at=scene.now)
    assert await scene.ledger.dead_letter("letter") == opened
    names = [(line.name, line.leaves, line.enters) for line in await scene.ledger.history("letter")]
    assert names == [("bury", None, "open"), ("replayed", "open", "replayed"), ("bury", "replayed", "open")]


async def test_a_person_closes_an_open_dead_letter_once(scene: Scene) -> None:
    """Replayed or discarded, with their name and reason; the second click hears that it is done."""
    await scene.ledger.bury(scene.letter(), None)
    closed = await scene.ledger.change_dead_letter(
        "letter", LetterState.DISCARDED, "olivia", "a test message", scene.now
    )
    assert closed == scene.letter(state=LetterState.DISCARDED, changed_at=scene.now)
    *_, line = await scene.ledger.history("letter")
    assert (line.name, line.actor, line.note) == ("discarded", "olivia", "a test message")
    before = scene.stored()
    with pytest.raises(NotAllowed, match="discarded already"):
        await scene.ledger.change_dead_letter("letter", LetterState.REPLAYED, "oscar", "", scene.now)
    with pytest.raises(UnknownRequest, match="nothing"):
        await scene.ledger.change_dead_letter("nothing", LetterState.REPLAYED, "oscar", "", scene.now)
    assert scene.stored() == before


async def test_dead_letters_are_listed_the_newest_first(scene: Scene) -> None:
    """By state and reason, and no more than asked for."""
    for name, reason in (("a", ReasonCode.NOT_JSON), ("b", ReasonCode.NOT_UTF8), ("c", ReasonCode.NOT_JSON)):
        await scene.ledger.bury(scene.letter(name, reason=reason), None)
        scene.clock.advance(1)
    await scene.ledger.change_dead_letter("c", LetterState.DISCARDED, "olivia", "", scene.now)

    async def listed(state: LetterState | None, reason: ReasonCode | None, limit: int = 10) -> str:
        found = await scene.ledger.dead_letters(LetterFilter(state=state, reason=reason, limit=limit))
        return "".join(letter.dead_letter_id for letter in found)

    assert await listed(None, None) == "cba"
    assert await listed(LetterState.OPEN, None) == "ba"
    assert await listed(None, ReasonCode.NOT_JSON, 1) == "c"
    assert await listed(LetterState.OPEN, ReasonCode.NOT_JSON) == "a"


async def test_dead_letters_are_found_by_what_their_sender_named(scene: Scene) -> None:
    """Provider, source, key and age, each by itself and together; wild text is found as it was kept."""
    for name, source in (("a", "urn:shop"), ("b", "urn:shop\0")):
        letter = scene.letter(name, source=source, idempotency_key=f"order-{name}", provider=f"acme-{name}")
        await scene.ledger.bury(letter, None)
        scene.clock.advance(1)

    async def found(**wanted: Any) -> str:
        letters = await scene.ledger.dead_letters(LetterFilter(**wanted))
        return "".join(letter.dead_letter_id for letter in letters)

    assert await found(source="urn:shop") == "a"
    assert await found(source="urn:shop\ufffd") == "b"
    assert await found(idempotency_key="order-a") == await found(provider="acme-a") == "a"
    assert await found(older_than=scene.now - timedelta(seconds=1)) == "a"
    assert await found(newer_than=scene.now - timedelta(seconds=1)) == "b"
    assert await found(source="urn:shop", idempotency_key="order-b") == ""


async def test_a_dead_letter_may_say_anything(scene: Scene) -> None:
    """What a stranger wrote into a message must not keep it from being buried."""
    wild = "a\0\ud83d" * 3
    letter = scene.letter(
        queue=wild, routing_key=wild, message_id=wild, source=wild, idempotency_key=wild, provider=wild,
        problems=({"pointer": wild, "message": wild},),
    )  # fmt: skip
    assert await scene.ledger.bury(letter, replace(scene.event(), routing_key=wild))
    found = await scene.ledger.dead_letter("letter")
    assert found is not None
    assert found.source == "a\ufffd?" * 3
    assert found.problems == letter.problems

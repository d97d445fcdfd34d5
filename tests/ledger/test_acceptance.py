"""A request enters the ledger once, however often it comes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.ledger.scene import Scene
from worker.core.entry import Accepted, Conflict, Same
from worker.core.errors import SealBroken
from worker.core.states import State


async def test_a_new_request_is_accepted_and_claimed_by_the_worker_that_took_it(scene: Scene) -> None:
    """The first delivery makes the row, and its claim holds the row exactly as it is stored."""
    arrival = scene.arrival(
        deadline=scene.later(60), dry_run=True, context={"id": "e", "n": [1, {"a": None}]}
    )
    acceptance = await scene.ledger.accept(arrival, scene.worker)
    assert isinstance(acceptance, Accepted)
    entry = acceptance.claim.entry
    assert await scene.ledger.find(arrival.request_id) == entry
    assert (entry.state, entry.fence, entry.deadline) == (State.ACCEPTED, 1, scene.later(60))
    assert entry.context == {"id": "e", "n": [1, {"a": None}]}
    assert await scene.ledger.claim_due(entry.provider, "other", scene.now, 10) == []


async def test_the_same_content_again_is_the_same_request(scene: Scene) -> None:
    """A second delivery of the same content is told the row that exists, and changes nothing."""
    first = await scene.accepted()
    before = scene.stored()
    again = await scene.ledger.accept(scene.arrival(), scene.worker)
    assert again == Same(first.entry)
    assert scene.stored() == before


async def test_other_content_under_the_same_key_is_a_conflict(scene: Scene) -> None:
    """The fingerprint of the stored row decides, not the new one's."""
    first = await scene.accepted()
    other = scene.arrival(fingerprint="k1:other", same=lambda stored: stored == "k1:other")
    assert await scene.ledger.accept(other, scene.worker) == Conflict(first.entry)


async def test_a_fingerprint_under_a_lost_key_is_told_to_its_own_caller_only(scene: Scene) -> None:
    """`same` may raise; the caller hears it, and nobody else."""
    await scene.accepted()

    def broken(_: str) -> bool:
        raise SealBroken("the key k0 is not in the keyring")

    told, other = await asyncio.gather(
        scene.ledger.accept(scene.arrival(same=broken), scene.worker),
        scene.ledger.accept(scene.arrival("key-2"), scene.worker),
        return_exceptions=True,
    )
    assert isinstance(told, SealBroken)
    assert isinstance(other, Accepted)


async def test_the_same_key_of_another_source_is_another_request(scene: Scene) -> None:
    """Identity is source and key together; an operator who knows only the key sees both."""
    first, second = await scene.accepted(), await scene.accepted(source="urn:other")
    assert {entry.source for entry in await scene.ledger.find_by_key(None, "key-1")} == {
        "urn:test",
        "urn:other",
    }
    assert await scene.ledger.find_by_key("urn:other", "key-1") == [second.entry]
    assert first.entry.request_id != second.entry.request_id


async def test_of_a_hundred_deliveries_at_once_exactly_one_is_accepted(scene: Scene) -> None:
    """However they race, one row is made and all others are told about it."""
    arrivals = [scene.arrival() for _ in range(100)]
    answers = await asyncio.gather(*(scene.ledger.accept(arrival, scene.worker) for arrival in arrivals))
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert len(accepted) == 1
    told = [answer.entry for answer in answers if isinstance(answer, Same)]
    assert told == [accepted[0].claim.entry] * 99


async def test_the_first_line_of_the_story_tells_what_came(scene: Scene) -> None:
    """Who took it, when, and how it was spelled; never its content."""
    claim = await scene.accepted(content_mode="binary")
    (line,) = await scene.ledger.history(claim.entry.request_id)
    assert (line.name, line.actor, line.at, line.enters) == ("accept", scene.worker, scene.now, "accepted")
    assert line.detail["content_mode"] == "binary"


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (
            datetime(2026, 1, 1, 0, 0, tzinfo=UTC),
            "no microseconds, which must not change the width of the text",
        ),
        (datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), "one microsecond"),
        (datetime(2026, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=2))), "another zone"),
    ],
)
async def test_times_come_back_as_the_same_moment_in_utc(scene: Scene, at: datetime, reason: str) -> None:
    """Whatever zone a time came in, the ledger gives the same moment, aware and in UTC."""
    claim = await scene.accepted(received_at=at)
    stored = (await scene.entry(claim)).received_at
    assert stored == at, reason
    assert stored.tzinfo is UTC


async def test_a_time_without_a_zone_is_refused(scene: Scene) -> None:
    """A naive time would be a different moment on every machine."""
    naive = replace(scene.arrival(), deadline=datetime(2026, 1, 1))  # noqa: DTZ001 - the case
    with pytest.raises(ValueError, match="zone"):
        await scene.ledger.accept(naive, scene.worker)

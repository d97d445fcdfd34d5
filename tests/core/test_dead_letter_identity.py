"""Which messages are one dead letter, and which answers its sender gets."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from contracts.reason import ReasonCode
from contracts.result import AccountRejected
from tests.builders import make_message, make_request
from tests.core.world import World
from worker.core.broker import Message
from worker.core.burial import unpacked
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.decode import Limits, decode
from worker.core.overview import LetterFilter

WRONG_TWICE = make_message(make_request(provider="elsewhere", parameters={}), message_id="m-1")
"""Its provider is not configured, and its parameters are wrong, too."""


async def letters(world: World) -> list[DeadLetter]:
    """All dead letters."""
    return list(await world.ledger.real.dead_letters(LetterFilter()))


def configure(world: World) -> None:
    """From now on `elsewhere` is configured."""
    cast("dict[str, Any]", world.desk.providers)["elsewhere"] = world.place.acme


def told(world: World) -> list[ReasonCode]:
    """Reasons that senders heard."""
    return [
        ReasonCode(one.data.reason.code) for one in world.place.results if isinstance(one, AccountRejected)
    ]


async def test_a_letter_that_dies_of_something_else_is_answered_again(world: World) -> None:
    """Its sender learns what else is wrong, once however often it comes, and the operator sees the same."""
    await world.bury(WRONG_TWICE)
    (letter,) = await letters(world)
    now = world.clock.now()
    await world.ledger.real.change_dead_letter(
        letter.dead_letter_id, LetterState.REPLAYED, "ada", "configured", now
    )
    configure(world)
    for _ in range(2):
        await world.pass_time(1)
        await world.bury(WRONG_TWICE)
    (letter,) = await letters(world)
    assert (letter.state, letter.reason) == ("open", ReasonCode.INVALID_PARAMETERS)
    assert told(world) == [ReasonCode.PROVIDER_NOT_CONFIGURED, *[ReasonCode.INVALID_PARAMETERS] * 2]
    first, second, third = world.place.publisher.confirmed
    assert first.event_id != second.event_id
    assert second == third
    earlier, later, _ = world.place.results
    assert earlier.time < later.time, "of the events about one letter the latest one holds"


async def test_an_open_letter_that_dies_of_something_else_tells_the_newest(world: World) -> None:
    """Also where nobody closed it, as when it comes back before its replay is marked."""
    await world.bury(WRONG_TWICE)
    configure(world)
    await world.bury(WRONG_TWICE)
    assert [letter.reason for letter in await letters(world)] == [ReasonCode.INVALID_PARAMETERS]
    assert told(world) == [ReasonCode.PROVIDER_NOT_CONFIGURED, ReasonCode.INVALID_PARAMETERS]


async def test_another_death_after_it_was_pruned_is_answered_alike_however_often(world: World) -> None:
    """What is stored of it may be gone: the answer to its newest cause is built again, bytes and all."""
    await world.bury(WRONG_TWICE)
    configure(world)
    for _ in range(2):
        await world.bury(WRONG_TWICE)
        (letter,) = await letters(world)
        now = world.clock.now()
        await world.ledger.real.change_dead_letter(
            letter.dead_letter_id, LetterState.DISCARDED, "ada", "mended", now, seen_at=letter.changed_at
        )
        await world.pass_time(60)
        assert await world.ledger.real.prune(world.clock.now(), 10) == 1
    _, second, third = world.place.publisher.confirmed
    assert second == third


PLAIN = make_message(
    json.dumps(make_request(provider="elsewhere")["data"]).encode(),
    content_type="application/json",
    message_id="m-1",
)
ATTRIBUTES = {"ce-id": "e-1", "ce-specversion": "1.0", "ce-type": "account.requested.v1"}
MENDED: list[tuple[Message, Message, str]] = [
    (PLAIN, replace(PLAIN, app_id="urn:shop"), "a source"),
    (PLAIN, replace(PLAIN, headers={"source": "urn:shop"}), "a source in a header"),
    (replace(PLAIN, app_id="urn:shop", type="x"), replace(PLAIN, app_id="urn:shop"), "another type"),
    (
        replace(PLAIN, app_id="urn:shop", correlation_id="\x07"),
        replace(PLAIN, app_id="urn:shop", correlation_id="c"),
        "another correlation id",
    ),
    (
        replace(PLAIN, headers=ATTRIBUTES),
        replace(PLAIN, headers={**ATTRIBUTES, "ce-source": bytearray(b"urn:shop")}),
        "a source among the attributes",
    ),
    (
        replace(PLAIN, app_id="urn:shop", content_type="application/cloudevents+json"),
        replace(PLAIN, app_id="urn:shop"),
        "the right content type",
    ),
]


@pytest.mark.parametrize(("broken", "mended", "reason"), MENDED, ids=[reason for *_, reason in MENDED])
async def test_a_copy_that_its_sender_mended_is_a_letter_of_its_own(
    world: World, broken: Message, mended: Message, reason: str
) -> None:
    """Body and id are the same, and yet it is another message; a replay publishes what was mended."""
    await world.bury(broken)
    await world.bury(mended)
    kept = {letter.reason: letter for letter in await letters(world)}
    assert set(kept) == {ReasonCode.INVALID_ENVELOPE, ReasonCode.PROVIDER_NOT_CONFIGURED}, reason
    letter = kept[ReasonCode.PROVIDER_NOT_CONFIGURED]
    stored = world.place.keyring.open(letter.sealed_message, f"dead_letter:{letter.dead_letter_id}")
    assert decode(unpacked(stored), Limits()) == decode(mended, Limits())


async def test_two_senders_with_the_same_id_and_content_are_both_answered(world: World) -> None:
    """An id is unique within its source, so these are two letters."""
    for source in ("urn:shop", "urn:other"):
        await world.bury(replace(PLAIN, headers={**ATTRIBUTES, "ce-source": source}))
    assert {letter.source for letter in await letters(world)} == {"urn:shop", "urn:other"}
    assert {event.data.request_source for event in world.place.results} == {"urn:shop", "urn:other"}


BROKER = {"x-death": [{"count": 1}], "x-first-death-queue": "q", "timestamp_in_ms": 7}
TRACE = {"traceparent": "00-1", "ce-traceparent": "00-1", "ce-tracestate": "a=b"}
ON_THE_WAY: list[tuple[dict[str, Any], str]] = [
    ({"routing_key": "another.key", "queue": "elsewhere"}, "moved by hand"),
    ({"redelivered": True, "timestamp": datetime(2026, 11, 21, tzinfo=UTC)}, "another time"),
    ({"headers": {**ATTRIBUTES, **BROKER}}, "what the broker adds"),
    ({"headers": {**ATTRIBUTES, **TRACE}}, "what traces its publishing"),
]


@pytest.mark.parametrize(("changes", "reason"), ON_THE_WAY, ids=[reason for _, reason in ON_THE_WAY])
async def test_what_changes_on_the_way_makes_no_other_letter(
    world: World, changes: dict[str, Any], reason: str
) -> None:
    """Wherever it comes from, it is the row that it was, with one answer."""
    message = replace(PLAIN, headers=ATTRIBUTES)
    await world.bury(message)
    await world.bury(replace(message, **changes))
    assert len(await letters(world)) == 1, reason
    first, second = world.place.publisher.confirmed
    assert first == second

"""Dead letters: replayed to the door they came from, or closed with a reason; never deleted."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from contracts.reason import ReasonCode
from tests.builders import make_message, make_request
from tests.core.operating import ACTOR, REASON
from tests.core.world import World
from worker.core.broker import Message
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.errors import BrokerUnavailable, NotAllowed, SealBroken, UnknownRequest
from worker.core.ledger import Ledger
from worker.core.overview import LetterFilter
from worker.core.states import State
from worker.operations.dead_letters import DeadLetterOperations
from worker.operations.verbs import Effect

BAD = make_message(make_request(parameters={"company": 5}), message_id="m-1", headers={"tenant": "t"})


def operations(world: World) -> DeadLetterOperations:
    """The verbs on dead letters."""
    return DeadLetterOperations(cast("Ledger", world.ledger), world.place.keyring, world.clock, ACTOR)


async def buried(world: World, message: Message = BAD) -> DeadLetter:
    """One dead letter."""
    await world.bury(message)
    (letter,) = await world.ledger.real.dead_letters(LetterFilter(limit=10))
    return cast("DeadLetter", letter)


async def state_of(world: World, letter: DeadLetter) -> str:
    """Its state now."""
    found = await world.ledger.real.dead_letter(letter.dead_letter_id)
    return str(found.state)


def collector(into: list[Message]) -> Callable[[Message], Awaitable[None]]:
    """A way to republish that collects."""

    async def republish(message: Message) -> None:
        into.append(message)

    return republish


async def test_a_replay_publishes_the_message_as_it_came_and_closes_the_row(world: World) -> None:
    """Body, properties and headers are those of the sender; who and why is in the row's story."""
    letter, sent = await buried(world), list[Message]()
    hands = operations(world)
    words = await hands.replay(hands.plan_replay(letter), REASON, collector(sent))
    assert "replayed" in words
    assert [(one.body, one.message_id, one.headers, one.routing_key) for one in sent] == [
        (BAD.body, "m-1", {"tenant": "t"}, "request.acme")
    ]
    assert await state_of(world, letter) == "replayed"
    line = (await world.ledger.real.history(letter.dead_letter_id))[-1]
    assert (line.actor, line.note, line.leaves, line.enters) == (ACTOR, REASON, "open", "replayed")


async def test_who_replays_a_letter_is_sent_to_its_sender_first(world: World) -> None:
    """The sender heard that it was refused; ordered again under another key, both orders would be filled."""
    planned = operations(world).plan_replay(await buried(world))
    assert planned.effect is Effect.WILL
    assert planned.words.endswith("ask its sender first, who may have ordered again under another key")


async def test_a_letter_that_was_cut_is_not_published(world: World) -> None:
    """Plan and deed say that the whole message is not there; it stays open and can be discarded."""
    letter, sent = await buried(world, make_message(b" " * 5_000_000)), list[Message]()
    hands = operations(world)
    planned = hands.plan_replay(letter)
    assert planned.effect is Effect.BLOCKED
    with pytest.raises(NotAllowed, match=r"had 5000000 bytes.*only its beginning was kept"):
        await hands.replay(planned, REASON, collector(sent))
    assert (sent, await state_of(world, letter)) == ([], "open")
    assert "discarded" in await hands.discard(hands.plan_discard(letter), REASON)


async def test_a_message_without_an_id_is_known_when_its_replay_dies(world: World) -> None:
    """The client library would make one up, and so make another letter of each replay."""
    nameless = replace(BAD, message_id=None)
    letter, sent = await buried(world, nameless), list[Message]()
    hands = operations(world)
    for _ in range(2):
        await hands.replay(hands.plan_replay(letter), REASON, collector(sent))
        letter = await buried(world, sent[-1])
    assert [one.message_id for one in sent] == [letter.dead_letter_id] * 2
    assert letter.state == "open"


async def test_a_stranger_cannot_write_into_a_letter_by_its_id(world: World) -> None:
    """Senders are told the ids of their letters; only the same content leads to one."""
    letter = await buried(world, replace(BAD, message_id=None))
    await world.bury(replace(BAD, body=b"nonsense", message_id=letter.dead_letter_id))
    assert await operations(world).find(letter.dead_letter_id) == letter
    assert len(await world.ledger.real.dead_letters(LetterFilter(state=LetterState.OPEN))) == 2


async def test_a_replay_that_cannot_be_published_leaves_the_row_open(world: World) -> None:
    """Publish first, then mark: a broker that is away loses nothing."""

    async def away(_: Message) -> None:
        raise BrokerUnavailable("no connection")

    letter, hands = await buried(world), operations(world)
    with pytest.raises(BrokerUnavailable):
        await hands.replay(hands.plan_replay(letter), REASON, away)
    assert await state_of(world, letter) == "open"


async def test_a_message_that_dies_again_before_its_replay_is_marked_stays_open(world: World) -> None:
    """The worker may be quicker than the operator's command; the row it came back to is not closed over it."""

    async def quick_worker(message: Message) -> None:
        world.clock.advance(1)
        await world.bury(message)

    letter, hands = await buried(world), operations(world)
    with pytest.raises(NotAllowed, match=r"was published again, but .* died again"):
        await hands.replay(hands.plan_replay(letter), REASON, quick_worker)
    assert await state_of(world, letter) == "open"


async def test_a_request_that_was_repaired_by_configuration_runs_after_its_replay(world: World) -> None:
    """A provider that was not configured is, now: the replayed message opens its one account."""
    request = make_message(make_request(provider="elsewhere"))
    letter, sent = await buried(world, request), list[Message]()
    assert letter.reason is ReasonCode.PROVIDER_NOT_CONFIGURED
    hands = operations(world)
    await hands.replay(hands.plan_replay(letter), REASON, collector(sent))
    cast("dict[str, Any]", world.desk.providers)["elsewhere"] = world.place.acme
    cast("dict[str, Any]", world.desk.lanes)["elsewhere"] = world.lane
    await world.take(sent[0])
    assert (await world.entry()).state is State.PROVISIONED


async def test_a_discard_closes_the_row_and_keeps_it(world: World) -> None:
    """Nothing is deleted: the reason stays readable."""
    letter, hands = await buried(world), operations(world)
    await hands.discard(hands.plan_discard(letter), REASON)
    assert await state_of(world, letter) == "discarded"
    assert (await hands.find(letter.dead_letter_id)).reason is ReasonCode.INVALID_PARAMETERS
    assert (await world.ledger.real.history(letter.dead_letter_id))[-1].note == REASON


async def test_a_closed_one_is_left_alone(world: World) -> None:
    """Both verbs are safe to repeat: the plan says that nothing will happen, and nothing does."""
    letter, hands, sent = await buried(world), operations(world), list[Message]()
    await hands.discard(hands.plan_discard(letter), REASON)
    closed = await hands.find(letter.dead_letter_id)
    for planned in (hands.plan_replay(closed), hands.plan_discard(closed)):
        assert planned.effect is Effect.NOTHING
    assert "unchanged" in await hands.replay(hands.plan_replay(closed), REASON, collector(sent))
    assert "unchanged" in await hands.discard(hands.plan_discard(closed), REASON)
    assert sent == []


async def test_of_two_operators_the_first_closes_it(world: World) -> None:
    """A plan made before somebody else closed the row is refused in words, and the story has one end."""
    letter, hands = await buried(world), operations(world)
    planned = hands.plan_discard(letter)
    await hands.discard(planned, REASON)
    with pytest.raises(NotAllowed, match="discarded already"):
        await hands.discard(planned, REASON)
    assert len(await world.ledger.real.history(letter.dead_letter_id)) == 2


async def test_a_replay_twice_at_once_is_absorbed_by_the_ledger(world: World) -> None:
    """Two operators replay the same good request: it is one row and one create."""
    request = make_message(make_request(provider="elsewhere"))
    letter, hands, sent = await buried(world, request), operations(world), list[Message]()
    planned = hands.plan_replay(letter)
    await hands.replay(planned, REASON, collector(sent))
    with pytest.raises(NotAllowed, match="replayed already"):
        await hands.replay(planned, REASON, collector(sent))
    cast("dict[str, Any]", world.desk.providers)["elsewhere"] = world.place.acme
    cast("dict[str, Any]", world.desk.lanes)["elsewhere"] = world.lane
    for message in sent:
        await world.take(message)
    assert (len(sent), len(world.place.acme.sent)) == (2, 1)


async def test_an_unknown_id_says_where_to_look(world: World) -> None:
    """The text names the list."""
    with pytest.raises(UnknownRequest, match="dead-letters list"):
        await operations(world).find("nothing")


async def test_a_message_whose_key_is_gone_is_not_replayed(world: World) -> None:
    """What cannot be opened is neither published nor closed."""
    letter, hands, sent = await buried(world), operations(world), list[Message]()
    world.place.keyring._keys = {}
    with pytest.raises(SealBroken):
        await hands.replay(hands.plan_replay(letter), REASON, collector(sent))
    assert (sent, await state_of(world, letter)) == ([], "open")

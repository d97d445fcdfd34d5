"""Dead letters: replayed, moved by hand, without their queue, at their limit; and what a broker really understands."""

import asyncio
import json
import struct
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.reason import ReasonCode
from tests.builders import make_message, make_request
from tests.core.operating import ACTOR, REASON
from tests.core.world import Place, World, make_place, open_world
from tests.fakes import Vendor
from tests.pitfalls.works import CLOUD_EVENT, KEY, QUEUE, TOPOLOGY, Works, at_work, until
from tests.rabbitmq.rig import Rig, long_text, properties, table, text
from worker.core.broker import Message
from worker.core.dead_letter import LetterState
from worker.core.ledger import Ledger
from worker.core.overview import LetterFilter
from worker.core.states import State
from worker.operations.dead_letters import DeadLetterOperations
from worker.rabbitmq.admin import Admin
from worker.rabbitmq.topology import AUDIT, DEAD_LETTERS, REQUESTS, Topology, request_queue

FORGED: dict[str, Any] = {
    "x-death": [{"count": 1000, "queue": QUEUE, "reason": "rejected"}],
    "x-delivery-count": 1000,
    "x-first-death-queue": "elsewhere",
    "x-shovelled": [{"shovel-type": "dynamic"}],
}
"""What the broker, a shovel or a liar may have written into a message."""


@pytest.mark.rabbitmq
async def test_a_dead_letter_that_is_replayed_again_and_again_comes_back_every_time(works: Works) -> None:
    """Pitfall 25: with the broker's own headers a replay would look like a cycle, be confirmed, and never arrive.

    It comes without an id, as many clients publish, and is one row all the same.
    """
    await works.rig.probe.publish_raw(
        properties(headers=table((b"tenant", long_text(b"t")))), body=b"no request"
    )
    world, seen = works.world, set()
    hands = hands_of(world)
    async with Admin.connect(works.rig.settings, TOPOLOGY) as admin:
        for times in range(1, 5):
            (letter,) = await works.until_letters(1)
            seen.add(letter.dead_letter_id)
            await hands.replay(hands.plan_replay(letter), REASON, admin.publish_again)
            await until(partial(buried, world, times + 1))
    assert {letter.dead_letter_id for letter in await works.until_letters(1)} == seen


NAMELESS = properties(headers=table((b"tenant", long_text(b"t"))))


@pytest.mark.rabbitmq
async def test_a_request_whose_headers_are_byte_arrays_keeps_its_deadline_through_a_replay(
    works: Works,
) -> None:
    """What reads as good when it comes reads the same when it comes again, and a huge number stops no replay."""
    world = works.world
    await works.rig.probe.publish_raw(BINARY, b"request.elsewhere", json.dumps(ORDER["data"]).encode())
    (letter,) = await works.until_letters(1)
    assert letter.reason is ReasonCode.PROVIDER_NOT_CONFIGURED
    cast("dict[str, Any]", world.desk.providers)["elsewhere"] = world.place.acme
    hands = hands_of(world)
    async with Admin.connect(works.rig.settings, TOPOLOGY) as admin:
        await hands.replay(hands.plan_replay(letter), REASON, admin.publish_again)
    await works.until_state(State.ACCEPTED, "order-1")
    assert (await world.entry()).deadline == datetime(2030, 1, 1, tzinfo=UTC)


ORDER = make_request(provider="elsewhere")
SPOKEN = {name: value for name, value in ORDER.items() if name != "data"} | {
    "expirytime": "2030-01-01T00:00:00Z"
}
BINARY = properties(
    content_type=text(b"application/json"),
    headers=table(
        *((f"ce-{name}".encode(), b"x" + long_text(value.encode())[1:]) for name, value in SPOKEN.items()),
        (b"ce-size", b"d" + struct.pack(">d", 1e300)),
    ),
)
"""A request in binary form, as a client writes it that has bytes for texts."""


async def test_headers_of_the_broker_count_for_nothing(world: World) -> None:
    """Pitfall 26: attempts are counted in the ledger, whatever the headers of a message say."""
    message = make_message(headers=FORGED)
    assert (await world.take(message)).verbs == ["ack"]
    entry = await world.entry()
    assert (entry.state, entry.attempts) == (State.PROVISIONED, 1)


@pytest.mark.rabbitmq
async def test_a_message_moved_by_hand_is_known_by_its_key(empty: Any, tmp_path: Any, rig: Rig) -> None:
    """Pitfall 39: wherever a shovel puts it, under whatever exchange and key, it is the same request as before."""
    place = make_place(empty, tmp_path, Vendor(), Bolt())
    async with at_work(place, rig, Topology(("acme", "bolt"))) as works:
        body = await works.ask("order-1")
        await works.until_state(State.PROVISIONED, "order-1")
        for exchange, key in MOVED:
            await rig.probe.publish(body, key, exchange, content_type=CLOUD_EVENT, headers=FORGED)
        await rig.probe.until_ready(AUDIT, 1 + len(MOVED))
        late = json.dumps(make_request("order-2")).encode()
        await rig.probe.publish(late, request_queue("bolt"), "", content_type=CLOUD_EVENT)
        await works.until_state(State.PROVISIONED, "order-2")
        rows = await works.world.entries()
    assert {row.provider for row in rows} == {"acme"}
    assert sorted(order.request_id for order in place.acme.sent) == sorted(row.request_id for row in rows)
    assert place.providers["bolt"].sent == []


MOVED = (("", QUEUE), ("", DEAD_LETTERS), (DEAD_LETTERS, "any.key"), ("", request_queue("bolt")))


class Bolt(Vendor):
    """A second provider."""

    name: ClassVar[str] = "bolt"


@pytest.mark.rabbitmq
async def test_a_deleted_dead_letter_queue_comes_back_and_nothing_spins(works: Works) -> None:
    """Pitfall 37: its consumer is cancelled, the queue is declared and read again, and dead letters go on as before.

    RabbitMQ may answer once by an error of its own (541) where a queue is made while its namesake still ends; that
    costs the connection of this queue and no other, and a letter that was not acknowledged comes once more.
    """
    await works.rig.probe.delete(DEAD_LETTERS)
    await until(lambda: bound_again(works.rig))
    await works.rig.probe.publish(b"no request", KEY)
    (letter,) = await works.until_letters(1)
    assert letter.queue == QUEUE
    await works.rig.until_consuming(works.consumer)
    assert works.world.ledger.calls.count("bury") <= FEW
    assert {loss.queue for loss in works.rig.watcher.queue_losses} <= {DEAD_LETTERS}
    assert len(works.rig.watcher.queue_losses) <= FEW
    assert works.rig.watcher.connection_losses == []


FEW = 3


POLICIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "strategy": {"dead-letter-strategy": "at-most-once"},
    "target": {"dead-letter-exchange": "nowhere"},
    "length": {"max-length": 5},
}


@pytest.mark.rabbitmq
async def test_what_is_rejected_without_a_dead_letter_queue_is_kept(rig: Rig) -> None:
    """Pitfalls 28, 29, 31, 37: at-least-once is no mere word that the broker accepts, and these policies keep it."""
    topology = Topology(tuple(POLICIES))
    async with rig.running(rig.consumer(topology)):
        pass
    for name, policy in POLICIES.items():
        if policy:
            where = ("--apply-to", "queues", "--vhost", rig.vhost)
            await rig.ctl("set_policy", *where, name, f"{request_queue(name)}$", json.dumps(policy))
    await rig.probe.delete(DEAD_LETTERS)
    for queue in map(request_queue, POLICIES):
        await rig.probe.publish(b"no request", queue, exchange="")
    async with rig.probe.channel() as channel:
        for queue in map(request_queue, POLICIES):
            message = await channel.basic_get(queue)
            await channel.basic_reject(message.delivery_tag or 0, requeue=False)
    await until(lambda: all_kept(rig, len(POLICIES)))


@pytest.mark.rabbitmq
async def test_what_a_publisher_lets_expire_is_kept_only_where_it_can_be_routed(rig: Rig) -> None:
    """Pitfall 38: an expiry of AMQP ends in the dead letters and is run from there; among them, it ends for good."""
    async with Admin.connect(rig.settings, TOPOLOGY) as admin:
        await admin.declare()
    await rig.probe.publish(b"{}", KEY, expiration="1")
    await rig.probe.until_ready(DEAD_LETTERS, 1)
    async with rig.probe.channel() as channel:
        message = await channel.basic_get(DEAD_LETTERS)
        await channel.basic_ack(message.delivery_tag or 0)
        assert message.header.properties.expiration is None
    await rig.probe.publish(b"{}", "request.typo", expiration="1")
    await until(partial(gone, rig, DEAD_LETTERS))


@pytest.mark.rabbitmq
async def test_the_delivery_limit_is_real_and_none_is_none(rig: Rig) -> None:
    """Pitfalls 30, 31: at its limit a request becomes a dead letter; a dead letter itself comes back without end."""
    async with rig.running(rig.consumer(Topology(("acme",), delivery_limit=3))):
        pass
    assert await deliveries_of(rig, QUEUE, at_most=40) == 4
    await rig.probe.until_ready(DEAD_LETTERS, 1)
    assert await deliveries_of(rig, DEAD_LETTERS, at_most=40) == 40


def test_every_argument_of_the_topology_is_proven_by_what_the_broker_does() -> None:
    """Pitfall 31: a broker accepts arguments that it does not know, so each one in use has a test of its effect."""
    used = {name for entity in TOPOLOGY.entities for name in entity.arguments}
    assert used == {
        "x-queue-type",  # test_every_queue_is_a_quorum_queue
        "x-delivery-limit",  # test_the_delivery_limit_is_real_and_none_is_none
        "x-dead-letter-exchange",  # tests/rabbitmq: test_reject_lands_among_the_dead_letters
        "x-dead-letter-strategy",  # test_what_is_rejected_without_a_dead_letter_queue_is_kept
        "x-overflow",  # the same: with another overflow it would not be kept
        "alternate-exchange",  # tests/rabbitmq: test_alternate_exchange_catches_unknown_keys
    }


@pytest.mark.rabbitmq
async def test_every_queue_is_a_quorum_queue(works: Works) -> None:
    """Pitfall 31: the type that was asked for is the type that is there."""
    listed = await works.rig.ctl(
        "list_queues", "--vhost", works.rig.vhost, "name", "type", "--formatter", "json"
    )
    assert {queue["name"]: queue["type"] for queue in json.loads(listed)} == {
        queue.name: "quorum" for queue in TOPOLOGY.queues
    }


LIVES = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(("bury", "replay", "discard"))), min_size=2, max_size=12
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=LIVES)
def test_no_dead_letter_that_nobody_closed_ever_disappears(
    empty: Any, tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[int, str]]
) -> None:
    """Pitfall 38: after any life of two letters, pruned after every step, those that are open are whole."""
    asyncio.run(live(make_place(empty, tmp_path_factory.mktemp("life")), lives))


async def live(place: Place, lives: list[tuple[int, str]]) -> None:
    """One life."""
    wanted: dict[str, str] = {}
    async with open_world(place) as world:
        for number, deed in lives:
            await act(world, f"letter {number}", deed, wanted)
            world.clock.advance(timedelta(days=100).total_seconds())
            await world.ledger.real.prune(world.clock.now(), 100)
        left = await world.ledger.real.dead_letters(LetterFilter(state=LetterState.OPEN))
        assert {letter.message_id for letter in left} == {
            name for name, state in wanted.items() if state == "open"
        }
        assert all(letter.sealed_message and letter.problems for letter in left)


async def act(world: World, name: str, deed: str, wanted: dict[str, str]) -> None:
    """One deed, and what must be true afterwards."""
    ledger, hands = world.ledger.real, hands_of(world)
    oldest = (await ledger.dead_letters(LetterFilter(state=LetterState.OPEN)))[-1:]
    if deed == "bury":
        await world.bury(make_message(name.encode(), message_id=name))
        wanted[name] = "open"
    for letter in oldest if deed in {"replay", "discard"} else ():
        if deed == "replay":
            await hands.replay(hands.plan_replay(letter), REASON, nowhere)
        else:
            await hands.discard(hands.plan_discard(letter), REASON)
        wanted[letter.message_id] = "closed"


def hands_of(world: World) -> DeadLetterOperations:
    """An operator's verbs on dead letters."""
    return DeadLetterOperations(cast("Ledger", world.ledger), world.place.keyring, world.clock, ACTOR)


async def nowhere(_: Message) -> None:
    """Publish nothing."""


async def buried(world: World, times: int) -> bool:
    """Whether the worker has buried so many messages."""
    return world.ledger.calls.count("bury") >= times


async def bound_again(rig: Rig) -> bool:
    """Whether the dead letters have their queue, its consumer and its binding."""
    listed = await rig.ctl("list_bindings", "--vhost", rig.vhost, "source_name", "destination_name")
    return f"{DEAD_LETTERS}\t{DEAD_LETTERS}" in listed and DEAD_LETTERS in await rig.consumed()


async def all_kept(rig: Rig, queues: int) -> bool:
    """Whether every request queue keeps one message that is neither ready nor unacknowledged."""
    columns = ("name", "messages", "messages_ready", "messages_unacknowledged")
    listed = json.loads(await rig.ctl("list_queues", "--vhost", rig.vhost, *columns, "--formatter", "json"))
    kept = [queue for queue in listed if queue["name"].startswith(REQUESTS) and queue["messages"] == 1]
    return len(kept) == queues and not any(
        queue["messages_ready"] or queue["messages_unacknowledged"] for queue in kept
    )


async def gone(rig: Rig, queue: str) -> bool:
    """Whether a queue has nothing to hand out."""
    async with rig.probe.channel() as channel:
        message = await channel.basic_get(queue)
        if message.delivery_tag is not None:
            await channel.basic_nack(message.delivery_tag, requeue=True)
    return message.delivery_tag is None


async def deliveries_of(rig: Rig, queue: str, at_most: int) -> int:
    """How often one message comes out of a queue that it is always given back to."""
    if queue != DEAD_LETTERS:
        await rig.probe.publish(b"poison", queue, exchange="")
    async with rig.probe.channel() as channel:
        for count in range(at_most):
            message = await channel.basic_get(queue)
            if message.delivery_tag is None:
                return count
            await channel.basic_nack(message.delivery_tag, requeue=True)
    return at_most

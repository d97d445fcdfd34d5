"""A worker dies between any two steps: the next one finishes the request, with exactly one account.

The matrix is every step, times whether the provider had opened the account, times who comes next: the same worker
started again, or a neighbour on the same ledger who notices after the lease that the first one is silent.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest

from contracts.reason import ReasonCode
from tests.builders import make_done, make_message, make_outcome
from tests.core.world import LEASE, Place, World, make_place, open_world
from tests.fakes import FakeDelivery, Vendor
from worker.core.states import State
from worker.core.verdict import Outcome, Verdict

Successor = Literal["restarted", "neighbour"]
SUCCESSORS: tuple[Successor, ...] = ("restarted", "neighbour")


@dataclass(frozen=True)
class Point:
    """Where a worker stops for ever.

    Attributes:
        step: The ledger's method it never begins, or never comes back from; "create" for the provider's.
        acted: Whether the provider has opened the account by then.
        creates: Creates that reach the provider in the whole story.
        answer: What the provider says to the first create.
    """

    name: str
    step: str
    when: Literal["before", "after"]
    acted: bool
    creates: int
    answer: Outcome = field(default_factory=make_done)


NOT_NOW = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True)
POINTS = (
    Point("before the row is written", "accept", "before", acted=False, creates=1),
    Point("after the row is written", "accept", "after", acted=False, creates=1),
    Point("before the intent is written", "record send", "before", acted=False, creates=1),
    Point("after the intent, before the create", "record send", "after", acted=False, creates=1),
    Point("during the create, nothing opened", "create", "before", acted=False, creates=2),
    Point("during the create, account opened", "create", "before", acted=True, creates=1),
    Point("after the answer, before its record", "record provision", "before", acted=True, creates=1),
    Point(
        "after a no, before its record", "record not_done", "before", acted=False, creates=2, answer=NOT_NOW
    ),
    Point("after the record of a no", "record not_done", "after", acted=False, creates=2, answer=NOT_NOW),
    Point("after the record, before the publish", "record provision", "after", acted=True, creates=1),
    Point("after the confirmation, before its mark", "mark_published", "before", acted=True, creates=1),
    Point("after the mark", "mark_published", "after", acted=True, creates=1),
)
MATRIX = [(point, successor) for point in POINTS for successor in SUCCESSORS]


@pytest.fixture
async def town(empty: Path, tmp_path: Path) -> AsyncIterator[tuple[Place, AsyncExitStack]]:
    """A place with a provider that remembers, and the workers that live there until the end of the test."""
    vendor = Vendor(look_up_schedule=(5.0, 10.0), settle=60.0)
    async with AsyncExitStack() as stack:
        yield make_place(empty, tmp_path, vendor), stack


async def stop_at(world: World, point: Point) -> FakeDelivery:
    """Hand a request over and let the worker come as far as the point."""
    vendor: Vendor = world.place.acme
    vendor.acts = point.acted
    vendor.creates.then(point.answer)
    if point.step == "create":
        vendor.creates.held()
        world.ledger.hold("record doubt")
    else:
        world.ledger.hold(point.step, point.when)
    delivery = await world.take()
    vendor.acts = True
    vendor.creates.then(make_done())
    return delivery


async def successor_of(place: Place, stack: AsyncExitStack, life: AsyncExitStack, kind: Successor) -> World:
    """The next worker: the first one is gone, or silent for longer than its lease."""
    if kind == "restarted":
        await life.aclose()
        return await stack.enter_async_context(open_world(place, "worker-2"))
    stack.push_async_exit(life)
    place.clock.advance(LEASE + 1)
    return await stack.enter_async_context(open_world(place, "worker-2", alone=False))


async def finish(world: World, first: FakeDelivery) -> None:
    """What the broker and time bring: the delivery again if it was not acknowledged, and rounds of upkeep."""
    if first.verbs != ["ack"]:
        await world.take(make_message())
    for _ in range(20):
        await world.go_round(after=11)
        if (await world.entry()).state is State.PROVISIONED and world.place.results:
            break


@pytest.mark.parametrize(("point", "kind"), MATRIX, ids=[f"{point.name}, {kind}" for point, kind in MATRIX])
async def test_the_next_worker_finishes_what_a_dead_one_left(
    town: tuple[Place, AsyncExitStack], point: Point, kind: Successor
) -> None:
    """Whatever step was the last one, there is one account, one row and one event, and no create without proof."""
    place, stack = town
    life = AsyncExitStack()
    first = await life.enter_async_context(open_world(place))
    delivery = await stop_at(first, point)
    second = await successor_of(place, stack, life, kind)
    await finish(second, delivery)

    entry = await second.entry()
    vendor: Vendor = place.acme
    assert entry.state is State.PROVISIONED
    assert vendor.accounts == {entry.request_id: [entry.account_id]}
    assert len(vendor.sent) == point.creates
    assert len({one.event_id for one in place.publisher.confirmed}) == 1
    assert len(await second.entries()) == 1
    _every_further_create_was_proven(await second.story())


def _every_further_create_was_proven(story: list[str]) -> None:
    """Between two intents stands the proof that the first one created nothing."""
    sends = [at for at, name in enumerate(story) if name == "send"]
    for one, next_one in pairwise(sends):
        assert {"confirm_absent", "not_done"} & set(story[one:next_one])


ZOMBIES = [
    point
    for point in POINTS
    if point.step not in ("create", "accept") and (point.step, point.when) != ("record send", "after")
]


@pytest.mark.parametrize("point", ZOMBIES, ids=[point.name for point in ZOMBIES])
async def test_a_silent_worker_that_wakes_up_again_changes_nothing(
    town: tuple[Place, AsyncExitStack], point: Point
) -> None:
    """Whoever slept through its lease finds its claim gone: it neither sends nor overwrites."""
    place, stack = town
    life = AsyncExitStack()
    first = await life.enter_async_context(open_world(place))
    delivery = await stop_at(first, point)
    second = await successor_of(place, stack, life, "neighbour")
    await finish(second, delivery)
    before, creates = await second.entry(), len(place.acme.sent)

    first.ledger.hold(point.step, point.when).set()
    await first.calm()
    assert await second.entry() == before
    assert len(place.acme.sent) == creates
    assert len({one.event_id for one in place.publisher.confirmed}) == 1


async def test_two_crashes_in_a_row_are_survived(town: tuple[Place, AsyncExitStack]) -> None:
    """The second worker dies right after it took the row over; the third one opens the one account."""
    place, stack = town
    life = AsyncExitStack()
    first = await life.enter_async_context(open_world(place))
    await stop_at(first, POINTS[1])
    await life.aclose()
    second = await life.enter_async_context(open_world(place, "worker-2"))
    second.ledger.hold("claim_due", "after")
    rounds = second.desk.tasks.start(second.upkeep.once(), "upkeep")
    await second.calm()
    assert not rounds.done()
    await life.aclose()
    third = await stack.enter_async_context(open_world(place, "worker-3"))
    await third.go_round()
    assert (await third.entry()).state is State.PROVISIONED
    assert len(place.acme.sent) == 1


async def test_a_worker_that_ends_well_leaves_its_claims_to_others_at_once(
    town: tuple[Place, AsyncExitStack],
) -> None:
    """After a proper end nobody waits for a lease: unsent rows run at once, sent ones are in doubt at once."""
    place, stack = town
    first = await stack.enter_async_context(open_world(place))
    place.acme.acts = True
    place.acme.creates.held()
    await first.ask("order-1")
    first.ledger.hold("record send")
    await first.ask("order-2")
    await first.ledger.real.retire("worker-1")
    place.acme.creates.then(make_done())
    second = await stack.enter_async_context(open_world(place, "worker-2", alone=False))
    await second.go_round()
    await second.go_round()
    states = {entry.idempotency_key: entry.state for entry in await second.entries()}
    assert states == {"order-1": State.PROVISIONED, "order-2": State.PROVISIONED}
    assert len(place.acme.sent) == 2

"""A ledger restored from a backup, as deploy/README.md has it done: what was opened since is never opened again."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.reason import ReasonCode
from tests.builders import make_done, make_message, make_outcome, make_request
from tests.core.operating import operate, operations
from tests.core.world import DEAD_LETTERS, Place, World, open_world
from tests.fakes import FakeDelivery
from worker.core.errors import AmbiguousKey
from worker.core.overview import OPERATOR, Filter, Pause
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.operations.accounts import Account
from worker.operations.verbs import Verb

REFUSED = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN)
BUSY = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True)
FOREVER = 7 * 24 * 3600.0


@pytest.fixture
async def world(place: Place, tmp_path: Path) -> AsyncIterator[World]:
    """A worker at a ledger that forgot four accounts, A-1 to A-4, with its provider paused before the start.

    "rejected", "held" and "open" are in the backup as they were before they were run again; "new" is not in it.
    """
    backup = tmp_path / "backup.db"
    async with open_world(place) as before:
        place.acme.creates.then(REFUSED)
        await before.ask("rejected")
        place.acme.creates.then(BUSY)
        await before.ask("held")
        await before.go_round(after=FOREVER)
        await before.ask("open")
    shutil.copy(place.file, backup)
    async with open_world(place) as after:
        for number, key in enumerate(("rejected", "held", "open"), 1):
            place.acme.creates.then(make_done(f"A-{number}"))
            await operate(after, Verb.REPLAY, key=key)
            await after.go_round()
        place.acme.creates.then(make_done("A-4"))
        await after.ask("new")
        assert [entry.state for entry in await after.entries()] == [State.PROVISIONED] * 4
    for file in place.file.parent.glob(f"{place.file.name}*"):
        file.unlink()
    shutil.copy(backup, place.file)
    place.acme.sent.clear()
    place.acme.creates.then(make_done("a second account"))
    async with open_world(place) as restored:
        restored_at = place.clock.now()
        await restored.ledger.real.pause(Pause("acme", OPERATOR, "ada", "ledger restored", restored_at))
        await restored.go_round()
        await restored.intake.adjust()
        yield restored


async def resumed(world: World) -> None:
    """The provider is asked again, and everything that is due has run."""
    await world.ledger.real.resume("acme", "ada", "compared", world.clock.now())
    await world.go_round()
    await world.go_round(after=FOREVER)


async def test_while_the_provider_is_paused_nothing_is_sent_and_no_request_queue_is_read(
    world: World,
) -> None:
    """Of the queues only that of the dead letters is read; what is due waits."""
    states = {entry.idempotency_key: entry.state for entry in await world.entries()}
    assert states == {"rejected": State.REJECTED, "held": State.HELD, "open": State.WAITING}
    await world.go_round(after=FOREVER)
    assert world.intake.reading == {DEAD_LETTERS}
    assert world.place.acme.sent == []


async def test_a_message_that_is_rejected_into_the_dead_letters_becomes_a_row_that_can_be_resolved(
    world: World,
) -> None:
    """What the ledger does not know is taken in without a create, is told its account, and asked again opens none."""
    again = make_message(make_request("new"))
    delivery = FakeDelivery(again)
    await world.doors.open_now[DEAD_LETTERS][0](delivery)
    await world.go_round(after=FOREVER)
    assert (delivery.verbs, (await world.entry("new")).state) == (["ack"], State.ACCEPTED)

    await operate(world, Verb.RESOLVE_CREATED, "A-4", key="new")
    for key, account in (("held", "A-2"), ("open", "A-3")):
        await operate(world, Verb.RESOLVE_CREATED, account, key=key)
    await resumed(world)
    await world.take(again)
    entry = await world.entry("new")
    assert (entry.state, entry.account_id, world.place.acme.sent) == (State.PROVISIONED, "A-4", [])


async def test_what_was_rejected_is_replayed_into_the_pause_and_resolved(world: World) -> None:
    """Replaying sends nothing while its provider is paused, and makes it one that can be given its account."""
    await operate(world, Verb.REPLAY, key="rejected")
    await world.go_round(after=FOREVER)
    assert (await world.entry("rejected")).state is State.ACCEPTED
    for key, account in (("rejected", "A-1"), ("held", "A-2"), ("open", "A-3")):
        await operate(world, Verb.RESOLVE_CREATED, account, key=key)
    await resumed(world)
    accounts = {entry.idempotency_key: entry.account_id for entry in await world.entries()}
    assert accounts == {"rejected": "A-1", "held": "A-2", "open": "A-3"}
    assert world.place.acme.sent == []


async def test_of_two_sources_with_one_key_each_is_told_its_own_account(world: World) -> None:
    """While the forgotten request is not there, the key alone names the other source's; its source and id name it."""
    hands, theirs = operations(world), await world.entry("open")
    assert (await hands.find("open")).request_id == theirs.request_id
    again = make_message({**make_request("open"), "source": "urn:forgotten"})
    await world.doors.open_now[DEAD_LETTERS][0](FakeDelivery(again))
    await world.go_round()
    with pytest.raises(AmbiguousKey):
        await hands.find("open")
    (forgotten,) = await world.ledger.real.entries(Filter(source="urn:forgotten"))
    for request_id, account in ((forgotten.request_id, "A-5"), (theirs.request_id, "A-3")):
        (planned,) = await hands.plan(Verb.RESOLVE_CREATED, [request_id], None)
        await hands.carry_out(planned, "opened before the restore", Account(account, {}))
    await operate(world, Verb.RESOLVE_CREATED, "A-2", key="held")
    await resumed(world)
    await world.take(again)
    accounts = {entry.source: entry.account_id for entry in await world.ledger.real.find_by_key(None, "open")}
    assert accounts == {"urn:forgotten": "A-5", theirs.source: "A-3"}
    assert world.place.acme.sent == []


@pytest.mark.parametrize("key", ["rejected", "held", "open", "new"])
async def test_without_the_comparison_a_second_account_is_opened(world: World, key: str) -> None:
    """Each of the four doors is one: a batch replay, what is due, and the sender who asks again."""
    await resumed(world)
    if key == "new":
        await world.ask(key)
    elif key != "open":
        await operate(world, Verb.REPLAY, key=key)
        await world.go_round()
    assert (await world.entry(key)).request_id in {order.request_id for order in world.place.acme.sent}

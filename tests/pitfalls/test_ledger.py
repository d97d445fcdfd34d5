"""Ledger and doubt: hanging providers, restarts, lagging look-ups, operators who press twice, and ten rows by hand."""

import asyncio
import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_done, make_outcome
from tests.cli.books import Books, Desk
from tests.cli.terminal import Terminal
from tests.core.operating import REASON, operations
from tests.core.world import LEASE, Place, World, make_place, open_world
from tests.fakes import BlindProvider, Vendor
from tests.pitfalls.works import PATIENCE, until
from tests.scenarios.conftest import House, patient
from worker.core.errors import NotAllowed
from worker.core.overview import Filter
from worker.core.provider import Absent, Doubt, Finding, Order
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.demo.cast import canary_speech
from worker.demo.surroundings import consumer_keys
from worker.operations.verbs import Verb
from worker.providers import discover
from worker.sandbox import Fault, Rule

WEEK = timedelta(days=7).total_seconds()


async def test_a_provider_that_hangs_beyond_every_time_out_is_sent_one_create(
    empty: Path, tmp_path: Path
) -> None:
    """Pitfall 40: answers late, after lease and listening time, with a neighbour at work: still one create in all."""
    vendor = Vendor(answer_within=10.0, listen_for=60.0, settle=900.0, look_up_schedule=(15.0,))
    place = make_place(empty, tmp_path, vendor)
    answer = vendor.creates.held()
    async with open_world(place) as world, open_world(place, "worker-2", alone=False) as other:
        vendor.acts = False
        await world.ask()
        for _ in range(int(10 * LEASE / 15)):
            await world.go_round(after=15)
            await other.go_round()
        assert [order.request_id for order in vendor.sent] == [(await world.entry()).request_id]
        answer.set_result(make_done())
        await world.calm()
        assert (await world.entry()).state is State.PROVISIONED
    assert len(vendor.sent) == 1


async def test_a_provider_that_never_answers_and_cannot_be_asked_is_sent_one_create(
    empty: Path, tmp_path: Path
) -> None:
    """Pitfall 40: for a week nobody answers and workers come and go; a person has the request, and nothing is sent."""
    place = make_place(empty, tmp_path, BlindProvider())
    place.acme.creates.held()
    async with open_world(place) as world:
        await world.ask()
        await world.go_round(after=LEASE)
    for number in range(2, 5):
        async with open_world(place, f"worker-{number}") as world:
            for _ in range(10):
                await world.go_round(after=WEEK / 30)
            assert (await world.entry()).state is State.HELD
    assert len(place.acme.sent) == 1


@pytest.mark.rabbitmq
async def test_a_restart_on_the_same_host_finds_its_orphan_at_once(house: House) -> None:
    """Pitfall 43: names of workers are never used again, so the new process does not hide what the killed one left."""
    worker = await house.worker(LEDGER__LEASE="3600", **patient("canary_speech"))
    mailbox = await house.mailbox()
    house.sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, until="never", times=1))
    await mailbox.ask("orphan", "canary_speech", canary_speech("orphan"))
    await until(lambda: made(house))
    await worker.kill()
    await worker.start()
    assert await mailbox.until(lambda: mailbox.outcomes("orphan") == ["provisioned"], PATIENCE)
    story = (await house.operator(worker, "explain", "orphan"))["history"]
    steps: Mapping[str, Any] = {line["name"]: line for line in story}
    orphaned = moment(steps["rescue"]) - moment(steps["send"])
    assert orphaned < timedelta(seconds=60), "the lease of an hour was not waited for"
    assert steps["rescue"]["actor"] != steps["send"]["actor"]
    assert house.sandbox.creates("canary_speech").attempted == 1


ASKABLE = sorted(name for name, handler in discover().items() if handler.CAN_LOOK_UP)


@pytest.mark.parametrize("provider", ASKABLE)
async def test_an_account_that_shows_after_ninety_seconds_is_not_opened_again(
    empty: Path, tmp_path: Path, provider: str
) -> None:
    """Pitfall 45: with the settings every provider has by default, a read model that lags leads to no second create."""
    fields = discover()[provider].Settings.model_fields
    patience = ("look_up_schedule", "settle", "agreeing_look_ups", "listen_for", "answer_within")
    vendor = Lagging(90.0, **{name: fields[name].get_default() for name in patience})
    place = make_place(empty, tmp_path, vendor)
    vendor.place = place
    vendor.creates.then(make_outcome(Verdict.IN_DOUBT))
    async with open_world(place) as world:
        await world.ask()
        for _ in range(120):
            await world.go_round(after=15)
        assert (await world.entry()).state is State.PROVISIONED
    assert vendor.blind_answers > 0
    assert len(vendor.sent) == 1


class Lagging(Vendor):
    """A provider whose list shows an account only so many seconds after it was opened."""

    place: Place

    def __init__(self, seconds: float, **settings: Any) -> None:
        super().__init__(**settings)
        self._lag = timedelta(seconds=seconds)
        self.blind_answers = 0

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        if self.place.clock.now() - doubt.sent_at < self._lag:
            self.blind_answers += 1
            return Absent({"asked": "list"})
        return await super().look_up(order, doubt)


async def test_two_replays_at_once_and_one_that_arrives_meanwhile(world: World) -> None:
    """Pitfall 47: of two operators one replays each row; what was refused after the plan was made is left alone."""
    vendor = world.place.acme
    vendor.creates.then(make_outcome(Verdict.NOT_DONE))
    keys = ["order-1", "order-2", "order-3"]
    for key in keys:
        await world.ask(key)
    refused = Filter(states=frozenset({State.REJECTED}))
    plans = [await operations(world, actor).plan(Verb.REPLAY, [], refused) for actor in ("ada", "bob")]
    await world.ask("newcomer")
    vendor.creates.then(make_done())
    carried_out = [
        operations(world, actor).carry_out(planned, REASON)
        for actor, planned_rows in zip(("ada", "bob"), plans, strict=True)
        for planned in planned_rows
    ]
    words = await asyncio.gather(*carried_out, world.upkeep.once(), return_exceptions=True)
    for _ in range(3):
        await world.go_round(after=11)
    assert sum(isinstance(said, NotAllowed) for said in words) == len(keys)
    states = {row.idempotency_key: row.state for row in await world.entries()}
    assert states == {**dict.fromkeys(keys, State.PROVISIONED), "newcomer": State.REJECTED}
    assert await creates_of(world) == {**dict.fromkeys(keys, 2), "newcomer": 1}


async def test_a_replay_of_what_is_only_pending_sends_nothing_twice(world: World) -> None:
    """Pitfall 47: whoever replays a request that waits, over and over and while it runs, gets one create for it."""
    vendor = world.place.acme
    vendor.creates.then(make_outcome(Verdict.NOT_DONE, retry=True))
    await world.ask()
    answer = vendor.creates.held()
    for _ in range(3):
        await replay(world)
        await asyncio.gather(world.upkeep.once(), replay(world))
        await world.calm()
    assert (await world.entry()).state is State.SENDING
    answer.set_result(make_done())
    await world.calm()
    await replay(world)
    await world.go_round(after=LEASE)
    assert (await world.entry()).state is State.PROVISIONED
    assert await creates_of(world) == {"order-1": 2}, "the refused one and the good one"


async def replay(world: World) -> None:
    """Press the button; a row that cannot be replayed now is left alone."""
    hands = operations(world)
    for planned in await hands.plan(Verb.REPLAY, ["order-1"], None):
        try:
            await hands.carry_out(planned, REASON)
        except NotAllowed:
            continue


async def creates_of(world: World) -> dict[str, int]:
    """Creates that were sent for each request."""
    sent = [order.request_id for order in world.place.acme.sent]
    return {row.idempotency_key: sent.count(row.request_id) for row in await world.entries()}


SETTLING = ("resolve {} --not-created", "abandon {}", "resolve {} --account-id ACCOUNT")


def settling(number: int, key: str) -> str:
    """One of the commands; no account is named for those that were never sent, whose password would be asked for."""
    choices = SETTLING[:2] if key.startswith("exhausted") else SETTLING
    return "provisioner requests " + choices[number % len(choices)].format(key)


def test_ten_open_rows_are_settled_with_what_the_program_itself_says(
    books: Books, terminal: Terminal, tmp_path: Path
) -> None:
    """Pitfall 44: each row needs two commands, `explain` and one that it prints; nobody edits a table by hand."""
    terminal.environment["PROVISIONER_CREDENTIALS__KEYS_FILE"] = str(consumer_keys(tmp_path)[0])
    for number in range(4):
        books.bring(State.IN_DOUBT, f"in-doubt-{number}")
        books.bring(State.HELD, f"held-{number}")
    for number in range(2):
        books.write(partial(exhausted, f"exhausted-{number}"))
    open_ones = ("requests", "list", "--state", "in_doubt", "--state", "held", "--json")
    rows = {row["idempotency_key"]: row["request_id"] for row in terminal(*open_ones).json}
    assert len(rows) == 10
    for number, (key, request_id) in enumerate(rows.items()):
        wanted = settling(number, key)
        assert wanted in offered(terminal("explain", key).out)
        typed = shlex.split(wanted.replace("ACCOUNT", f"{number + 1}"))[1:]
        said = terminal(*typed, "--reason", "seen in the portal")
        assert said.code == 0, said.everything
        last = books.history(request_id)[-1]
        assert (last.actor, last.note) == ("olivia", "seen in the portal")
    assert terminal(*open_ones).json == []


async def exhausted(key: str, desk: Desk) -> None:
    """A held request that certainly created nothing."""
    await desk.exhausted(key)


def offered(story: str) -> list[str]:
    """The commands that `explain` prints."""
    return [line.strip() for line in story.splitlines() if line.startswith("  provisioner ")]


async def made(house: House) -> bool:
    """Whether the account exists."""
    return house.sandbox.creates("canary_speech").made == 1


def moment(line: Mapping[str, Any]) -> datetime:
    """When a step was taken."""
    return datetime.fromisoformat(line["at"])

"""Upkeep: what is due runs, what is left behind is found, and no step keeps another from its turn."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from contracts.reason import ReasonCode
from tests.builders import make_done, make_message, make_outcome, make_request
from tests.core.world import LEASE, Place, World, open_world
from worker.core.breaker import BreakerPolicy
from worker.core.errors import ConfigurationError
from worker.core.observer import Counted, LaneState, Rescued, Surprised
from worker.core.overview import Pause, Standing
from worker.core.provider import Probe
from worker.core.shares import Wish
from worker.core.states import State
from worker.core.verdict import Effect, Verdict
from worker.service import Service

NOT_NOW = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True)
REFUSED = make_outcome(
    Verdict.NOT_DONE, reason=ReasonCode.CREDENTIALS_REFUSED, retry=True, effect=Effect.PAUSE, status=401
)
OUTAGE = make_outcome(Verdict.NOT_DONE, reason=ReasonCode.UNREACHABLE, retry=True, effect=Effect.OUTAGE)
ILL = Probe(healthy=False, detail="answered 401")


async def test_what_is_due_runs_again(world: World) -> None:
    """A request that waits is taken up when its time has come, not before."""
    world.place.acme.creates.then(NOT_NOW, make_done())
    waiting = await world.ask()
    assert waiting.due_at is not None
    left = (waiting.due_at - world.clock.now()).total_seconds()
    await world.go_round(after=left / 2)
    assert len(world.place.acme.sent) == 1
    await world.go_round(after=left)
    assert (await world.entry()).state is State.PROVISIONED


async def test_retries_and_new_requests_share_the_slots(place: Place) -> None:
    """Due retries wait in line with fresh deliveries; neither goes first as a matter of course, and none is left."""
    place.acme.creates.then(*[NOT_NOW] * 4, make_done())
    async with open_world(place, concurrency=1) as world:
        for number in range(4):
            await world.ask(f"old-{number}")
        world.clock.advance(700)
        answers = [place.acme.creates.held()]
        await world.take(make_message(make_request("new-0")))
        await world.go_round()
        for number in range(1, 4):
            await world.take(make_message(make_request(f"new-{number}")))
        before = len(place.acme.sent)
        for number in range(8):
            answers[-1].set_result(make_done(f"A-{number}"))
            answers.append(place.acme.creates.held())
            await world.go_round()
        order = [place.acme.sent[at].request_id for at in range(before - 1, len(place.acme.sent))]
        names = {entry.request_id: entry.idempotency_key for entry in await world.entries()}
        kinds = [names[request_id].partition("-")[0] for request_id in order]
        assert sorted(kinds) == ["new"] * 4 + ["old"] * 4
        assert kinds[:3] == ["new", "old", "new"]


async def test_no_more_is_claimed_than_slots_may_serve_soon(place: Place) -> None:
    """What waits in line here is claimed from all other workers, so the line is short."""
    place.acme.creates.then(NOT_NOW)
    async with open_world(place, concurrency=2) as world:
        for number in range(6):
            await world.ask(f"order-{number}")
        world.clock.advance(700)
        place.acme.creates.held()
        await world.upkeep.once()
        await world.upkeep.once()
        left = await world.ledger.real.claim_due("acme", "another", world.clock.now(), 10)
        assert len(left) == 4


async def test_what_is_due_goes_on_as_slots_come_free(place: Place) -> None:
    """However much is due at once, one round is enough to begin with it: its end is not a round per slot away."""
    place.acme.creates.then(*[NOT_NOW] * 9, make_done())
    async with open_world(place, concurrency=2) as world:
        for number in range(9):
            await world.ask(f"order-{number}")
        place.acme.creates.then(*[make_done(f"A-{number}") for number in range(9)])
        await world.go_round(after=700)
        assert {entry.state for entry in await world.entries()} == {State.PROVISIONED}


async def test_a_ledger_that_fails_between_two_rounds_is_told_as_within_one(place: Place) -> None:
    """What else is due is left for a later round."""
    place.acme.creates.then(*[NOT_NOW] * 2, make_done())
    async with open_world(place, concurrency=1) as world:
        await world.ask("order-0")
        await world.ask("order-1")
        world.clock.advance(700)
        answer = place.acme.creates.held()
        await world.upkeep.once()
        await world.calm()
        world.ledger.failing.add("claim_due")
        answer.set_result(make_done("A-0"))
        await world.calm()
        assert not world.gate.well
        world.ledger.failing.clear()
        place.acme.creates.then(make_done("A-1"))
        await world.go_round()
        assert {entry.state for entry in await world.entries()} == {State.PROVISIONED}


async def test_rows_of_a_dead_worker_are_rescued(place: Place) -> None:
    """What a neighbour left sending is in doubt after its lease, and its unsent rows run here; both are told."""
    async with open_world(place, "dead") as dead, open_world(place, "alive", alone=False) as alive:
        place.acme.creates.held()
        await dead.ask("sent")
        dead.ledger.hold("record doubt")
        dead.ledger.hold("record send")
        await dead.ask("unsent")
        place.acme.creates.then(make_done())
        await alive.go_round(after=LEASE - 1)
        assert (await alive.entry("sent")).state is State.SENDING
        await alive.go_round(after=2)
        assert (await alive.entry("sent")).state is State.IN_DOUBT
        assert (await alive.entry("unsent")).state is State.PROVISIONED
        (rescued,) = place.watch.all(Rescued)
        assert rescued.request_ids == ((await alive.entry("sent")).request_id,)


async def test_what_a_dead_worker_had_not_sent_is_run_before_what_just_came(place: Place) -> None:
    """Else it would stand at the end of the line again, and wait for a second worker to die."""
    async with (
        open_world(place, "dead", concurrency=2) as dead,
        open_world(place, "alive", alone=False, concurrency=2) as alive,
    ):
        dead.ledger.hold("record send")
        await dead.ask("old")
        answers = [place.acme.creates.held() for _ in range(4)]
        for number in range(4):
            await alive.take(make_message(make_request(f"new-{number}")))
        sent = len(place.acme.sent)
        await alive.go_round(after=LEASE + 1)
        for number, answer in enumerate(answers):
            answer.set_result(make_done(f"A-{number}"))
            await alive.go_round()
        names = {entry.request_id: entry.idempotency_key for entry in await alive.entries()}
        assert names[place.acme.sent[sent].request_id] == "old"


async def test_a_living_workers_rows_are_left_alone(place: Place) -> None:
    """As long as it gives signs of life, nobody takes what a neighbour waits for."""
    async with open_world(place, "one") as one, open_world(place, "two", alone=False) as two:
        answer = place.acme.creates.held()
        await one.ask()
        for _ in range(4):
            await one.go_round(after=LEASE / 2 - 1)
            await two.go_round()
        assert (await one.entry()).doubted  # it has waited for longer than an answer may take
        assert place.watch.all(Rescued) == []
        answer.set_result(make_done())
        await one.calm()
        assert (await one.entry()).state is State.PROVISIONED


async def test_a_row_that_nobody_works_on_is_let_go(world: World) -> None:
    """What a living worker lost track of is found after a lease: in doubt if it was sent, run if it was not."""
    world.place.acme.creates.held()
    sent = await world.ask("sent")
    for task in asyncio.all_tasks():
        if task.get_name() in (f"run {sent.request_id}", f"create {sent.request_id}"):
            task.cancel()
    world.place.acme.creates.then(make_done())
    world.ledger.failing.add("record send")
    await world.ask("unsent")
    world.ledger.failing.clear()
    for _ in range(5):
        await world.go_round(after=LEASE / 3)
    assert (await world.entry("sent")).doubted
    assert (await world.entry("sent")).reason is ReasonCode.WORKER_DIED
    assert (await world.entry("unsent")).state is State.PROVISIONED


async def test_an_operators_pause_is_followed_and_lifted(world: World) -> None:
    """Within one round nothing new is sent; once resumed, what waited runs."""
    ledger, now = world.ledger.real, world.clock.now()
    await ledger.pause(Pause("acme", "operator", "ada", "price list changes", now))
    await world.go_round()
    assert world.lane.state is LaneState.PAUSED_BY_OPERATOR
    delivery = await world.take()
    assert delivery.verbs == ["requeue"]
    await ledger.resume("acme", "ada", "done", now)
    await world.go_round()
    assert (await world.take()).verbs == ["ack"]


async def test_refused_credentials_pause_the_provider_until_a_probe_is_taken(world: World) -> None:
    """A 401 is nobody's fault but ours: requests wait without using up attempts, and run when a read succeeds again."""
    acme = world.place.acme
    acme.creates.then(REFUSED)
    acme.probes.then(ILL)
    entry = await world.ask()
    assert (entry.state, entry.attempts) == (State.WAITING, 0)
    await world.go_round()
    paused = world.lane.state
    acme.creates.then(make_done())
    for _ in range(5):
        await world.go_round(after=61)
    assert (len(acme.sent), (await world.entry()).state) == (1, State.WAITING)

    acme.probes.then(Probe(healthy=True, detail="answered 200"))
    for _ in range(3):
        await world.go_round(after=61)
    assert (paused, world.lane.state) == (LaneState.PAUSED_BY_CREDENTIALS, LaneState.OPEN)
    assert (await world.entry()).state is State.PROVISIONED


@pytest.mark.parametrize("answer", [ILL, RuntimeError("broken")], ids=["unhealthy", "an exception"])
async def test_refused_credentials_are_probed_once_a_minute(
    world: World, answer: Probe | RuntimeError
) -> None:
    """A provider that refuses us, or a probe that breaks, is not hammered."""
    world.place.acme.creates.then(REFUSED)
    world.place.acme.probes.then(answer)
    await world.ask()
    await world.go_round()
    for _ in range(180):
        await world.go_round(after=1)
    assert 2 <= world.place.acme.probed <= 3


async def test_a_probe_does_not_lift_an_operators_pause(world: World) -> None:
    """An operator who pauses while the probe is under way is obeyed."""
    world.place.acme.creates.then(REFUSED)
    await world.ask()
    await world.go_round()
    probe = world.place.acme.probes.held()
    await world.go_round(after=61)
    await world.ledger.real.pause(Pause("acme", "operator", "ada", "leave it", world.clock.now()))
    probe.set_result(Probe(healthy=True, detail="answered 200"))
    await world.calm()
    await world.go_round()
    assert world.lane.state is LaneState.PAUSED_BY_OPERATOR


async def test_an_operators_pause_of_the_last_moment_stays(world: World) -> None:
    """Made after the probe came back and before ours is lifted: it is looked at where it is lifted."""
    world.place.acme.creates.then(REFUSED)
    await world.ask()
    await world.go_round()
    lift = world.ledger.real.lift

    async def pause_and_lift(*about: Any) -> bool:
        await world.ledger.real.pause(Pause("acme", "operator", "ada", "leave it", world.clock.now()))
        return bool(await lift(*about))

    world.ledger.real.lift = pause_and_lift
    world.place.acme.probes.then(Probe(healthy=True, detail="answered 200"))
    await world.go_round(after=61)
    await world.go_round(after=61)
    assert (await world.ledger.real.pauses())[0].by == "ada"
    assert world.lane.state is LaneState.PAUSED_BY_OPERATOR


async def test_the_second_to_see_credentials_taken_ends_no_wait(place: Place) -> None:
    """Two workers probe, both are taken: what another answer asked for meanwhile holds for both."""
    taken = Probe(healthy=True, detail="answered 200")
    place.acme.creates.then(REFUSED)
    async with open_world(place, "one") as one, open_world(place, "two", alone=False) as two:
        await one.ask()
        for world in (one, two):
            await world.go_round()
        wish = Wish(4, 0, wait_until=place.clock.now() + timedelta(hours=1))
        await one.ledger.real.share("one", {"acme": wish}, place.clock.now())
        asking = place.acme.probes.held()
        await two.go_round(after=61)
        place.acme.probes.then(taken)
        await one.go_round()
        asking.set_result(taken)
        await two.calm()
        for world in (one, two):
            await world.go_round()
        assert (place.acme.probed, one.lane.state, two.lane.state) == (2, *[LaneState.ASKED_TO_WAIT] * 2)


async def test_the_breaker_opens_probes_tries_and_closes(place: Place) -> None:
    """After outages in a row nothing is sent; a healthy probe lets one create through, and its answer lets all."""
    acme = place.acme
    acme.creates.then(OUTAGE)
    acme.probes.then(ILL)
    async with open_world(place, breaker=BreakerPolicy(failures=3, cooldown=30)) as world:
        for number in range(3):
            await world.ask(f"order-{number}")
        assert world.lane.state is LaneState.BROKEN
        assert (await world.take(make_message(make_request("new")))).verbs == ["requeue"]
        await world.go_round(after=31)
        assert (acme.probed, world.lane.state) == (1, LaneState.BROKEN)

        acme.probes.then(Probe(healthy=True, detail="answered 200"))
        answer = acme.creates.held()
        await world.go_round(after=31)
        await world.go_round(after=1)
        assert (world.lane.state, len(acme.sent)) == (LaneState.TRYING, 4)
        answer.set_result(make_outcome(Verdict.NOT_DONE))
        acme.creates.then(make_outcome(Verdict.NOT_DONE))
        await world.calm()
        await world.go_round(after=700)
        assert (world.lane.state, len(acme.sent)) == (LaneState.OPEN, 6)


async def test_an_outage_is_probed_once_per_cooldown_even_if_the_probe_breaks(place: Place) -> None:
    """An error of our own in the probe counts as unhealthy."""
    place.acme.creates.then(OUTAGE)
    place.acme.probes.then(RuntimeError("broken"))
    async with open_world(place, breaker=BreakerPolicy(failures=1, cooldown=30)) as world:
        await world.ask()
        for _ in range(93):
            await world.go_round(after=1)
        assert place.acme.probed == 3
        assert place.watch.all(Surprised, where="probe")


async def test_a_request_in_doubt_is_not_looked_up_while_our_credentials_are_refused(world: World) -> None:
    """A look-up with refused credentials would prove nothing and count as a failure."""
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT, effect=Effect.PAUSE))
    world.place.acme.probes.then(ILL)
    await world.ask()
    for _ in range(3):
        await world.go_round(after=50)
    assert world.place.acme.asked == []


STEPS = [
    "rescue",
    "pauses",
    "share",
    "claim_due",
    "claim_look_ups",
    "claim_unpublished",
    "forget",
    "prune",
    "standings",
]


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_breaks_does_not_starve_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A surprise in one step is told; what is due, unpublished or counted gets its turn all the same."""
    world.place.publisher.failure = "no connection"
    world.place.acme.creates.then(NOT_NOW, make_done("A-1"), make_done("A-2"))
    await world.ask("due")
    await world.ask("unpublished")
    world.place.publisher.failure = None

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.ledger.real, step, broken)
    world.place.watch.facts.clear()
    await world.go_round(after=20)
    assert [fact.where for fact in world.place.watch.all(Surprised)]
    done = {
        "claim_due": (await world.entry("due")).state is State.PROVISIONED,
        "unpublished": bool(world.place.results),
        "standings": bool(world.place.watch.all(Counted)),
    }
    assert {name for name, happened in done.items() if not happened} <= {step}


async def test_a_round_ends_where_the_ledger_fails(world: World) -> None:
    """With the ledger away there is nothing to do but to try again; the loop itself lives on."""
    world.ledger.failing.add("heartbeat")
    beat = world.upkeep.beat_at
    await world.go_round(after=1)
    assert not world.gate.well
    assert world.ledger.calls[-1] == "heartbeat"
    assert world.upkeep.beat_at > beat


def refuse(world: World, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """From now on a step finds that this code may not use the ledger."""

    async def refused(*_: object) -> None:
        raise ConfigurationError("run `provisioner ledger migrate`")

    monkeypatch.setattr(world.ledger.real, step, refused)


async def living(world: World) -> asyncio.Task[bool]:
    """The life of the process, begun."""

    async def settled() -> None:
        """The broker waits for nothing."""

    service = Service(world.desk, world.intake, world.upkeep, settled, drain=1.0)
    life = asyncio.create_task(service.run(asyncio.Event()))
    await world.calm()
    return life


async def test_a_worker_that_may_not_begin_on_the_ledger_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends with the words that help; no queue was opened, and nothing was done on that ledger."""
    refuse(world, monkeypatch, "heartbeat")
    world.ledger.calls.clear()
    life = await living(world)
    assert (world.ledger.calls, world.doors.story, world.gate.well) == (["heartbeat"], [], False)
    assert life.done()
    with pytest.raises(ConfigurationError, match="ledger migrate"):
        life.result()


@pytest.mark.parametrize("step", ["heartbeat", *STEPS[:-1]])  # who counts goes beside the rounds
async def test_a_worker_that_may_not_use_the_ledger_any_more_ends(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whichever step finds it, no later one begins: the queues are closed, and the process ends."""
    life = await living(world)
    refuse(world, monkeypatch, step)
    world.ledger.calls.clear()
    await world.pass_time(11)
    assert (world.ledger.calls[-1], world.gate.well, world.doors.open_now) == (step, False, {})
    assert life.done()
    with pytest.raises(ConfigurationError, match="ledger migrate"):
        life.result()


async def test_a_ledger_that_may_not_be_used_is_found_between_two_rounds_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is taken in from then on, and the next round ends the worker."""
    world.place.acme.creates.then(NOT_NOW)
    for number in range(5):
        await world.ask(f"order-{number}")
    answer = world.place.acme.creates.held()
    await world.go_round(after=700)
    refuse(world, monkeypatch, "claim_due")
    answer.set_result(make_done())
    await world.calm()
    assert (world.gate.well, world.place.watch.all(Surprised)) == (False, [])
    with pytest.raises(ConfigurationError, match="ledger migrate"):
        await world.upkeep.once()


async def test_the_loop_goes_round_until_told_to_stop(world: World) -> None:
    """Between two rounds lies the interval; a stop ends the wait."""
    stopping = asyncio.Event()
    loop = asyncio.create_task(world.upkeep.run(stopping))
    await world.calm()
    for _ in range(3):
        await world.pass_time(1.0)
    assert world.ledger.calls.count("rescue") == 4
    stopping.set()
    await loop
    assert world.ledger.calls.count("rescue") == 4


async def test_closed_requests_are_pruned_after_their_retention_and_open_ones_never(world: World) -> None:
    """The content of what is closed goes after ninety days; key and account id stay, and open rows keep everything."""
    await world.ask("closed")
    world.place.acme.creates.then(make_done(missing=("key",), account_id="A-2"))
    await world.ask("open")
    await world.go_round(after=timedelta(days=91).total_seconds())
    closed, left = await world.entry("closed"), await world.entry("open")
    assert (closed.sealed_request, closed.account_id) == ("", "A-1")
    assert left.sealed_request != ""
    assert (await world.take(make_message(make_request("closed")))).verbs == ["ack"]
    assert len(world.place.acme.sent) == 2


async def test_a_count_that_takes_long_keeps_no_sign_of_life_waiting(world: World) -> None:
    """Others would take a worker for dead that only counts a large ledger; and it counts once at a time."""
    counted: asyncio.Future[list[Standing]] = asyncio.get_running_loop().create_future()
    asked: list[str] = []

    def standings() -> asyncio.Future[list[Standing]]:
        asked.append("standings")
        return counted

    world.ledger.standings = standings  # type: ignore[attr-defined]  # in place of the real one's
    before = world.ledger.calls.count("heartbeat")
    for _ in range(3):
        await world.go_round(after=LEASE)
    assert (world.ledger.calls.count("heartbeat") - before, len(asked)) == (3, 1)
    counted.set_result([])
    await world.calm()
    assert world.place.watch.all(Counted)


async def test_every_round_counts_what_is_open(world: World) -> None:
    """The gauges show what stands in the ledger."""
    world.place.acme.creates.then(make_outcome(Verdict.IN_DOUBT))
    await world.ask()
    await world.go_round()
    counted = world.place.watch.all(Counted)[-1]
    assert [(one.kind, one.count) for one in counted.standings] == [("in_doubt", 1)]

"""Intake of one delivery: when it is acknowledged, and what becomes of it."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from contracts.reason import ReasonCode
from contracts.result import Outcome as ResultOutcome
from tests.builders import make_done, make_message, make_outcome, make_request
from tests.core.operating import operate
from tests.core.world import Place, World, open_world
from tests.fakes import FakeDelivery
from worker.core.errors import ConfigurationError, NotAllowed
from worker.core.observer import LedgerChanged, Received, Surprised
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.operations.verbs import Verb


async def test_a_new_request_is_accepted_run_and_acknowledged(world: World) -> None:
    """One delivery becomes one row, one create and one result."""
    delivery = await world.take()
    assert delivery.verbs == ["ack"]
    assert (await world.entry()).state is State.PROVISIONED
    assert len(world.place.acme.sent) == 1
    assert [event.data.outcome for event in world.place.results] == [ResultOutcome.PROVISIONED]


async def test_the_acknowledgement_comes_after_the_row(world: World) -> None:
    """When the broker is told to let go of a request, another process finds it in the file already."""
    seen: list[str] = []
    delivery = FakeDelivery(make_message())
    delivery.on_ack = lambda: seen.extend(_keys(world.place))
    await world.pipeline.take(delivery, world.lane)
    assert seen == ["order-1"]


def _keys(place: Place) -> list[str]:
    with closing(sqlite3.connect(place.file)) as file:
        return [key for (key,) in file.execute("select idempotency_key from requests")]


async def test_a_delivery_waits_while_the_row_is_being_written(world: World) -> None:
    """No verb is given before the ledger has answered."""
    written = world.ledger.hold("accept")
    delivery = await world.take()
    assert delivery.verbs == []
    written.set()
    await world.calm()
    assert delivery.verbs == ["ack"]


async def test_the_create_does_not_wait_for_the_acknowledgement(world: World) -> None:
    """The delivery is acknowledged while the provider still thinks."""
    answer = world.place.acme.creates.held()
    delivery = await world.take()
    assert (delivery.verbs, (await world.entry()).state) == (["ack"], State.SENDING)
    answer.set_result(make_outcome(Verdict.NOT_DONE))


async def test_the_same_request_again_is_answered_with_the_same_event(world: World) -> None:
    """A repetition opens nothing and publishes the stored event once more, id and bytes alike."""
    await world.take()
    delivery = await world.take(make_message({**make_request(), "id": "another-event"}))
    first, second = world.place.publisher.confirmed
    assert delivery.verbs == ["ack"]
    assert first == second
    assert len(world.place.acme.sent) == 1
    assert world.place.watch.all(Received)[-1].novelty == "same"


async def test_the_newest_event_is_the_one_that_is_repeated(world: World) -> None:
    """Who asks again is told how things stand, not how they once stood, even if both were recorded at once."""
    world.place.acme.creates.then(make_done(missing=("api_key",)))
    await world.take()
    await operate(world, Verb.RESOLVE_CREATED, "A-1")
    world.place.publisher.confirmed.clear()
    await world.take()
    assert [event.data.outcome for event in world.place.results] == [ResultOutcome.PROVISIONED]


async def test_an_end_that_was_overtaken_while_somebody_asked_is_not_repeated(world: World) -> None:
    """Whoever asks again is told what holds when it is told, not what held when the row was looked at."""
    world.place.acme.creates.then(make_done("A-1", missing=("key",)))
    looked_at = await world.ask()
    assert looked_at.state is State.HELD
    await operate(world, Verb.RESOLVE_CREATED, "A-1")
    await world.pipeline.answer_again(looked_at)
    await world.calm()
    assert world.place.results[-1].data.outcome == ResultOutcome.PROVISIONED


async def test_the_same_request_while_it_runs_is_acknowledged_and_not_answered(world: World) -> None:
    """There is no event yet, so none is published; the running create goes on alone."""
    answer = world.place.acme.creates.held()
    await world.take()
    delivery = await world.take()
    assert delivery.verbs == ["ack"]
    assert world.place.publisher.tried == []
    answer.set_result(make_outcome(Verdict.NOT_DONE))
    await world.calm()
    assert len(world.place.acme.sent) == 1


async def test_who_asks_again_while_it_runs_again_is_not_told_the_old_end(world: World) -> None:
    """A request that was refused and is replayed may open an account yet: "nothing will be opened" is not true now."""
    world.place.acme.creates.then(
        make_outcome(Verdict.NOT_DONE), make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST)
    )
    await world.take()
    await operate(world, Verb.REPLAY)
    await world.go_round()
    world.place.publisher.confirmed.clear()
    delivery = await world.take()
    assert ((await world.entry()).state, delivery.verbs) == (State.IN_DOUBT, ["ack"])
    assert world.place.publisher.confirmed == []
    with pytest.raises(NotAllowed, match="is in_doubt again, so its last result is no longer true"):
        await operate(world, Verb.REPUBLISH)


async def test_the_same_key_with_other_content_is_rejected(world: World) -> None:
    """A conflict goes to the dead letters, and neither row nor provider is touched."""
    await world.take()
    delivery = await world.take(make_message(make_request(parameters={"company": "Another"})))
    assert delivery.verbs == ["reject"]
    assert len(await world.entries()) == len(world.place.acme.sent) == 1
    await world.bury(delivery.message)
    assert [fact.novelty for fact in world.place.watch.all(Received)] == ["new", "conflict"]


async def test_a_line_of_the_log_leads_from_the_sender_to_the_request(world: World) -> None:
    """What is told of a request's arrival names the event that asked for it, and the sender's trace."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    await world.take(make_message({**make_request(), "id": "evt-7", "traceparent": trace}))
    (fact,) = world.place.watch.all(Received)
    assert (fact.request_event_id, fact.traceparent) == ("evt-7", trace)
    assert fact.request_id == (await world.entry()).request_id


async def test_the_same_key_of_another_source_is_another_request(world: World) -> None:
    """Identity is source and key together."""
    await world.take()
    await world.take(make_message({**make_request(), "source": "urn:another-shop"}))
    assert len(await world.entries()) == 2


async def test_what_cannot_be_read_is_rejected(world: World) -> None:
    """A message that is no request goes to the dead letters and leaves no row."""
    delivery = await world.take(make_message(b"account please"))
    assert delivery.verbs == ["reject"]
    assert await world.entries() == []
    assert world.lane.in_use == 0


async def test_a_failing_ledger_sends_the_delivery_back_and_closes_the_queues(world: World) -> None:
    """Nothing is acknowledged that is not stored; intake stops until the ledger works again."""
    await world.intake.adjust()
    world.ledger.failing.add("accept")
    delivery = await world.take()
    await world.intake.adjust()
    assert delivery.verbs == ["requeue"]
    assert world.doors.open_now == {}
    assert world.place.watch.all(LedgerChanged, well=False)

    world.ledger.failing.clear()
    await world.go_round()
    await world.intake.adjust()
    again = await world.take()
    assert set(world.doors.open_now) == {"requests.acme", "dead-letters"}
    assert (again.verbs, (await world.entry()).state) == (["ack"], State.PROVISIONED)


async def test_a_row_of_unknown_fate_is_found_again_and_runs_once(world: World) -> None:
    """The ledger stored it and could not say so: the redelivery is the same request, and upkeep runs it."""
    world.ledger.forgetting.add("accept")
    first = await world.take()
    world.ledger.forgetting.clear()
    second = await world.take()
    assert (first.verbs, second.verbs) == (["requeue"], ["ack"])
    for _ in range(5):
        await world.go_round(after=11)
    assert (await world.entry()).state is State.PROVISIONED
    assert len(world.place.acme.sent) == 1


async def test_a_closing_lane_sends_waiting_deliveries_back(place: Place) -> None:
    """Who waits for a slot when the provider is paused goes back untouched; nothing is accepted."""
    async with open_world(place, concurrency=1) as world:
        answer = place.acme.creates.held()
        await world.ask("order-1")
        waiting = await world.take(make_message(make_request("order-2")))
        assert waiting.verbs == []
        world.lane.stop()
        await world.calm()
        assert waiting.verbs == ["requeue"]
        assert [entry.idempotency_key for entry in await world.entries()] == ["order-1"]
        answer.set_result(make_outcome(Verdict.NOT_DONE))


async def test_a_delivery_that_went_back_while_it_waited_is_left_to_its_next_one(place: Place) -> None:
    """Once the broker has it again it is not accepted here: whoever is given it next takes it up."""
    async with open_world(place, concurrency=1) as world:
        answer = place.acme.creates.held()
        await world.ask("order-1")
        waiting = await world.take(make_message(make_request("order-2")))
        waiting.taken_back = True
        answer.set_result(make_outcome(Verdict.NOT_DONE))
        await world.calm()
        assert [entry.idempotency_key for entry in await world.entries()] == ["order-1"]
        assert (waiting.verbs, world.lane.in_use) == ([], 0)


async def test_a_surprise_sets_the_delivery_aside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of our own code rejects the delivery to the dead letters: it is neither dropped nor does it spin."""

    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.place.acme, "complete", broken)
    delivery = await world.take()
    assert delivery.verbs == ["reject"]
    assert world.place.watch.all(Surprised, where="take")
    assert world.lane.in_use == 0


async def test_a_ledger_that_may_not_be_used_sends_the_delivery_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No message is to blame for a ledger that was migrated under a worker, which ends with its next round."""

    async def refused(*_: object) -> None:
        raise ConfigurationError("run `provisioner ledger migrate`")

    monkeypatch.setattr(world.ledger.real, "accept", refused)
    delivery = await world.take()
    assert delivery.verbs == ["requeue"]
    assert not world.gate.well


async def test_a_cancelled_delivery_gives_its_slot_back(world: World) -> None:
    """Whoever ends the task of a delivery does not make the lane narrower for ever."""
    world.ledger.hold("accept")
    await world.take()
    world.taking[0].cancel()
    await world.calm()
    assert world.lane.in_use == 0


UNREADABLE = [
    (make_request(provider="nobody"), "an unknown provider"),
    (make_request(provider="elsewhere"), "a provider that is not configured here"),
    (make_request(parameters={"company": 5}), "parameters against the contract"),
    (make_request(parameters={}), "a missing parameter"),
    ({**make_request(), "type": "account.closed.v1"}, "another type of event"),
]


@pytest.mark.parametrize(("body", "reason"), UNREADABLE, ids=[reason for _, reason in UNREADABLE])
async def test_what_no_provider_can_take_is_rejected(world: World, body: dict[str, Any], reason: str) -> None:
    """Whatever the contract refuses never reaches ledger or provider."""
    delivery = await world.take(make_message(body))
    assert (delivery.verbs, await world.entries()) == (["reject"], []), reason
    assert world.place.acme.prepared == []


async def test_a_request_in_plain_json_is_the_same_as_its_structured_twin(world: World) -> None:
    """How a request is spelled does not make it another one."""
    request = make_request()
    plain = replace(
        make_message(request["data"]),
        content_type="application/json",
        message_id="plain-1",
        app_id="urn:shop",
    )
    await world.take(make_message(request))
    assert (await world.take(plain)).verbs == ["ack"]
    assert len(await world.entries()) == 1

"""Result events: stable ids, valid against the published schemas, and true to the request they answer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

import contracts
from contracts.reason import CATALOGUE, ReasonCode
from contracts.result import TYPE_OF_OUTCOME, Evidence, Outcome, Problem, read_result
from tests.builders import make_done, make_entry, make_message, make_outcome, make_request
from tests.core.operating import REASON, operate
from tests.core.world import SOURCE, World
from tests.fakes import NOON
from worker.core.change import Event
from worker.core.decode import Readable, Refusal
from worker.core.events import EventWriter, event_id, subject_of, subject_of_refusal
from worker.core.provider import Several
from worker.core.sealing import Sealed
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.operations.verbs import Verb

SCHEMAS = Path(contracts.__file__).parent / "schemas"
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


class OpenSealer:
    """Seals nothing, so that a test can read what would be sealed."""

    def seal(self, plain: bytes, context: str) -> Sealed:
        return Sealed(f"{context}|{plain.decode()}")

    def open(self, sealed: Sealed, context: str) -> bytes:
        return sealed.removeprefix(f"{context}|").encode()

    def fingerprint(self, content: bytes) -> str:
        return content.decode()

    def fingerprints(self, content: bytes) -> list[str]:
        return [self.fingerprint(content)]

    def same(self, fingerprint: str, content: bytes) -> bool:
        return fingerprint == content.decode()


WRITER = EventWriter(SOURCE, OpenSealer())
NO_JSON = Refusal(ReasonCode.NOT_JSON, (), Readable(event_id="e"))


def body_of(event: Event) -> dict[str, Any]:
    """The event as its consumer parses it."""
    body: dict[str, Any] = json.loads(WRITER.body_of(event))
    return body


def check_against_schema(body: Mapping[str, Any]) -> None:
    """Refuse what the published schema of the event's type refuses."""
    schema = json.loads((SCHEMAS / f"{body['type']}.json").read_text())
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(body)
    read_result(body)


EVERY_KIND = [
    WRITER.provisioned(
        subject_of(make_entry()),
        NOON,
        account_id="A-1",
        account={"name": "Ünïcode", "tags": [1, None]},
        credentials="a.b.c.d.e",
        missing=("key",),
        evidence=Evidence.LOOK_UP,
    ),
    WRITER.rejected(
        subject_of(make_entry()),
        NOON,
        ReasonCode.NAME_TAKEN,
        problems=(Problem(pointer="/data", message="m"),),
        outcome=make_outcome(Verdict.NOT_DONE, status=409, error_id="taken", message="taken"),
    ),
    WRITER.rejected(subject_of_refusal("letter-1", NO_JSON), NOON, ReasonCode.NOT_JSON),
    WRITER.held(subject_of(make_entry()), NOON, ReasonCode.NO_ANSWER, "A-1"),
    WRITER.abandoned(
        subject_of(make_entry()),
        NOON,
        ReasonCode.ABANDONED_BY_OPERATOR,
        None,
        account_id="A-1",
        account_may_exist=True,
    ),
]


@pytest.mark.parametrize("event", EVERY_KIND, ids=[event.routing_key for event in EVERY_KIND])
def test_every_kind_of_event_fits_its_schema(event: Event) -> None:
    """What is published is what the contract promised, with every field of its data present."""
    body = body_of(event)
    check_against_schema(body)
    schema = json.loads((SCHEMAS / f"{event.event_type}.json").read_text())
    (data,) = (one for name, one in schema["$defs"].items() if name.endswith("Data"))
    assert set(body["data"]) == set(data["properties"])
    assert body["id"] == event.event_id


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_can_be_told(code: ReasonCode) -> None:
    """Each code of the catalogue makes a valid event, with its words."""
    body = body_of(WRITER.held(subject_of(make_entry()), NOON, code))
    check_against_schema(body)
    assert body["data"]["reason"] == {"code": code, "message": CATALOGUE[code].meaning}


def test_event_ids_stay_the_same_over_releases() -> None:
    """A later version that publishes an old result again must not seem to tell of something new."""
    row = "00000000-0000-4000-8000-000000000001"
    assert event_id(row, Outcome.PROVISIONED, 0) == "90e1a66c-f001-56c5-b921-0c1928f2b2bd"


def test_another_death_of_a_letter_is_another_answer() -> None:
    """Reason and problems are part of the id: who has heard of one cause hears of the next one too."""
    problem = Problem(pointer="/data/parameters/name", message="is missing")
    deaths = [
        NO_JSON,
        Refusal(ReasonCode.INVALID_PARAMETERS, ()),
        Refusal(ReasonCode.INVALID_PARAMETERS, (problem,)),
        Refusal(ReasonCode.INVALID_PARAMETERS, (problem,), Readable(event_id="e")),
    ]
    ids = [WRITER.rejected(subject_of_refusal("letter-1", it), NOON, it.reason).event_id for it in deaths]
    assert len(set(ids)) == 3
    assert ids[2] == ids[3]


def test_an_event_id_depends_on_row_outcome_and_occasion_alone() -> None:
    """The same event is built again with the same id, at any time and by anybody; another one has another id."""
    ids = {
        event_id(request, outcome, generation)
        for request in ("r-1", "r-2")
        for outcome in Outcome
        for generation in (0, 1)
    }
    assert len(ids) == 2 * len(Outcome) * 2
    later = WRITER.held(subject_of(make_entry()), NOON.replace(year=2030), ReasonCode.SERVER_ERROR)
    assert later.event_id == EVERY_KIND[3].event_id


SPELLED = [
    ({"subject": "order 7", "correlationid": "c-1"}, ("order 7", "c-1"), "both are copied"),
    ({}, ("key-1", "e-1"), "without them key and id stand in"),
    ({"subject": None, "correlationid": None}, ("key-1", "e-1"), "null is absent"),
]


@pytest.mark.parametrize(("more", "expected", "reason"), SPELLED, ids=[reason for *_, reason in SPELLED])
def test_subject_and_correlation_come_from_the_request(
    more: dict[str, Any], expected: tuple[str, str], reason: str
) -> None:
    """A requester finds its own reference in the answer."""
    entry = make_entry(context={"id": "e-1", **more})
    body = body_of(WRITER.held(subject_of(entry), NOON, ReasonCode.NO_ANSWER))
    assert (body["subject"], body["correlationid"]) == expected, reason
    assert body["causationid"] == "e-1"


async def test_trace_and_correlation_travel_from_the_request_to_the_result(world: World) -> None:
    """From the wire through the ledger to the wire, nothing of the context is lost."""
    context = {
        "traceparent": TRACE,
        "tracestate": "vendor=1",
        "correlationid": "checkout-1",
        "subject": "order/1001",
    }
    await world.take(make_message({**make_request(), **context}))
    (one,) = world.place.publisher.confirmed
    body = json.loads(one.body)
    assert {name: body[name] for name in context} == context
    assert body["causationid"] == "event-of-order-1"
    assert body["source"] == SOURCE
    assert (body["data"]["request_source"], body["data"]["idempotency_key"]) == ("urn:shop", "order-1")


async def test_all_that_a_worker_publishes_fits_the_schemas(world: World) -> None:
    """Whatever becomes of requests, consumers can validate every answer."""
    acme = world.place.acme
    acme.creates.then(make_done("A-1"))
    await world.ask("provisioned")
    acme.creates.then(make_outcome(Verdict.NOT_DONE, status=422, error_id="e", message="no"))
    await world.ask("rejected")
    acme.creates.then(make_outcome(Verdict.IN_DOUBT))
    acme.findings.then(Several(("A-2", "A-3"), {}))
    await world.ask("held")
    await world.go_round(after=16)
    await world.ask("abandoned")
    await operate(world, Verb.ABANDON, key="abandoned")
    await world.ask("dry", dry_run=True)
    await world.bury(make_message(make_request(parameters={})))
    await world.go_round(after=700)
    await world.go_round(after=700)
    bodies = [json.loads(one.body) for one in world.place.publisher.confirmed]
    assert {body["type"] for body in bodies} == set(TYPE_OF_OUTCOME.values())
    for body in bodies:
        check_against_schema(body)
    (abandoned,) = (body for body in bodies if body["type"] == "account.abandoned.v1")
    assert abandoned["data"]["note"] == REASON


async def test_a_new_outcome_after_a_replay_is_a_new_event(world: World) -> None:
    """The second refusal of a replayed request is not taken for a repetition of the first."""
    world.place.acme.creates.then(make_outcome(Verdict.NOT_DONE))
    await world.ask()
    await operate(world, Verb.REPLAY)
    await world.go_round()
    assert (await world.entry()).state is State.REJECTED
    first, second = world.place.results
    assert first.id != second.id


READABLES = st.builds(
    Readable,
    event_id=st.none() | st.text(min_size=1),
    source=st.none() | st.text(min_size=1),
    idempotency_key=st.none() | st.text(min_size=1),
    provider=st.none() | st.text(min_size=1),
    subject=st.none() | st.text(min_size=1),
    correlationid=st.none() | st.text(min_size=1),
    dry_run=st.booleans(),
)


@given(READABLES)
def test_whatever_could_be_read_of_a_message_makes_a_valid_rejection(readable: Readable) -> None:
    """Names from a refused message are repeated as they are, and never break the answer or its routing key."""
    refusal = Refusal(ReasonCode.INVALID_DATA, (), readable)
    event = WRITER.rejected(subject_of_refusal("letter-1", refusal), NOON, refusal.reason)
    body = body_of(event)
    check_against_schema(body)
    assert body["data"]["idempotency_key"] == readable.idempotency_key
    assert event.routing_key.count(".") == 2

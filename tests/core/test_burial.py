"""The dead-letter queue: every message becomes a row with its reason, and its sender is answered where one is known."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode as decode_wire
from pamqp import encode

from contracts.reason import ReasonCode
from contracts.result import AccountRejected
from tests.builders import make_message, make_request
from tests.core.world import World
from tests.fakes import FakeDelivery
from worker.core.broker import Message
from worker.core.burial import is_cut, letter_ids, packed, unpacked
from worker.core.clock import SystemClock
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.decode import Decoded, Limits, Refusal, decode
from worker.core.errors import ConfigurationError
from worker.core.observer import Buried, Surprised
from worker.core.overview import LetterFilter
from worker.core.states import State
from worker.keyring import Keyring, new_key

ENVELOPE = {**make_request(), "data": None}

HOSTILE: list[tuple[Message, ReasonCode, bool, str]] = [
    (make_message(b"\xff\xfe"), ReasonCode.NOT_UTF8, False, "no text"),
    (make_message(b"account please"), ReasonCode.NOT_JSON, False, "no JSON"),
    (make_message(b'{"a": 1, "a": 2}'), ReasonCode.DUPLICATE_JSON_KEY, False, "a key twice"),
    (make_message(b"[" * 200 + b"]" * 200), ReasonCode.TOO_DEEP, False, "nested too deeply"),
    (make_message(b" " * 2_000_000), ReasonCode.TOO_LARGE, False, "too large"),
    (make_message(b'{"a": NaN}'), ReasonCode.NOT_FINITE_NUMBER, False, "no number"),
    (make_message(b"[]"), ReasonCode.INVALID_DATA, False, "no object"),
    (make_message(ENVELOPE), ReasonCode.INVALID_DATA, True, "no data"),
    (
        make_message({**make_request(), "specversion": "9"}),
        ReasonCode.INVALID_ENVELOPE,
        True,
        "another version",
    ),
    (make_message(make_request(provider="nobody")), ReasonCode.UNKNOWN_PROVIDER, True, "an unknown provider"),
    (make_message(make_request(provider="elsewhere")), ReasonCode.PROVIDER_NOT_CONFIGURED, True, "not here"),
    (make_message(make_request(provider="a.b")), ReasonCode.INVALID_DATA, True, "a forged routing key"),
    (
        make_message(make_request(parameters={"x": 1})),
        ReasonCode.INVALID_PARAMETERS,
        True,
        "wrong parameters",
    ),
    (
        make_message(b"nonsense", headers={"ce-id": "e", "x-death": [{"count": 3}], "odd": {"a": b"\xff"}}),
        ReasonCode.NOT_JSON,
        False,
        "strange headers",
    ),
    (
        make_message(b"nonsense", routing_key="a\x00b\n", message_id="\x07"),
        ReasonCode.NOT_JSON,
        False,
        "bells",
    ),
]


async def letters(world: World) -> list[DeadLetter]:
    """All dead letters."""
    return list(await world.ledger.real.dead_letters(LetterFilter()))


@pytest.mark.parametrize(
    ("message", "code", "answered", "reason"), HOSTILE, ids=[reason for *_, reason in HOSTILE]
)
async def test_a_hostile_message_becomes_one_row_with_its_reason(
    world: World,
    message: Message,
    code: ReasonCode,
    answered: bool,
    reason: str,
) -> None:
    """The row says what is wrong, the delivery is acknowledged, and the sender is answered if anything named them."""
    delivery = await world.bury(message)
    (letter,) = await letters(world)
    assert delivery.verbs == ["ack"]
    assert (letter.reason, letter.state, letter.size) == (code, "open", len(message.body)), reason
    assert letter.problems
    assert len(world.place.results) == int(answered)
    for event in world.place.results:
        assert isinstance(event, AccountRejected)
        assert event.data.reason.code == code
        assert event.data.request_id == letter.dead_letter_id
        assert event.causationid == "event-of-order-1"
    assert [fact.reason for fact in world.place.watch.all(Buried)] == [code]


NAMED = {"ce-id": "e-1", "ce-source": "urn:shop", "ce-specversion": "1.0", "ce-type": "account.requested.v1"}
PLAINLY: dict[str, Any] = {"content_type": "application/json", "message_id": "e-1", "app_id": "urn:shop"}
WHOLE = json.dumps({**make_request(), "id": "e-1"}).encode()[:-1]
Told = tuple[str | None, str | None, str | None]
SPOILED: list[tuple[Message, Told, str]] = [
    (
        make_message(b"\xff", content_type=None, headers=NAMED),
        ("e-1", "urn:shop", None),
        "no text, named by headers",
    ),
    (
        make_message(b" " * 2_000_000, content_type="application/json", headers=NAMED),
        ("e-1", "urn:shop", None),
        "too large, named by headers",
    ),
    (make_message(b"{", **PLAINLY), ("e-1", "urn:shop", None), "no JSON, named by properties"),
    (make_message(b"[]", **PLAINLY), ("e-1", "urn:shop", None), "no object, named by properties"),
    (make_message(WHOLE + b', "x": NaN}'), ("e-1", "urn:shop", "order-1"), "NaN beside the envelope"),
    (make_message(WHOLE + b', "x": 1, "x": 2}'), ("e-1", "urn:shop", "order-1"), "a key twice beside it"),
    (
        make_message(WHOLE + b', "x": ' + b"[" * 50 + b"]" * 50 + b"}"),
        ("e-1", "urn:shop", "order-1"),
        "too deep",
    ),
    (
        make_message(WHOLE + b', "id": "e-2"}'),
        (None, "urn:shop", "order-1"),
        "two ids, of which none is taken",
    ),
]


@pytest.mark.parametrize(("message", "told", "reason"), SPOILED, ids=[reason for *_, reason in SPOILED])
async def test_the_sender_of_a_body_that_cannot_be_read_is_answered_where_it_is_named(
    world: World, message: Message, told: Told, reason: str
) -> None:
    """Headers, properties or an envelope that can be read in spite of all name the sender; nothing else is guessed."""
    await world.bury(message)
    (event,) = world.place.results
    assert isinstance(event, AccountRejected)
    assert (event.causationid, event.data.request_source, event.data.idempotency_key) == told, reason


UNNAMED: list[tuple[Message, str]] = [
    (make_message(b"{", message_id="m-1", app_id="urn:shop"), "structured: its envelope is in the body"),
    (make_message(b"{", content_type=None, headers={**NAMED, "cloudEvents:id": "e-2"}), "two spellings"),
    (make_message(b"{", content_type="application/cloudevents-batch+json", headers=NAMED), "a batch"),
    (make_message(b"{", content_type="application/json", app_id="urn:shop"), "a source and nothing else"),
    (
        make_message(WHOLE[:-20], **PLAINLY),
        "structured, cut, and called plain: its properties are not its names",
    ),
]


@pytest.mark.parametrize(("message", "reason"), UNNAMED, ids=[reason for _, reason in UNNAMED])
async def test_who_is_named_nowhere_for_certain_is_not_answered(
    world: World, message: Message, reason: str
) -> None:
    """The dead letter is kept with its reason; an answer that names the wrong message would be worse than none."""
    await world.bury(message)
    assert (len(await letters(world)), world.place.results) == (1, []), reason


async def test_the_id_that_a_replay_gives_a_message_does_not_name_it(world: World) -> None:
    """A message without an id that nobody can read is not answered after its replay either: its sender knows no id."""
    await world.bury(make_message(b"{", content_type="application/json"))
    (letter,) = await letters(world)
    replayed, now = LetterState.REPLAYED, world.clock.now()
    await world.ledger.real.change_dead_letter(letter.dead_letter_id, replayed, "ada", "again", now)
    await world.bury(make_message(b"{", content_type="application/json", message_id=letter.dead_letter_id))
    assert (len(await letters(world)), world.place.results) == (1, [])


async def test_the_acknowledgement_comes_after_the_row(world: World) -> None:
    """A dead letter leaves the broker when it lies in the ledger, not before."""
    world.ledger.hold("bury")
    delivery = FakeDelivery(make_message(b"nonsense"))
    burying = world.desk.tasks.start(world.burial.bury(delivery), "bury")
    await world.calm()
    assert (delivery.verbs, burying.done()) == ([], False)
    world.ledger.hold("bury").set()
    await burying
    assert delivery.verbs == ["ack"]


async def test_a_failing_ledger_sends_the_dead_letter_back(world: World) -> None:
    """It stays in its queue until it can be kept, and intake stops."""
    world.ledger.failing.add("bury")
    delivery = await world.bury(make_message(b"nonsense"))
    assert delivery.verbs == ["requeue"]
    assert not world.gate.well


@pytest.mark.parametrize("step", ["accept", "bury"])
async def test_a_ledger_that_may_not_be_used_sends_the_dead_letter_back(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """No message is to blame for that: none becomes a row, nobody is answered, and intake stops."""

    async def refused(*_: object) -> None:
        raise ConfigurationError("run `provisioner ledger migrate`")

    monkeypatch.setattr(world.ledger.real, step, refused)
    delivery = await world.bury(make_message() if step == "accept" else make_message(b"nonsense"))
    assert (delivery.verbs, await letters(world), world.place.results) == (["requeue"], [], [])
    assert not world.gate.well


async def test_the_same_dead_letter_twice_is_one_row_and_the_very_same_event(world: World) -> None:
    """A redelivery adds nothing; the sender is answered with the stored event, bytes and all."""
    message = make_message(make_request(parameters={}))
    await world.bury(message)
    await world.pass_time(60)
    delivery = await world.bury(message)
    assert delivery.verbs == ["ack"]
    assert len(await letters(world)) == 1
    first, second = world.place.publisher.confirmed
    assert first == second


async def test_two_bad_requests_are_two_rows(world: World) -> None:
    """What differs in id or content is another message."""
    await world.bury(make_message(b"nonsense", message_id="1"))
    await world.bury(make_message(b"nonsense", message_id="2"))
    await world.bury(make_message(b"nonsense!", message_id="1"))
    assert len(await letters(world)) == 3


async def test_an_unconfirmed_rejection_is_published_later(world: World) -> None:
    """The answer to a bad request is as certain as any other result."""
    world.place.publisher.failure = "not confirmed"
    await world.bury(make_message(make_request(parameters={})))
    world.place.publisher.failure = None
    await world.go_round(after=11)
    assert len(world.place.results) == 1


@pytest.mark.parametrize("closed", [False, True], ids=["open", "discarded"])
async def test_an_unconfirmed_rejection_is_published_later_the_second_time_too(
    world: World, *, closed: bool
) -> None:
    """Whoever sends the same bad message again is answered as certainly as the first time."""
    message = make_message(make_request(parameters={}))
    await world.bury(message)
    if closed:
        (letter,) = await letters(world)
        now = world.clock.now()
        await world.ledger.change_dead_letter(
            letter.dead_letter_id, LetterState.DISCARDED, "olivia", "seen", now
        )
    world.place.publisher.failure = "not confirmed"
    await world.pass_time(60)
    await world.bury(message)
    world.place.publisher.failure = None
    await world.go_round(after=11)
    first, second = world.place.publisher.confirmed
    assert first == second


async def test_a_good_request_among_the_dead_letters_runs(world: World) -> None:
    """What came here by a mistyped routing key or a crash loop is not lost: upkeep opens its one account."""
    delivery = await world.bury(make_message(routing_key="request.typo"))
    assert (delivery.verbs, await letters(world)) == (["ack"], [])
    await world.go_round()
    assert (await world.entry()).state is State.PROVISIONED
    assert len(world.place.acme.sent) == 1


async def test_a_known_request_among_the_dead_letters_is_answered_again(world: World) -> None:
    """The same request is the same wherever it turns up."""
    await world.take()
    await world.bury(make_message())
    assert len(world.place.acme.sent) == 1
    first, second = world.place.publisher.confirmed
    assert first == second


async def test_a_conflict_becomes_a_row_and_an_answer(world: World) -> None:
    """The sender of other content under a used key is told, and pointed at the request that has it."""
    await world.take()
    world.place.publisher.confirmed.clear()
    conflicting = make_message(make_request(parameters={"company": "Another"}))
    assert (await world.take(conflicting)).verbs == ["reject"]
    await world.bury(conflicting)
    (letter,) = await letters(world)
    (event,) = world.place.results
    assert letter.reason is ReasonCode.IDEMPOTENCY_CONFLICT
    assert isinstance(event, AccountRejected)
    assert event.data.reason.code == ReasonCode.IDEMPOTENCY_CONFLICT
    assert (await world.entry()).request_id in event.data.problems[0].message
    assert (event.data.idempotency_key, event.data.provider) == ("order-1", "acme")


DATA = json.dumps(make_request(parameters={"company": "Another"})["data"]).encode()
FORMS: list[tuple[Message, str, str]] = [
    (
        make_message(make_request(parameters={"company": "Another"})),
        "/data/idempotency_key",
        "the key stands in the data of the body",
    ),
    (
        make_message(DATA, content_type="application/json", message_id="e-2", app_id="urn:shop"),
        "/idempotency_key",
        "the body is the data",
    ),
]


@pytest.mark.parametrize(("message", "pointer", "reason"), FORMS, ids=[reason for *_, reason in FORMS])
async def test_the_pointer_of_a_conflict_leads_to_the_key_in_the_body(
    world: World, message: Message, pointer: str, reason: str
) -> None:
    """Whichever form the message has, its sender finds the key where the problem says."""
    await world.take()
    await world.bury(message)
    (letter,) = await letters(world)
    assert letter.reason is ReasonCode.IDEMPOTENCY_CONFLICT
    assert [problem["pointer"] for problem in letter.problems] == [pointer], reason


SURPRISES = [("complete", "the provider's module breaks"), ("same", "an old key is gone")]


@pytest.mark.parametrize(("what", "reason"), SURPRISES, ids=[reason for _, reason in SURPRISES])
async def test_a_message_that_breaks_our_own_code_becomes_a_row(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str, reason: str
) -> None:
    """Whatever it does to us, it neither spins nor gets lost: a person finds it with its reason."""
    await world.take()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.place.acme if what == "complete" else world.place.keyring, what, broken)
    delivery = await world.take()
    assert delivery.verbs == ["reject"]
    delivery = await world.bury(make_message())
    (letter,) = await letters(world)
    assert (delivery.verbs, letter.reason) == (["ack"], ReasonCode.INTERNAL_ERROR), reason
    assert world.place.watch.all(Surprised, where="bury")
    assert len(world.place.acme.sent) == 1


async def test_a_dead_letter_remembers_the_queue_it_died_in(world: World) -> None:
    """The broker's own word on where it came from is kept for the operator."""
    died = {"x-first-death-queue": "provisioning.requests.acme"}
    await world.bury(make_message(b"nonsense", queue="dead-letters", headers=died))
    assert (await letters(world))[0].queue == "provisioning.requests.acme"


async def test_a_replayed_dead_letter_that_dies_again_is_open_again(world: World) -> None:
    """An operator's replay that failed does not vanish into a closed row."""
    message = make_message(make_request(parameters={}))
    await world.bury(message)
    (letter,) = await letters(world)
    now = world.clock.now()
    await world.ledger.real.change_dead_letter(
        letter.dead_letter_id, LetterState.REPLAYED, "ada", "fixed", now
    )
    await world.bury(message)
    assert [one.state for one in await letters(world)] == ["open"]


async def bury_again(world: World, message: Message) -> None:
    """Bury a message, and once more after its row was closed, told and pruned."""
    await world.bury(message)
    (letter,) = await letters(world)
    now = world.clock.now()
    await world.ledger.real.change_dead_letter(
        letter.dead_letter_id, LetterState.DISCARDED, "ada", "nonsense", now
    )
    await world.pass_time(60)
    assert await world.ledger.real.prune(world.clock.now(), 10) == 1
    await world.bury(message)


async def test_a_dead_letter_that_comes_again_after_it_was_pruned_is_answered_alike(world: World) -> None:
    """Its content was erased, and with it the stored event: the same one is built again, bytes and all."""
    await bury_again(world, make_message(make_request(parameters={})))
    first, second = world.place.publisher.confirmed
    assert first == second


async def test_a_dead_letter_that_comes_again_after_a_new_key_is_the_same_one(world: World) -> None:
    """Its id is a digest under the newest key of its day, and it is known by it as long as that key is kept."""
    message = make_message(make_request(parameters={}))
    await world.bury(message)
    await world.pass_time(1)
    keys = world.place.keyring
    old = next(iter(keys._keys.values()))
    newer = Keyring([new_key(world.clock.now())], world.clock)
    keys._keys = {**newer._keys, old.key_id: old}
    await world.bury(message)
    assert len(await letters(world)) == 1
    first, second = world.place.publisher.confirmed
    assert first == second


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
HEADERS = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(-(2**60), 2**60), st.booleans()), max_size=4)
MESSAGES = st.builds(
    Message,
    body=st.binary(max_size=60),
    queue=st.just(""),
    routing_key=TEXT,
    headers=HEADERS.map(lambda headers: {k: v for k, v in headers.items() if not k.startswith("x-")}),
    content_type=st.none() | TEXT,
    message_id=st.none() | TEXT,
    correlation_id=st.none() | TEXT,
    app_id=st.none() | TEXT,
    type=st.none() | TEXT,
    timestamp=st.none() | st.datetimes(timezones=st.just(UTC)),
)


@given(MESSAGES)
def test_a_packed_message_is_unpacked_unchanged(message: Message) -> None:
    """What a replay publishes is what once came in."""
    assert unpacked(packed(message)) == message


async def test_of_a_body_that_is_far_too_large_only_the_beginning_is_kept(world: World) -> None:
    """Its row says that it was cut, and how large it was; its id is still that of the whole message."""
    one, other = (make_message(b"x" * 4_194_304 + end, message_id="m") for end in (b"1", b"2"))
    await world.bury(one)
    await world.bury(other)
    await world.bury(one)
    ids = [letter_ids(message, world.place.keyring)[0] for message in (one, other)]
    rows = {letter.dead_letter_id: letter for letter in await letters(world)}
    assert rows.keys() == set(ids)
    first = rows[ids[0]]
    stored = world.place.keyring.open(first.sealed_message, f"dead_letter:{first.dead_letter_id}")
    assert (is_cut(stored), first.size, unpacked(stored).body) == (True, 4_194_305, b"x" * 4096)
    assert len(first.sealed_message) < 10_000


@pytest.mark.parametrize("size", [1_000_000, 4_194_304], ids=["no JSON", "too large for a request"])
async def test_a_body_that_the_shipped_broker_lets_through_is_kept_whole(world: World, size: int) -> None:
    """Whatever it died of; larger limits of the worker may make it a request yet."""
    await world.bury(make_message(b"x" * size))
    (letter,) = await letters(world)
    stored = world.place.keyring.open(letter.sealed_message, f"dead_letter:{letter.dead_letter_id}")
    assert (is_cut(stored), len(unpacked(stored).body)) == (False, size)


def test_the_brokers_own_headers_are_left_out() -> None:
    """A replay must not look to the broker like a cycle of dead letters."""
    message = make_message(headers={"x-death": "1", "x-first-death-queue": "q", "tenant": "t"})
    assert unpacked(packed(message)).headers == {"tenant": "t"}


def test_headers_that_nobody_reads_are_kept_where_they_are_plain() -> None:
    """A list would come back as something else, and a `CC` that is no list is refused by the broker."""
    message = make_message(
        headers={"tenant": bytearray(b"t"), "weight": 0.1, "tries": 3, "CC": ["elsewhere"]}
    )
    assert unpacked(packed(message)).headers == {"tenant": "t", "weight": "0.1", "tries": 3}


SPOKEN = {"id": "e-1", "source": "urn:shop", "specversion": "1.0", "type": "account.requested.v1"}
BINARY: dict[str, Any] = {f"ce-{name}": value for name, value in SPOKEN.items()}
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NATIVE: list[tuple[dict[str, Any], str]] = [
    ({name: value.encode() for name, value in BINARY.items()}, "bytes"),
    ({name: bytearray(value.encode()) for name, value in BINARY.items()}, "byte arrays"),
    ({**BINARY, "ce-time": NOON}, "a native time"),
    ({**BINARY, "ce-expirytime": bytearray(b"2026-11-21T12:00:00Z")}, "a deadline as a byte array"),
    ({**BINARY, "ce-size": 1e300}, "a number that no single precision holds"),
    ({**BINARY, "ce-tags": ["a"], "ce-nothing": None}, "a list and nothing in extensions"),
]


@pytest.mark.parametrize(("headers", "reason"), NATIVE, ids=[reason for _, reason in NATIVE])
def test_a_binary_request_reads_the_same_after_a_replay(headers: dict[str, Any], reason: str) -> None:
    """AMQP gives header values as bytes or times, too; they are not lost on the way through a dead letter."""
    body = json.dumps(make_request()["data"]).encode()
    message = make_message(body, content_type="application/json", headers=headers)
    before, after = decode(message, Limits()), decode(unpacked(packed(message)), Limits())
    assert isinstance(before, Decoded)
    assert after == before, reason


@pytest.mark.parametrize("deadline", [["soon"], Decimal(5), {"at": "noon"}], ids=["list", "decimal", "table"])
def test_a_deadline_that_cannot_be_read_does_not_vanish_by_a_replay(deadline: Any) -> None:
    """The request is refused as before, not run without its deadline."""
    body = json.dumps(make_request()["data"]).encode()
    message = make_message(
        body, content_type="application/json", headers={**BINARY, "ce-expirytime": deadline}
    )
    before, after = decode(message, Limits()), decode(unpacked(packed(message)), Limits())
    assert isinstance(before, Refusal)
    assert after == before


WIRE: st.SearchStrategy[Any] = st.recursive(
    TEXT
    | st.booleans()
    | st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=20)
    | st.binary(max_size=20).map(bytearray)
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


HEADER_TABLES = st.dictionaries(
    st.sampled_from(["ce-id", "ce-size", "source", "tenant", "CC"]) | TEXT, WIRE, max_size=4
)
KEYS = Keyring([new_key(NOON)], SystemClock())


@given(HEADER_TABLES)
def test_whatever_a_header_holds_can_be_sent_again(headers: dict[str, Any]) -> None:
    """The client library takes all that is kept, and gives the same back: another replay is of the same letter."""
    message = make_message(headers=headers)
    again = unpacked(packed(message))
    sent = encode.field_table(dict(again.headers))  # type: ignore[arg-type]  # that it is so is what is tested
    received = replace(again, headers=decode_wire.field_table(sent)[1])
    assert received.headers == again.headers
    assert letter_ids(received, KEYS) == letter_ids(message, KEYS)

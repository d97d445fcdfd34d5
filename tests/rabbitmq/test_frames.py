"""Mending: what the client library cannot read is taken out, the rest arrives; no broker needed."""

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import constants
from pamqp import frame as pamqp_frame
from pamqp.commands import Basic, Connection
from pamqp.header import ContentHeader

from tests.rabbitmq.rig import long_text, moment, nested, properties, table, text, values
from worker.rabbitmq import frames

FINE = (b"k", long_text(b"v"))


@dataclass(frozen=True)
class Case:
    """Properties as they lie on the wire, and what must be left of them."""

    reason: str
    raw: bytes
    left: dict[str, object]


CASES = [
    Case("nothing at all", properties(), {}),
    Case(
        "latin-1 in a property keeps its ASCII",
        properties(correlation_id=text(b"caf\xe9")),
        {"correlation_id": "caf?"},
    ),
    Case(
        "latin-1 in every text",
        properties(content_type=text(b"\xff"), app_id=text(b"\xfe")),
        {"content_type": "?", "app_id": "?"},
    ),
    Case(
        "a date past the year 9999",
        properties(timestamp=moment(1_700_000_000_000_000), message_id=text(b"m")),
        {"message_id": "m"},
    ),
    Case("the last date of all", properties(timestamp=moment(2**64 - 1)), {}),
    Case("a good date stays", properties(timestamp=moment(0)), {"timestamp": "1970-01-01 00:00:00+00:00"}),
    Case(
        "a header's name is latin-1",
        properties(headers=table((b"\xe9", b"V"), FINE)),
        {"headers": {"k": "v"}},
    ),
    Case(
        "a header's value is latin-1",
        properties(headers=table((b"k", long_text(b"\xe9")))),
        {"headers": {"k": b"\xe9"}},
    ),
    Case(
        "a header's date is past the year 9999",
        properties(headers=table((b"t", b"T" + moment(2**63)), FINE)),
        {"headers": {"k": "v"}},
    ),
    Case(
        "a list nested too deep",
        properties(headers=table((b"l", nested(700)), FINE)),
        {"headers": {"k": "v"}},
    ),
    Case(
        "a large list nested too deep arrives empty",
        properties(headers=table((b"l", nested(5000)), FINE)),
        {"headers": {"l": [], "k": "v"}},
    ),
    Case(
        "a large list arrives empty, as pamqp takes a second for it",
        properties(headers=table((b"l", values(b"A", 130_000 * b"V")), FINE)),
        {"headers": {"l": [], "k": "v"}},
    ),
    Case(
        "small lists and tables arrive empty where they are many",
        properties(
            headers=table(
                *((b"%d" % number, values(b"A", 40 * b"V")) for number in range(2000)),
                (b"t", values(b"F", b"\x01kV")),
                FINE,
            )
        ),
        {"headers": {str(number): [] for number in range(2000)} | {"t": {}, "k": "v"}},
    ),
    Case(
        "a small list keeps what is in it",
        properties(headers=table((b"l", values(b"A", b"Vt\x01")), FINE)),
        {"headers": {"l": [None, True], "k": "v"}},
    ),
    Case(
        "a type of value nobody knows ends the headers",
        properties(headers=table(FINE, (b"z", b"Zxx"))),
        {"headers": {"k": "v"}},
    ),
    Case(
        "a bad date beside good headers",
        properties(headers=table(FINE), timestamp=moment(2**64 - 1)),
        {"headers": {"k": "v"}},
    ),
    Case("a second word of flags", struct.pack(">HH", 0x8001, 0) + text(b"\xff"), {}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_what_cannot_be_read_is_taken_out(case: Case) -> None:
    """The mended frame is as long as before, the client library reads it, and the rest is still there."""
    payload = _header(case.raw)
    mended = frames.mend(constants.FRAME_HEADER, payload)
    assert len(mended) == len(payload)
    found = _read(mended)
    assert {name: found[name] for name in case.left} == case.left
    assert {name for name, value in found.items() if value} == {
        name for name, value in case.left.items() if value
    }


def test_readable_frame_is_not_touched() -> None:
    """Mending costs nothing but a look where there is nothing to mend."""
    chosen = Basic.Properties(
        content_type="a/b", headers={"k": [1, {"n": None}]}, delivery_mode=2, message_id="m"
    )
    payload = ContentHeader(0, 5, chosen).marshal()
    assert frames.mend(constants.FRAME_HEADER, payload) is payload


def test_large_frame_without_lists_keeps_every_byte() -> None:
    """Only what pamqp is slow at is changed: many headers, long texts and every other property arrive as they are."""
    headers = [(b"%d" % number, long_text(100 * b"x")) for number in range(1000)]
    raw = properties(content_type=text(b"a/b"), headers=table(*headers, FINE), message_id=text(b"m"))
    assert frames.mend(constants.FRAME_HEADER, _header(raw)) == _header(raw)


def test_of_headers_of_one_name_the_last_is_read() -> None:
    """As pamqp reads them, for which thousands of one name are as slow as a list; the frame keeps its length."""
    payload = _header(properties(headers=table(*(20_000 * [(b"k", b"t\x00")]), (b"k", b"t\x01"))))
    mended = frames.mend(constants.FRAME_HEADER, payload)
    assert (len(mended), _read(mended)["headers"]) == (len(payload), {"k": True})
    assert mended.rstrip(b"\0") == _header(properties(headers=table((b"k", b"t\x01"))))


_SHORT = st.binary(max_size=40).map(text)
_VALUES = st.one_of(
    st.binary(max_size=30).map(long_text),
    st.integers(0, 2**64 - 1).map(lambda seconds: b"T" + moment(seconds)),
    st.sampled_from([b"V", b"t\x01", b"I\xff\xff\xff\xff", b"d" + b"\x7f\xf0" + bytes(6), nested(3)]),
)
_TABLES = st.lists(st.tuples(st.binary(max_size=10), _VALUES), max_size=4).map(
    lambda entries: table(*entries)
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "content_type": _SHORT,
            "headers": _TABLES,
            "delivery_mode": st.binary(min_size=1, max_size=1),
            "priority": st.binary(min_size=1, max_size=1),
            "correlation_id": _SHORT,
            "expiration": _SHORT,
            "message_id": _SHORT,
            "timestamp": st.integers(0, 2**64 - 1).map(moment),
            "message_type": _SHORT,
            "app_id": _SHORT,
            "cluster_id": _SHORT,
        },
    )
)
def test_any_well_formed_header_can_be_read_after_mending(raw: dict[str, bytes]) -> None:
    """Whatever a publisher put into its properties, the frame keeps its length and is read."""
    payload = _header(properties(**raw))
    mended = frames.mend(constants.FRAME_HEADER, payload)
    assert len(mended) == len(payload)
    _read(mended)


@given(st.binary(max_size=255), st.binary(max_size=255))
def test_any_exchange_and_routing_key_can_be_read_after_mending(exchange: bytes, key: bytes) -> None:
    """The key is the publisher's too: through the alternate exchange anything reaches the dead letters."""
    payload = (
        struct.pack(">HH", 60, 60) + text(b"tag") + struct.pack(">QB", 7, 1) + text(exchange) + text(key)
    )
    mended = frames.mend(constants.FRAME_METHOD, payload)
    assert len(mended) == len(payload)
    head = struct.pack(">BHI", constants.FRAME_METHOD, 1, len(mended))
    deliver = pamqp_frame.unmarshal(head + mended + bytes([constants.FRAME_END]))[2]
    assert isinstance(deliver, Basic.Deliver)
    assert (deliver.consumer_tag, deliver.delivery_tag, deliver.redelivered) == ("tag", 7, True)
    assert len((deliver.routing_key or "").encode()) == len(key)


def test_farewell_is_heard() -> None:
    """Code and text of a Connection.Close, which the client library hides while it connects."""
    close = Connection.Close(530, "NOT_ALLOWED - vhost x not found", 10, 40)
    payload = Connection.Close.index.to_bytes(4, "big") + close.marshal()
    assert frames.farewell(constants.FRAME_METHOD, payload) == (530, "NOT_ALLOWED - vhost x not found")
    assert frames.farewell(constants.FRAME_HEADER, payload) is None


def test_blocking_and_unblocking_are_heard() -> None:
    """The reason of an alarm, "" at its end, None for every other frame."""
    blocked = Connection.Blocked.index.to_bytes(4, "big") + Connection.Blocked("low on memory").marshal()
    unblocked = Connection.Unblocked.index.to_bytes(4, "big")
    assert frames.blocking(constants.FRAME_METHOD, blocked) == "low on memory"
    assert frames.blocking(constants.FRAME_METHOD, unblocked) == ""
    assert frames.blocking(constants.FRAME_METHOD, Basic.Ack.index.to_bytes(4, "big")) is None


def _header(raw: bytes) -> bytes:
    return struct.pack(">HHQ", 60, 0, 2) + raw


def _read(payload: bytes) -> dict[str, object]:
    header = ContentHeader()
    header.unmarshal(payload)
    assert header.body_size == 2
    found = {name: getattr(header.properties, name) for name in Basic.Properties.__slots__}
    return found | {"timestamp": str(found["timestamp"]) if found["timestamp"] else None}

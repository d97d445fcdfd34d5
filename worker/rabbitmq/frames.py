"""Frames as the broker sent them, mended where the client library could not read them.

A publisher may put into a message what is no UTF-8 (properties, header names, the routing key), dates past the year
9999 and headers nested a thousand deep. RabbitMQ passes all of it on. pamqp raises, and aiormq then drops the whole
connection: the message comes back, and again, so one bad message would stop every queue for ever. Mending loses only
what could not be read and keeps the length of the frame; a frame that can be read is not touched.

But for a large one, which may stop the loop: for each value pamqp copies all that follows, so that a list of 131000
nothings takes it up to a second. There lists and tables arrive empty, and of headers of one name only the last, which
is the one that counts. Nobody reads what is in a list or a table: as an attribute both are wrong, whatever they hold,
and `x-death` is for people.
"""

import struct
from collections.abc import Iterator

from pamqp import constants, decode
from pamqp.commands import Basic, Connection
from pamqp.header import ContentHeader

_UNREADABLE = (ValueError, ArithmeticError, OSError, RecursionError, LookupError, TypeError, struct.error)
_NOT_ASCII = bytes(byte if byte < 0x80 else ord("?") for byte in range(256))

# The fourteen properties in the order of their flags, the highest bit first (AMQP 0-9-1, 4.2.6.1).
_KINDS = (
    "shortstr",  # content type
    "shortstr",  # content encoding
    "table",  # headers
    "octet",  # delivery mode
    "octet",  # priority
    "shortstr",  # correlation id
    "shortstr",  # reply to
    "shortstr",  # expiration
    "shortstr",  # message id
    "timestamp",
    "shortstr",  # type
    "shortstr",  # user id
    "shortstr",  # app id
    "shortstr",  # cluster id
)
_SIZES = {b"tbB": 1, b"su": 2, b"Iif": 4, b"lLdT": 8, b"D": 5, b"V\0": 0}
_FIXED = {bytes([letter]): size for letters, size in _SIZES.items() for letter in letters}
_COUNTED = (b"S", b"A", b"F", b"x")
_OF_VALUES = (b"A", b"F")

_LARGE = 4096
"""Bytes of properties that pamqp reads in a few milliseconds, whatever they are."""


def mend(kind: int, payload: bytes) -> bytes:
    """The payload of a frame, readable: the same bytes where it is so already, else as many."""
    if kind == constants.FRAME_HEADER:
        return payload if len(payload) <= _LARGE and _readable(payload) else _mend_header(payload)
    if kind == constants.FRAME_METHOD and _method(payload) == Basic.Deliver.index:
        return _mend_deliver(payload)
    return payload


def farewell(kind: int, payload: bytes) -> tuple[int, str] | None:
    """Reply code and text, where the frame closes the connection: aiormq hides them while it connects."""
    if kind != constants.FRAME_METHOD or _method(payload) != Connection.Close.index:
        return None
    return int.from_bytes(payload[4:6], "big"), payload[7 : 7 + payload[6]].decode(errors="replace")


def blocking(kind: int, payload: bytes) -> str | None:
    """Why the broker stops listening to publishers from now on, "" where it listens again, else None."""
    if kind != constants.FRAME_METHOD:
        return None
    if _method(payload) == Connection.Blocked.index:
        return payload[5 : 5 + payload[4]].decode(errors="replace") or "no reason given"
    return "" if _method(payload) == Connection.Unblocked.index else None


def _method(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "big")


def _readable(payload: bytes) -> bool:
    try:
        ContentHeader().unmarshal(payload)
    except _UNREADABLE:
        return False
    return True


def _mend_deliver(payload: bytes) -> bytes:
    """Consumer tag, delivery tag (8) and redelivered (1) are ours or numbers; exchange and key are the publisher's."""
    exchange_at = 4 + 1 + payload[4] + 9
    key_at = exchange_at + 1 + payload[exchange_at]
    return payload[:exchange_at] + _mend_text(payload[exchange_at:key_at]) + _mend_text(payload[key_at:])


def _mend_header(payload: bytes) -> bytes:
    """Class, weight and body size (12 bytes), flags (2), then the properties; what cannot be kept loses its flag."""
    given = int.from_bytes(payload[12:14], "big")
    flags, kept = 0, b""
    if not given & 1:  # the last bit announces a second word of flags, which AMQP 0-9-1 has no use for
        for flag, raw in _properties(given, payload[14:]):
            flags |= flag
            kept += raw
    return (payload[:12] + flags.to_bytes(2, "big") + kept).ljust(len(payload), b"\0")


def _properties(given: int, raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Flag and bytes of each property that can be read, if need be after mending."""
    for place, kind in enumerate(_KINDS):
        flag = 1 << (15 - place)
        if given & flag:
            size = _size(kind, raw)
            mended = _mend_property(kind, raw[:size])
            raw = raw[size:]
            if mended is not None:
                yield flag, mended


def _size(kind: str, raw: bytes) -> int:
    match kind:
        case "shortstr":
            return 1 + raw[0]
        case "table":
            return 4 + int.from_bytes(raw[:4], "big")
        case "timestamp":
            return 8
        case _:
            return 1


def _mend_property(kind: str, raw: bytes) -> bytes | None:
    match kind:
        case "shortstr":
            return _mend_text(raw)
        case "table":
            return _mend_table(raw)
        case "timestamp":
            return raw if _decodes(b"T" + raw) else None
        case _:
            return raw


def _mend_text(raw: bytes) -> bytes:
    """A length byte and text: what is no UTF-8 keeps its length and its ASCII."""
    try:
        raw[1:].decode()
    except UnicodeDecodeError:
        return raw[:1] + raw[1:].translate(_NOT_ASCII)
    return raw


def _mend_table(raw: bytes) -> bytes:
    """The headers one by one, without those whose name or value cannot be read; of one name the last, as in a dict."""
    is_large = len(raw) > _LARGE
    entries = ((name, _emptied(value) if is_large else value) for name, value in _entries(raw[4:]))
    readable = {name: value for name, value in entries if _utf8(name[1:]) and _decodes(value)}
    kept = b"".join(name + value for name, value in readable.items())
    return len(kept).to_bytes(4, "big") + kept


def _emptied(value: bytes) -> bytes:
    """A list or a table without what is in it; another value as it is."""
    return value[:1] + bytes(4) if value[:1] in _OF_VALUES else value


def _entries(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name with its length byte, and value with its type letter. Ends early at a type nobody knows."""
    at = 0
    while at < len(raw):
        value_at = at + 1 + raw[at]
        letter = raw[value_at : value_at + 1]
        if letter in _COUNTED:
            size = 4 + int.from_bytes(raw[value_at + 1 : value_at + 5], "big")
        elif letter in _FIXED:
            size = _FIXED[letter]
        else:
            return
        end = value_at + 1 + size
        yield raw[at:value_at], raw[value_at:end]
        at = end


def _utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decodes(value: bytes) -> bool:
    try:
        decode.embedded_value(value)
    except _UNREADABLE:
        return False
    return True

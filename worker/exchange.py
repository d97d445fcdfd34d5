"""What is asked of a provider over HTTP and what was seen of it, and the port through which it is asked.

The values know no HTTP library, so that whoever needs only the settings or the names of the providers loads none.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn, Protocol

from pydantic import JsonValue

from worker.core.verdict import Moment

MAX_BYTES = 1024 * 1024
"""Bytes of an answer that are read at most, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent. Headers and body may hold secrets and are never shown.

    Attributes:
        method: A create is a POST, which aiohttp never sends twice by itself; a GET it may.
        url: Where to, without the query.
        headers: Sent as they are, beside Host, Accept-Encoding, User-Agent, Connection and Content-Length.
        body: Bytes of the body.
        query: Pairs of the query, not yet quoted.
    """

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange may take.

    Attributes:
        connect: Seconds to find, connect and shake hands.
        total: Seconds for all of it, the connecting included.
        max_bytes: Bytes of the answer's body, decompressed.
        in_time: Asked just before the first byte is written; when it says no, none is.
    """

    connect: float
    total: float
    max_bytes: int = MAX_BYTES
    in_time: Callable[[], bool] = field(default=lambda: True, repr=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was seen of one request and its answer.

    Attributes:
        moment: The last thing that was seen. Up to CONNECTING no byte of the request can have left.
        status: HTTP status, where a status line was read, whatever became of the body.
        headers: Headers of the answer, found whatever their case.
        body: What was read of the body; cut short where `failure` says so, empty when it was too large.
        failure: What broke, or None. While nothing was sent: "refused", "dns", "tls", "connect_timeout", or
            "too_late" by `Limits.in_time`. With no status line that can be read: "timeout", "closed", "garbled".
            After the status line: "timeout", "body_cut", "too_large". At any time: "broken", for what none of
            these words covers.
    """

    moment: Moment
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    failure: str | None = None

    def json(self) -> JsonValue:
        """The body as strict JSON, or None when it is anything else.

        Refused are bytes that are not UTF-8, repeated keys, NaN and infinities, nesting and numbers beyond
        what Python reads, and half surrogates, which no store could write down.
        """
        try:
            text = self.body.decode()
            value: JsonValue = json.loads(
                text,
                object_pairs_hook=_unrepeated,
                parse_constant=_refuse_constant,
                parse_float=_finite,
            )
            if "\\u" in text:  # nothing else can spell half a surrogate
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            return None
        return value


class Http(Protocol):
    """Port: sends requests to one provider."""

    async def exchange(self, request: Request, limits: Limits) -> Exchange:
        """Send the request and say what was seen. Nothing is raised but a cancellation."""
        ...


def _unrepeated(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is repeated")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number

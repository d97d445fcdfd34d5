"""What can go wrong: the faults, and the rules that aim them at requests.

`fault_plan.py` picks the rules of a request, `misbehaviour.py` does what they say, `rule_json.py` reads and
writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.sandbox.provider import Operation


class Fault(StrEnum):
    """Every way to go wrong. The moments are those of a create that cannot be repeated safely."""

    SLOW = "slow"
    """Waits, then does everything as it should, or as the other rule says. Going away does not stop the
    work.
    """
    RATE_LIMITED = "rate_limited"
    """429 in the provider's own manner, asking for `seconds`; nothing is made."""
    UNAVAILABLE = "unavailable"
    """503, or `status`; nothing is made. With `seconds` a Retry-After header."""
    SERVER_ERROR_BEFORE_CREATE = "server_error_before_create"
    """500, or `status`; nothing is made."""
    SERVER_ERROR_AFTER_CREATE = "server_error_after_create"
    """500, or `status`, though the account is made."""
    CUT_BEFORE_CREATE = "cut_before_create"
    """The connection closes after the request was read; nothing is made."""
    CUT_AFTER_CREATE = "cut_after_create"
    """The account is made, then the connection closes without one byte of an answer."""
    RESET_AFTER_CREATE = "reset_after_create"
    """As `cut_after_create`, but with a TCP reset."""
    GARBLED_STATUS_LINE = "garbled_status_line"
    """Bytes that are no HTTP; made or not by `creates`."""
    HTML_WITH_200 = "html_with_200"
    """A web page with status 200, as from a portal in between; made or not by `creates`."""
    TRUNCATED_BODY = "truncated_body"
    """The account is made; the answer's head promises more than the body brings. With `seconds` or `until`
    the connection stays silent that long before it closes.
    """
    EMPTY_BODY = "empty_body"
    """The account is made; the answer has its status and no body."""
    WRONG_JSON = "wrong_json"
    """The account is made; the answer lacks the fields of `drop`, by default the account's id."""
    HUGE_BODY = "huge_body"
    """The account is made; the answer is one JSON object of `size` bytes with the true fields at its end."""
    LATE_ANSWER = "late_answer"
    """The account is made at once, the answer comes after `seconds` or `until`."""
    DELAYED_CREATE = "delayed_create"
    """The connection closes at once; the account is made after `seconds` or `until`."""
    LAGGING_READ = "lagging_read"
    """The account is made and the connection closes at once; look-ups show it after `seconds` or `until`."""
    STATUS = "status"
    """`status` with `body` and `headers`, whatever they are; made or not by `creates`."""
    REDIRECT = "redirect"
    """307, or `status`, to `location`; nothing is made."""
    UNAUTHORIZED = "unauthorized"
    """401 in the provider's own manner; nothing is made."""
    FORBIDDEN = "forbidden"
    """403 in the provider's own manner; nothing is made."""


_OPTIONS: Mapping[Fault, frozenset[str]] = {
    Fault.SLOW: frozenset({"seconds", "until"}),
    Fault.RATE_LIMITED: frozenset({"seconds"}),
    Fault.UNAVAILABLE: frozenset({"status", "body", "seconds"}),
    Fault.SERVER_ERROR_BEFORE_CREATE: frozenset({"status", "body"}),
    Fault.SERVER_ERROR_AFTER_CREATE: frozenset({"status", "body"}),
    Fault.CUT_BEFORE_CREATE: frozenset(),
    Fault.CUT_AFTER_CREATE: frozenset(),
    Fault.RESET_AFTER_CREATE: frozenset(),
    Fault.GARBLED_STATUS_LINE: frozenset({"creates"}),
    Fault.HTML_WITH_200: frozenset({"creates", "body"}),
    Fault.TRUNCATED_BODY: frozenset({"seconds", "until"}),
    Fault.EMPTY_BODY: frozenset(),
    Fault.WRONG_JSON: frozenset({"drop"}),
    Fault.HUGE_BODY: frozenset({"size"}),
    Fault.LATE_ANSWER: frozenset({"seconds", "until"}),
    Fault.DELAYED_CREATE: frozenset({"seconds", "until"}),
    Fault.LAGGING_READ: frozenset({"seconds", "until"}),
    Fault.STATUS: frozenset({"status", "body", "headers", "creates"}),
    Fault.REDIRECT: frozenset({"status", "location"}),
    Fault.UNAUTHORIZED: frozenset(),
    Fault.FORBIDDEN: frozenset(),
}

_OPTION_NAMES = frozenset[str]().union(*_OPTIONS.values())

_NEEDED: Mapping[Fault, frozenset[str]] = {
    Fault.STATUS: frozenset({"status"}),
    Fault.REDIRECT: frozenset({"location"}),
}

_WAITS = frozenset({Fault.SLOW, Fault.LATE_ANSWER, Fault.DELAYED_CREATE, Fault.LAGGING_READ})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that shall go wrong.

    `provider` None means every provider, `operation` None every operation. `match` must stand in the raw body
    or in the query (raw or decoded). `times` bounds how often the rule applies, `rate` is the share (0 to 1)
    of the fitting requests, drawn from the sandbox's seed. The rest are the fault's options: `seconds` to
    wait or to ask for, `until` the name of a gate to wait for instead, `status`, `body`, `headers` and
    `location` of the answer, `creates` whether the account is made, `drop` the fields left out, `size` in
    bytes.

    Raises:
        ValueError: A value is out of range, or an option is not one of this fault's, or one that it needs is
            missing.
    """

    fault: Fault
    provider: str | None = None
    operation: Operation | None = Operation.CREATE
    match: str | None = field(default=None, repr=False)
    times: int | None = None
    rate: float = 1.0
    seconds: float | None = None
    until: str | None = None
    status: int | None = None
    body: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = None
    location: str | None = None
    creates: bool | None = None
    drop: tuple[str, ...] | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        given = frozenset(name for name in _OPTION_NAMES if getattr(self, name) is not None)
        if surplus := given - _OPTIONS[self.fault]:
            raise ValueError(f"{self.fault} has no option {', '.join(sorted(surplus))}")
        if missing := _NEEDED.get(self.fault, frozenset()) - given:
            raise ValueError(f"{self.fault} needs {', '.join(sorted(missing))}")
        if self.fault in _WAITS and not given:
            raise ValueError(f"{self.fault} needs seconds or until")
        if {"seconds", "until"} <= given:
            raise ValueError("seconds and until exclude each other")
        self._check_ranges()

    def _check_ranges(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError("rate is from 0 to 1")
        if self.times is not None and self.times < 1:
            raise ValueError("times is at least 1")
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise ValueError("seconds is not negative")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status is from 200 to 599")
        if self.size is not None and self.size < 1:
            raise ValueError("size is at least 1")

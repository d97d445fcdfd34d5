"""What one row of the matrix says: where a worker dies, what the provider did until then, and how it must end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from contracts.reason import ReasonCode
from contracts.result import Outcome
from tests.evidence.crash_promises import Ending
from tests.evidence.doomed_worker import Commit
from tests.scenarios.conftest import UNHURRIED
from worker.core.states import State
from worker.core.steps import Step
from worker.demo.cast import canary_speech, gateway360, phone_com, postcode_eu
from worker.sandbox import Fault, Rule

GATE: Final = "provider"
"""The sandbox's gate behind which a silent provider waits."""

_HELD_WITHOUT_LOOK_UP: Final = frozenset(
    {ReasonCode.LOOK_UP_UNSUPPORTED, ReasonCode.CONNECTION_LOST, ReasonCode.NO_ANSWER}
)
_MAKERS: Final = {
    "canary_speech": canary_speech,
    "phone_com": phone_com,
    "gateway360": gateway360,
    "postcode_eu": postcode_eu,
}


class Setting(StrEnum):
    """How many workers there are, and where their ledger is."""

    SQLITE = "one worker, SQLite"
    """It is killed, and started again."""
    POSTGRESQL = "one worker, PostgreSQL"
    """It is killed, and another one is started: nobody knows that it is the same."""
    THREE = "three workers, PostgreSQL"
    """One is killed for good; the two others were there all the time."""


class Way(StrEnum):
    """What the provider does to the first create, or the requester to the request."""

    ANSWERED = "answered"
    """The account is made and the answer comes at once."""
    LIMITED = "not now"
    """429; nothing is made, and a later create is welcome."""
    REFUSED = "refused"
    """The provider's own no, for good."""
    SILENT_UNMADE = "silent, never made"
    """The create is read and lies there; nothing will come of it."""
    SILENT_MADE = "silent, made"
    """The account is made; no byte of an answer."""
    SILENT_MADE_LATER = "silent, made later"
    """The create is read and lies there; the account is made when the next worker has looked already."""
    LATE = "answered late"
    """The account is made at once; the answer comes when the request is in doubt already."""
    CUT_UNMADE = "cut, not made"
    """The connection closes; nothing is made."""
    CUT_MADE = "cut, made"
    """The connection closes; the account is made."""
    INVALID = "invalid request"
    """The contract refuses it: to the dead-letter queue, and its sender is told."""
    MISROUTED = "misrouted request"
    """A good request under a routing key that nobody reads: found in the dead-letter queue, it is run."""


_AWAITED: Final = frozenset({Way.SILENT_UNMADE, Way.SILENT_MADE, Way.SILENT_MADE_LATER, Way.LATE})
"""The provider does not answer in time, which the worker is to see soon."""

_RULES: Final[Mapping[Way, tuple[Rule, ...]]] = {
    Way.LIMITED: (Rule(fault=Fault.RATE_LIMITED, seconds=1),),
    Way.SILENT_UNMADE: (Rule(fault=Fault.SLOW, until=GATE), Rule(fault=Fault.CUT_BEFORE_CREATE)),
    Way.SILENT_MADE: (Rule(fault=Fault.LATE_ANSWER, until=GATE),),
    Way.SILENT_MADE_LATER: (Rule(fault=Fault.SLOW, until=GATE),),
    Way.LATE: (Rule(fault=Fault.LATE_ANSWER, seconds=2.5),),
    Way.CUT_UNMADE: (Rule(fault=Fault.CUT_BEFORE_CREATE),),
    Way.CUT_MADE: (Rule(fault=Fault.CUT_AFTER_CREATE),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the matrix.

    Attributes:
        point: Where the worker dies; `after` and `count` as in `Doom`.
        lingers: It is killed from outside when the provider has done its part, which no step can tell.
        asked: Whether the provider has read the create when the worker dies.
        made: Whether it has made the account when the worker dies.
        states: In which of these states the ledger has the request then; empty: it has none.
        deaths: How many workers, one after the other, die there.
    """

    point: Step | Commit
    way: Way
    setting: Setting
    provider: str
    after: Step | None = None
    count: int = 1
    lingers: bool = False
    asked: bool = True
    made: bool = False
    states: tuple[State, ...] = ()
    deaths: int = 1

    @property
    def name(self) -> str:
        """In words, the same for ever."""
        place = f"{self.point} after {self.after}" if self.after else str(self.point)
        place += f" for the {self.count}. time" if self.count > 1 else ""
        place += ", lingering" if self.lingers else ""
        place += ", twice" if self.deaths > 1 else ""
        return f"{place} | {self.way} | {self.setting} | {self.provider}"

    @property
    def in_doubt(self) -> bool:
        """Whether nobody can know from the ledger alone, then or when the row is over, what became of the create."""
        cut = self.way in {Way.CUT_MADE, Way.CUT_UNMADE}
        return cut or not {State.SENDING, State.IN_DOUBT}.isdisjoint(self.states)

    @property
    def ending(self) -> Ending:
        """How the request must end whose worker died."""
        if self.way is Way.INVALID:
            return Ending(Outcome.REJECTED, 0, frozenset({ReasonCode.INVALID_PARAMETERS}))
        if self.way is Way.REFUSED:
            return Ending(Outcome.REJECTED, 0, frozenset({ReasonCode.PROVIDER_VALIDATION}))
        made = self.made or self.way is Way.SILENT_MADE_LATER
        if self.in_doubt and self.provider == "postcode_eu":
            return Ending(Outcome.HELD, int(made), _HELD_WITHOUT_LOOK_UP)
        if self.in_doubt and made and self.provider == "gateway360":
            return Ending(Outcome.HELD, 1, frozenset({ReasonCode.CREDENTIALS_LOST}))
        return Ending(Outcome.PROVISIONED, 1)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What the sandbox is told, for every create until the worker is dead."""
        return _RULES.get(self.way, ())

    @property
    def pace(self) -> Mapping[str, str]:
        """Settings of the provider that this row needs besides the hurried ones, in seconds."""
        pace: dict[str, str] = {}
        if self.way not in _AWAITED:
            pace |= UNHURRIED
        if self.lingers:  # nobody gives up before the kill
            pace |= {"ANSWER_WITHIN": "3", "LISTEN_FOR": "4", "SETTLE": "7"}
        if self.way is Way.LATE:  # the answer comes after the doubt, and is still listened for
            pace |= {"LISTEN_FOR": "6", "SETTLE": "7"}
        if self.way is Way.SILENT_MADE_LATER:  # a provider must make what it was asked for within this time
            pace |= {"SETTLE": "20"}
        return pace

    def parameters(self, key: str) -> dict[str, Any]:
        """What is asked of the provider under this key."""
        if self.way is Way.INVALID:
            return {}
        asked = _MAKERS[self.provider](key)
        return asked | {"language": "xx"} if self.way is Way.REFUSED else asked

    @property
    def routing_key(self) -> str:
        """Where the request is published."""
        return "request.nowhere" if self.way is Way.MISROUTED else f"request.{self.provider}"


@dataclass(frozen=True, slots=True)
class Place:
    """A virtual host, a ledger that is not there yet, and a folder, all for one row."""

    broker_url: str
    ledger_url: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What became of a row.

    Attributes:
        complaints: What should not have happened, in words; empty when every promise was kept.
        seconds: Wall time.
        requests: How many were asked.
        accounts: How many the provider made.
        surplus: How many of these are beyond one for each request.
        ended: How the requests ended, as far as was told: the outcome; where a person is asked, why.
        copies: Deliveries of an event beyond its first.
        log: The end of what the workers logged, where something should not have happened.
    """

    row: Row
    complaints: tuple[str, ...]
    seconds: float
    requests: int
    accounts: int
    surplus: int
    ended: tuple[str, ...]
    copies: int
    log: str = field(default="", repr=False)

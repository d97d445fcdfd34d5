"""What a seed decides: how the deployment is set up, and which faults there are, how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from worker.core.clock import SLEW
from worker.core.steps import Step

LATEST_ACT: Final = 20.0
"""Seconds after its first byte within which a create has been carried out, or never will be."""
READ_LAG: Final = 4.0
"""Seconds within which a look-up shows what was carried out, at most."""
CLOCK_ERRORS: Final = (5.0, 3600.0)
"""Seconds by which the time of day may be set wrong where the ledger lies, either way: by a little, or by far."""
ANSWER_WITHIN: Final = 5.0
LISTEN_FOR: Final = 15.0
LOOK_UPS: Final = (3.0, 8.0, 15.0)

SETTLE: Final = (ANSWER_WITHIN + LATEST_ACT + READ_LAG + 5.0) * (1 + SLEW)
"""Seconds after its attempt at which a create certainly shows: it leaves in time, is carried out, and is read with lag,
by a clock that goes fast because it was set."""


class Fault(StrEnum):
    """What may go wrong, or is done by people who do not know better."""

    # Chances, each time there is an occasion.
    KILL = "kill"  # a process ends at one of its steps, without a word
    FREEZE = "freeze"  # a process makes no step for a while, and then goes on
    STOP = "stop"  # a process is told to stop, and drains
    PUBLISH = "publish"  # a result is lost, returned, refused, or taken without anybody being told
    REORDER = "reorder"  # a queue hands out another message than the oldest
    TWICE_DEAD = "twice dead"  # a dead letter is forwarded twice
    LEDGER_BEFORE = "ledger before commit"
    LEDGER_AFTER = "ledger after commit"  # committed, and nobody is told
    CREATE = "create"  # anything but a clean answer
    LATE = "late answer"
    LOOK_UP = "look-up"
    REPEAT = "repeat"  # the same request again, or other content under the same key
    NONSENSE = "nonsense"
    DEADLINE = "deadline"
    DRY_RUN = "dry run"
    # Seconds between two, on average.
    CLOCK_STEP = "clock step"
    CONNECTION = "connection lost"
    BROKER_RESTART = "broker restart"
    BROKER_FREEZE = "broker freeze"
    LEDGER_AWAY = "ledger away"
    OUTAGE = "outage"  # a provider is out of order for a while, one way or another
    OPERATOR = "operator"


CHANCES: Final[Mapping[Fault, float]] = {
    Fault.KILL: 1 / 400,
    Fault.FREEZE: 1 / 800,
    Fault.STOP: 1 / 800,
    Fault.PUBLISH: 0.2,
    Fault.REORDER: 0.3,
    Fault.TWICE_DEAD: 0.2,
    Fault.LEDGER_BEFORE: 0.02,
    Fault.LEDGER_AFTER: 0.02,
    Fault.CREATE: 0.3,
    Fault.LATE: 0.15,
    Fault.LOOK_UP: 0.3,
    Fault.REPEAT: 0.3,
    Fault.NONSENSE: 0.1,
    Fault.DEADLINE: 0.2,
    Fault.DRY_RUN: 0.1,
}
"""The largest chance of each."""

MEANS: Final[Mapping[Fault, float]] = {
    Fault.CLOCK_STEP: 6.0,
    Fault.CONNECTION: 6.0,
    Fault.BROKER_RESTART: 20.0,
    Fault.BROKER_FREEZE: 20.0,
    Fault.LEDGER_AWAY: 20.0,
    Fault.OUTAGE: 6.0,
    Fault.OPERATOR: 2.0,
}
"""Seconds between two of a kind, on average, give or take."""


PLACES: Final = (
    "write", "written", "ask", "asked", "slept", "publish", "confirmed", "ack", "acked", "reject", "requeue", "open",
    "delivery", "prepare", "prepared", "create", "connected", "answered", "look_up", "looked up", *Step,
)  # fmt: skip
"""Where a process goes out into the world or comes back from it, and the steps of a request's way."""


_HARMFUL: Final = ("create", "connected", "answered", "written", Step.INTENDED)
"""Around the create: who freezes here wakes up after others have judged."""

MOST: Final = 10
"""Deaths, and freezes, of one seed where its dangerous places are concerned: afterwards there is work to be done."""


_ESTRANGING: Final = frozenset(
    {Fault.FREEZE, Fault.CLOCK_STEP, Fault.LEDGER_BEFORE, Fault.LEDGER_AFTER, Fault.LEDGER_AWAY}
)


@dataclass(frozen=True, slots=True)
class Weather:
    """One seed's deployment and its faults.

    Attributes:
        machines: Places at which one process of the worker runs at a time.
        arrivals: Requests per second that the upstream system asks for.
        concurrency: Creates under way at once at one provider, over all machines; `rate` likewise, started per second.
        give_up: Seconds in doubt after which a person is asked.
        delivery_limit: Deliveries after which the broker makes a message a dead letter.
        retention: Seconds after which the content of closed requests is erased.
        slow_commit: Seconds a commit takes at most.
        deadly: The place at which processes die more often than elsewhere; at `sticky` they freeze.
        danger: How often, there.
        faults: For each fault that there is, its chance or the seconds between two.
    """

    machines: int
    arrivals: float
    concurrency: int
    rate: float
    lease: float
    interval: float
    agreeing: int
    attempts: int
    give_up: float
    delivery_limit: int
    retention: float
    slow_commit: float
    deadly: str
    sticky: str
    danger: float
    faults: Mapping[Fault, float]

    @property
    def limits_hold(self) -> bool:
        """Whether nothing keeps the workers from knowing of one another, so that they share a provider's slots."""
        return self.faults.keys().isdisjoint(_ESTRANGING)


def draw_weather(dice: Random, *, storm: bool = False) -> Weather:
    """Each fault is there or not, often or seldom: a mixture of all at once hides what a few of them would show.

    In a storm there is every one, and processes freeze where it does most harm.
    """
    return Weather(
        machines=dice.choice((1, 2, 2, 3)),
        arrivals=dice.choice((10.0, 20.0, 40.0)),
        concurrency=dice.choice((4, 8, 16)),
        rate=dice.choice((30.0, 200.0)),
        lease=dice.choice((10.0, 20.0, 30.0)),
        interval=dice.choice((2.0, 4.0, 6.0)),
        agreeing=dice.choice((1, 2, 2, 3)),
        attempts=dice.choice((2, 5, 8)),
        give_up=dice.choice((70.0, 600.0)),
        delivery_limit=dice.choice((4, 1000)),
        retention=dice.choice((40.0, 7776000.0, 7776000.0)),
        slow_commit=dice.choice((0.002, 0.02, 0.2)),
        deadly=dice.choice(PLACES),
        sticky=dice.choice(_HARMFUL if storm else PLACES),
        danger=dice.choice((0.0, 0.01, 0.05, 0.2)),
        faults=_draw_faults(dice, 1.0 if storm else dice.choice((0.3, 0.6, 0.9))),
    )


def _draw_faults(dice: Random, how_many: float) -> Mapping[Fault, float]:
    drawn: dict[Fault, float] = {}
    for fault in Fault:
        there, much = dice.random() < how_many, dice.random()
        if there and fault in CHANCES:
            drawn[fault] = CHANCES[fault] * (0.1 + 0.9 * much)
        elif there:
            drawn[fault] = MEANS[fault] * (0.5 + 2.0 * much)
    return drawn

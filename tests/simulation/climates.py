"""The kinds of weather that a seed is run in: mixed, a storm, and corners where one danger is met again and again."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, Final

from tests.simulation.weather import CHANCES, Fault, Weather, draw_weather

MIXED: Final = "mixed"
STORM: Final = "storm"

_SELDOM: Final = 1 / 4000  # where it is not the place of the corner

_CORNERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "frozen-before-the-first-byte": {
        "machines": 3, "lease": 10.0, "interval": 2.0, "agreeing": 1, "sticky": "connected", "danger": 0.2,
        "faults": {Fault.FREEZE: _SELDOM},
    },
    "frozen-with-the-answer": {
        "machines": 3, "lease": 10.0, "interval": 2.0, "agreeing": 1, "sticky": "answered", "danger": 0.2,
        "faults": {Fault.FREEZE: _SELDOM},
    },
    "frozen-before-the-judgement": {
        "machines": 1, "agreeing": 1, "sticky": "looked up", "danger": 0.2,
        "faults": {Fault.FREEZE: _SELDOM, Fault.CREATE: CHANCES[Fault.CREATE], Fault.LATE: 0.3},
    },
    "killed-with-the-answer": {
        "machines": 2, "deadly": "answered", "danger": 0.2,
        "faults": {Fault.KILL: _SELDOM, Fault.CREATE: CHANCES[Fault.CREATE]},
    },
    "killed-at-the-acknowledgement": {
        "machines": 2, "deadly": "acked", "danger": 0.2,
        "faults": {Fault.KILL: _SELDOM, Fault.LEDGER_BEFORE: CHANCES[Fault.LEDGER_BEFORE]},
    },
    "forgetful-ledger": {
        "faults": {fault: CHANCES[fault] for fault in (Fault.LEDGER_BEFORE, Fault.LEDGER_AFTER)}
        | {Fault.LEDGER_AWAY: 15.0, Fault.CREATE: 0.1},
    },
    "forgetful-broker": {
        "delivery_limit": 4,
        "faults": {fault: CHANCES[fault] for fault in (Fault.PUBLISH, Fault.REPEAT, Fault.TWICE_DEAD)}
        | {Fault.CONNECTION: 3.0, Fault.BROKER_RESTART: 10.0, Fault.BROKER_FREEZE: 15.0},
    },
    "doubtful-providers": {
        "faults": {fault: CHANCES[fault] for fault in (Fault.CREATE, Fault.LATE, Fault.LOOK_UP)}
        | {Fault.OUTAGE: 6.0},
    },
    "letters-long-forgotten": {
        "retention": 1.0,
        "faults": {Fault.NONSENSE: 0.5, Fault.REPEAT: 0.5, Fault.TWICE_DEAD: 0.5, Fault.OPERATOR: 0.1},
    },
    "wrong-clocks": {
        "machines": 3, "lease": 10.0, "interval": 2.0,
        "faults": {Fault.CLOCK_STEP: 3.0, Fault.CREATE: CHANCES[Fault.CREATE], Fault.LATE: 0.3, Fault.KILL: 1 / 1000},
    },
}  # fmt: skip
"""What is not left to the dice, by corner; of faults there are no others."""

CORNERS: Final = tuple(_CORNERS)
CLIMATES: Final = (MIXED, STORM, *CORNERS)


def weather_of(climate: str, dice: Random) -> Weather:
    """The weather of one seed.

    Raises:
        KeyError: there is no such climate.
    """
    if climate in (MIXED, STORM):
        return draw_weather(dice, storm=climate == STORM)
    return replace(draw_weather(dice), **_CORNERS[climate])

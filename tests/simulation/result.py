"""What simulations showed: of one seed, and of many together."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulation.climates import MIXED
from tests.simulation.trace import Broken

PLAIN: Final = "plain"
SQLITE: Final = "sqlite"
"""The ledgers that a seed can be run on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """What one seed showed.

    Attributes:
        digest: Of all that happened; the same for every run of the seed.
        requests: Keys that were asked for; `messages` with repeats and nonsense.
        states: How many requests ended how.
        steps: How many transitions of each name there were.
        surplus: Accounts beyond the first, over all requests.
        doubted: Requests that were in doubt at some time.
        in_doubt: Requests that are in doubt in the end.
        events: Results that were heard; `duplicates` of them more than once.
        virtual: Seconds that passed in the simulation; `settled_in` of them after the last fault.
        seconds: Seconds of processor time that it really took.
        broken: Promises that were not kept.
        tail: The end of the trace, where one was not.
    """

    seed: int
    climate: str
    ledger: str
    digest: str
    requests: int
    messages: int
    states: Mapping[str, int]
    steps: Mapping[str, int]
    faults: Mapping[str, int]
    creates: int
    surplus: int
    lost: int
    doubted: int
    in_doubt: int
    dead_letters: int
    events: int
    duplicates: int
    virtual: float
    settled_in: float
    seconds: float
    broken: tuple[Broken, ...]
    tail: tuple[str, ...] = field(repr=False)

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return not self.broken

    @property
    def command(self) -> str:
        """What repeats it."""
        weather = "" if self.climate == MIXED else f" --weather {self.climate}"
        ledger = "" if self.ledger == PLAIN else f" --ledger {self.ledger}"
        return f"python -m tests.simulation --seed {self.seed} --requests {self.requests}{weather}{ledger}"


_SUMMED = (
    "requests", "messages", "creates", "surplus", "lost", "doubted", "in_doubt", "dead_letters", "events", "duplicates",
)  # fmt: skip


@dataclass
class Totals:
    """Many seeds."""

    seeds: int = 0
    failing: list[int] = field(default_factory=list)
    sums: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    virtual: float = 0.0
    seconds: float = 0.0
    slowest: float = 0.0

    def add(self, result: SimulationResult) -> None:
        """One more."""
        self.seeds += 1
        if not result.kept:
            self.failing.append(result.seed)
        self.sums.update({name: getattr(result, name) for name in _SUMMED})
        self.states.update(result.states)
        self.steps.update(result.steps)
        self.faults.update(result.faults)
        self.virtual += result.virtual
        self.seconds += result.seconds
        self.slowest = max(self.slowest, result.settled_in)

    @property
    def rate(self) -> float:
        """Requests per second of processor time."""
        return self.sums["requests"] / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "seeds": self.seeds,
            "failing": self.failing,
            **{name: self.sums[name] for name in _SUMMED},
            "states": dict(sorted(self.states.items())),
            "steps": dict(sorted(self.steps.items())),
            "faults": dict(sorted(self.faults.items())),
            "kills": self.faults["kill"],
            "virtual_seconds": round(self.virtual, 1),
            "slowest_to_settle": round(self.slowest, 1),
            "processor_seconds": round(self.seconds, 2),
            "requests_per_second": round(self.rate, 1),
        }

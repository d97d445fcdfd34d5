"""What one run of the evidence found: plain numbers, which are written down as they are and added up."""

import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run.

    Attributes:
        name: What was run, in words.
        command: How to repeat it.
        seed: What drew its faults, where something was drawn.
        seconds: Wall time.
        requests: Requests that the broker confirmed (in the simulation: that its model took).
        faults: Faults that really happened, by kind.
        lost: Confirmed requests that ended nowhere: no final event, and not held.
        surplus: Accounts at the providers beyond one for each request.
        false_events: Events that contradict another of the same request, or what the provider holds.
        lost_credentials: Credentials that reached the worker and not the requester.
        unreceived_credentials: Credentials that the provider sent and the network lost; such requests are held.
        copies: Deliveries of an event beyond its first, with the same event id; a consumer drops them by it.
        provisioned: Requests that ended with an account.
        rejected: Requests that ended refused, with nothing created.
        held: Requests that wait for a person, by reason.
        open: Requests that were in doubt, or otherwise under way, when the run ended.
        doubted: Requests that were ever in doubt.
        found_by_look_up: Doubts that a look-up settled with an account.
        late_answers: Doubts that a late answer settled.
        confirmed_absent: Doubts that look-ups settled with proof that nothing was created.
        resolve_seconds: How long doubts lasted: the 50th and 95th percentile and the longest.
        defects: What should not have happened, in words; empty when all is well.
        notes: Measured figures that have no column, by name.
        simulated: Whether broker, ledger and providers were models.
    """

    name: str
    command: str
    seconds: float
    requests: int
    faults: Mapping[str, int]
    lost: int
    surplus: int
    seed: int | None = None
    false_events: int = 0
    lost_credentials: int = 0
    unreceived_credentials: int = 0
    copies: int = 0
    provisioned: int = 0
    rejected: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    open: int = 0
    doubted: int = 0
    found_by_look_up: int = 0
    late_answers: int = 0
    confirmed_absent: int = 0
    resolve_seconds: tuple[float, float, float] | None = None
    defects: tuple[str, ...] = ()
    notes: Mapping[str, float | int | str] = field(default_factory=dict)
    simulated: bool = False

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        """The result that was stored as JSON."""
        lasted = stored["resolve_seconds"]
        plain = {
            "defects": tuple(stored["defects"]),
            "resolve_seconds": None if lasted is None else tuple(lasted),
        }
        return cls(**{**stored, **plain})

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        broken = self.lost + self.surplus + self.false_events + self.lost_credentials + self.open
        return not broken and not self.defects


async def to_its_end(run: Coroutine[Any, Any, RunResult], where: str) -> RunResult:
    """The result of a run; of one that does not come to its end only why."""
    began, name = time.monotonic(), getattr(run, "__name__", "a run")
    try:
        return await run
    except (AssertionError, TimeoutError) as failure:
        return RunResult(
            name=f"{where}: {name}",
            command="",
            seconds=time.monotonic() - began,
            requests=0,
            faults={},
            lost=0,
            surplus=0,
            defects=(f"it did not come to its end: {failure!r}",),
        )


def total_faults(results: Iterable[RunResult]) -> Counter[str]:
    """Faults by kind, over runs."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.faults)
    return total


def percentiles(seconds: Iterable[float]) -> tuple[float, float, float] | None:
    """The 50th and 95th percentile and the longest; None of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    last = len(ordered) - 1
    return ordered[last // 2], ordered[last * 95 // 100], ordered[last]

"""What everybody in a simulation shares: time, the dice, the weather and the trace."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from tests.simulation.loop import BEGINNING, VirtualLoop
from tests.simulation.trace import Trace
from tests.simulation.weather import Fault, Weather

_DAY = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass
class Scene:
    """One simulation.

    Attributes:
        dice: The only source of chance; whoever draws does so in the order of the trace.
        quiet: Whether the faults are over, for good.
        clock_error: Seconds by which the clock where the ledger lies is wrong.
    """

    loop: VirtualLoop
    dice: Random
    weather: Weather
    trace: Trace
    quiet: bool = False
    clock_error: float = 0.0

    def strikes(self, fault: Fault) -> bool:
        """Whether a fault strikes at this occasion."""
        chance = 0.0 if self.quiet else self.weather.faults.get(fault, 0.0)
        return chance > 0.0 and self.dice.random() < chance

    def between(self, low: float, high: float) -> float:
        """Some number in between."""
        return low + (high - low) * self.dice.random()

    def often(self, fault: Fault, action: Callable[[], None]) -> None:
        """Do something again and again, at times of the seed's choice, until the faults are over."""
        mean = self.weather.faults.get(fault)
        if mean is not None:
            self.loop.after(self.dice.expovariate(1 / mean), self._again, fault, action)

    def _again(self, fault: Fault, action: Callable[[], None]) -> None:
        if not self.quiet:
            action()
            self.often(fault, action)

    def true_time(self) -> datetime:
        """The time of day."""
        return _DAY + timedelta(seconds=self.loop.now - BEGINNING)

    def shown_time(self) -> datetime:
        """The time of day, as the clock shows it where the ledger lies."""
        return self.true_time() + timedelta(seconds=self.clock_error)

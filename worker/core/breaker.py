"""The breaker of one provider: a pure state machine. It opens on outages only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether creates may run, as far as outages are concerned."""

    CLOSED = "closed"  # all creates run
    OPEN = "open"  # none runs; a probe is due after the cooldown
    TRYING = "trying"  # the probe was healthy; one create is let through


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """`failures` outages in a row open it; `cooldown` seconds later a probe may try."""

    failures: int = 5
    cooldown: float = 30.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """One provider's breaker at one moment."""

    state: BreakerState = BreakerState.CLOSED
    outages: int = 0
    probe_at: datetime | None = None

    def after_outage(self, now: datetime, policy: BreakerPolicy) -> "Breaker":
        """An attempt met an outage. One is enough while trying."""
        outages = self.outages + 1
        if self.state is BreakerState.TRYING or outages >= policy.failures:
            return Breaker(BreakerState.OPEN, outages, now + timedelta(seconds=policy.cooldown))
        return Breaker(self.state, outages, self.probe_at)

    def after_answer(self) -> "Breaker":
        """The provider answered, whatever it said. An answer to an older create does not close an open breaker."""
        return self if self.state is BreakerState.OPEN else Breaker()

    def after_probe(self, *, healthy: bool, now: datetime, policy: BreakerPolicy) -> "Breaker":
        """The harmless read came back."""
        if self.state is not BreakerState.OPEN:
            return self
        if healthy:
            return Breaker(BreakerState.TRYING, self.outages)
        return Breaker(BreakerState.OPEN, self.outages, now + timedelta(seconds=policy.cooldown))

    def wants_probe(self, now: datetime) -> bool:
        """Whether the cooldown is over."""
        return self.state is BreakerState.OPEN and self.probe_at is not None and now >= self.probe_at

"""The breaker: it opens on outages only, and never lets more than a trial through before an answer came."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.fakes import NOON
from worker.core.breaker import Breaker, BreakerPolicy, BreakerState

POLICY = BreakerPolicy(failures=3, cooldown=30)


def broken() -> Breaker:
    """A breaker that just opened."""
    breaker = Breaker()
    for _ in range(POLICY.failures):
        breaker = breaker.after_outage(NOON, POLICY)
    return breaker


def test_it_opens_after_outages_in_a_row() -> None:
    """Two outages are weather, the third is an outage of the provider."""
    breaker = Breaker().after_outage(NOON, POLICY).after_outage(NOON, POLICY)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.after_outage(NOON, POLICY).state is BreakerState.OPEN


def test_an_answer_in_between_starts_the_count_anew() -> None:
    """Outages must follow each other without an answer."""
    breaker = Breaker()
    for _ in range(10):
        breaker = breaker.after_outage(NOON, POLICY).after_outage(NOON, POLICY).after_answer()
    assert breaker == Breaker()


def test_an_answer_to_an_older_create_does_not_close_it() -> None:
    """What was sent before the outage says nothing about now."""
    assert broken().after_answer() == broken()


def test_a_probe_is_wanted_after_the_cooldown() -> None:
    """Not before, and again after each unhealthy one."""
    breaker, later = broken(), NOON + timedelta(seconds=30)
    assert not breaker.wants_probe(later - timedelta(seconds=1))
    assert breaker.wants_probe(later)
    again = breaker.after_probe(healthy=False, now=later, policy=POLICY)
    assert not again.wants_probe(later)
    assert again.wants_probe(later + timedelta(seconds=30))


def test_a_healthy_probe_lets_one_try_and_its_answer_closes_it() -> None:
    """The read alone does not close it; an answered create does."""
    trying = broken().after_probe(healthy=True, now=NOON, policy=POLICY)
    assert trying.state is BreakerState.TRYING
    assert trying.after_answer() == Breaker()


def test_one_outage_while_trying_opens_it_again() -> None:
    """The trial failed: the whole cooldown anew."""
    trying = broken().after_probe(healthy=True, now=NOON, policy=POLICY)
    again = trying.after_outage(NOON, POLICY)
    assert (again.state, again.probe_at) == (BreakerState.OPEN, NOON + timedelta(seconds=30))


def test_a_probe_that_comes_back_late_changes_nothing() -> None:
    """A closed breaker is not opened, nor set to trying, by the answer to an old probe."""
    for healthy in (True, False):
        assert Breaker().after_probe(healthy=healthy, now=NOON, policy=POLICY) == Breaker()


class AnyLife(RuleBasedStateMachine):
    """Outages, answers, probes and time in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = NOON
        self.in_a_row = 0
        self.before = BreakerState.CLOSED

    def _becomes(self, breaker: Breaker) -> None:
        self.before, self.breaker = self.breaker.state, breaker

    @rule(seconds=st.sampled_from([0, 1, 29, 30, 100]))
    def time_passes(self, seconds: int) -> None:
        """Time alone changes no state."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def outage(self) -> None:
        """A create, perhaps an old one, met an outage."""
        self.in_a_row += 1
        self._becomes(self.breaker.after_outage(self.now, POLICY))
        if self.before is BreakerState.CLOSED:
            assert (self.breaker.state is BreakerState.OPEN) == (self.in_a_row >= POLICY.failures)
        else:
            assert self.breaker.state is BreakerState.OPEN

    @rule()
    def answer(self) -> None:
        """A create was answered: never a reason to open."""
        self.in_a_row = 0
        self._becomes(self.breaker.after_answer())
        expected = BreakerState.OPEN if self.before is BreakerState.OPEN else BreakerState.CLOSED
        assert self.breaker.state is expected

    @rule(healthy=st.booleans())
    @precondition(lambda self: self.breaker.wants_probe(self.now))
    def probe(self, healthy: bool) -> None:
        """A harmless read: the only way out of open, and never straight to closed."""
        self._becomes(self.breaker.after_probe(healthy=healthy, now=self.now, policy=POLICY))
        assert self.breaker.state is (BreakerState.TRYING if healthy else BreakerState.OPEN)

    @invariant()
    def only_an_open_one_wants_a_probe(self) -> None:
        """A probe is due at a known time exactly while it is open."""
        assert (self.breaker.probe_at is not None) == (self.breaker.state is BreakerState.OPEN)


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=40, stateful_step_count=30)

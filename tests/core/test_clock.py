"""The steady clock: what it shows goes on evenly, whatever its machine or the ledger's place is set to."""

from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.evidence.clock_world import DAY, HOUR, SetClock
from tests.fakes import NOON
from worker.core.clock import SLEW, SteadyClock, SystemClock

_SECONDS = st.floats(-3 * DAY, 3 * DAY)
_STEPS = st.lists(st.tuples(st.floats(0, HOUR), _SECONDS, _SECONDS), max_size=20)


def test_it_begins_with_what_it_first_hears() -> None:
    """Before, it shows its machine's time of day."""
    machine = SetClock()
    clock = SteadyClock(machine)
    assert clock.now() == NOON
    assert clock.agree(NOON + timedelta(hours=3), machine.monotonic()) == 0
    assert clock.now() == NOON + timedelta(hours=3)


def test_what_was_read_a_while_ago_has_gone_on_meanwhile() -> None:
    """Between the server's answer and its being heard, time passed."""
    machine = SetClock()
    clock = SteadyClock(machine)
    machine.advance(7)
    clock.agree(NOON, 0.0)
    assert clock.now() == NOON + timedelta(seconds=7)


def test_a_machine_that_is_set_changes_only_its_time_of_day() -> None:
    """A date is compared with what the calendar says now; what passed is not touched."""
    machine = SetClock()
    clock = SteadyClock(machine)
    machine.jump(HOUR)
    machine.advance(5)
    assert clock.now() == NOON + timedelta(seconds=5)
    assert clock.time_of_day() == NOON + timedelta(seconds=HOUR + 5)


def test_it_comes_to_what_it_last_heard_and_stays_there() -> None:
    """A minute ahead or behind is made good in so many times a minute, and not a second more."""
    for wrong in (60.0, -60.0):
        machine = SetClock()
        clock = SteadyClock(machine)
        clock.agree(NOON, 0.0)
        assert clock.agree(NOON + timedelta(seconds=wrong), 0.0) == wrong
        machine.advance(60 / SLEW)
        right = machine.now() + timedelta(seconds=wrong)
        assert abs(clock.now() - right) < timedelta(milliseconds=1)
        assert abs(clock.agree(right, machine.monotonic())) < 0.001


@given(_STEPS)
def test_whatever_it_hears_it_never_goes_back_and_hardly_faster(
    steps: list[tuple[float, float, float]],
) -> None:
    """Between two readings passes what really passed, give or take the slew."""
    machine = SetClock()
    clock = SteadyClock(machine)
    clock.agree(NOON, 0.0)
    for passed, jump, heard in steps:
        before = clock.now()
        machine.jump(jump)
        machine.advance(passed)
        clock.agree(NOON + timedelta(seconds=heard), machine.monotonic())
        shown = (clock.now() - before).total_seconds()
        assert abs(shown - passed) <= SLEW * passed + 1e-5


def test_a_boot_of_a_machine_has_a_name() -> None:
    """Readings of two processes can be compared within it; on Linux it is the system's own."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    assert SteadyClock(SystemClock()).era == SystemClock().era
    if boot.exists():
        assert SystemClock().era == boot.read_text(encoding="ascii").strip()

"""What must hold of every run in which something was disturbed."""

from tests.evidence.result import RunResult
from tests.evidence.troubled_house import BACK_WITHIN


def assert_kept(result: RunResult) -> None:
    """Every promise was kept, and every request reached its provider in one create at most."""
    assert result.good, result
    assert result.notes["creates that reached a provider"] == result.provisioned, result


def assert_back_in_time(result: RunResult) -> None:
    """After every return requests were taken and readiness said so soon enough."""
    assert longest(result, "until an account was opened") <= BACK_WITHIN
    assert longest(result, "until ready") <= BACK_WITHIN


def longest(result: RunResult, words: str) -> float:
    """The longest time that was noted in these words."""
    return max(float(seconds) for name, seconds in result.notes.items() if words in name)

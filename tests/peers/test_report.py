"""The verdict over a comparison: when it objects, and to whom."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.peers.counting import Count
from tests.peers.report import judge, table
from tests.peers.schedule import ScheduleResult


def _result(*, finished: bool = True, **figures: Any) -> ScheduleResult:
    none: dict[str, Any] = {"accounts": 10, "surplus": 0, "surplus_at": {}, "lost": 0, "unanswered": 0}
    none |= {"misreported": 0, "duplicate_events": 0, "outcomes": {"provisioned": 10}}
    return ScheduleResult(
        command=("-m", "worker"),
        seed=1,
        requests=10,
        seconds=1.0,
        kills=2,
        faults={"slow": 10},
        creates=10,
        finished=finished,
        count=Count(**(none | figures)),
    )


@dataclass(frozen=True)
class Case:
    """A worker with its result, and whether that is objected to."""

    reason: str
    worker: str
    result: ScheduleResult
    objected: bool


CASES = (
    Case("ours did what it must", "ours", _result(), objected=False),
    Case("ours opened an account too many", "ours", _result(surplus=1), objected=True),
    Case("ours lost a request", "ours", _result(lost=1), objected=True),
    Case("ours said refused of an account that exists", "ours", _result(misreported=1), objected=True),
    Case("ours did not come to rest", "ours", _result(finished=False), objected=True),
    Case("ours holds a request for a person", "ours", _result(outcomes={"held": 1}), objected=False),
    Case("a control opened accounts too many", "naive", _result(surplus=3), objected=False),
    Case("a control lost requests", "naive-ack-first", _result(lost=3), objected=False),
    Case("a control did nothing wrong: the suite is blind", "naive", _result(), objected=True),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_the_verdict(case: Case) -> None:
    """Ours must do nothing wrong, every other one something."""
    assert bool(judge({case.worker: case.result})) is case.objected, case.reason


def test_the_table_has_a_column_for_each_worker() -> None:
    """Figures of several workers stand in one line."""
    shown = str(table({"ours": _result(), "naive": _result(surplus=104)}, seed=1))

    line = next(line for line in shown.splitlines() if "SURPLUS" in line)
    assert line.split()[-2:] == ["0", "104"]

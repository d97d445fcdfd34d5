"""The results of several workers side by side, and what speaks against them."""

from collections.abc import Callable, Mapping

from tests.bench.report import Table
from tests.peers.schedule import ScheduleResult

OURS = "ours"


def judge(results: Mapping[str, ScheduleResult]) -> list[str]:
    """What speaks against our worker, or against the suite; nothing when both did what they must."""
    objections = []
    for worker, result in results.items():
        found = result.count
        wrong = found.surplus + found.lost
        if worker != OURS:
            if not wrong:
                objections.append(
                    f"{worker}: nothing was found wrong with it, so the schedule proves nothing"
                )
        elif wrong or found.misreported or not result.finished:
            objections.append(
                f"ours: {found.surplus} surplus, {found.lost} lost, {found.misreported} misreported"
            )
    return objections


def table(results: Mapping[str, ScheduleResult], seed: int) -> Table:
    """One line for each figure, one column for each worker."""
    rows = [[title, *(show(result) for result in results.values())] for title, show in _figures(results)]
    return Table(
        f"One schedule, several workers (seed {seed})",
        ["", *results],
        rows,
        "surplus: accounts beyond the first of a request; misreported: told as refused, but the account exists",
    )


def _figures(results: Mapping[str, ScheduleResult]) -> list[tuple[str, Callable[[ScheduleResult], str]]]:
    faults = sorted({fault for result in results.values() for fault in result.faults})
    outcomes = sorted({outcome for result in results.values() for outcome in result.count.outcomes})
    return [
        ("requests", lambda result: f"{result.requests}"),
        ("seconds", lambda result: f"{result.seconds:.0f}{'' if result.finished else ' (cut off)'}"),
        ("SIGKILL", lambda result: f"{result.kills}"),
        *((f"fault {fault}", _of_fault(fault)) for fault in faults),
        ("creates sent", lambda result: f"{result.creates}"),
        ("accounts", lambda result: f"{result.count.accounts}"),
        ("SURPLUS ACCOUNTS", lambda result: f"{result.count.surplus}"),
        ("LOST REQUESTS", lambda result: f"{result.count.lost}"),
        ("without a result", lambda result: f"{result.count.unanswered}"),
        ("misreported", lambda result: f"{result.count.misreported}"),
        ("duplicate results", lambda result: f"{result.count.duplicate_events}"),
        *((outcome, _of_outcome(outcome)) for outcome in outcomes),
    ]


def _of_fault(fault: str) -> Callable[[ScheduleResult], str]:
    return lambda result: f"{result.faults.get(fault, 0)}"


def _of_outcome(outcome: str) -> Callable[[ScheduleResult], str]:
    return lambda result: f"{result.count.outcomes.get(outcome, 0)}"

"""The parts of the evidence. Each ends in results, whatever it ran; `__main__.py` runs them and writes the report."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.evidence.crash_matrix import chosen, matrix
from tests.evidence.crash_points import run_matrix
from tests.evidence.result import RunResult
from tests.evidence.soak.run import LedgerKind, Plan, soak
from tests.evidence.soak.troubles import EVERYTHING, KILLS, KILLS_SETTINGS, KILLS_SUCCESSOR_WITHIN
from tests.peers.schedule import (
    DETOURS,
    WORKERS,
    ScheduleResult,
    missing,
    new_house,
    run_schedule,
    usual_faults,
)
from tests.simulation.result import PLAIN, SQLITE, SimulationResult
from tests.simulation.run import simulate
from worker.local.postgresql_server import PostgresqlServer
from worker.local.rabbitmq_node import RabbitmqNode

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything.

    Attributes:
        long: The whole of the matrix and of the disturbances, and the other workers of the negative control.
        soak_seconds: How long the soak of each ledger lasts at least; one round where nothing is said.
        soak_requests: In each of its rounds.
        kill_requests: For three workers of which one dies every second.
        seeds: Of the simulation.
        control_requests: In the negative control.
    """

    long: bool
    soak_seconds: Mapping[LedgerKind, float]
    soak_requests: int
    kill_requests: int
    seeds: int
    control_requests: int


SHORT: Final = Size(False, {}, 300, 200, 60, 300)
LONG: Final = Size(True, {"sqlite": 600.0, "postgresql": 1800.0}, 3000, 5000, 3000, 2000)


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `control` says that its results are those of other workers, of which much is expected to be bad."""

    name: str
    run: Callable[[Size, Say], Sequence[RunResult]]
    control: bool = False


def _simulation(size: Size, say: Say) -> Sequence[RunResult]:
    """Many seeds, on all cores; every tenth of them on the real ledger."""
    began = time.monotonic()
    command = "python -m tests.simulation --first 1 --seeds"
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(_run_seed, range(1, size.seeds + 1), chunksize=4))
    say(f"simulation: {len(results)} seeds in {time.monotonic() - began:.0f} s")
    return [_of_seeds(results, f"{command} {size.seeds}", time.monotonic() - began)]


def _run_seed(seed: int) -> SimulationResult:
    return simulate(seed, ledger=PLAIN if seed % 10 else SQLITE)


def _of_seeds(results: Sequence[SimulationResult], command: str, seconds: float) -> RunResult:
    states: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for each in results:
        states.update(each.states)
        steps.update(each.steps)
        faults.update({f"simulated: {kind.replace('_', ' ')}": n for kind, n in each.faults.items()})
    requests = sum(each.requests for each in results)
    return RunResult(
        name=f"simulation, {len(results)} seeds",
        command=command,
        seconds=seconds,
        requests=requests,
        simulated=True,
        faults=dict(sorted(faults.items())),
        lost=sum(each.lost for each in results),
        surplus=sum(each.surplus for each in results),
        copies=sum(each.duplicates for each in results),
        provisioned=states["provisioned"],
        rejected=states["rejected"],
        held={"in the simulation": states["held"]} if states["held"] else {},
        doubted=steps["doubt"] + steps["rescue"],
        found_by_look_up=steps["found"],
        late_answers=sum(
            steps[name]
            for name in ("late_answer", "late_hold", "late_refusal", "late_not_done", "late_proof")
        ),
        confirmed_absent=steps["confirm_absent"] + steps["absent_for_good"],
        defects=tuple(f"seed {each.seed}: {each.broken[0]}" for each in results if each.broken),
        notes={
            "seeds on SQLite": sum(each.ledger == SQLITE for each in results),
            "virtual hours": round(sum(each.virtual for each in results) / 3600),
            "requests per second of processor time": round(requests / sum(each.seconds for each in results)),
        },
    )


def _crash_points(size: Size, say: Say) -> Sequence[RunResult]:
    """The matrix, or one row for each step."""
    rows = matrix() if size.long else chosen(matrix())
    began = time.monotonic()
    with RabbitmqNode() as rabbitmq, PostgresqlServer() as postgresql, _folder() as folder:
        results = asyncio.run(
            run_matrix(rows, rabbitmq, postgresql, folder, lambda one: say(f"crash point: {one.row.name}"))
        )
    deaths = Counter({f"SIGKILL {result.row.point}": 0 for result in results})
    deaths.update(f"SIGKILL {result.row.point}" for result in results)
    return [
        RunResult(
            name=f"crash points, {len(rows)} rows",
            command=f"python -m tests.evidence.crash_points{' --all' if size.long else ''}",
            seconds=time.monotonic() - began,
            requests=sum(result.requests for result in results),
            faults=dict(sorted(deaths.items())),
            lost=0,
            surplus=sum(max(0, result.accounts - result.requests) for result in results),
            copies=sum(result.copies for result in results),
            defects=tuple(f"{it.row.name}: {'; '.join(it.complaints)}" for it in results if it.complaints),
        )
    ]


def _broker(size: Size, say: Say) -> Sequence[RunResult]:
    return _of_command(say, "tests.evidence.broker_troubles", "--restarts", "50" if size.long else "3")


def _database(size: Size, say: Say) -> Sequence[RunResult]:
    return _of_command(say, "tests.evidence.database_troubles", "--times", "20" if size.long else "2")


def _of_command(say: Say, *command: str) -> Sequence[RunResult]:
    """The results that a program of its own prints as JSON, one after the other.

    Raises:
        RuntimeError: it said nothing.
    """
    results: list[RunResult] = []
    rest = ""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as program:
        for line in program.stdout or ():
            rest += line
            if line == "}\n":  # the end of an indented object
                results.append(RunResult.of(json.loads(rest)))
                say(results[-1].name)
                rest = ""
    if program.returncode and all(result.good for result in results):
        raise RuntimeError(f"{' '.join(command)} ended with {program.returncode}: {rest}")
    return results


def _soaks(size: Size, say: Say) -> Sequence[RunResult]:
    """Everything that can go wrong, on both ledgers."""
    on_both: tuple[tuple[LedgerKind, int, int], ...] = (("sqlite", 1, 2026), ("postgresql", 3, 1121))
    plans = [
        Plan(
            name=f"soak, {ledger}, {workers} worker{'s' if workers > 1 else ''}",
            command=f"python -m tests.evidence.soak --ledger {ledger} --workers {workers} "
            f"--seconds {seconds:g} --requests {size.soak_requests} --pause 0.5 2 --seed {seed}",
            ledger=ledger,
            workers=workers,
            rounds=1,
            seconds=seconds,
            requests=size.soak_requests,
            pause=(0.5, 2.0),
            seed=seed,
            deck=EVERYTHING,
        )
        for ledger, workers, seed in on_both
        for seconds in (size.soak_seconds.get(ledger, 0.0),)
    ]
    return [_soaked(plan, say) for plan in plans]


def _kills(size: Size, say: Say) -> Sequence[RunResult]:
    """Three workers on one PostgreSQL, of which one dies every second."""
    requests = size.kill_requests
    command = (
        f"python -m tests.evidence.soak --ledger postgresql --workers 3 --requests {requests} --only-kills"
    )
    plan = Plan(
        name="three workers, one killed every second",
        command=f"{command} --pause 1 1 --seed 3",
        ledger="postgresql",
        workers=3,
        rounds=1,
        seconds=0.0,
        requests=requests,
        pause=(1.0, 1.0),
        seed=3,
        deck=KILLS,
        settings=KILLS_SETTINGS,
        successor_within=KILLS_SUCCESSOR_WITHIN,
    )
    return [_soaked(plan, say)]


def _control(size: Size, say: Say) -> Sequence[RunResult]:
    """Ordinary workers in the very schedule in which ours opens no second account."""
    workers = (
        ("naive", "naive-ack-first", "faststream", "celery", "celery-ack-first") if size.long else ("naive",)
    )
    chosen = [name for name in workers if missing(name) is None]
    for name in set(workers) - set(chosen):
        say(f"negative control: {name} left out, as {missing(name)} is not installed (make control)")
    return [_scheduled(name, size, say) for name in chosen]


def _ours_in_the_schedule(size: Size, say: Say) -> Sequence[RunResult]:
    return [_scheduled("ours", size, say)]


def _scheduled(worker: str, size: Size, say: Say) -> RunResult:
    rate = 0.01 if size.long else 0.05

    async def run(broker_url: str, folder: Path) -> ScheduleResult:
        async with new_house(broker_url, folder, seed=1) as house:
            return await run_schedule(
                WORKERS[worker],
                house,
                requests=size.control_requests,
                kill_every=2.0,
                seed=1,
                faults=usual_faults(rate),
                detour=DETOURS.get(worker),
                kills_at_most=60 if size.long else 2,
            )

    with RabbitmqNode() as node, _folder() as folder:
        result = asyncio.run(run(node.add_vhost("schedule"), folder))
    found = result.count
    say(f"{worker}: {found.surplus} surplus, {found.lost} lost, {found.misreported} misreported")
    return RunResult(
        name=f"the schedule of the control: {worker}",
        command=f"python -m tests.peers --worker {worker} --requests {result.requests} --faults {rate:g} --seed 1",
        seed=1,
        seconds=result.seconds,
        requests=result.requests,
        faults={**{f"provider {kind.replace('_', ' ')}": n for kind, n in result.faults.items() if kind != "slow"},
                "worker killed": result.kills},
        lost=found.lost,
        surplus=found.surplus,
        false_events=found.misreported + found.duplicate_events,
        provisioned=found.outcomes.get("provisioned", 0),
        rejected=found.outcomes.get("rejected", 0),
        held={"in the schedule": found.outcomes["held"]} if found.outcomes.get("held") else {},
        open=found.unanswered - found.lost,
        defects=() if result.finished else ("it did not finish in time",),
    )  # fmt: skip


PARTS: Final[tuple[Part, ...]] = (
    Part("simulation", _simulation),
    Part("crash-points", _crash_points),
    Part("broker", _broker),
    Part("database", _database),
    Part("kills", _kills),
    Part("schedule", _ours_in_the_schedule),
    Part("soaks", _soaks),
    Part("control", _control, control=True),
)
IN_CI: Final = ("simulation", "kills", "soaks", "control")
"""The short form; the other parts have tests of their own."""


def _soaked(plan: Plan, say: Say) -> RunResult:
    with _folder() as folder:
        return asyncio.run(soak(plan, folder, say))


@contextmanager
def _folder() -> Iterator[Path]:
    """On the disk of the project, as a folder in memory would make every sync free."""
    here = Path(".local").absolute()
    here.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=here, prefix="evidence-") as name:
        yield Path(name)

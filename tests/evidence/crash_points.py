"""A worker dies at every step between delivery and settled event: the matrix is played, and the promises are counted.

``python -m tests.evidence.crash_points [--all] [--json FILE] [--only WORDS] [--turn NUMBER]`` starts a RabbitMQ and a
PostgreSQL of its own, plays the rows two at once, and fails when any promise was not kept.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Final
from uuid import uuid4

from rich.console import Console

from contracts.reason import ReasonCode
from contracts.result import Outcome
from tests.evidence.crash_matrix import chosen, matrix
from tests.evidence.crash_play import play
from tests.evidence.crash_row import Place, Row, RowResult, Setting
from tests.evidence.result import RunResult
from worker.local.postgresql_server import PostgresqlServer
from worker.local.rabbitmq_node import RabbitmqNode

AT_ONCE: Final = 2
"""Rows side by side: each has several processes."""


async def run_matrix(
    rows: Sequence[Row],
    rabbitmq: RabbitmqNode,
    postgresql: PostgresqlServer,
    folder: Path,
    told: Callable[[RowResult], None] = lambda _: None,
) -> list[RowResult]:
    """Play rows, two at once, each in a place of its own; the results are in the order of the rows.

    Args:
        rows: What to play.
        rabbitmq: A running node.
        postgresql: A running server.
        folder: Where the rows keep their files.
        told: Is told each result as it comes.
    """
    grounds = Grounds(rabbitmq, postgresql, folder)
    side_by_side = asyncio.Semaphore(AT_ONCE)

    async def one(row: Row) -> RowResult:
        async with side_by_side, grounds.place(row) as place:
            result = await play(row, place)
        told(result)
        return result

    try:
        return await asyncio.gather(*(one(row) for row in rows))
    finally:
        await grounds.clear()


class Grounds:
    """Gives each row a virtual host, a ledger and a folder, and takes them back."""

    def __init__(self, rabbitmq: RabbitmqNode, postgresql: PostgresqlServer, folder: Path) -> None:
        self._rabbitmq = rabbitmq
        self._postgresql = postgresql
        self._folder = folder
        self._numbers = count()
        self._fresh: list[str] = []
        self._used: list[str] = []
        self._replacing = asyncio.Lock()

    @asynccontextmanager
    async def place(self, row: Row) -> AsyncIterator[Place]:
        """A place for one row."""
        folder = self._folder / f"row-{next(self._numbers)}"
        folder.mkdir()
        vhost = await self._vhost()
        if row.setting is Setting.SQLITE:
            yield Place(self._rabbitmq.url_of(vhost), f"sqlite:///{folder / 'ledger.db'}", folder)
        else:
            database = f"row_{uuid4().hex}"
            ledger_url = await asyncio.to_thread(self._postgresql.create_database, database)
            yield Place(self._rabbitmq.url_of(vhost), ledger_url, folder)
            await asyncio.to_thread(self._postgresql.drop_database, database)
        self._used.append(vhost)

    async def clear(self) -> None:
        """Delete what is left."""
        await asyncio.to_thread(self._rabbitmq.replace_vhosts, [*self._used, *self._fresh], ())

    async def _vhost(self) -> str:
        """Several at a time: one call of `rabbitmqctl` costs more than ten of them."""
        async with self._replacing:
            if not self._fresh:
                fresh, used, self._used = [f"row-{uuid4().hex}" for _ in range(8)], self._used, []
                await asyncio.to_thread(self._rabbitmq.replace_vhosts, used, fresh)
                self._fresh = fresh
            return self._fresh.pop()


def as_run(results: Sequence[RowResult], seconds: float) -> RunResult:
    """The rows added up."""
    ended = Counter(ending for result in results for ending in result.ended)
    held = {code: number for code, number in ended.items() if code in set(ReasonCode)}
    requests = sum(result.requests for result in results)
    kills: Counter[str] = Counter()
    for result in results:
        kills[f"SIGKILL at {result.row.point}"] += result.row.deaths
    return RunResult(
        name="a worker killed at every step",
        command="python -m tests.evidence.crash_points --all",
        seconds=seconds,
        requests=requests,
        faults=dict(kills),
        lost=requests - ended.total(),
        surplus=sum(result.surplus for result in results),
        copies=sum(result.copies for result in results),
        provisioned=ended[Outcome.PROVISIONED],
        rejected=ended[Outcome.REJECTED],
        held=held,
        defects=tuple(
            f"{result.row.name}: {complaint}" for result in results for complaint in result.complaints
        ),
        notes={"rows": len(results)},
    )


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 when every promise was kept."""
    wanted = _parser().parse_args(arguments)
    rows = matrix() if wanted.all or wanted.only else chosen(matrix(), wanted.turn)
    rows = tuple(row for row in rows if wanted.only in row.name)
    began = time.monotonic()
    with (
        RabbitmqNode() as rabbitmq,
        PostgresqlServer() as postgresql,
        tempfile.TemporaryDirectory() as folder,
    ):
        results = asyncio.run(run_matrix(rows, rabbitmq, postgresql, Path(folder), _Telling(len(rows))))
    run = as_run(results, round(time.monotonic() - began))
    failed = sum(1 for result in results if result.complaints)
    _console.print(
        f"{len(results)} rows, {failed} failed; {run.requests} requests, {run.surplus} accounts too many, "
        f"{run.lost} without an event; {run.seconds} s"
    )
    if wanted.json:
        told = {"run": asdict(run), "rows": [{"name": one.row.name, **asdict(one)} for one in results]}
        wanted.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return 1 if failed or not results else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.crash_points", description=__doc__)
    parser.add_argument("--all", action="store_true", help="the whole matrix, not one row for each step")
    parser.add_argument("--only", default="", help="the rows of the whole matrix whose name has these words")
    parser.add_argument("--turn", type=int, default=0, help="which row is chosen for each step")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    return parser


_console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)


class _Telling:
    """A line for each row as it ends."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._ended = 0

    def __call__(self, result: RowResult) -> None:
        self._ended += 1
        mark = "[red]FAILED[/]" if result.complaints else "[green]kept[/]  "
        _console.print(f"{self._ended:4}/{self._rows} {mark} {result.seconds:5.1f} s  {result.row.name}")
        for complaint in result.complaints:
            _console.print(f"          {complaint}", markup=False)
        if result.log:
            _console.print(result.log, markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How a ledger grows with its requests, and what pruning and vacuuming give back."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from tests.bench.report import Table
from tests.bench.scene import PROVIDER, Scene
from tests.bench.sides import ledgers
from worker.ledger import migrate, open_ledger, sqlite_path

_PARTS = 10
_PART_WITHIN = 600.0  # seconds
_PRUNED_AT_ONCE = 500
_TABLES = "requests, attempts, history, events"
_SIZE = """
    SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
    FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


async def run(scene: Scene, *, requests: int) -> dict[str, Any]:
    """On each ledger: so many requests by the worker itself, then all of them pruned, then vacuumed."""
    return {
        "requests": requests,
        "sides": {name: await _measure(scene, new(), requests) for name, new in ledgers(scene).items()},
    }


async def _measure(scene: Scene, url: str, requests: int) -> dict[str, Any]:
    path = sqlite_path(url)
    place: _Place = _File(path) if path is not None else _Database(url)
    migrate(url)
    empty, curve, done = place.settled(), [], 0
    async with scene.worker(ledger=url):
        for part in range(1, _PARTS + 1):
            more = requests * part // _PARTS - done
            scene.upstream.begin()
            await scene.upstream.publish(PROVIDER, more)
            await scene.upstream.reached(more, _PART_WITHIN)
            done += more
            curve.append((done, place.size()))
    await scene.upstream.forget()
    grown = place.settled()
    await _prune(url)
    pruned = place.settled()
    vacuumed = {name: place.after(statement) for name, statement in place.vacuums.items()}
    return {"empty": empty, "curve": curve, "grown": grown, "pruned": pruned, "vacuumed": vacuumed}


async def _prune(url: str) -> None:
    """As upkeep does, when all that is closed is older than the retention."""
    async with open_ledger(url, exclusive=True) as ledger:
        while await ledger.prune(datetime.now(UTC) + timedelta(days=1), _PRUNED_AT_ONCE):
            pass


class _File:
    """A SQLite file with its log."""

    vacuums: ClassVar[Mapping[str, str]] = {"VACUUM": "VACUUM"}

    def __init__(self, path: Path) -> None:
        self._path = path

    def size(self) -> int:
        """Bytes, the log included."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def settled(self) -> int:
        """Bytes when the log was taken over."""
        return self.after("PRAGMA wal_checkpoint(TRUNCATE)")

    def after(self, statement: str) -> int:
        """Bytes after that."""
        with closing(sqlite3.connect(self._path, isolation_level=None)) as file:
            file.execute(statement)
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.size()


class _Database:
    """A database on a PostgreSQL server."""

    vacuums: ClassVar[Mapping[str, str]] = {
        "VACUUM": f"VACUUM {_TABLES}",
        "VACUUM FULL": f"VACUUM FULL {_TABLES}",
    }

    def __init__(self, url: str) -> None:
        self._url = url

    def size(self) -> int:
        """Bytes of all tables and indexes, without the server's own log, which is that of all databases."""
        return self.after("SELECT")

    def settled(self) -> int:
        """Bytes as they are."""
        return self.size()

    def after(self, statement: str) -> int:
        """Bytes after that."""
        with psycopg.connect(self._url, autocommit=True) as server:
            server.execute(statement.encode())
            found = server.execute(_SIZE).fetchone()
        return int(found[0]) if found else 0


_Place = _File | _Database


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures for people: bytes for each request, without what an empty ledger has."""
    requests = figures["requests"]
    rows = [
        [name, what, f"{(size - side['empty']) / requests:,.0f}"]
        for name, side in figures["sides"].items()
        for what, size in _sizes(side).items()
    ]
    return [
        Table(
            f"growth: bytes for each of {requests:,} requests",
            ("", "", "bytes"),
            rows,
            "without what the ledger has before its first request; pruned rows keep keys, states and account ids",
            left=2,
        )
    ]


def _sizes(side: dict[str, Any]) -> dict[str, int]:
    vacuumed = {f"pruned, then {vacuum}": size for vacuum, size in side["vacuumed"].items()}
    return {"grown": side["grown"], "pruned": side["pruned"], **vacuumed}

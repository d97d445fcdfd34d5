"""How the databases carry out what a ledger asks of them: the plan of every statement that really ran.

SQLite tells every statement, which is then explained on a connection of its own; PostgreSQL explains every statement
while it runs (its module auto_explain) and sends the plan along.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg
import psycopg.sql
import sqlalchemy as sa

from worker.ledger import sqlite_path

_LARGE = frozenset({"requests", "attempts", "history", "events"})
"""Tables that grow with every request. The others have a row for each worker or provider."""

_EXPLAINED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Plan:
    """One statement, and the steps of its plan.

    Attributes:
        scans: Large tables that it goes through from end to end.
        walks: Indexes of large tables that it goes through in their order, perhaps to the end.
    """

    statement: str
    steps: tuple[str, ...]
    scans: tuple[str, ...]
    walks: tuple[str, ...]


class Watch:
    """What was seen since it was last asked."""

    def __init__(self) -> None:
        self._seen: list[Plan | str] = []

    def told(self, seen: Plan | str) -> None:
        """A plan, or a statement that is yet to be explained."""
        self._seen.append(seen)

    def take(self, url: str) -> list[Plan]:
        """Every plan that was seen, each once."""
        seen, self._seen = self._seen, []
        path = sqlite_path(url)
        if path is None:
            plans = [plan for plan in seen if isinstance(plan, Plan)]
        else:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
                plans = [_explained(file, text) for text in seen if isinstance(text, str)]
            file.close()
        return list({(plan.statement, plan.steps): plan for plan in plans}.values())


@contextmanager
def watched(url: str) -> Iterator[Watch]:
    """Connections to this ledger that are opened in the block tell what they do."""
    watch = Watch()
    on_file = sqlite_path(url) is not None

    def listen(connection: Any, _record: object) -> None:
        if on_file:
            connection.set_trace_callback(watch.told)
        else:
            connection.add_notice_handler(lambda notice: _noticed(watch, notice))

    with nullcontext() if on_file else _explaining(url):
        sa.event.listen(sa.pool.Pool, "connect", listen)
        try:
            yield watch
        finally:
            sa.event.remove(sa.pool.Pool, "connect", listen)


_EXPLAINING = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_level": "notice",
    "auto_explain.log_format": "json",
}


@contextmanager
def _explaining(url: str) -> Iterator[None]:
    """New sessions on the database explain what they do."""
    with psycopg.connect(url, autocommit=True) as server:
        altered = psycopg.sql.SQL("ALTER DATABASE {} ").format(psycopg.sql.Identifier(server.info.dbname))
        for name, value in _EXPLAINING.items():
            setting = psycopg.sql.SQL("SET {} = {}").format(psycopg.sql.SQL(name), psycopg.sql.Literal(value))
            server.execute(altered + setting)
        try:
            yield
        finally:
            server.execute(altered + psycopg.sql.SQL("RESET ALL"))


def _noticed(watch: Watch, notice: psycopg.errors.Diagnostic) -> None:
    _, explained, text = (notice.message_primary or "").partition("plan:\n")
    if explained:
        told = json.loads(text)
        nodes = list(_nodes(told["Plan"]))
        watch.told(
            Plan(
                _shortened(told["Query Text"]),
                tuple(_step(node) for node in nodes),
                tuple(node["Relation Name"] for node in nodes if _goes_through(node)),
                tuple(node["Index Name"] for node in nodes if _walks(node)),
            )
        )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _step(node: dict[str, Any]) -> str:
    on = [node[name] for name in ("Index Name", "Relation Name") if name in node]
    condition = node.get("Index Cond")
    return " ".join([node["Node Type"], *on, *([condition] if condition else [])])


def _goes_through(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Seq Scan" and node.get("Relation Name") in _LARGE


def _walks(node: dict[str, Any]) -> bool:
    in_order = node["Node Type"] in {"Index Scan", "Index Only Scan"} and "Index Cond" not in node
    return in_order and node.get("Relation Name") in _LARGE


def _explained(file: sqlite3.Connection, statement: str) -> Plan:
    if not _EXPLAINED.match(statement):
        return Plan(_shortened(statement), (), (), ())
    steps = tuple(row[3] for row in file.execute(f"EXPLAIN QUERY PLAN {statement}"))
    through = [match for step in steps if (match := re.match(r"SCAN (\w+)( USING .*INDEX (\w+))?", step))]
    large = [match for match in through if match.group(1) in _LARGE]
    return Plan(
        _shortened(statement),
        steps,
        tuple(match.group(1) for match in large if match.group(2) is None),
        tuple(match.group(3) for match in large if match.group(3) is not None),
    )


def _shortened(statement: str) -> str:
    """Without its values: what differs only in them is one statement."""
    return re.sub(r"\s+", " ", re.sub(r"'[^']*'", "'...'", statement)).strip()[:400]

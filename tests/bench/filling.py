"""A ledger with many rows, made by the database itself: as it is after years, or before many retries.

The rows are those of two and a half years: what is older than the retention of 90 days was pruned, a tenth still has
its content. One in a thousand each is held, in doubt and waiting; one in ten thousand has a result that nobody
confirmed.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from tests.bench.scene import PROVIDER
from worker.ledger import migrate, sqlite_path

_AT_ONCE = 100_000  # rows in one transaction
_CACHE = 400 * 1024  # KiB, while it is filled
_AGE = 900 * 86400  # seconds, of the oldest
_KEPT = 90 * 86400  # seconds after which the content of a closed row is gone
_SCATTER = "(i * 2654435761) % 4294967296"  # numbers in no order, as ids are

_ID = "{hex} || '-0000-4000-8000-' || {digits}"
_STATE = (
    """CASE i % 1000 WHEN 1 THEN 'held' WHEN 2 THEN 'in_doubt' WHEN 3 THEN 'waiting' ELSE 'provisioned' END"""
)
_WIDE = "x" * 900  # about what a sealed request and a sealed event weigh


@dataclass(frozen=True, slots=True)
class _Words:
    """What the two databases spell differently.

    Attributes:
        numbers: The name `i` for every number from the first to the last.
        before: A time so many seconds before now.
    """

    numbers: str
    hex: str
    digits: str
    before: str
    true: str
    false: str
    json: str


_SQLITE = _Words(
    numbers="RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})",
    hex="printf('%08x', {})",
    digits="printf('%012d', {})",
    before="strftime('%Y-%m-%dT%H:%M:%S', 'now', printf('%d seconds', -({}))) || '.000000+00:00'",
    true="1",
    false="0",
    json="'{}'",
)
_POSTGRESQL = _Words(
    numbers="n(i) AS (SELECT generate_series({first}::bigint, {last}::bigint))",
    hex="lpad(to_hex({}), 8, '0')",
    digits="lpad(({})::text, 12, '0')",
    before="now() - ({}) * interval '1 second'",
    true="true",
    false="false",
    json="'{}'::json",
)


def fill(url: str, have: int, want: int) -> None:
    """Bring a ledger with so many rows of ours (none, if it is not there yet) to so many. Blocks for long."""
    migrate(url)
    words = _SQLITE if url.startswith("sqlite") else _POSTGRESQL
    for first in range(have + 1, want + 1, _AT_ONCE):
        last = min(first + _AT_ONCE - 1, want)
        _execute(url, [_insert(words, table, first, last) for table in _COLUMNS])
    if words is _POSTGRESQL:
        _execute(url, ["ANALYZE"])  # a server does so by itself, a little later


def id_of(number: int) -> str:
    """The request id of one of the rows."""
    return f"{number * 2654435761 % 4294967296:08x}-0000-4000-8000-{number:012d}"


def _execute(url: str, statements: list[str]) -> None:
    path = sqlite_path(url)
    if path is None:
        with psycopg.connect(url) as server:
            for statement in statements:
                server.execute(statement.encode())
    else:
        file = sqlite3.connect(path)
        file.execute("PRAGMA synchronous = OFF")
        file.execute(f"PRAGMA cache_size = {-_CACHE}")
        with file:
            for statement in statements:
                file.execute(statement)
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.close()


def _insert(words: _Words, table: str, first: int, last: int) -> str:
    columns, which = _COLUMNS[table]
    known = {
        "id": _ID.format(hex=words.hex.format(_SCATTER), digits=words.digits.format("i")),
        "age": f"({_SCATTER}) * {_AGE} / 4294967296",
    }
    has_content = f"(age < {_KEPT} OR i % 1000 IN (1, 2, 3))"
    values = ", ".join(_spelled(words, value, has_content) for value in columns.values())
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - made of our own constants
        f"WITH {words.numbers.format(first=first, last=last)}, "
        f"r AS (SELECT i, {known['id']} AS id, {known['age']} AS age, {_STATE} AS state FROM n) "
        f"SELECT {values} FROM r WHERE {_spelled(words, which, has_content)}"
    )


def _spelled(words: _Words, value: str, has_content: str) -> str:
    return (
        value.replace("$content", has_content)
        .replace("$age", words.before.format("age"))
        .replace("$soon", words.before.format("-86400"))
        .replace("$true", words.true)
        .replace("$false", words.false)
        .replace("$json", words.json)
        .replace("$wide", f"'{_WIDE}'")
    )


_REQUESTS: Mapping[str, str] = {
    "request_id": "id",
    "source": "'urn:filling'",
    "idempotency_key": "'key-' || id",
    "provider": f"'{PROVIDER}'",
    "fingerprint": f"'k1:{'0' * 64}'",
    "state": "state",
    "came_from": "'sending'",
    "reason": "CASE state WHEN 'provisioned' THEN 'created' WHEN 'waiting' THEN 'provider_busy' ELSE 'no_answer' END",
    "sealed_request": "CASE WHEN $content THEN $wide ELSE '' END",
    "context": "$json",
    "content_mode": "'structured'",
    "dry_run": "$false",
    "received_at": "$age",
    "since": "$age",
    "changed_at": "$age",
    "due_at": "CASE WHEN state IN ('waiting', 'in_doubt') THEN $soon END",
    "closed_at": "CASE WHEN state = 'provisioned' THEN $age END",
    "pruned_at": "CASE WHEN NOT $content THEN $age END",
    "fence": "1",
    "sends": "1",
    "attempts": "1",
    "deferrals": "0",
    "look_ups": "0",
    "absences": "0",
    "generation": "0",
    "doubted": "$false",
    "attempt_sent_at": "$age",
    "baseline": "$json",
    "account_id": "CASE WHEN state = 'provisioned' THEN 'account-' || id END",
    "event_id": "CASE WHEN state IN ('provisioned', 'held') THEN 'event-' || id END",
}
_ATTEMPTS: Mapping[str, str] = {
    "request_id": "id",
    "number": "1",
    "fence": "1",
    "worker": "'worker-filling'",
    "begun_at": "$age",
    "ended_at": "$age",
    "moment": "'answer_read'",
    "status": "201",
    "verdict": "'done'",
    "rule_id": "'filling.created'",
    "reason": "'created'",
    "baseline": "$json",
    "detail": "$json",
}
_EVENTS: Mapping[str, str] = {
    "event_id": "'event-' || id",
    "subject_id": "id",
    "event_type": "'account.provisioned.v1'",
    "routing_key": f"'result.{PROVIDER}.provisioned'",
    "sealed_body": "$wide",
    "recorded_at": "$age",
    "tried_at": "$age",
    "published_at": "CASE WHEN i % 10000 <> 4 THEN $age END",
    "publishes": "1",
}
_CLOSED_WITH_CONTENT = "$content AND state IN ('provisioned', 'held')"


def _line(name: str, leaves: str, enters: str) -> Mapping[str, str]:
    return {
        "subject_id": "id",
        "at": "$age",
        "actor": "'worker-filling'",
        "name": f"'{name}'",
        "leaves": leaves,
        "enters": enters,
        "detail": "$json",
    }


_COLUMNS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "requests": (_REQUESTS, "$true"),
    "attempts": (_ATTEMPTS, "$content"),
    "events": (_EVENTS, _CLOSED_WITH_CONTENT),
    "history": (_line("accept", "NULL", "'accepted'"), "$content"),
}
"""What is written into each table, and for which rows."""

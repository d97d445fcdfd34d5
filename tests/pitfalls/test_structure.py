"""What the code does not contain: some pitfalls are ruled out because there is no line that could step into them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args, get_type_hints

from worker.exchange import Request
from worker.providers import discover
from worker.rabbitmq.topology import Exchange, Queue, Topology

WORKER = Path(__file__).parents[2] / "worker"
PRETENDED = {"demo", "sandbox", "local"}
"""Folders that play the rest of the world."""


def test_no_delivery_is_handed_to_the_librarys_own_settling() -> None:
    """Pitfall 15: `async with message.process()` rejects on any error, so nothing here has a `process` to call."""
    assert [place for place, called in calls() if name_of(called) == "process"] == []


def test_nothing_is_decided_by_the_brokers_own_counters() -> None:
    """Pitfalls 26, 33: headers in which brokers count differ by version; no line of code names one."""
    counters = {"x-death", "x-delivery-count", "x-acquired-count"}
    assert [place for place, text in texts() if text in counters] == []


def test_no_message_waits_at_the_broker_for_its_time() -> None:
    """Pitfalls 25, 27, 35: no time to live, no delay, no plugin: what waits is a row of the ledger with its time."""
    topology = Topology(tuple(discover()))
    arguments = {name for entity in topology.entities for name in entity.arguments}
    assert not arguments & {
        "x-message-ttl",
        "x-expires",
        "x-delayed-type",
        "x-max-length",
        "x-max-length-bytes",
    }
    assert {entity.kind for entity in topology.entities if isinstance(entity, Exchange)} == {
        "topic",
        "fanout",
    }
    assert [place for place, called in calls() if "expiration" in keywords(called)] == []


def test_only_results_and_requests_of_people_are_published() -> None:
    """Pitfall 8: there is no retry copy that could be lost between its publish and the original's acknowledgement."""
    published = {
        place.partition(":")[0]: ast.unparse(keywords(called)["exchange"])
        for place, called in calls()
        if name_of(called) == "basic_publish"
    }
    assert published == {"rabbitmq/publisher.py": "RESULTS", "rabbitmq/admin.py": "REQUESTS"}


def test_no_consumer_is_taken_for_a_lock() -> None:
    """Pitfall 23: no queue has a single active consumer, none is consumed exclusively; the ledger's fence decides."""
    queues = [entity for entity in Topology(("acme",)).entities if isinstance(entity, Queue)]
    assert not any("x-single-active-consumer" in queue.arguments for queue in queues)
    exclusive = [
        called
        for _, called in calls()
        if name_of(called) == "basic_consume" and "exclusive" in keywords(called)
    ]
    assert exclusive == []


def test_no_request_is_of_a_kind_that_is_silently_sent_twice() -> None:
    """Pitfall 49: the client library repeats PUT and DELETE on a stale connection; here there is only GET and POST."""
    assert set(get_args(get_type_hints(Request)["method"])) == {"GET", "POST"}
    in_providers = [called for place, called in calls() if place.startswith("providers/")]
    sent = {ast.unparse(called.args[0]) for called in in_providers if name_of(called) == "Request"}
    assert sent == {"'GET'", "'POST'"}


def test_no_other_code_speaks_to_a_provider() -> None:
    """Pitfalls 48, 49: one call of the client library, which follows no redirect; no provider imports the library."""
    requests = [(place, called) for place, called in calls() if name_of(called) == "request"]
    assert [place.partition(":")[0] for place, _ in requests] == ["http_client.py"]
    assert ast.unparse(keywords(requests[0][1])["allow_redirects"]) == "False"
    modules = {module for path in (WORKER / "providers").glob("*.py") for module in imported(path)}
    assert not modules & {"aiohttp", "urllib.request", "http.client", "requests", "httpx"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the worker, with its place."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield f"{path}:{node.lineno}", node


def texts() -> Iterator[tuple[str, str]]:
    """Every text constant in the worker, with its place."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path}:{node.lineno}", node.value


@cache
def trees() -> tuple[tuple[str, ast.Module], ...]:
    """Every module of the worker proper."""
    inside = (path.relative_to(WORKER) for path in sorted(WORKER.rglob("*.py")))
    return tuple(
        (path.as_posix(), ast.parse((WORKER / path).read_text(encoding="utf-8")))
        for path in inside
        if path.parts[0] not in PRETENDED
    )


def name_of(called: ast.Call) -> str:
    """The last part of the name that is called."""
    match called.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def keywords(called: ast.Call) -> dict[str, ast.expr]:
    """The named arguments of a call."""
    return {keyword.arg: keyword.value for keyword in called.keywords if keyword.arg is not None}


def imported(path: Path) -> Iterator[str]:
    """Modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""

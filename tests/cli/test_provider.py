"""Pause, resume, and how each provider stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.cli.books import Books
from tests.cli.terminal import Terminal
from worker.core.states import State
from worker.providers import discover

WHY = ("--reason", "maintenance [until] 14:00")


def test_pause_and_resume_are_tried_done_and_safe_to_repeat(terminal: Terminal) -> None:
    """Each step says what it would do, did, or did not need to do, and who paused."""
    pause, resume = (("provider", verb, "phone_com", *WHY) for verb in ("pause", "resume"))
    assert "would be paused" in terminal(*pause, "--dry-run").out
    assert "not paused; a wait that the provider asked for would end" in terminal(*resume, "--dry-run").out
    assert "unchanged" in terminal(*resume).out
    assert "is paused" in terminal(*pause).out
    assert "paused by olivia" in terminal(*pause, "--dry-run").out
    assert terminal(*pause, "--json").json["provider"] == "phone_com"
    assert "would be resumed; it is paused by olivia" in terminal(*resume, "--dry-run").out
    assert terminal(*resume).out == "phone_com is resumed\n"


def test_status_shows_pauses_and_open_requests(books: Books, terminal: Terminal) -> None:
    """One line per provider: paused by whom and why, and what waits."""
    books.bring(State.HELD)
    terminal("provider", "pause", "phone_com", *WHY)
    lines = {line.split()[0]: line for line in terminal("provider", "status").out.splitlines()}
    assert set(lines) == {"provider", *discover()}
    assert lines["provider"].endswith("in the ledger")
    assert "paused by operator" in lines["phone_com"]
    assert "maintenance [until] 14:00  olivia" in lines["phone_com"]
    assert lines["phone_com"].endswith("1 held")
    assert "not paused" in lines["gateway360"]


def test_status_of_one_provider_tells_its_history(terminal: Terminal) -> None:
    """Who paused and resumed it, when and why, the newest first."""
    assert "it was never paused" in terminal("provider", "status", "phone_com").out
    terminal("provider", "pause", "phone_com", *WHY)
    terminal("provider", "resume", "phone_com", "--reason", "over", "--actor", "ada")
    history = terminal("provider", "status", "phone_com", "--json").json["history"]
    assert [(it["name"], it["actor"], it["note"]) for it in history] == [
        ("resume", "ada", "over"),
        ("pause", "olivia", "maintenance [until] 14:00"),
    ]
    assert "over" in terminal("provider", "status", "phone_com").out


class _Metrics(BaseHTTPRequestHandler):
    """What a worker with a broken provider shows."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            b'provisioner_provider_state{provider="phone_com",state="open"} 0.0\n'
            b'provisioner_provider_state{provider="phone_com",state="broken"} 1.0\n'
        )

    def log_message(self, *_: object) -> None:
        """Say nothing."""


REASONS = "; ".join(
    f"provisioning.requests.provider_{number} is not served: " + "x" * 150 for number in range(4)
)


class _Unready(_Metrics):
    """What a worker says of itself that cannot do its work."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(REASONS.encode())


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The monitoring port of a pretended worker."""
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def metrics_port() -> Iterator[int]:
    """The monitoring port of a worker with a broken provider."""
    with answering(_Metrics) as port:
        yield port


def test_a_worker_that_is_not_ready_is_heard_out(terminal: Terminal) -> None:
    """All its reasons are told, those of the fourth provider too, and nobody is sent to look for a worker."""
    with answering(_Unready) as port:
        said = terminal("healthcheck", "--probe", "readyz", MONITORING__PORT=str(port))
        told = terminal("healthcheck", "--probe", "readyz", "--json", MONITORING__PORT=str(port))
    assert (said.code, REASONS in said.err, "does one run here" in said.err) == (1, True, False)
    assert (told.code, told.json["healthy"], told.json["what"]) == (1, False, REASONS)


def test_each_process_is_told(terminal: Terminal) -> None:
    """Of several processes a program hears all, not the first one that is unwell alone."""
    settings = {"MONITORING__PORT": "1", "WORKER__PROCESSES": "2", "SEALING__KEYS_FILE": "keys.json"}
    told = terminal("healthcheck", "--json", **settings, LEDGER__URL="postgresql://u@h/x").json
    assert [it["asked"] for it in told["processes"]] == ["127.0.0.1:1/livez", "127.0.0.1:2/livez"]
    assert not any(it["healthy"] for it in told["processes"])


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("::1", "[::1]:1/livez"),
        ("::", "[::1]:1/livez"),
        ("0.0.0.0", "127.0.0.1:1/livez"),
        ("localhost", "localhost:1/livez"),
    ],
)
def test_a_worker_is_asked_where_it_listens(terminal: Terminal, host: str, asked: str) -> None:
    """An IPv6 address stands in brackets, and every address of a family is the machine's own one of that family."""
    told = terminal("healthcheck", "--json", MONITORING__HOST=host, MONITORING__PORT="1").json
    assert told["asked"] == asked


def test_status_knows_the_breaker_of_the_worker_on_this_machine(
    terminal: Terminal, metrics_port: int
) -> None:
    """An outage is no pause: only the worker itself knows of it, and is asked."""
    port = str(metrics_port)
    lines = terminal("provider", "status", "--json", MONITORING__PORT=port).json
    assert {it["provider"]: it["worker_here"] for it in lines}["phone_com"] == "broken"
    assert "asks nothing: outage" in terminal("provider", "status", MONITORING__PORT=port).out


def test_a_proxy_does_not_answer_for_the_worker_on_this_machine(
    terminal: Terminal, metrics_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A health check that goes through `http_proxy` would call a dead worker well: what answers 200 here is a proxy."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{metrics_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert terminal("healthcheck", MONITORING__PORT="1").code == 1
    assert terminal("healthcheck", MONITORING__PORT=str(metrics_port)).code == 0

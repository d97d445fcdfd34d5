"""`submit`: what is refused before anything is published, and what comes back from a real worker."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.cli.terminal import Said, Terminal
from tests.scenarios.conftest import House
from worker import bootstrap
from worker.bootstrap import errands
from worker.cli.program import app
from worker.core.broker import Message
from worker.core.errors import PublishUnconfirmed
from worker.demo.cast import canary_speech, phone_com
from worker.rabbitmq.admin import Results
from worker.sandbox import Fault, Operation, Rule

NESTED = ("-p", "name=acme", "-p", "contact.email=it@acme.example", "-p", "contact.phone_number=+18585551111")


def data(key: str, **changes: Any) -> dict[str, Any]:
    """The data of a good request."""
    return {"idempotency_key": key, "provider": "canary_speech", "parameters": canary_speech(key), **changes}


def whole(key: str) -> dict[str, Any]:
    """A whole event."""
    envelope = {
        "specversion": "1.0",
        "id": f"event-{key}",
        "source": "urn:shop",
        "type": "account.requested.v1",
    }
    return {**envelope, "data": data(key)}


REFUSED = [
    (["--provider", "phonecom"], None, "/data/provider must be one of canary_speech", "no such provider"),
    (["--provider", "canary_speech"], None, "/data/parameters/name: is required", "a parameter is missing"),
    (
        ["--provider", "canary_speech", "-p", "name=x", "-p", "nmae=y"],
        None,
        "/data/parameters/nmae: is not a field",
        "a mistyped parameter",
    ),
    (
        ["--provider", "canary_speech", "-p", "name=4711"],
        None,
        "needs quotes",
        "a number where a text is wanted",
    ),
    (["--provider", "canary_speech", "-p", "name"], None, "NAME=VALUE", "no value"),
    (["--provider", "canary_speech", "-p", ".=x"], None, "NAME=VALUE", "no name"),
    (
        ["--provider", "canary_speech", "-p", "a=1", "-p", "a.b=1"],
        None,
        "is a value already",
        "both value and object",
    ),
    (["--provider", "canary_speech", "-p", "a=1", "-p", "a=2"], None, "given twice", "which of the two?"),
    (
        ["--provider", "canary_speech", "--key", " x", "-p", "name=x"],
        None,
        "/data/idempotency_key",
        "a key with a space",
    ),
    (["-", "--key", "other"], "{}", "not both", "a file and arguments"),
    (["-"], '{"a": 1,\n}', "is not JSON (line 2)", "no JSON"),
    (["-"], "[]", "one JSON object", "no object"),
    (["nowhere.json"], None, "cannot be read: No such file", "no file"),
    (["-", "--source", "urn:x"], json.dumps(whole("k")), "--source goes with data alone", "it has a source"),
    (["-"], json.dumps({**whole("k"), "type": "other"}), "/type: must be", "another type"),
    (["-"], json.dumps({**whole("k"), "data": 7}), "/data/provider must be one of", "no data"),
    (["-", "--dry-run"], json.dumps({**whole("k"), "data": 7}), "--dry-run needs", "nowhere to put it"),
]


@pytest.mark.parametrize(("words", "stdin", "told", "reason"), REFUSED)
def test_what_the_worker_would_refuse_is_refused_at_once(
    bare: Terminal, words: list[str], stdin: str | None, told: str, reason: str
) -> None:
    """With a pointer and the rule, exit code 2, and before RabbitMQ is even looked for."""
    said = bare("submit", *words, stdin=stdin)
    assert (said.code, told in said.err) == (2, True), f"{reason}: {said.err}"


LOST = "no confirmation within 10 s"


@pytest.fixture
def unconfirmed(bare: Terminal, monkeypatch: pytest.MonkeyPatch) -> tuple[Terminal, list[dict[str, Any]]]:
    """A terminal before a broker that takes every request and confirms none, and what it took."""
    taken: list[dict[str, Any]] = []

    async def take(_: object, event: dict[str, Any], *_rest: object) -> None:
        taken.append(event)
        raise PublishUnconfirmed(LOST)

    monkeypatch.setattr(bootstrap, "submit", take)
    return bare, taken


@pytest.mark.parametrize("spoken", [(), ("--json",), ("--wait",)])
def test_a_made_up_key_is_told_before_anything_is_published(
    unconfirmed: tuple[Terminal, list[dict[str, Any]]], spoken: tuple[str, ...]
) -> None:
    """Whoever never hears of a confirmation still has the key under which the request may run."""
    terminal, taken = unconfirmed
    said = terminal("submit", "--provider", "canary_speech", *NESTED, *spoken)
    key = taken[0]["data"]["idempotency_key"]
    words = "the same key from the same source (urn:provisioner:cli) never opens a second account"
    assert " ".join(said.err.split()).startswith(f"idempotency key {key}; {words}")
    assert (said.code, said.out) == (69, "")


def test_a_key_that_was_given_is_not_told_anew(
    unconfirmed: tuple[Terminal, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Who typed a key, or has it in a file, knows it."""
    terminal, _ = unconfirmed
    file = tmp_path / "request.json"
    file.write_text(json.dumps(data("from-file")))
    for words in (("--provider", "canary_speech", "--key", "own", *NESTED), (str(file),)):
        assert terminal("submit", *words).err.startswith(f"error: {LOST}")


UNCONFIRMED = [
    (
        ["--provider", "canary_speech", "--key", "order 1", "-p", "name=geheim"],
        "`provisioner submit --provider canary_speech --key 'order 1' ...` with the same parameters",
        "what was typed, but for the parameters, which may be secret",
    ),
    (
        ["--provider", "canary_speech", "--key", "k", "-p", "name=x", "--source", "urn:mine", "--dry-run"],
        "`provisioner submit --provider canary_speech --key k --source urn:mine --dry-run ...`",
        "source and key are one identity, and a dry run stays one",
    ),
    (["my request.json"], "`provisioner submit 'my request.json'` with its key from-file", "the same file"),
    (
        ["my request.json", "--source", "urn:mine", "--no-check"],
        "`provisioner submit 'my request.json' --source urn:mine --no-check`",
        "published unchecked, so it is repeated unchecked",
    ),
    (
        ["--provider", "canary_speech", "--key", "order:id:7\\", "-p", "name=x", "--source", "urn:[red"],
        "`provisioner submit --provider canary_speech --key 'order:id:7\\' --source 'urn:[red' ...`",
        "nothing in it is a picture or markup",
    ),
    (
        ["--provider", "canary_speech", "--key", "a\xa0b", "-p", "name=x"],
        "`provisioner submit --provider canary_speech --key $'a\\xc2\\xa0b' ...`",
        "what no screen shows is typed as it is, not as the backslash that stands for it",
    ),
    (["-"], "`provisioner submit -` with the same input and its key from-stdin", "nobody can read it twice"),
]


@pytest.mark.parametrize(("words", "told", "reason"), UNCONFIRMED)
def test_an_unconfirmed_request_names_the_command_that_repeats_it(
    unconfirmed: tuple[Terminal, list[dict[str, Any]]], words: list[str], told: str, reason: str
) -> None:
    """The request may be queued; the same key, source and content again open no second account."""
    terminal, _ = unconfirmed
    Path("my request.json").write_text(json.dumps(data("from-file")))
    said = terminal("submit", *words, stdin=json.dumps(data("from-stdin")))
    assert (said.code, told in said.err) == (69, True), f"{reason}: {said.err}"
    assert "may be queued" in said.err
    assert "geheim" not in said.everything


class PlayedWorker:
    """Answers every request at once with these results, in this order."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = answers
        self._results = Results()

    @asynccontextmanager
    async def connected(self, _: object) -> AsyncIterator["PlayedWorker"]:
        """Stands for the connection to RabbitMQ."""
        yield self

    @asynccontextmanager
    async def results(self) -> AsyncIterator[Results]:
        """As a real connection's."""
        yield self._results

    async def publish_request(self, _body: bytes, *, routing_key: str) -> None:
        """Take it, and answer."""
        for answer in self._answers:
            message = Message(json.dumps(answer).encode(), "provisioning.results", routing_key)
            self._results._messages.put_nowait(message)


def result(causationid: str, outcome: str, **more: object) -> dict[str, Any]:
    """A result event for the key of `whole("k")`, caused by this event."""
    about = {"idempotency_key": "k", "request_source": "urn:shop", "outcome": outcome, **more}
    return {"id": "result-1", "causationid": causationid, "data": about}


FIRST = result("event-of-the-first", "provisioned", account_id="A-1")
CONFLICT = result("event-k", "rejected", reason={"code": "idempotency_conflict", "message": "other content"})


@pytest.mark.parametrize(
    ("answers", "code", "out", "reason"),
    [
        ([FIRST, CONFLICT], 1, "rejected", "other content, and the first request ended meanwhile"),
        ([CONFLICT, FIRST], 1, "rejected", "the other way round"),
        ([FIRST], 0, "provisioned account A-1", "the same content once more"),
    ],
)
def test_the_result_of_an_earlier_request_is_told_as_such(
    bare: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[dict[str, Any]],
    code: int,
    out: str,
    reason: str,
) -> None:
    """A conflict does not end as the success of the request that it is in conflict with."""
    monkeypatch.setattr(errands, "_admin", PlayedWorker(*answers).connected)
    monkeypatch.setattr(errands, "_OWN_ANSWER_WITHIN", 0.01)
    said = bare("submit", "-", "--wait", stdin=json.dumps(whole("k")))
    is_of_another = "answers an earlier request with the same key (event event-of-the-first)" in said.err
    assert (said.code, out in said.out, is_of_another) == (code, True, code == 0), reason


class Client:
    """Types `submit` beside a running worker."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    async def __call__(self, *words: str, stdin: str | None = None) -> Said:
        """The command runs in a thread, for it has an event loop of its own."""
        return await asyncio.to_thread(self._terminal, "submit", *words, stdin=stdin)


@pytest.fixture
async def client(house: House) -> Client:
    """A worker is up and takes requests."""
    worker = await house.worker()
    own = {name: value for name, value in worker.environment.items() if name.startswith("PROVISIONER_")}
    return Client(Terminal(own))


@pytest.mark.rabbitmq
async def test_a_request_from_anywhere_ends_in_its_result(
    house: House, client: Client, tmp_path: Path
) -> None:
    """From arguments, a file and standard input, as data alone and as a whole event, for people and for programs."""
    by_hand = await client("--provider", "canary_speech", "--key", "by-hand", *NESTED, "--wait")
    file = tmp_path / "request.json"
    file.write_text(json.dumps(data("from-file")))
    from_file = await client(str(file), "--source", "urn:mine", "--wait", "--json")
    from_stdin = await client("-", "--wait", "--json", stdin=json.dumps(whole("from-stdin")))

    sent = {account.fields["name"]: account for account in house.sandbox.accounts("canary_speech")}
    assert (by_hand.code, f"provisioned account {sent['acme'].id} (event " in by_hand.out) == (0, True)
    assert sent["acme"].fields["contact"] == {"email": "it@acme.example", "phoneNumber": "+18585551111"}
    assert from_file.json["data"]["request_source"] == "urn:mine"
    assert from_file.json["data"]["account_id"] == sent["from-file"].id
    assert from_stdin.json["causationid"] == "event-from-stdin"
    assert from_stdin.json["data"]["request_source"] == "urn:shop"


@pytest.mark.rabbitmq
async def test_a_dry_run_opens_nothing_and_ends_well(house: House, client: Client) -> None:
    """Also for a whole event; that it passed is a success of the command."""
    dry = await client("--provider", "canary_speech", *NESTED, "--dry-run", "--wait")
    whole_event = await client("-", "--dry-run", "--wait", "--json", stdin=json.dumps(whole("dry")))
    assert (dry.code, "dry_run_passed" in dry.out) == (0, True)
    assert (whole_event.code, whole_event.json["data"]["dry_run"]) == (0, True)
    assert house.sandbox.creates("canary_speech").made == 0


@pytest.mark.rabbitmq
async def test_what_goes_wrong_is_told_with_exit_code_1(house: House, client: Client) -> None:
    """Rejected with pointers, held, or no result in time with the command that tells more."""
    rejected = await client(
        "--provider", "canary_speech", "--key", "bad", "-p", "nmae=x", "--no-check", "--wait"
    )
    assert rejected.code == 1
    assert "rejected invalid_parameters" in rejected.out
    assert "  /data/parameters/nmae: is not a field that is known here" in rejected.out

    house.sandbox.faults.add(
        Rule(fault=Fault.LATE_ANSWER, match="slow-one", until="later", times=1),
        Rule(fault=Fault.UNAVAILABLE, provider="phone_com", operation=Operation.LOOK_UP),
    )
    slow = ("-", "--wait", "--timeout", "1")
    late = await client(
        *slow, stdin=json.dumps(data("slow", provider="phone_com", parameters=phone_com("slow-one")))
    )
    house.sandbox.gate("later").set()
    assert (late.code, "no result within 1 s" in late.err) == (1, True)
    assert "provisioner explain slow" in late.err


def read_by_bash(command: str) -> list[str]:
    """The words of a command that was typed."""
    said = subprocess.run(["bash", "-c", rf"printf '%s\0' {command}"], capture_output=True, check=True)
    return said.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("key", ["-d", "a b;c", "it's", "a\xa0b\xad"])
def test_the_command_that_follows_a_request_can_be_typed(
    bare: Terminal, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Whatever the key is made of, a shell and the program read it as that one word."""
    monkeypatch.setattr(errands, "_admin", PlayedWorker().connected)
    event = {**whole("k"), "data": data("k", idempotency_key=key)}
    said = bare("submit", "-", stdin=json.dumps(event))
    typed = read_by_bash(said.out.partition("follow it with `")[2].rstrip("`\n"))
    command = typer.main.get_command(app).commands["explain"]  # type: ignore[attr-defined]  # a group's
    assert typed[:2] == ["provisioner", "explain"]
    assert command.make_context("explain", typed[2:]).params["reference"] == key


def test_a_request_without_a_result_may_still_wait_in_rabbitmq(
    bare: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gives up waiting hears where it may be, and that only the same source and key open no second account."""
    monkeypatch.setattr(errands, "_admin", PlayedWorker().connected)
    said = bare("submit", "-", "--wait", "--timeout", "1", stdin=json.dumps(whole("k")))
    told = " ".join(said.err.split())
    assert (said.code, "no result within 1 s" in told) == (1, True)
    assert "while it waits in RabbitMQ" in told
    assert "safe under the same key (k) from the same source (urn:shop), under another key or" in told


@pytest.mark.rabbitmq
async def test_without_waiting_it_says_how_to_follow(client: Client) -> None:
    """The confirmed publish is told with the key; without a key one is made up and told beside the JSON."""
    said = await client("--provider", "canary_speech", "--key", "order-1", *NESTED)
    made_up = await client("--provider", "canary_speech", *NESTED, "--json")
    told = made_up.json
    assert said.out.endswith("follow it with `provisioner explain order-1`\n")
    assert told.keys() == {"published", "idempotency_key", "provider"}
    assert made_up.err.startswith(f"idempotency key {told['idempotency_key']}; ")

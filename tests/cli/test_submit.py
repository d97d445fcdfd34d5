"""`submit`: what is refused before anything is published, and what comes back from a real worker."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Said, Terminal
from tests.scenarios.conftest import House
from worker.demo.cast import canary_speech, phone_com
from worker.sandbox import Fault, Rule

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

    house.sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, match="slow-one", until="later", times=1))
    slow = ("-", "--wait", "--timeout", "1")
    late = await client(
        *slow, stdin=json.dumps(data("slow", provider="phone_com", parameters=phone_com("slow-one")))
    )
    house.sandbox.gate("later").set()
    assert (late.code, "no result within 1 s" in late.err) == (1, True)
    assert "provisioner explain slow" in late.err


@pytest.mark.rabbitmq
async def test_without_waiting_it_says_how_to_follow(client: Client) -> None:
    """The confirmed publish is told with the key; without a key one is made up."""
    said = await client("--provider", "canary_speech", "--key", "order-1", *NESTED)
    told = (await client("--provider", "canary_speech", *NESTED, "--json")).json
    assert said.out.endswith("follow it with `provisioner explain order-1`\n")
    assert told.keys() == {"published", "idempotency_key", "provider"}
    assert told["idempotency_key"]

"""Hostile messages on a real broker: each becomes a row with a reason, its sender is answered, the worker goes on."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from tests.scenarios.conftest import House
from worker.demo.cast import canary_speech, phone_com
from worker.demo.mailbox import Mailbox
from worker.demo.worker_process import WorkerProcess


def event(number: int, **changes: Any) -> bytes:
    """A good request with something changed in its data; None takes a field away."""
    data: dict[str, Any] = {"idempotency_key": f"bad-{number}", "provider": "canary_speech"}
    data |= {"parameters": canary_speech("Bad")} | changes
    data = {name: value for name, value in data.items() if value is not None}
    envelope = {
        "specversion": "1.0",
        "id": f"event-{number}",
        "source": "urn:bad",
        "type": "account.requested.v1",
    }
    return json.dumps({**envelope, "data": data}).encode()


DUPLICATED = event(5).replace(b'"provider":', b'"provider": "phone_com", "provider":')
NAN = event(6, dry_run="NaN").replace(b'"NaN"', b"NaN")

UNREADABLE = [
    (b"\xff\xfe\xfd", "not_utf8", "not UTF-8"),
    (b"please open an account", "not_json", "not JSON"),
    (b'"' + b"x" * (10 * 1024 * 1024) + b'"', "too_large", "10 MiB"),
    (b"[" * 10_000 + b"]" * 10_000, "too_deep", "10,000 levels deep"),
    (b"", "not_json", "nothing at all"),
]

ANSWERABLE = [
    (DUPLICATED, "duplicate_json_key", "duplicate keys"),
    (NAN, "not_finite_number", "NaN"),
    (event(10, provider=7), "invalid_data", "a number as provider"),
    (event(11, parameters="text"), "invalid_data", "a text as parameters"),
    (event(12, provider="acme"), "unknown_provider", "unknown provider"),
    (event(13, surprise=1), "invalid_data", "unknown field in the data"),
    (
        event(14, parameters={"name": "x", "surprise": 1}),
        "invalid_parameters",
        "unknown field in the parameters",
    ),
    (event(15, idempotency_key=None), "invalid_data", "missing key"),
    (event(16, idempotency_key="k" * 10_000), "invalid_data", "key of 10,000 characters"),
    (event(17, parameters={"name": 5}), "invalid_parameters", "wrong type in the parameters"),
    (event(18, dry_run=1), "invalid_data", "1 for true"),
]


@pytest.mark.rabbitmq
async def test_every_bad_input_becomes_a_row_and_the_worker_goes_on(house: House) -> None:
    """Each hostile message is a dead letter with its reason; whoever could be read is answered; good ones still run."""
    worker = await house.worker()
    mailbox = await house.mailbox()
    for body, _, _ in (*UNREADABLE, *ANSWERABLE):
        await mailbox.send(body, "request.canary_speech", "application/cloudevents+json")
    await mailbox.send(b"lost", "request.nobody", "text/plain")
    await mailbox.ask("good", "phone_com", phone_com("good-after-bad"))
    letters = await _letters(house, worker, len(UNREADABLE) + len(ANSWERABLE) + 1)

    assert await mailbox.until(lambda: "provisioned" in mailbox.outcomes("good"), 30)
    wanted = [reason for _, reason, _ in (*UNREADABLE, *ANSWERABLE)] + ["not_json"]
    assert sorted(letter["reason"] for letter in letters) == sorted(wanted)
    told = [reason for _, reason, _ in ANSWERABLE] + ["not_json"]  # that one is named by its properties
    assert await mailbox.until(lambda: len(_answers(mailbox)) == len(told), 30)
    assert sorted(_answers(mailbox).values()) == sorted(told)
    assert house.sandbox.creates("canary_speech").attempted == 0


@pytest.mark.rabbitmq
async def test_a_dead_letter_is_shown_discarded_and_replayed_by_an_operator(house: House) -> None:
    """The verbs on dead letters work against a real broker: a replay that dies again is open again."""
    worker = await house.worker()
    mailbox = await house.mailbox()
    await mailbox.send(b"one", "request.phone_com", "text/plain")
    await mailbox.send(b"two", "request.phone_com", "text/plain")
    first, second = await _letters(house, worker, 2)
    shown = await house.operator(worker, "dead-letters", "show", first["dead_letter_id"], "--body")
    discarded = ("dead-letters", "discard", first["dead_letter_id"], "--reason", "test message")
    assert shown["message"]["body"] in {"one", "two"}
    effects = [(await house.operator(worker, *discarded))[0]["effect"] for _ in range(2)]
    assert effects == ["done", "nothing"]
    replay = ("dead-letters", "replay", second["dead_letter_id"], "--reason", "try again")
    assert "is published again" in (await house.operator(worker, *replay, "--dry-run"))[0]["what"]
    with suppress(
        RuntimeError
    ):  # the worker may be quicker than the command, which then says that it died again
        assert (await house.operator(worker, *replay))[0]["effect"] == "done"
    open_again = await _letters(house, worker, 1)
    assert [letter["dead_letter_id"] for letter in open_again] == [second["dead_letter_id"]]


async def _letters(house: House, worker: WorkerProcess, count: int) -> list[dict[str, Any]]:
    """The open dead letters, once there are that many."""
    letters: list[dict[str, Any]] = []
    async with asyncio.timeout(100):
        while len(letters) != count:
            letters = await house.operator(worker, "dead-letters", "list", "--limit", "100")
    return letters


def _answers(mailbox: Mailbox) -> dict[str, str]:
    """The reason told to each sender, by the id of what they sent."""
    return {
        told["causationid"]: told["data"]["reason"]["code"]
        for events in mailbox.events.values()
        for told in events
        if told["data"]["outcome"] == "rejected" and told.get("causationid")
    }

"""A canary secret in every secret field of every provider: it may appear nowhere in clear."""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from jwcrypto import jwe, jwk

from contracts.model import secret_paths
from contracts.providers import discover
from tests.scenarios.conftest import House, patient
from worker.demo.cast import MAKERS, postcode_eu
from worker.demo.mailbox import Mailbox
from worker.demo.surroundings import provider_settings
from worker.demo.worker_process import WorkerProcess
from worker.sandbox import Fault, Rule

GIVEN = {"phone_com": "Canary-given-Phone-1234", "gateway360": "Canary-given-Gateway-1234"}
"""Passwords that requesters chose themselves."""

TROUBLE = (
    Fault.CUT_AFTER_CREATE,
    Fault.HTML_WITH_200,
    Fault.WRONG_JSON,
    Fault.TRUNCATED_BODY,
    Fault.SERVER_ERROR_AFTER_CREATE,
)


@pytest.mark.rabbitmq
@pytest.mark.timeout(180)
async def test_no_secret_is_anywhere_in_clear(house: House) -> None:
    """Not in logs, metrics, rows, events, errors, operators' output or help, whatever goes wrong."""
    worker = await house.worker(RETRY__ATTEMPTS="2", LOG__LEVEL="debug")
    mailbox = await house.mailbox()
    asked = await _ask_for_everything(house, mailbox)
    assert await mailbox.until(lambda: all(mailbox.events[key] for key in asked), 60)
    await _be_forbidden(house, worker, mailbox)
    said = [page async for page in _everything_said(house, worker, mailbox, asked)]
    await worker.stop()
    said += [(path.name, path.read_bytes()) for path in house.folder.iterdir() if path.suffix != ".json"]

    secrets = dict(_secrets(house))
    assert len(secrets) >= 12
    leaks = [
        (name, where) for name, secret in secrets.items() for where, text in said if secret.encode() in text
    ]
    assert leaks == []


@pytest.mark.rabbitmq
async def test_the_consumer_and_nobody_else_reads_the_credentials(house: House) -> None:
    """The JWE in the event opens with the consumer's private key, and holds what the provider issued."""
    await house.worker(**patient("postcode_eu"))
    mailbox = await house.mailbox()
    await mailbox.ask("handed-over", "postcode_eu", postcode_eu("Handed Over B.V."))
    assert await mailbox.until(lambda: bool(mailbox.events["handed-over"]), 30)
    data = mailbox.last("handed-over")["data"]
    token = jwe.JWE()
    token.deserialize(data["credentials"], jwk.JWK(**house.private_key))
    opened = json.loads(token.payload)
    (account,) = house.sandbox.accounts("postcode_eu")
    assert opened["credentials"] == {"key": account.issued["key"], "secret": account.issued["secret"]}
    assert opened["account_id"] == data["account_id"]
    assert opened["event_id"] == mailbox.last("handed-over")["id"]


def test_this_scenario_knows_every_secret_parameter() -> None:
    """A provider that gains a secret parameter must be added to this scenario."""
    found = {name for name, contract in discover().items() if secret_paths(contract.Parameters)}
    assert found == set(GIVEN)


async def _ask_for_everything(house: House, mailbox: Mailbox) -> list[str]:
    keys = []
    for fault in (None, *TROUBLE):
        for provider, parameters in _parameters(fault or "plain").items():
            key = f"{fault or 'plain'}-{provider}"
            if fault is not None:
                rule = Rule(fault=fault, provider=provider, match=_name(provider, fault), times=1)
                house.sandbox.faults.add(rule)
            await mailbox.ask(key, provider, parameters)
            keys.append(key)
    for provider, password in GIVEN.items():
        parameters = _parameters(f"given-{provider}")[provider] | {"password": password}
        await mailbox.ask(f"given-{provider}", provider, parameters)
        await mailbox.ask(
            f"broken-{provider}", provider, parameters | {"surprise": password, "email": password}
        )
        keys += [f"given-{provider}", f"broken-{provider}"]
    await mailbox.send(f"not json {GIVEN['phone_com']}".encode(), "request.phone_com", "text/plain")
    return keys


async def _be_forbidden(house: House, worker: WorkerProcess, mailbox: Mailbox) -> None:
    """Each provider refuses our credentials once, and is paused with the words it said."""
    house.sandbox.faults.add(*(Rule(fault=Fault.FORBIDDEN, provider=name, times=1) for name in MAKERS))
    for provider, parameters in _parameters("forbidden").items():
        await mailbox.ask(f"forbidden-{provider}", provider, parameters)
    paused: list[dict[str, Any]] = []
    while len(paused) < len(MAKERS):
        paused = [line for line in await house.operator(worker, "provider", "status") if line["why"]]


def _parameters(name: str) -> dict[str, dict[str, Any]]:
    return {provider: make(_name(provider, name)) for provider, make in MAKERS.items()}


def _name(provider: str, name: str) -> str:
    return f"{provider[0]}-{name.replace('_', '-')}"


async def _everything_said(house: House, worker: WorkerProcess, mailbox: Mailbox, asked: list[str]) -> Any:
    """Every text a person or a machine could get to see, with where it stood."""
    async with aiohttp.ClientSession() as session:
        for page in ("metrics", "readyz?verbose", "livez"):
            async with session.get(f"{worker.metrics_url}/{page}") as answer:
                yield page, await answer.read()
    yield "events", json.dumps(mailbox.events).encode()
    commands: list[tuple[str, ...]] = [
        ("requests", "list"),
        ("dead-letters", "list"),
        ("provider", "status"),
        ("config", "show"),
    ]
    commands += [("explain", asked[0]), ("requests", "show", asked[0])]
    for command in commands:
        yield " ".join(command), json.dumps(await house.operator(worker, *command)).encode()
    for key in [key for key in asked if not key.startswith("broken")][::4]:
        yield f"explain {key}", json.dumps(await house.operator(worker, "explain", key)).encode()


def _secrets(house: House) -> Iterator[tuple[str, str]]:
    for name, value in provider_settings(house.sandbox.base_url).items():
        if not name.endswith(("BASE_URL", "ACCOUNT_ID")):
            yield name, value
    yield from GIVEN.items()
    for provider in house.sandbox.provider_names:
        for account in house.sandbox.accounts(provider):
            for name, value in {**account.fields, **account.issued}.items():
                if name in {"password", "key", "secret"} or (name == "api_key" and name in account.issued):
                    yield f"{provider} {name} {account.id}", str(value)

"""What the sandbox remembers and to whom it shows it."""

import json
import random
from typing import Any

import pytest

from worker.sandbox import CanarySpeech, Fault, Gateway360, PhoneCom, PostcodeEu, Rule, Sandbox
from worker.sandbox.state import REQUESTS_KEPT, masked


async def test_accounts_say_who_when_and_by_which_request(caller: Any, sandbox: Sandbox, clock: Any) -> None:
    """An account holds its fields as received, its time, and the number of the request that made it."""
    await caller.create("gateway360", email="nobody")
    clock.advance(hours=1)
    await caller.create("gateway360")
    [account] = sandbox.accounts("gateway360")
    assert (account.provider, account.id) == ("gateway360", "new_subaccount_user_name")
    assert account.fields == caller.body("gateway360")
    assert (account.created_at, account.request_number) == (clock(), 2)


async def test_a_late_account_knows_its_request(caller: Any, sandbox: Sandbox) -> None:
    """An account made long after its request still bears that request's number."""
    sandbox.faults.add(Rule(fault=Fault.DELAYED_CREATE, until="done", times=1))
    assert await caller.raw_create("gateway360") == b""
    await caller.create("gateway360", user_name="second")
    sandbox.gate("done").set()
    await sandbox.settle()
    numbers = {account.id: account.request_number for account in sandbox.accounts("gateway360")}
    assert numbers == {"second": 2, "new_subaccount_user_name": 1}


async def test_requests_are_kept_without_header_values(caller: Any, sandbox: Sandbox) -> None:
    """A kept request has method, path, query, header names and parsed body; the token is not in it."""
    await caller.create("phone_com")
    await caller.get("phone_com", caller.path("phone_com"), limit="3")
    created, listed = sandbox.requests("phone_com")
    assert (created.method, created.path, created.operation) == ("POST", caller.path("phone_com"), "create")
    assert created.body == caller.body("phone_com")
    assert "Authorization" in created.header_names
    assert (listed.query, listed.body) == ("limit=3", b"")
    assert sandbox.provider(PhoneCom).credentials.token not in f"{created.header_names}"


async def test_a_body_that_is_no_json_is_kept_raw(caller: Any, sandbox: Sandbox) -> None:
    """The raw bytes stand in for a body that cannot be parsed."""
    await caller.create_raw("phone_com", b"{")
    assert sandbox.requests("phone_com")[0].body == b"{"


async def test_old_requests_are_forgotten(caller: Any, sandbox: Sandbox) -> None:
    """Only the last requests are kept, while the counts go on."""
    for _ in range(REQUESTS_KEPT + 1):
        await caller.send("GET", "/v4/oauth/access-token")
    assert len(sandbox.requests("phone_com")) == REQUESTS_KEPT
    assert sandbox.public_state()["providers"]["phone_com"]["requests"] == {"probe": REQUESTS_KEPT + 1}


async def test_no_repr_shows_a_secret(caller: Any, sandbox: Sandbox) -> None:
    """Neither accounts nor requests nor credentials nor the sandbox itself print a secret."""
    await caller.create("gateway360")
    accepted = [sandbox.credentials_of(name) for name in sandbox.provider_names]
    printed = repr((sandbox.accounts("gateway360"), sandbox.requests("gateway360"), sandbox, accepted))
    for secret in (
        "new_subaccount_password",
        Gateway360.credentials.api_key,
        CanarySpeech.credentials.api_key,
        PhoneCom.credentials.token,
        PostcodeEu.credentials.key,
        PostcodeEu.credentials.secret,
        sandbox.accounts("gateway360")[0].issued["api_key"],
    ):
        assert secret not in printed


def test_masking_reaches_every_depth() -> None:
    """The named fields are masked at any depth and in any case; everything else stays."""
    value = {"a": [{"Password": "x", "b": 1}], "api_key": {"c": 1}, "keys": "y", "secret": None}
    assert masked(value, {"password", "api_key", "secret"}) == {
        "a": [{"Password": "***", "b": 1}],
        "api_key": "***",
        "keys": "y",
        "secret": "***",
    }


async def test_one_seed_makes_one_story() -> None:
    """Two sandboxes of one seed make up the same ids and secrets, of two seeds different ones."""
    assert _made_up(Sandbox(seed=3)) == _made_up(Sandbox(seed=3))
    assert _made_up(Sandbox(seed=3)) != _made_up(Sandbox(seed=4))


async def test_unknown_providers_are_errors(sandbox: Sandbox) -> None:
    """Asking for a provider that there is not raises KeyError."""
    for ask in (sandbox.accounts, sandbox.creates, sandbox.requests):
        with pytest.raises(KeyError):
            ask("nobody")


async def test_counts_hold_under_load(caller: Any, sandbox: Sandbox) -> None:
    """Of 400 creates over 100 names exactly 100 are made, and every attempt is counted."""
    names = [f"user{number % 100}" for number in range(400)]
    random.Random(1).shuffle(names)
    statuses = [(await caller.create("gateway360", user_name=name)).status for name in names]
    assert (statuses.count(200), statuses.count(400)) == (100, 300)
    assert (sandbox.creates("gateway360").attempted, sandbox.creates("gateway360").made) == (400, 100)


def _made_up(sandbox: Sandbox) -> str:
    world = sandbox._providers["phone_com"].world
    return json.dumps([world.numbers.random() for _ in range(3)])


async def test_ended_accounts_leave_their_ids_behind(caller: Any, sandbox: Sandbox) -> None:
    """Once all accounts have ended their names are free again, and the next account has an id of its own."""
    await caller.create("phone_com")
    (first,) = sandbox.accounts("phone_com")
    sandbox.end_accounts()
    assert sandbox.accounts("phone_com") == ()
    await caller.create("phone_com")
    (second,) = sandbox.accounts("phone_com")
    assert second.id != first.id
    assert sandbox.creates("phone_com").made == 2

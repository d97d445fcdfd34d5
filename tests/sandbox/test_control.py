"""The control port, as a test in another process would use it."""

import asyncio
from typing import Any

import aiohttp
import pytest

from worker.sandbox import Fault, Gateway360, Sandbox


async def test_health(control: Any) -> None:
    """GET /health says ok and whether the provider port listens."""
    reply = await control("GET", "/health")
    assert (reply.status, reply.json) == (200, {"status": "ok", "listening": True})


async def test_state_counts_and_masks(caller: Any, control: Any, sandbox: Sandbox) -> None:
    """GET /state shows counts and accounts of all four providers, and not one secret."""
    for provider in sandbox.provider_names:
        await caller.create(provider)
    await caller.create("phone_com")
    reply = await control("GET", "/state")
    providers = reply.json["providers"]
    assert providers["phone_com"]["creates"] == {"attempted": 2, "made": 1}
    assert providers["canary_speech"]["requests"] == {"token": 1, "create": 1}
    [account] = providers["gateway360"]["accounts"]
    assert account["fields"]["password"] == account["fields"]["api_key"] == "***"
    assert account["issued"] == {"user_name": "new_subaccount_user_name", "password": "***", "api_key": "***"}
    assert account["created_at"] == "2024-05-17T12:00:00+00:00"
    for secret in _secrets(sandbox):
        assert secret.encode() not in reply.body


async def test_faults_are_set_shown_and_dropped(caller: Any, control: Any) -> None:
    """POST /faults takes one rule or a list, GET shows them with their use, DELETE drops them."""
    one = await control("POST", "/faults", json={"fault": "unavailable", "times": 1})
    two = await control("POST", "/faults", json=[{"fault": "slow", "until": "x", "operation": "token"}])
    assert (one.status, one.json, two.json) == (201, {"numbers": [1]}, {"numbers": [2]})
    assert (await caller.create("gateway360")).status == 503
    shown = (await control("GET", "/faults")).json["faults"]
    assert shown[0] == {
        "number": 1,
        "applied": 1,
        "rule": {"fault": "unavailable", "operation": "create", "times": 1, "rate": 1.0},
    }
    assert shown[1]["rule"]["until"] == "x"
    assert (await control("DELETE", "/faults")).status == 204
    assert (await control("GET", "/faults")).json == {"faults": []}


async def test_reset_forgets_everything(caller: Any, control: Any, sandbox: Sandbox) -> None:
    """POST /reset empties accounts, counts, requests and rules, and frees taken names."""
    await caller.create("gateway360")
    await control("POST", "/faults", json={"fault": "slow", "seconds": 0})
    assert (await control("POST", "/reset")).status == 204
    assert sandbox.faults.planned() == ()
    assert (sandbox.accounts("gateway360"), sandbox.requests("gateway360")) == ((), ())
    assert (await caller.create("gateway360")).status == 200
    assert sandbox.creates("gateway360").made == 1


async def test_reset_cuts_what_is_under_way(caller: Any, control: Any, sandbox: Sandbox, naps: Any) -> None:
    """A slow create and a delayed one that a reset overtakes make nothing afterwards."""
    await control("POST", "/faults", json={"fault": "delayed_create", "until": "x", "provider": "phone_com"})
    await control("POST", "/faults", json={"fault": "slow", "seconds": 60, "provider": "gateway360"})
    assert await caller.raw_create("phone_com") == b""
    slow = asyncio.create_task(caller.create("gateway360", user_name="slow"))
    await naps.begun.wait()
    await control("POST", "/reset")
    naps.over.set()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await slow
    await sandbox.settle()
    assert (sandbox.creates("gateway360").made, sandbox.creates("phone_com").made) == (0, 0)


async def test_gates_open(caller: Any, control: Any) -> None:
    """POST /gates/{name} ends the wait of a fault."""
    await control("POST", "/faults", json={"fault": "late_answer", "until": "go on"})
    sent = asyncio.create_task(caller.create("gateway360"))
    assert (await control("POST", "/gates/go%20on")).status == 204
    assert (await sent).status == 200


async def test_the_listener_closes_and_opens(caller: Any, control: Any) -> None:
    """POST /listener refuses connections and takes them again; the control port stays."""
    closed = await control("POST", "/listener", json={"open": False})
    assert closed.json == {"listening": False}
    with pytest.raises(ConnectionRefusedError):
        await caller.raw(b"")
    assert (await control("GET", "/health")).json["listening"] is False
    assert (await control("POST", "/listener", json={"open": True})).json == {"listening": True}
    assert (await caller.create("gateway360")).status == 200


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/faults", b"{", "the body is not JSON"),
        ("/faults", b"", "the body is not JSON"),
        ("/faults", b"\xff", "the body is not JSON"),
        ("/faults", b"[1]", "a rule is an object that names its fault"),
        ("/faults", b'{"fault":"slow"}', "slow needs seconds or until"),
        ("/faults", b'{"fault":"slow","seconds":1e999}', "seconds is not negative"),
        ("/faults", b'{"fault":"forbidden","provider":"x"}', "there is no provider 'x'"),
        ("/listener", b"{}", 'the body is {"open": true} or {"open": false}'),
        ("/listener", b'{"open":1}', 'the body is {"open": true} or {"open": false}'),
        ("/listener", b"[]", 'the body is {"open": true} or {"open": false}'),
    ],
)
async def test_bad_input_is_400(control: Any, path: str, body: bytes, sentence: str) -> None:
    """Bad input gets 400 and a sentence, and changes nothing."""
    reply = await control("POST", path, data=body)
    assert (reply.status, reply.json) == (400, {"error": sentence})
    assert (await control("GET", "/faults")).json == {"faults": []}
    assert (await control("GET", "/health")).json["listening"] is True


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("PUT", "/faults", 405), ("GET", "/reset", 405)]
)
async def test_unknown_paths(control: Any, method: str, path: str, status: int) -> None:
    """Unknown paths are 404 and wrong methods 405, as JSON."""
    reply = await control(method, path)
    assert reply.status == status
    assert reply.json["error"]


async def test_every_fault_can_be_set_over_http(control: Any) -> None:
    """Each fault is accepted with the options that it needs."""
    waits = (Fault.SLOW, Fault.LATE_ANSWER, Fault.DELAYED_CREATE, Fault.LAGGING_READ)
    needs: dict[Fault, dict[str, object]] = {fault: {"seconds": 1} for fault in waits}
    needs |= {Fault.STATUS: {"status": 418}, Fault.REDIRECT: {"location": "/"}}
    rules = [{"fault": fault, **needs.get(fault, {})} for fault in Fault]
    reply = await control("POST", "/faults", json=rules)
    assert (reply.status, len(reply.json["numbers"])) == (201, len(Fault))


def _secrets(sandbox: Sandbox) -> list[str]:
    issued = [account.issued for name in sandbox.provider_names for account in sandbox.accounts(name)]
    keys = [
        str(values[name])
        for values in issued
        for name in ("password", "api_key", "key", "secret")
        if name in values
    ]
    return [*keys, "correct horse", sandbox.provider(Gateway360).credentials.api_key]

"""Each fault shows on the wire what its description says, and makes an account or none as it says."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from contracts.providers import discover
from tests.providers.known import KNOWN
from worker.sandbox import Fault, Operation, Rule, Sandbox
from worker.sandbox.misbehaviour import DISTORTIONS, HUGE_BODY_BYTES, MASKS, REFUSALS

every_provider = pytest.mark.parametrize("provider", KNOWN)
made_or_not = pytest.mark.parametrize(
    ("options", "made"), [({"creates": True}, 1), ({"creates": False}, 0), ({}, 0)]
)


def test_every_fault_has_its_place() -> None:
    """The three tables and the two faults of time are all faults, and no fault is in two of them."""
    tables = [set(REFUSALS), set(MASKS), set(DISTORTIONS), {Fault.SLOW, Fault.DELAYED_CREATE}]
    assert set().union(*tables) == set(Fault)
    assert sum(map(len, tables)) == len(Fault)


@every_provider
@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ({"fault": Fault.UNAVAILABLE}, 503),
        ({"fault": Fault.UNAVAILABLE, "status": 504}, 504),
        ({"fault": Fault.SERVER_ERROR_BEFORE_CREATE}, 500),
        ({"fault": Fault.SERVER_ERROR_BEFORE_CREATE, "status": 522}, 522),
        ({"fault": Fault.RATE_LIMITED, "seconds": 7}, 429),
        ({"fault": Fault.UNAUTHORIZED}, 401),
        ({"fault": Fault.FORBIDDEN}, 403),
    ],
)
async def test_refusals_make_nothing(
    caller: Any, sandbox: Sandbox, provider: str, rule: dict[str, Any], status: int
) -> None:
    """Each answers its status in the provider's own shape, once, and makes nothing; then all is well
    again.
    """
    sandbox.faults.add(Rule(**rule, provider=provider, times=1))
    reply = await caller.create(provider)
    assert reply.status == status
    assert _is_own_error(provider, reply.json)
    assert sandbox.creates(provider).made == 0
    assert (await caller.create(provider)).status in {200, 201}
    assert sandbox.creates(provider).attempted == 2


async def test_phone_com_limits_in_the_body(caller: Any, sandbox: Sandbox, clock: Any) -> None:
    """Phone.com's 429 says how long in the body and sends no Retry-After header."""
    sandbox.faults.add(Rule(fault=Fault.RATE_LIMITED, seconds=6.2))
    reply = await caller.create("phone_com")
    assert "Retry-After" not in reply.headers
    assert reply.json["@error"]["@httpStatusCode"] == 429
    assert reply.json["@error"]["@rateLimit"] == {
        "RateLimit-Limit": 30,
        "RateLimit-Remaining": 0,
        "RateLimit-Reset": int(clock().timestamp()) + 7,
        "Retry-After": 7,
    }


@pytest.mark.parametrize("provider", [name for name in KNOWN if name != "phone_com"])
async def test_the_others_limit_in_the_header(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """The others say how long in Retry-After, rounded up, and 1 if the rule does not say."""
    sandbox.faults.add(
        Rule(fault=Fault.RATE_LIMITED, seconds=6.2, times=1), Rule(fault=Fault.RATE_LIMITED, times=1)
    )
    assert (await caller.create(provider)).headers["Retry-After"] == "7"
    assert (await caller.create(provider)).headers["Retry-After"] == "1"


async def test_unavailable_may_ask_for_a_wait(caller: Any, sandbox: Sandbox) -> None:
    """With seconds a 503 has a Retry-After header; with a body that body, as HTML if it looks so."""
    sandbox.faults.add(Rule(fault=Fault.UNAVAILABLE, seconds=30, body="<h1>Maintenance</h1>"))
    reply = await caller.create("gateway360")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "30")
    assert (reply.headers["Content-Type"], reply.body) == ("text/html", b"<h1>Maintenance</h1>")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, None])
async def test_redirects_make_nothing(caller: Any, sandbox: Sandbox, status: int | None) -> None:
    """A redirect has its status (307 unless given) and its Location."""
    sandbox.faults.add(Rule(fault=Fault.REDIRECT, status=status, location="/v4/elsewhere"))
    reply = await caller.create("phone_com")
    assert (reply.status, reply.headers["Location"]) == (status or 307, "/v4/elsewhere")
    assert sandbox.creates("phone_com").made == 0


@every_provider
@pytest.mark.parametrize(("fault", "made"), [(Fault.CUT_BEFORE_CREATE, 0), (Fault.CUT_AFTER_CREATE, 1)])
async def test_cuts(caller: Any, sandbox: Sandbox, provider: str, fault: Fault, made: int) -> None:
    """The connection closes without one byte; the account is made only by the cut after the create."""
    sandbox.faults.add(Rule(fault=fault, provider=provider))
    assert await caller.raw_create(provider) == b""
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.create(provider, **_another(provider))
    assert sandbox.creates(provider).made == 2 * made


@every_provider
async def test_reset_after_create(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """The connection is reset, not closed, and the account is made."""
    sandbox.faults.add(Rule(fault=Fault.RESET_AFTER_CREATE, provider=provider))
    with pytest.raises(ConnectionResetError):
        await caller.raw_create(provider)
    assert sandbox.creates(provider).made == 1


@every_provider
@made_or_not
async def test_garbled_status_line(
    caller: Any, sandbox: Sandbox, provider: str, options: dict[str, Any], made: int
) -> None:
    """What comes is no HTTP; the account is made if the rule says so."""
    sandbox.faults.add(Rule(fault=Fault.GARBLED_STATUS_LINE, provider=provider, **options))
    received = await caller.raw_create(provider)
    assert received
    assert not received.startswith(b"HTTP")
    assert sandbox.creates(provider).made == made


async def test_a_garbled_status_line_reads_as_400_in_aiohttp(caller: Any, sandbox: Sandbox) -> None:
    """With aiohttp the garbage bears a status that nobody sent; so none may be read off an exception."""
    sandbox.faults.add(Rule(fault=Fault.GARBLED_STATUS_LINE, creates=True))
    with pytest.raises(aiohttp.ClientResponseError) as raised:
        await caller.create("gateway360")
    assert raised.value.status == 400


@every_provider
@made_or_not
async def test_html_with_200(
    caller: Any, sandbox: Sandbox, provider: str, options: dict[str, Any], made: int
) -> None:
    """A page comes with status 200 and type text/html; the account is made if the rule says so."""
    sandbox.faults.add(Rule(fault=Fault.HTML_WITH_200, provider=provider, **options))
    reply = await caller.create(provider)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html")
    assert reply.body.startswith(b"<!DOCTYPE html>")
    assert sandbox.creates(provider).made == made


@every_provider
async def test_truncated_body(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """Status 200 comes, then half of a body whose length was promised to be more; the account is made."""
    sandbox.faults.add(Rule(fault=Fault.TRUNCATED_BODY, provider=provider))
    head, _, body = (await caller.raw_create(provider)).partition(b"\r\n\r\n")
    promised = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert head.startswith((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 201 Created\r\n"))
    assert 0 < len(body) < promised
    assert sandbox.creates(provider).made == 1
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.create(provider, **_another(provider))


async def test_a_truncated_body_may_stall(caller: Any, sandbox: Sandbox, session: Any, naps: Any) -> None:
    """With seconds the connection stays open and silent for so long after the half body."""
    sandbox.faults.add(Rule(fault=Fault.TRUNCATED_BODY, seconds=60))
    headers = {"Content-Type": "application/json"}
    data = json.dumps(caller.body("gateway360"))
    url = sandbox.base_url + caller.path("gateway360")
    async with session.post(url, data=data, headers=headers) as response:
        await response.content.readany()
        await naps.begun.wait()
        rest = asyncio.ensure_future(response.read())
        assert not rest.done()
        naps.over.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await rest
    assert naps.asked == [60]


@every_provider
async def test_empty_body(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """Status 200 comes with nothing after it; the account is made."""
    sandbox.faults.add(Rule(fault=Fault.EMPTY_BODY, provider=provider))
    reply = await caller.create(provider)
    assert (reply.status in {200, 201}, reply.body) == (True, b"")
    assert sandbox.creates(provider).made == 1


@every_provider
async def test_wrong_json(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """A 200 comes with JSON in which the new account's id stands nowhere; the account is made."""
    sandbox.faults.add(Rule(fault=Fault.WRONG_JSON, provider=provider))
    reply = await caller.create(provider)
    [account] = sandbox.accounts(provider)
    assert reply.status in {200, 201}
    assert isinstance(reply.json, dict)
    assert account.id.encode() not in reply.body


async def test_wrong_json_may_lack_other_fields(caller: Any, sandbox: Sandbox) -> None:
    """With drop just those fields are missing, so that an id can come without its secret."""
    sandbox.faults.add(Rule(fault=Fault.WRONG_JSON, drop=("key", "secret")))
    reply = await caller.create("postcode_eu")
    assert reply.json == {"accountId": sandbox.accounts("postcode_eu")[0].id}


@every_provider
async def test_huge_body(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """A 200 brings at least so many bytes of valid JSON, in which the true fields stand at the end."""
    sandbox.faults.add(Rule(fault=Fault.HUGE_BODY, provider=provider, size=200_001))
    reply = await caller.create(provider)
    assert reply.status in {200, 201}
    assert len(reply.body) > 200_001
    assert sandbox.accounts(provider)[0].id in json.dumps({**reply.json, "padding": ""})


async def test_a_client_may_leave_a_huge_body(caller: Any, sandbox: Sandbox, session: Any) -> None:
    """Without a size it is 50 MB; a client that has seen enough may go, and the sandbox serves on."""
    assert HUGE_BODY_BYTES == 50_000_000
    sandbox.faults.add(Rule(fault=Fault.HUGE_BODY, times=1))
    url = sandbox.base_url + caller.path("gateway360")
    async with session.post(url, json=caller.body("gateway360")) as response:
        await response.content.readexactly(1_000_000)
        response.close()
    assert (await caller.create("gateway360", user_name="next")).status == 200
    assert sandbox.creates("gateway360").made == 2


@every_provider
async def test_server_error_after_create(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """A 500 in the provider's own shape comes though the account is made."""
    sandbox.faults.add(Rule(fault=Fault.SERVER_ERROR_AFTER_CREATE, provider=provider))
    reply = await caller.create(provider)
    assert (reply.status, _is_own_error(provider, reply.json)) == (500, True)
    assert sandbox.creates(provider).made == 1


async def test_a_gateway_may_fail_after_create(caller: Any, sandbox: Sandbox) -> None:
    """With status and body it is a proxy's 502 page, and the account is made all the same."""
    rule = Rule(fault=Fault.SERVER_ERROR_AFTER_CREATE, status=502, body="<h1>Bad Gateway</h1>")
    sandbox.faults.add(rule)
    reply = await caller.create("phone_com")
    assert (reply.status, reply.headers["Content-Type"]) == (502, "text/html")
    assert sandbox.creates("phone_com").made == 1


@every_provider
@made_or_not
async def test_any_status_with_any_body(
    caller: Any, sandbox: Sandbox, provider: str, options: dict[str, Any], made: int
) -> None:
    """The rule's status, body and headers come as they are; the account is made if the rule says so."""
    rule = Rule(
        fault=Fault.STATUS,
        provider=provider,
        status=409,
        body='{"odd": 1}',
        headers={"Retry-After": "3"},
        **options,
    )
    sandbox.faults.add(rule)
    reply = await caller.create(provider)
    assert (reply.status, reply.body) == (409, b'{"odd": 1}')
    assert (reply.headers["Content-Type"], reply.headers["Retry-After"]) == ("application/json", "3")
    assert sandbox.creates(provider).made == made


@pytest.mark.parametrize("status", [200, 202, 204, 304, 400, 418, 429, 520, 599])
async def test_every_status_can_be_sent(caller: Any, sandbox: Sandbox, status: int) -> None:
    """Statuses with and without a body, known and unknown, all reach the client."""
    sandbox.faults.add(Rule(fault=Fault.STATUS, status=status))
    assert (await caller.create("gateway360")).status == status


async def test_what_the_provider_refuses_uses_up_no_rule(caller: Any, sandbox: Sandbox) -> None:
    """A fault after the create waits for a create: a refused request gets its refusal and leaves the rule."""
    sandbox.faults.add(Rule(fault=Fault.CUT_AFTER_CREATE, times=1))
    assert (await caller.create("gateway360", email="nobody")).json["error_id"] == "INVALID_EMAIL"
    assert [planned.applied for planned in sandbox.faults.planned()] == [0]
    assert await caller.raw_create("gateway360") == b""
    assert sandbox.creates("gateway360").made == 1


@pytest.mark.parametrize(
    ("operation", "provider", "method", "path"),
    [
        (Operation.LOOK_UP, "canary_speech", "GET", "/v3/reseller/client/list-associates"),
        (Operation.PROBE, "canary_speech", "GET", "/v3/reseller/client"),
        (Operation.TOKEN, "canary_speech", "POST", "/v3/auth/tokens/get"),
        (Operation.TOKEN, "canary_speech", "POST", "/v3/auth/tokens/refresh"),
        (Operation.LOOK_UP, "phone_com", "GET", "/v4/accounts/133532/subaccounts"),
        (Operation.PROBE, "phone_com", "GET", "/v4/accounts/133532"),
        (Operation.PROBE, "phone_com", "GET", "/v4/oauth/access-token"),
        (Operation.LOOK_UP, "gateway360", "POST", "/api/3.0/subaccount/get-info"),
        (Operation.PROBE, "gateway360", "POST", "/api/3.0/subaccount/get-balance"),
        (Operation.DELETE, "gateway360", "POST", "/api/3.0/subaccount/delete"),
        (Operation.PROBE, "postcode_eu", "GET", "/account/v1/info"),
    ],
)
async def test_other_operations_can_fail_too(
    caller: Any, sandbox: Sandbox, operation: Operation, provider: str, method: str, path: str
) -> None:
    """Each read, token and delete call belongs to one operation, and a rule for that operation hits it."""
    sandbox.faults.add(Rule(fault=Fault.UNAVAILABLE, provider=provider, operation=operation))
    sandbox.faults.add(Rule(fault=Fault.FORBIDDEN, provider=provider, operation=None))
    assert (await caller.send(method, path)).status == 503
    assert sandbox.creates(provider).attempted == 0


def _is_own_error(provider: str, body: dict[str, Any]) -> bool:
    return KNOWN[provider].own_shape.keys() <= body.keys()


def _another(provider: str) -> dict[str, Any]:
    """Another name, under the vendor's own word for it."""
    fields = discover()[provider].Parameters.model_json_schema()["properties"]
    return {fields[name]["x-sent-as"]: value for name, value in KNOWN[provider].another.items()}

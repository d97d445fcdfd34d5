"""Gateway360 as its page describes it."""

import json
from typing import Any

import pytest

from worker.sandbox import Gateway360, Sandbox

BASE = "/api/3.0/subaccount"


async def test_the_curl_example_creates_a_sub_account(caller: Any, sandbox: Sandbox) -> None:
    """The page's example answers 200 with status ok and the three fields of result."""
    reply = await caller.create("gateway360")
    [account] = sandbox.accounts("gateway360")
    assert reply.status == 200
    assert reply.json == {"status": "ok", "result": dict(account.issued)}
    assert account.issued["user_name"] == "new_subaccount_user_name"
    assert account.issued["password"] == "new_subaccount_password"
    assert len(account.issued["api_key"]) == 32
    assert account.fields == caller.body("gateway360")


async def test_the_shortener_may_be_asked_for(caller: Any, sandbox: Sandbox) -> None:
    """The newer page's optional enable_shortener is taken and kept."""
    assert (await caller.create("gateway360", enable_shortener=1)).status == 200
    assert sandbox.accounts("gateway360")[0].fields["enable_shortener"] == 1


@pytest.mark.parametrize("password", ["", ...])
async def test_an_empty_password_is_generated(caller: Any, password: Any) -> None:
    """Without a password the answer holds one that the provider made up."""
    reply = await caller.create("gateway360", password=password)
    assert len(reply.json["result"]["password"]) == 16


@pytest.mark.parametrize(
    ("changes", "status", "error_id", "reason"),
    [
        ({"api_key": "0" * 32}, 401, "UNAUTHORIZED", "an unknown key"),
        ({"api_key": 5}, 401, "UNAUTHORIZED", "a key that is a number"),
        ({"api_key": ...}, 400, "MISSING_PARAMS", "no key"),
        ({"user_name": ...}, 400, "MISSING_PARAMS", "no user name"),
        ({"email": ...}, 400, "MISSING_PARAMS", "no e-mail"),
        ({"name": ...}, 400, "MISSING_PARAMS", "no name"),
        ({"surname": ""}, 400, "MISSING_PARAMS", "an empty surname"),
        ({"surname": {}}, 400, "MISSING_PARAMS", "a surname that is an object"),
        ({"language": None}, 400, "MISSING_PARAMS", "no language"),
        ({"password": 12345678}, 400, "MISSING_PARAMS", "a password that is a number"),
        ({"user_name": "has space"}, 400, "INVALID_NAME", "a malformed user name"),
        ({"user_name": ["x"]}, 400, "INVALID_NAME", "a user name that is a list"),
        ({"email": "nobody"}, 400, "INVALID_EMAIL", "no at sign"),
        ({"email": 3}, 400, "INVALID_EMAIL", "an e-mail that is a number"),
        ({"language": "xx"}, 400, "INVALID_LANGUAGE", "an unknown language"),
        ({"language": ["es"]}, 400, "INVALID_LANGUAGE", "a language that is a list"),
    ],
)
async def test_every_documented_error(
    caller: Any, sandbox: Sandbox, changes: dict[str, Any], status: int, error_id: str, reason: str
) -> None:
    """Each error id of the page comes with status error and a message, and makes nothing."""
    reply = await caller.create("gateway360", **changes)
    assert (reply.status, reply.json["error_id"]) == (status, error_id), reason
    assert reply.json["status"] == "error"
    assert reply.json["error_msg"]
    assert sandbox.creates("gateway360").made == 0


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"]
)
async def test_the_content_type_is_checked_first(caller: Any, content_type: str) -> None:
    """Anything but application/json is INVALID_CONTENT_TYPE, whatever the body."""
    headers = {"Content-Type": content_type}
    reply = await caller.send("POST", f"{BASE}/create", headers=headers, data=b"{}")
    assert (reply.status, reply.json["error_id"]) == (400, "INVALID_CONTENT_TYPE")


async def test_a_charset_does_no_harm(caller: Any) -> None:
    """Parameters of the content type are allowed."""
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    body = json.dumps(caller.body("gateway360"))
    assert (await caller.send("POST", f"{BASE}/create", headers=headers, data=body)).status == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"api_key":NaN}', b"\xff"])
async def test_bad_json_is_a_parse_error(caller: Any, body: bytes) -> None:
    """What is no JSON object is JSON_PARSE_ERROR with the page's text."""
    reply = await caller.create_raw("gateway360", body)
    assert reply.status == 400
    assert reply.json == {
        "status": "error",
        "error_id": "JSON_PARSE_ERROR",
        "error_msg": "Your JSON was formatted incorrectly.",
    }


@pytest.mark.parametrize("again", ["new_subaccount_user_name", "NEW_subaccount_user_name"])
async def test_a_user_name_is_taken_once(caller: Any, sandbox: Sandbox, again: str) -> None:
    """The second create of one user name is INVALID_NAME, as for a malformed one; nothing is made."""
    assert (await caller.create("gateway360")).status == 200
    second = await caller.create("gateway360", user_name=again)
    assert (second.status, second.json["error_id"]) == (400, "INVALID_NAME")
    assert (sandbox.creates("gateway360").attempted, sandbox.creates("gateway360").made) == (2, 1)


async def test_info_and_balance(caller: Any) -> None:
    """get-info shows name, e-mail, balance and currency, get-balance the last two; neither shows a secret."""
    await caller.create("gateway360")
    info = await _post(caller, "get-info", user_name="new_subaccount_user_name")
    balance = await _post(caller, "get-balance", user_name="new_subaccount_user_name")
    assert info.json["result"] == {
        "user_name": "new_subaccount_user_name",
        "email": "me@email.com",
        "balance": "0.00",
        "currency": "EUR",
    }
    assert balance.json["result"] == {"balance": "0.00", "currency": "EUR"}


@pytest.mark.parametrize("call", ["get-info", "get-balance", "delete"])
async def test_an_unknown_user_is_an_error(caller: Any, sandbox: Sandbox, call: str) -> None:
    """The three calls by user name answer the configured error for an unknown one, and check key and
    parameter.
    """
    unknown = await _post(caller, call, user_name="nobody")
    assert (unknown.status, unknown.json["error_id"]) == (400, "INVALID_NAME")
    sandbox.provider(Gateway360).unknown_user_error = "USER_NOT_FOUND"
    assert (await _post(caller, call, user_name="nobody")).json["error_id"] == "USER_NOT_FOUND"
    assert (await _post(caller, call)).json["error_id"] == "MISSING_PARAMS"
    assert (await _post(caller, call, api_key="x", user_name="nobody")).status == 401


async def test_delete_frees_the_name(caller: Any, sandbox: Sandbox) -> None:
    """A deleted sub-account is gone from every read and its name can be created again."""
    await caller.create("gateway360")
    assert (await _post(caller, "delete", user_name="new_subaccount_user_name")).status == 200
    assert sandbox.accounts("gateway360") == ()
    assert (await _post(caller, "get-info", user_name="new_subaccount_user_name")).status == 400
    assert (await caller.create("gateway360")).status == 200
    assert sandbox.creates("gateway360").made == 2


async def _post(caller: Any, call: str, **parameters: str) -> Any:
    key = caller.sandbox.provider(Gateway360).credentials.api_key
    return await caller.send("POST", f"{BASE}/{call}", json={"api_key": key, **parameters})

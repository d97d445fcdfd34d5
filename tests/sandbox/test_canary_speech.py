"""Canary Speech as its pages describe it."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from worker.sandbox import CanarySpeech, Sandbox

CREATE = "/v3/reseller/client/create-associate"
LIST = "/v3/reseller/client/list-associates"
UNKNOWN = "12345678-1234-4bcd-8678-123456789012"


async def test_the_curl_example_creates_an_associate(caller: Any, sandbox: Sandbox) -> None:
    """The page's example, with a real token and a whole UUID, answers 200 and one id."""
    reply = await caller.create("canary_speech")
    [account] = sandbox.accounts("canary_speech")
    assert reply.status == 200
    assert reply.json == {"id": account.id}
    assert account.fields == caller.body("canary_speech")


async def test_the_sample_parent_id_is_no_uuid(caller: Any, sandbox: Sandbox) -> None:
    """The example's own parentId lacks four digits, so it is refused as malformed."""
    reply = await caller.create("canary_speech", parentId="12345678-1234-abcd-5678-12345678")
    assert reply.status == 400
    assert sandbox.creates("canary_speech").made == 0


async def test_the_sample_token_is_refused(caller: Any) -> None:
    """The token printed on the page was signed by somebody else."""
    token = (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5"
        "MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    )
    reply = await caller.send(
        "POST", CREATE, headers={"Authorization": f"Bearer {token}"}, json=caller.body("canary_speech")
    )
    assert reply.status == 401


async def test_parent_id_may_be_left_out(caller: Any, sandbox: Sandbox) -> None:
    """Without parentId the client of the caller's API key is the parent, as the page says."""
    assert (await caller.create("canary_speech", parentId=...)).status == 200
    listed = (await caller.get("canary_speech", LIST)).json["associates"]
    assert [associate["id"] for associate in listed] == [sandbox.accounts("canary_speech")[0].id]


async def test_an_associate_can_be_a_parent(caller: Any) -> None:
    """A parentId that an earlier create answered is known."""
    parent = (await caller.create("canary_speech")).json["id"]
    child = (await caller.create("canary_speech", parentId=parent, name="child")).json["id"]
    listed = (await caller.get("canary_speech", LIST, parentId=parent)).json["associates"]
    assert [associate["id"] for associate in listed] == [child]


async def test_names_are_not_unique(caller: Any, sandbox: Sandbox) -> None:
    """Two creates of one name make two associates, as nothing documents otherwise."""
    first, second = [(await caller.create("canary_speech")).json["id"] for _ in range(2)]
    assert first != second
    assert sandbox.creates("canary_speech").made == 2


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"parentId": UNKNOWN}, 404, "a parent that is not there"),
        ({"parentId": 7}, 400, "a parent that is a number"),
        ({"parentId": None}, 400, "null is no UUID"),
        ({"name": ...}, 400, "name is required"),
        ({"name": " "}, 400, "a blank name"),
        ({"name": ["x"]}, 400, "a list as name"),
        ({"contact": "me@example.org"}, 400, "contact is an object"),
        ({"contact": {"email": 1}}, 400, "an e-mail that is a number"),
        ({"contact": {"phoneNumber": []}}, 400, "a telephone number that is a list"),
    ],
)
async def test_create_validates(
    caller: Any, sandbox: Sandbox, changes: dict[str, Any], status: int, reason: str
) -> None:
    """Each wrong body is refused with its status and a message, and makes nothing."""
    reply = await caller.create("canary_speech", **changes)
    assert (reply.status, reply.json["statusCode"]) == (status, status), reason
    assert reply.json["message"]
    assert sandbox.creates("canary_speech").made == 0


async def test_tokens_are_readable_and_name_their_client(caller: Any, clock: Any, sandbox: Sandbox) -> None:
    """The access token is a JWT with sub, iat, exp and both scopes; identityIds stand beside it."""
    tokens = await caller.token()
    client_id = sandbox.provider(CanarySpeech).credentials.client_id
    claims = _claims(tokens["accessToken"])
    assert claims["sub"] == client_id
    assert claims["iat"] == int(clock().timestamp())
    assert claims["exp"] == claims["iat"] + 3600
    assert claims["scopes"] == ["scope:reseller", "scope:reseller.createassociate"]
    assert tokens["identityIds"] == {"clientId": client_id, "projectId": "*", "subjectId": "*"}


async def test_tokens_need_no_body(caller: Any, sandbox: Sandbox) -> None:
    """In API-key mode the body may be absent."""
    headers = {"Csc-Api-Key": sandbox.provider(CanarySpeech).credentials.api_key}
    assert (await caller.send("POST", "/v3/auth/tokens/get", headers=headers)).status == 200


@pytest.mark.parametrize("headers", [{}, {"Csc-Api-Key": "SBX1:wrong"}, {"Authorization": "Bearer x"}])
async def test_tokens_need_the_api_key(caller: Any, headers: dict[str, str]) -> None:
    """A missing or unknown API key is 401."""
    assert (await caller.send("POST", "/v3/auth/tokens/get", headers=headers, json={})).status == 401


async def test_tokens_expire_by_the_clock(caller: Any, clock: Any, canary: CanarySpeech) -> None:
    """A token serves until its exp and not from then on."""
    canary.token_lifetime = timedelta(minutes=5)
    assert (await caller.create("canary_speech")).status == 200
    clock.advance(seconds=299)
    assert (await caller.create("canary_speech")).status == 200
    clock.advance(seconds=1)
    assert (await caller.create("canary_speech")).status == 401


async def test_tokens_can_be_refreshed(caller: Any, clock: Any) -> None:
    """A refresh token gives a pair that serves after the first access token has expired."""
    tokens = await caller.token()
    clock.advance(hours=2)
    fresh = await _refresh(caller, tokens["refreshToken"])
    caller.authorisations["canary_speech"] = {"Authorization": f"Bearer {fresh.json['accessToken']}"}
    assert set(fresh.json) == {"accessToken", "refreshToken"}
    assert (await caller.create("canary_speech")).status == 200


async def test_refresh_refuses_other_tokens(caller: Any, clock: Any) -> None:
    """Neither an access token nor an expired refresh token refreshes."""
    tokens = await caller.token()
    assert (await _refresh(caller, tokens["accessToken"])).status == 401
    clock.advance(days=8)
    assert (await _refresh(caller, tokens["refreshToken"])).status == 401


async def test_a_refresh_token_is_no_access_token(caller: Any, sandbox: Sandbox) -> None:
    """Create takes access tokens only."""
    tokens = await caller.token()
    caller.authorisations["canary_speech"] = {"Authorization": f"Bearer {tokens['refreshToken']}"}
    assert (await caller.create("canary_speech")).status == 401
    assert sandbox.creates("canary_speech").made == 0


async def test_revoked_tokens_are_refused(caller: Any, canary: CanarySpeech) -> None:
    """After a revocation old tokens are 401 and new ones serve."""
    assert (await caller.create("canary_speech")).status == 200
    canary.revoke_tokens()
    assert (await caller.create("canary_speech")).status == 401
    caller.authorisations.clear()
    assert (await caller.create("canary_speech")).status == 200


@pytest.mark.parametrize(
    ("scopes", "create", "look_up", "reason"),
    [
        (("scope:reseller",), 403, 200, "create needs a second scope"),
        (("scope:reseller.createassociate",), 403, 403, "everything needs the first"),
        ((), 403, 403, "no scope at all"),
    ],
)
async def test_scopes_are_checked(
    caller: Any, canary: CanarySpeech, scopes: tuple[str, ...], create: int, look_up: int, reason: str
) -> None:
    """Create needs both scopes, reads need scope:reseller."""
    canary.scopes = scopes
    assert (await caller.create("canary_speech")).status == create, reason
    assert (await caller.get("canary_speech", LIST)).status == look_up, reason


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer a.b.c", "Bearer ..", "Bearer \u00e9"])
async def test_odd_authorisations_are_refused(caller: Any, header: str) -> None:
    """Whatever is no token of ours is 401."""
    caller.authorisations["canary_speech"] = {"Authorization": header}
    assert (await caller.create("canary_speech")).status == 401


async def test_the_list_shows_what_was_sent(caller: Any) -> None:
    """A listed associate has id, name, isReseller, contact and an ISO date, and nothing else."""
    contact = {"email": "me@example.org", "phoneNumber": "+15550001"}
    created = (await caller.create("canary_speech", contact={**contact, "other": 1})).json["id"]
    [listed] = (await caller.get("canary_speech", LIST)).json["associates"]
    assert listed == {
        "id": created,
        "name": "abc123",
        "isReseller": False,
        "contact": contact,
        "dateCreated": "2024-05-17T12:00:00.000Z",
    }


async def test_the_list_knows_its_parents(caller: Any) -> None:
    """Listing under an unknown parent is 404, under a malformed one 400."""
    assert (await caller.get("canary_speech", LIST, parentId=UNKNOWN)).status == 404
    assert (await caller.get("canary_speech", LIST, parentId="x")).status == 400


async def test_one_client_can_be_read(caller: Any, sandbox: Sandbox) -> None:
    """The read of one client gives name and contact; of an unknown one 404; of none the caller's own."""
    created = (await caller.create("canary_speech", contact={"email": "me@example.org"})).json["id"]
    one = await caller.get("canary_speech", "/v3/reseller/client", clientId=created)
    assert one.json == {"name": "abc123", "contact": {"email": "me@example.org"}}
    assert (await caller.get("canary_speech", "/v3/reseller/client", clientId=UNKNOWN)).status == 404
    own = await caller.get("canary_speech", "/v3/reseller/client")
    assert own.json["name"] == sandbox.provider(CanarySpeech).credentials.client_name


async def _refresh(caller: Any, token: str) -> Any:
    return await caller.send("POST", "/v3/auth/tokens/refresh", headers={"Csc-Refresh-Token": token})


def _claims(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

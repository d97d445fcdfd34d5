"""Whatever a client sends, the answer is the provider's own, never an accident of the server."""

import io
from dataclasses import asdict
from typing import Any

import pytest

from tests.providers.known import KNOWN
from worker.sandbox import Sandbox

HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1.5,
    10**30,
    "",
    " ",
    "\ud800",
    "\u0000",
    [],
    [[]],
    {},
    {"a": {}},
)
HOSTILE_BODIES = (
    b"",
    b" ",
    b"{",
    b"null",
    b"1",
    b'"text"',
    b"[]",
    b"[{}]",
    b"NaN",
    b'{"a":Infinity}',
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"9" * 5000,
    b'{"api_key":[],"user_name":{},"user_name":[]}',
    b"a=b&c=d",
    b"\x00" * 100,
)


def is_own_error(provider: str, body: Any) -> bool:
    """Whether an answer is an error in the provider's own shape."""
    return bool(KNOWN[provider].own_shape.keys() <= body.keys())


def posts(sandbox: Sandbox, provider: str) -> list[str]:
    """The path of each POST that the provider understands."""
    ours = asdict(sandbox.credentials_of(provider))
    routes = sandbox._providers[provider].routes()
    return [route.path.format_map(ours) for route in routes if route.method == "POST"]


@pytest.mark.parametrize("provider", KNOWN)
async def test_hostile_bodies(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """Every body that is no JSON object gets a 4xx in the provider's shape, on every POST, and makes
    nothing.
    """
    headers = {"Content-Type": "application/json", **await caller.authorisation(provider)}
    for path in posts(sandbox, provider):
        for body in HOSTILE_BODIES:
            reply = await caller.send("POST", path, headers=headers, data=body)
            assert 400 <= reply.status < 500, (path, body[:40])
            assert is_own_error(provider, reply.json), (path, body[:40])
    assert sandbox.creates(provider).made == 0


@pytest.mark.parametrize("provider", KNOWN)
async def test_hostile_values(caller: Any, provider: str) -> None:
    """Every field of the sample, set to every odd value, gets 200 or a 4xx in the provider's shape."""
    for name in caller.body(provider):
        for value in HOSTILE_VALUES:
            reply = await caller.create(provider, **{name: value})
            assert reply.status in {200, 201} or is_own_error(provider, reply.json), (name, value)
            assert reply.status < 500, (name, value)


async def test_hostile_values_inside_contacts(caller: Any) -> None:
    """Nested fields of Phone.com and Canary Speech are looked at as carefully."""
    for value in HOSTILE_VALUES:
        for place in ("contact__name", "contact__address", "contact__address__country", "contact__phone"):
            assert (await caller.create("phone_com", **{place: value})).status in {200, 422}
        contact = {"email": value, "phoneNumber": value}
        assert (await caller.create("canary_speech", contact=contact)).status in {200, 400}


@pytest.mark.parametrize("provider", KNOWN)
async def test_odd_text_survives_the_reads(caller: Any, provider: str) -> None:
    """Text outside ASCII is kept and comes back as it was sent."""
    fields = {"gateway360": "surname", "phone_com": "username", "postcode_eu": "companyName"}
    field = fields.get(provider, "name")
    text = "Żółć \u202e \U0001f600 \ud800"
    assert (await caller.create(provider, **{field: text})).status in {200, 201}
    assert caller.sandbox.accounts(provider)[0].fields[field] == text


@pytest.mark.parametrize("provider", KNOWN)
async def test_a_body_too_large_is_413(caller: Any, sandbox: Sandbox, provider: str) -> None:
    """More than a mebibyte is refused in the provider's own shape."""
    reply = await caller.create_raw(provider, io.BytesIO(b'{"a":"' + b"x" * 1_100_000 + b'"}'))
    assert reply.status == 413
    assert is_own_error(provider, reply.json)
    assert sandbox.creates(provider).attempted == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "provider"),
    [
        ("GET", "/v3/reseller/client/create-associate", 405, "canary_speech"),
        ("POST", "/v3/reseller/client/delete", 404, "canary_speech"),
        ("DELETE", "/v4/accounts/133532/subaccounts", 405, "phone_com"),
        ("GET", "/v4/accounts/133532/subaccounts/1", 404, "phone_com"),
        ("GET", "/api/3.0/subaccount/create", 405, "gateway360"),
        ("POST", "/api/3.0/subaccount/list", 404, "gateway360"),
        ("PUT", "/reseller/v1/client", 405, "postcode_eu"),
        ("GET", "/account/v1/infos", 404, "postcode_eu"),
    ],
)
async def test_unknown_calls(caller: Any, method: str, path: str, status: int, provider: str) -> None:
    """An unknown path is 404 and a wrong method 405, both in the shape of the provider whose path it is."""
    reply = await caller.send(method, path)
    assert reply.status == status
    assert is_own_error(provider, reply.json)


@pytest.mark.parametrize("path", ["/", "/v5/x", "/state", "/%00", "//v4/"])
async def test_paths_of_nobody(caller: Any, path: str) -> None:
    """A path that belongs to no provider is a plain 404; the control port's are not here."""
    assert (await caller.send("GET", path)).status == 404


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense\r\n\r\n", "no request line"),
        (b"POST /v4/x HTTP/1.1\r\nContent-Length: x\r\n\r\n", "no length"),
        (
            b"POST /reseller/v1/client HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "no chunk size",
        ),
    ],
)
async def test_what_is_no_http_is_refused(
    caller: Any, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, data: bytes, reason: str
) -> None:
    """Bytes that are no HTTP get a 400 or a closed connection, and count as no create."""
    received = await caller.raw(data)
    caplog.clear()  # aiohttp logs what it cannot parse; that is its business
    assert received == b"" or received.split()[1] == b"400", reason
    assert sandbox.creates("postcode_eu").attempted == 0


async def test_half_a_request_is_none(caller: Any, sandbox: Sandbox) -> None:
    """A client that promises a body and goes away before it is complete has created nothing."""
    head = b"POST /reseller/v1/client HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    await caller.raw_and_leave(head)
    await caller.get("postcode_eu", "/account/v1/info")
    await sandbox.settle()
    assert sandbox.creates("postcode_eu").attempted == 0

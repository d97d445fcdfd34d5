"""What each provider is sent, field by field as its own document has it (the four seeds)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.providers.bench import (
    CANARY,
    GATEWAY,
    PHONE,
    POSTCODE,
    PROVIDERS,
    REQUEST_ID,
    START,
    Bench,
    example_of,
)
from worker import __version__
from worker.providers import discover

PARENT = "5a4db0c5-0000-4000-8000-000000000001"

PHONE_CONTACT = {
    "name": "Teddy",
    "company": "Acme, Inc.",
    "address": {
        "line_1": "14282 Danielson Street",
        "line_2": "box 2",
        "city": "Poway",
        "province": "CA",
        "postal_code": "92064",
        "country": "US",
    },
    "phone": "+18585551111",
    "fax": "+18585552222",
    "primary_email": "test@phone.com",
    "alternate_email": "test@gmail.com",
}
PHONE_BILLING = {
    "name": "Bobby",
    "company": "xyz co",
    "address": {
        "line_1": "100 Main St",
        "line_2": "#4",
        "city": "San Diego",
        "province": "CA",
        "postal_code": "92129",
        "country": "US",
    },
    "phone": "+18585553333",
    "fax": "+18585554444",
    "primary_email": "sample@phone.com",
    "alternate_email": "sample@gmail.com",
}
POSTCODE_ASKED = {
    "company_name": "Klant B.V.",
    "country_iso": "NLD",
    "vat_number": "NL123456789B01",
    "contact_email": "contact@example.org",
    "subscription_amount": 100,
    "site_urls": ["https://www.example.org"],
    "invoice_email": "invoice@example.org",
    "invoice_reference": "PO 1234",
    "invoice_address_line1": "Julianastraat 30",
    "invoice_address_postal_code": "2012ES",
    "invoice_address_locality": "Haarlem",
    "invoice_address_country_iso": "NLD",
}
POSTCODE_SENT = {
    "companyName": "Klant B.V.",
    "countryIso": "NLD",
    "vatNumber": "NL123456789B01",
    "contactEmail": "contact@example.org",
    "subscriptionAmount": 100,
    "siteUrls": ["https://www.example.org"],
    "invoiceEmail": "invoice@example.org",
    "invoiceReference": "PO 1234",
    "invoiceAddressLine1": "Julianastraat 30",
    "invoiceAddressLine2": "",
    "invoiceAddressPostalCode": "2012ES",
    "invoiceAddressLocality": "Haarlem",
    "invoiceAddressRegion": "",
    "invoiceAddressCountryIso": "NLD",
}
GATEWAY_ASKED = {
    "user_name": "new_subaccount_user_name",
    "email": "me@email.com",
    "name": "John",
    "surname": "Doe",
    "password": "new_subaccount_password",
    "language": "es",
}


@dataclass(frozen=True)
class Sent:
    """What is asked, and the body that the vendor's document has for it."""

    provider: str
    asked: Mapping[str, Any]
    body: Mapping[str, Any]
    settings: Mapping[str, Any]
    reason: str


SEEDS = [
    Sent(
        CANARY,
        {
            "parent_id": PARENT,
            "name": "abc123",
            "contact": {"email": "a@example.org", "phone_number": "+18585550100"},
        },
        {
            "parentId": PARENT,
            "name": "abc123",
            "contact": {"email": "a@example.org", "phoneNumber": "+18585550100"},
        },
        {},
        "every field",
    ),
    Sent(
        CANARY,
        {"name": "abc123"},
        {"parentId": PARENT, "name": "abc123"},
        {"parent_id": PARENT},
        "the configured parent",
    ),
    Sent(CANARY, {"name": "é\u4e16"}, {"name": "é\u4e16"}, {}, "no parent at all, as documented"),
    Sent(
        PHONE,
        {
            "username": "teddy",
            "password": "pass-word",
            "contact": PHONE_CONTACT,
            "billing_contact": PHONE_BILLING,
        },
        {
            "username": "teddy",
            "password": "pass-word",
            "contact": PHONE_CONTACT,
            "billing_contact": PHONE_BILLING,
        },
        {},
        "every field, nested",
    ),
    Sent(
        GATEWAY,
        GATEWAY_ASKED,
        {"api_key": "5a4db0c55a4db0c55a4db0c55a4db0c5", **GATEWAY_ASKED},
        {},
        "every field of the sample",
    ),
    Sent(
        GATEWAY,
        {**GATEWAY_ASKED, "enable_shortener": True},
        {"api_key": "5a4db0c55a4db0c55a4db0c55a4db0c5", **GATEWAY_ASKED, "enable_shortener": 1},
        {},
        "the newer field is 1, not true",
    ),
    Sent(POSTCODE, POSTCODE_ASKED, POSTCODE_SENT, {}, "the sample, every text present"),
    Sent(
        POSTCODE,
        {
            **POSTCODE_ASKED,
            "subscription_amount": 0,
            "site_urls": [],
            "invoice_address_line2": "achter",
            "invoice_address_region": "NH",
            "invoice_contact_name": "J. Jansen",
        },
        {
            **POSTCODE_SENT,
            "subscriptionAmount": 0,
            "siteUrls": [],
            "invoiceAddressLine2": "achter",
            "invoiceAddressRegion": "NH",
            "invoiceContactName": "J. Jansen",
        },
        {},
        "an amount of 0 is sent as it is",
    ),
]


@pytest.mark.parametrize("sent", SEEDS, ids=lambda sent: f"{sent.provider}-{sent.reason}")
async def test_body_is_the_documented_one(bench: Bench, sent: Sent) -> None:
    """What the requester chose arrives unchanged, under the vendor's names, and nothing else does."""
    handler = bench.handler(sent.provider, **sent.settings)
    outcome = await bench.run(handler, bench.order_for(handler, sent.asked))
    assert bench.body_sent(sent.provider) == sent.body
    assert outcome.created is not None


async def test_reference_is_made_up_only_when_none_was_given(bench: Bench) -> None:
    """Postcode.eu's invoice bears the beginning of the request's id, the one mark a person can search for."""
    handler = bench.handler(POSTCODE)
    asked = {name: value for name, value in POSTCODE_ASKED.items() if name != "invoice_reference"}
    await bench.run(handler, bench.order_for(handler, asked))
    assert bench.body_sent(POSTCODE) == {**POSTCODE_SENT, "invoiceReference": f"Request {REQUEST_ID[:13]}"}


async def test_test_mode_is_json_true_and_nothing_else(bench: Bench) -> None:
    """A dry run adds `isTest` as true; a real create does not name it."""
    handler = bench.handler(POSTCODE)
    await bench.run(handler, bench.order_for(handler, POSTCODE_ASKED, dry_run=True))
    assert bench.body_sent(POSTCODE) == {**POSTCODE_SENT, "isTest": True}
    assert bench.sandbox.creates(POSTCODE).made == 0


@pytest.mark.parametrize("provider", [CANARY, GATEWAY, PHONE])
async def test_dry_run_without_test_mode_sends_nothing(bench: Bench, provider: str) -> None:
    """Where there is no test mode a dry run asks the provider nothing at all."""
    handler = bench.handler(provider)
    await bench.run(handler, bench.order(handler, dry_run=True))
    assert bench.sandbox.requests(provider) == ()


async def test_extra_fields_are_added(bench: Bench) -> None:
    """The operator's extra fields are sent with every create, and `now` is the moment of sending."""
    handler = bench.handler(PHONE, extra_fields={"tos_accept_date": "now", "billing_day": 5})
    await bench.run(handler, bench.order(handler))
    sent = bench.body_sent(PHONE)
    assert (sent["tos_accept_date"], sent["billing_day"]) == (int(START.timestamp()), 5)


@dataclass
class Recorder:
    """A raw server that keeps each request as it stood on the wire and answers every path with one object."""

    requests: list[bytes]
    answer: Mapping[str, Any]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), b": 0")
        self.requests.append(head + await reader.readexactly(int(length.partition(b": ")[2])))
        body = json.dumps(self.answer).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def recorder(bench: Bench) -> AsyncIterator[Recorder]:
    """A recorder in the sandbox's place."""
    answer = {
        "accessToken": "token-1",
        "associates": [],
        "id": 7,
        "accountId": 7,
        "status": "ok",
        "result": {},
    }
    recorder = Recorder([], answer)
    server = await asyncio.start_server(recorder.connected, "127.0.0.1", 0)
    bench.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield recorder
    server.close()
    await server.wait_closed()


def _basic(key: str, secret: str) -> str:
    return base64.b64encode(f"{key}:{secret}".encode()).decode()


ADDRESSES = {
    CANARY: ("/v3/reseller/client/create-associate", {"Authorization": "Bearer token-1", "Accept": "*/*"}),
    GATEWAY: ("/api/3.0/subaccount/create", {"Accept": "application/json"}),
    PHONE: (
        "/v4/accounts/133532/subaccounts",
        {"Authorization": "Bearer sandbox-phone-com-token-of-nobody", "Accept": "*/*"},
    ),
    POSTCODE: (
        "/reseller/v1/client",
        {
            "Authorization": "Basic "
            + _basic(
                "sandboxPostcodeEuKeyOfNobody000000000000000",
                "sandboxPostcodeEuSecretOfNobody0000000000000000000",
            ),
            "Accept": "*/*",
        },
    ),
}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_create_on_the_wire(bench: Bench, recorder: Recorder, provider: str) -> None:
    """Method, path and every header are the documented ones, and the body is plain ASCII JSON."""
    handler = bench.handler(provider)
    await bench.run(handler, bench.order(handler))
    head, _, body = recorder.requests[-1].partition(b"\r\n\r\n")
    line, *headers = head.decode("ascii").split("\r\n")
    path, own = ADDRESSES[provider]
    assert line == f"POST {path} HTTP/1.1"
    assert dict(header.split(": ", 1) for header in headers) == {
        "Host": bench.base_url.removeprefix("http://"),
        "User-Agent": f"provisioner/{__version__}",
        "Content-Type": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **own,
    }
    assert body.isascii()


async def test_token_request_on_the_wire(bench: Bench, recorder: Recorder) -> None:
    """The token is got with the API key in its own header and an empty object (providers.md 1.1)."""
    await bench.handler(CANARY).probe()
    head, _, body = recorder.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v3/auth/tokens/get HTTP/1.1\r\n")
    assert b"\r\nCsc-Api-Key: SBX1:c2FuZGJveC1rZXktb2Ytbm9ib2R5LWF0LWFsbA==\r\n" in head
    assert body == b"{}"


@pytest.mark.parametrize(
    ("provider", "base_url"),
    [
        (CANARY, "https://rest.eus.canaryspeech.com"),
        (GATEWAY, "https://api.gateway360.com"),
        (PHONE, "https://api.phone.com"),
        (POSTCODE, "https://api.postcode.eu"),
    ],
)
def test_default_address_is_the_documented_one(bench: Bench, provider: str, base_url: str) -> None:
    """Without a setting the vendor's documented host is used."""
    kind = discover()[provider]
    values = bench.credentials_of(provider)
    assert kind.Settings.model_validate(values).base_url == base_url


@pytest.mark.parametrize("provider", PROVIDERS)
def test_example_is_complete(provider: str) -> None:
    """The contract's example needs nothing more to be sent."""
    assert discover()[provider].Parameters.model_validate(example_of(provider))

"""What each provider is sent, field by field as its own document has it (the four seeds)."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.providers.bench import CANARY, PHONE, POSTCODE, PROVIDERS, REQUEST_ID, START, Bench, example_of
from tests.providers.known import KNOWN, Sent
from tests.providers.known.postcode_eu import ASKED, BODY
from worker import __version__
from worker.providers import discover

SEEDS = [
    pytest.param(name, sent, id=f"{name}-{sent.reason}")
    for name, known in KNOWN.items()
    for sent in known.sent
]


@pytest.mark.parametrize(("provider", "sent"), SEEDS)
async def test_body_is_the_documented_one(bench: Bench, provider: str, sent: Sent) -> None:
    """What the requester chose arrives unchanged, under the vendor's names, and nothing else does."""
    handler = bench.handler(provider, **sent.settings)
    outcome = await bench.run(handler, bench.order_for(handler, sent.asked))
    assert bench.body_sent(provider) == sent.body
    assert outcome.created is not None


async def test_reference_is_made_up_only_when_none_was_given(bench: Bench) -> None:
    """Postcode.eu's invoice bears the beginning of the request's id, the one mark a person can search for."""
    handler = bench.handler(POSTCODE)
    asked = {name: value for name, value in ASKED.items() if name != "invoice_reference"}
    await bench.run(handler, bench.order_for(handler, asked))
    assert bench.body_sent(POSTCODE) == {**BODY, "invoiceReference": f"Request {REQUEST_ID[:13]}"}


async def test_test_mode_is_json_true_and_nothing_else(bench: Bench) -> None:
    """A dry run adds `isTest` as true; a real create does not name it."""
    handler = bench.handler(POSTCODE)
    await bench.run(handler, bench.order_for(handler, ASKED, dry_run=True))
    assert bench.body_sent(POSTCODE) == {**BODY, "isTest": True}
    assert bench.sandbox.creates(POSTCODE).made == 0


@pytest.mark.parametrize("provider", [name for name, it in discover().items() if not it.HAS_TEST_MODE])
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
    recorder = Recorder([], {})
    server = await asyncio.start_server(recorder.connected, "127.0.0.1", 0)
    bench.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield recorder
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_create_on_the_wire(bench: Bench, recorder: Recorder, provider: str) -> None:
    """Method, path and every header are the documented ones, and the body is plain ASCII JSON."""
    recorder.answer = KNOWN[provider].answers_before
    handler = bench.handler(provider)
    await bench.run(handler, bench.order(handler))
    head, _, body = recorder.requests[-1].partition(b"\r\n\r\n")
    line, *headers = head.decode("ascii").split("\r\n")
    known = KNOWN[provider]
    assert line == f"POST {known.path} HTTP/1.1"
    assert dict(header.split(": ", 1) for header in headers) == {
        "Host": bench.base_url.removeprefix("http://"),
        "User-Agent": f"provisioner/{__version__}",
        "Content-Type": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **known.headers,
    }
    assert body.isascii()


async def test_token_request_on_the_wire(bench: Bench, recorder: Recorder) -> None:
    """The token is got with the API key in its own header and an empty object (providers.md 1.1)."""
    await bench.handler(CANARY).probe()
    head, _, body = recorder.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v3/auth/tokens/get HTTP/1.1\r\n")
    assert b"\r\nCsc-Api-Key: SBX1:c2FuZGJveC1rZXktb2Ytbm9ib2R5LWF0LWFsbA==\r\n" in head
    assert body == b"{}"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_default_address_is_the_documented_one(bench: Bench, provider: str) -> None:
    """Without a setting the vendor's documented host is used."""
    kind = discover()[provider]
    values = bench.credentials_of(provider)
    assert kind.Settings.model_validate(values).base_url == KNOWN[provider].base_url


@pytest.mark.parametrize("provider", PROVIDERS)
def test_example_is_complete(provider: str) -> None:
    """The contract's example needs nothing more to be sent."""
    assert discover()[provider].Parameters.model_validate(example_of(provider))

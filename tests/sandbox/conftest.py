"""A sandbox on free ports, a clock that tests set, and the sample of each provider's document as a valid create."""

import asyncio
import copy
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.providers.known import KNOWN
from worker.sandbox import CanarySpeech, Sandbox

CANARY = "canary_speech"
PHONE = "phone_com"
GATEWAY = "gateway360"
POSTCODE = "postcode_eu"


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    time: datetime = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **duration: float) -> None:
        self.time += timedelta(**duration)


@dataclass
class Naps:
    """A sleep that lasts until the test says so."""

    asked: list[float] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.begun.set()
        await self.over.wait()


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Caller:
    """Sends by hand, over the wire, what the vendors' documents describe."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    samples: dict[str, tuple[str, dict[str, Any]]]
    authorisations: dict[str, dict[str, str]] = field(default_factory=dict)

    def path(self, provider: str) -> str:
        return self.samples[provider][0]

    def body(self, provider: str, **changes: Any) -> dict[str, Any]:
        """The provider's sample body, each change put at its (dotted, `__`) place; `...` removes."""
        body = copy.deepcopy(self.samples[provider][1])
        for place, value in changes.items():
            _put(body, place.split("__"), value)
        return body

    async def authorisation(self, provider: str) -> dict[str, str]:
        """The header that lets a request in; Canary Speech's token is asked for once."""
        if provider == CANARY and CANARY not in self.authorisations:
            token = (await self.token())["accessToken"]
            self.authorisations[CANARY] = {"Authorization": f"Bearer {token}"}
        return self.authorisations.get(provider, {})

    async def token(self) -> Any:
        headers = {"Csc-Api-Key": self.sandbox.provider(CanarySpeech).credentials.api_key}
        return (await self.send("POST", "/v3/auth/tokens/get", headers=headers, json={})).json

    async def create(self, provider: str, **changes: Any) -> Reply:
        """The sample, with changes, sent as JSON with good credentials."""
        return await self.create_raw(provider, json.dumps(self.body(provider, **changes)).encode())

    async def create_raw(self, provider: str, data: Any) -> Reply:
        headers = {"Content-Type": "application/json", **await self.authorisation(provider)}
        return await self.send("POST", self.path(provider), headers=headers, data=data)

    async def raw_create(self, provider: str) -> bytes:
        """The sample sent over a connection of its own; every byte that comes back until the other side
        closes.
        """
        data = json.dumps(self.body(provider)).encode()
        headers = {
            "Host": "sandbox",
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **await self.authorisation(provider),
        }
        head = f"POST {self.path(provider)} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        return await self.raw(head.encode() + data)

    async def raw(self, data: bytes) -> bytes:
        port = int(self.sandbox.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()

    async def raw_and_leave(self, data: bytes) -> None:
        """Sends bytes and closes without reading, once the sandbox has taken the connection."""
        port = int(self.sandbox.base_url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def get(self, provider: str, path: str, **params: str) -> Reply:
        return await self.send("GET", path, headers=await self.authorisation(provider), params=params)

    async def send(self, method: str, path: str, **options: Any) -> Reply:
        url = self.sandbox.base_url + path
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            return Reply(response.status, response.headers, await response.read())


def _put(body: dict[str, Any], place: list[str], value: Any) -> None:
    for name in place[:-1]:
        body = body[name]
    if value is ...:
        del body[place[-1]]
    else:
        body[place[-1]] = value


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def sandbox(clock: Clock, naps: Naps, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Sandbox]:
    async with Sandbox(now=clock, sleep=naps) as running:
        yield running
    failures = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert failures == []  # a failure inside the sandbox is never what a test asked for


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def caller(sandbox: Sandbox, session: aiohttp.ClientSession) -> Caller:
    samples = {name: (known.path, dict(known.sent[0].body)) for name, known in KNOWN.items()}
    headers = {name: known.headers.get("Authorization") for name, known in KNOWN.items() if name != CANARY}
    authorisations = {name: {"Authorization": value} for name, value in headers.items() if value}
    return Caller(sandbox, session, samples, authorisations)


@pytest.fixture
def canary(sandbox: Sandbox) -> CanarySpeech:
    return sandbox.provider(CanarySpeech)


@pytest.fixture
def control(sandbox: Sandbox, session: aiohttp.ClientSession) -> Callable[..., Awaitable[Reply]]:
    async def call(method: str, path: str, **options: Any) -> Reply:
        async with session.request(method, sandbox.control_url + path, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    return call

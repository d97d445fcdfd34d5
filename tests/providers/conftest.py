"""A bench for every test: sandbox, client and clock."""

from collections.abc import AsyncIterator

import pytest

from tests.providers.bench import Bench, SetClock
from worker.http_client import HttpClient
from worker.sandbox import Sandbox


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A sandbox on a free port whose clock is the test's, and an open client."""
    clock = SetClock()
    async with Sandbox(now=clock.now) as sandbox, HttpClient() as http:
        yield Bench(sandbox, http, clock)

"""The sandbox as a process of its own."""

import asyncio
import inspect
from typing import Any

import aiohttp
import pytest

from worker.sandbox import serve


async def test_serve_announces_itself_and_ends_when_cancelled() -> None:
    """Both URLs and the seed are announced once both ports answer; cancelling gives the ports back."""
    running, lines = await _serve(seed=5)
    assert lines["seed"] == "5"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{lines['control']}/health") as health:
            assert health.status == 200
        async with session.get(f"{lines['providers']}/v4/oauth/access-token") as probe:
            assert probe.status == 401
    await _cancel(running)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(lines["providers"].rpartition(":")[2]))


async def test_serve_draws_a_seed() -> None:
    """Without a seed two sandboxes do not share one."""
    seeds = set()
    for _ in range(2):
        running, lines = await _serve()
        seeds.add(lines["seed"])
        await _cancel(running)
    assert len(seeds) == 2


def test_serve_prints_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """The default announcer writes each line to standard output at once."""
    inspect.signature(serve).parameters["announce"].default("control   http://127.0.0.1:9001")
    assert capsys.readouterr().out == "control   http://127.0.0.1:9001\n"


async def _serve(**options: Any) -> tuple["asyncio.Task[None]", dict[str, str]]:
    said: asyncio.Queue[str] = asyncio.Queue()
    running = asyncio.create_task(serve("127.0.0.1", 0, 0, announce=said.put_nowait, **options))
    lines = [(await said.get()).split() for _ in range(3)]
    return running, {line[0]: line[1] for line in lines}


async def _cancel(running: "asyncio.Task[None]") -> None:
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

"""`make run`: one command keeps a worker up, and one file points the program at it from another terminal."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from worker.local.loopback import free_ports

pytestmark = pytest.mark.rabbitmq

_WITHIN = 60.0  # seconds


@pytest.fixture
async def folder(broker_url: str, tmp_path: Path) -> AsyncIterator[Path]:
    """Where it runs, once it has said where it is watched; it ends well when it is told to."""
    environment = {
        **without_settings(),
        "PROVISIONER_BROKER__URL": broker_url,
        "PROVISIONER_MONITORING__PORT": str(free_ports(1)[0]),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", "dev", cwd=tmp_path, env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_WITHIN):
            while b"metrics and health" not in (line := await process.stderr.readline()):
                assert line, "it ended"
        yield tmp_path
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_WITHIN):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()


def without_settings() -> dict[str, str]:
    """The environment of somebody who configured nothing, and whom nobody knows by name."""
    hidden = ("PROVISIONER_", "USER", "LOGNAME", "SUDO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


async def typed(folder: Path, words: str) -> str:
    """What a command says in another terminal, after the file that it is told to source."""
    program = f"{sys.executable} -m worker"
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", f"source .local/environment && {program} {words}",
        cwd=folder, env=without_settings() | {"PYTHONPATH": str(Path.cwd())}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await shell.communicate()
    assert shell.returncode == 0
    return said.decode()


async def test_what_the_readme_types_works(folder: Path) -> None:
    """A request is answered by the sandbox and explained, and who acts by hand need not give a name."""
    await typed(
        folder, "submit --provider canary_speech --key order-4711 -p name=acme --wait --timeout 50 --json"
    )
    story = json.loads(await typed(folder, "explain order-4711 --json"))
    assert story["entry"]["state"] == "provisioned"
    assert "done" in await typed(folder, "requests republish order-4711 --reason 'to see it again'")

"""The sandbox as a process of its own."""

import asyncio
import secrets
import sys
from collections.abc import Callable

from worker.sandbox.app import Sandbox


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def serve(
    host: str = "127.0.0.1",
    port: int = 9000,
    control_port: int = 9001,
    *,
    seed: int | None = None,
    announce: Callable[[str], object] = _say,
) -> None:
    """Serves until cancelled; announces both URLs and the seed, a line each, once both ports listen.

    Without a `seed` one is drawn, so that a restarted sandbox does not give out the ids of the one before.

    Raises:
        OSError: A port cannot be bound.
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    async with Sandbox(host, port, control_port, seed=seed) as sandbox:
        announce(f"providers {sandbox.base_url}")
        announce(f"control   {sandbox.control_url}")
        announce(f"seed      {seed}")
        await asyncio.Event().wait()

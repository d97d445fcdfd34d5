"""Where the worker's processor time goes: one round of throughput under a sampler, by part and by function."""

import asyncio
import json
import signal
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import sampled_worker
from tests.bench.report import Table
from tests.bench.scene import PROVIDER, Scene
from tests.bench.throughput import drained

_WARM_UP = 300
_FUNCTIONS = 40
_ROOT = Path(__file__).resolve().parents[2]
_LIBRARY = sysconfig.get_paths()["purelib"]
_FAMILIES: Mapping[str, str] = {
    **dict.fromkeys(("aio_pika", "aiormq", "pamqp"), "aio-pika, aiormq, pamqp"),
    **dict.fromkeys(("aiohttp", "yarl", "multidict", "aiohappyeyeballs", "aiosignal"), "aiohttp, yarl"),
    **dict.fromkeys(("pydantic", "pydantic_core"), "pydantic"),
    **dict.fromkeys(("joserfc", "cryptography"), "joserfc, cryptography"),
}

_LOOP = "asyncio"  # the command that runs the loop stands for the loop itself

Stack = list[str]
Seen = list[tuple[float, Stack, str]]
"""Seconds, functions from the innermost on, and the part that the innermost one of a package belongs to."""


async def run(scene: Scene, *, requests: int) -> dict[str, Any]:
    """Sample one round after a short one that does not count."""
    file = scene.folder / "samples.json"
    async with scene.worker("-m", sampled_worker.__name__, str(file)) as worker:
        publish = partial(scene.upstream.publish, PROVIDER)
        await drained(scene.upstream, worker, publish(_WARM_UP), _WARM_UP)
        worker.send(signal.SIGUSR1)
        sample = await drained(scene.upstream, worker, publish(requests), requests)
        worker.send(signal.SIGUSR2)
        await worker.until(file.exists)
    seen = await asyncio.to_thread(_read, file)
    total = sum(seconds for seconds, _, _ in seen)
    return {
        "requests": requests,
        "cpu_ms": sample.cpu_ms,
        "parts": _shares(((part, seconds) for seconds, _, part in seen), total),
        "itself": _shares(((stack[0], seconds) for seconds, stack, _ in seen), total, _FUNCTIONS),
        "with_callees": _shares(
            ((name, seconds) for seconds, stack, _ in seen for name in set(stack)), total, _FUNCTIONS * 3
        ),
    }


def _read(file: Path) -> Seen:
    found: Seen = []
    for seconds, stack in json.loads(file.read_text(encoding="utf-8")):
        names = [f"{_short(path)}: {function}" for path, function in stack] or ["not seen"]
        parts = (part for path, _ in stack if (part := _part(path)) is not None)
        found.append((seconds, names, next(parts, _LOOP)))
    return found


def _short(path: str) -> str:
    for root in (str(_ROOT), _LIBRARY):
        if path.startswith(f"{root}/") and (root == _LIBRARY or not path.startswith(_LIBRARY)):
            return path.removeprefix(f"{root}/")
    return "/".join(Path(path).parts[-2:])


def _part(path: str) -> str | None:
    """Package of a file; None for the standard library, whose time is its caller's."""
    package = _short(path).split("/")
    if path.startswith(_LIBRARY):
        return _FAMILIES.get(package[0], package[0])
    if path.startswith(str(_ROOT)):
        part = ".".join(package[:2]).removesuffix(".py")
        return _LOOP if part == "worker.cli" else part
    return None


def _shares(charged: Iterable[tuple[str, float]], total: float, most: int = 100) -> dict[str, float]:
    """Percent of the whole by name, the largest first; less than half a percent is left out."""
    seconds: dict[str, float] = defaultdict(float)
    for name, spent in charged:
        seconds[name] += spent
    largest = sorted(seconds.items(), key=lambda item: -item[1])[:most]
    return {name: round(spent / total * 100, 1) for name, spent in largest if spent / total >= 0.005}


def table(figures: dict[str, Any]) -> Table:
    """The figures for people: parts, then the functions of ours that cost most with what they call, then others."""
    ours = {
        name: share
        for name, share in figures["with_callees"].items()
        if name.startswith(("worker/", "contracts/")) and not name.startswith("worker/cli")
    }
    groups = (
        ("-- by part", figures["parts"]),
        ("-- our functions, with what they call", dict(list(ours.items())[:_FUNCTIONS])),
        ("-- any function, itself", dict(list(figures["itself"].items())[:_FUNCTIONS])),
    )
    rows = [row for title, shares in groups for row in ([title, "", ""], *_lines(shares, figures["cpu_ms"]))]
    return Table(
        f"profile: {figures['requests']} requests, {figures['cpu_ms']:.2f} ms of processor time each",
        ("where", "percent", "ms per request"),
        rows,
        "sampled; the sampler's own cost is in it",
    )


def _lines(shares: Mapping[str, float], cpu_ms: float) -> list[list[str]]:
    return [[name, f"{share:.1f}", f"{share / 100 * cpu_ms:.3f}"] for name, share in shares.items()]

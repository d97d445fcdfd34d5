"""Verbs that keep a process up: `run`, `dev`, `sandbox`, `demo`; and `healthcheck`, which looks at one."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker import bootstrap
from worker.cli import local_worker
from worker.cli.common import Json, exit_codes
from worker.cli.later import Later
from worker.cli.output import Exit, complain, out, print_json
from worker.local.errors import LocalError, NoBroker

if TYPE_CHECKING:
    from worker import sandbox as pretended
    from worker.demo import dev as house
    from worker.demo import show, surroundings
else:
    pretended, house = Later("worker.sandbox"), Later("worker.demo.dev")
    show, surroundings = Later("worker.demo.show"), Later("worker.demo.surroundings")

_LOCAL = Path(".local")
_WHERE = "PROVISIONER_MONITORING__HOST and __PORT say where a worker is asked; does one run here?"


class Probe(StrEnum):
    """What can be asked of a worker."""

    LIVEZ = "livez"
    READYZ = "readyz"


def run() -> None:
    """Run the worker until SIGTERM: take requests, open accounts, publish results."""
    with exit_codes():
        configured = bootstrap.settings()
        bootstrap.require_runnable(configured)
        if configured.worker.processes > 1:
            raise typer.Exit(bootstrap.run(bootstrap.run_several(configured)))
        drained = bootstrap.run(bootstrap.run_worker(configured))
    raise typer.Exit(Exit.OK if drained else Exit.FAILED)


def dev() -> None:
    """Run the worker against what is configured, with a private RabbitMQ and the sandbox where nothing is."""
    with exit_codes(), _local_errors():
        house.run(_LOCAL)


def demo() -> None:
    """Show everything on one screen: accounts, faults, a killed worker, and a count at the end. Ends by itself."""
    with exit_codes(), _local_errors():
        held = show.run()
    raise typer.Exit(Exit.OK if held else Exit.FAILED)


def sandbox(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the four APIs; 0 takes any free one.")
    ] = 9000,
    control_port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port to plan faults and see accounts; 0 takes any free one."),
    ] = 9001,
    seed: Annotated[
        int | None, typer.Option(help="Repeats the drawn faults and ids of an earlier run.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Play the four providers, with faults on demand, until Ctrl-C or SIGTERM. Never for real accounts."""
    chosen = secrets.randbelow(2**32) if seed is None else seed
    try:
        asyncio.run(_play(host, port, control_port, chosen, as_json=as_json))
    except (OSError, UnicodeError) as error:  # the latter of a name that is none
        complain(
            f"cannot listen on {host}: {getattr(error, 'strerror', None) or error}",
            "choose --host, --port and --control-port",
        )
        raise typer.Exit(Exit.FAILED) from None


async def _play(host: str, port: int, control_port: int, seed: int, *, as_json: bool) -> None:
    stopped = asyncio.Event()
    # As the first process of a container it would get no SIGTERM at all without a handler of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with pretended.Sandbox(host, port, control_port, seed=seed) as playing:
        environment = surroundings.provider_settings(playing.base_url)
        _announce(playing.base_url, playing.control_url, seed, environment, as_json=as_json)
        await stopped.wait()


def _announce(
    base_url: str, control_url: str, seed: int, environment: dict[str, str], *, as_json: bool
) -> None:
    if as_json:
        told = {"providers": base_url, "control": control_url, "seed": seed, "environment": environment}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        out.print(f"providers {base_url}\ncontrol   {control_url}\nseed      {seed}\n", markup=False)
        out.print("To point a worker at it (these credentials open nothing anywhere else):\n")
        for name, value in environment.items():
            out.print(f"export {name}='{value}'", markup=False)
    sys.stdout.flush()


def healthcheck(
    probe: Annotated[
        Probe, typer.Option(help="livez: the process is not stuck; readyz: it can do its work.")
    ] = Probe.LIVEZ,
    as_json: Json = False,
) -> None:
    """Ask the worker on this machine, and each of its processes, how it is; for container health checks."""
    with exit_codes():
        answers = [
            local_worker.ask(one, probe, seconds=5) for one in local_worker.watched(bootstrap.settings())
        ]
    unwell = [answer for answer in answers if answer.status != 200]
    if as_json:
        each = [{"healthy": it.status == 200, "asked": it.place, "what": it.text.strip()} for it in answers]
        print_json({**next((it for it in each if not it["healthy"]), each[0]), "processes": each})
    elif unwell:
        is_silent = any(answer.status is None for answer in unwell)
        complain(
            "; ".join(f"{answer.place}: {answer.text.strip()}" for answer in unwell),
            _WHERE if is_silent else "",
        )
    raise typer.Exit(Exit.FAILED if unwell else Exit.OK)


@contextmanager
def _local_errors() -> Iterator[None]:
    try:
        yield
    except LocalError as error:
        complain(error)
        raise typer.Exit(Exit.UNAVAILABLE if isinstance(error, NoBroker) else Exit.FAILED) from None

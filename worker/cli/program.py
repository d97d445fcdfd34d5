"""All verbs under one name: `provisioner`."""

import os
import sys
from types import TracebackType
from typing import Annotated

import typer
import typer.main

from worker import __version__, bootstrap
from worker.cli import dead_letters, explain, keys, ledger, process, provider, requests, setup, submit
from worker.cli.output import complain, err

app = typer.Typer(
    name="provisioner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and those may be secrets
    rich_markup_mode="rich",
    help="Opens one account per request at four providers, never two, and says honestly what is in doubt.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 blocked by the state it is in, 4 not found, "
    "69 RabbitMQ or the ledger unavailable, 78 configuration must be changed, 130 ended by Ctrl-C.",
    epilog="Example: provisioner submit --provider canary_speech --key order-4711 -p name=acme --wait",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of the program itself."""


app.command(epilog="Example: provisioner run")(process.run)
app.command(epilog="Example: provisioner demo")(process.demo)
app.command(epilog="Example: provisioner dev")(process.dev)
app.command(epilog="Example: provisioner sandbox --port 9000 --control-port 9001")(process.sandbox)
app.command(epilog="Example: provisioner healthcheck && echo healthy")(process.healthcheck)
app.command(epilog="Example: provisioner submit request.json --wait --json")(submit.submit)
app.command(epilog="Example: provisioner explain order-4711")(explain.explain)
app.add_typer(requests.app, name="requests")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(provider.app, name="provider")
app.add_typer(ledger.app, name="ledger")
app.add_typer(setup.config, name="config")
app.add_typer(setup.topology, name="topology")
app.add_typer(setup.contracts, name="contracts")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the program."""
    sys.excepthook = _surprised
    typer.main.get_command(app)()  # not `app()`, which would set an exception hook of its own


def _surprised(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """One sentence about an error that nobody expected; frames, never values, only to who asked for them."""
    if issubclass(kind, KeyboardInterrupt):
        return
    if os.environ.get("PROVISIONER_LOG__LEVEL", "").lower() == "debug":
        err.print(bootstrap.describe(error.with_traceback(trace)), markup=False)
    complain(
        f"this should not happen: {bootstrap.summarize(error)}",
        "PROVISIONER_LOG__LEVEL=debug shows where; please tell the developers",
    )

"""Verbs for whoever sets the worker up: `config`, `topology`, `contracts`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker import bootstrap
from worker.cli.common import Json, exit_codes, run_async
from worker.cli.later import Later
from worker.cli.output import Exit, cell, complain, err, out, print_json, print_table, safe

if TYPE_CHECKING:
    from contracts import export
    from worker import settings as settings_edge
else:
    export, settings_edge = Later("contracts.export"), Later("worker.settings")

config = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")
topology = typer.Typer(no_args_is_help=True, help="Show, declare and check exchanges and queues.")
contracts = typer.Typer(no_args_is_help=True, help="JSON Schemas and examples of every message.")


@config.command("check", epilog="Example: provisioner config check --online")
def config_check(
    online: Annotated[
        bool,
        typer.Option("--online", metavar="", help="Also reach RabbitMQ, the ledger and the providers."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the whole configuration; every problem at once, in words. Exit code 78 when there is one."""
    with exit_codes():
        configured = bootstrap.settings()
        diagnoses = run_async(bootstrap.check(configured, online=online))
    if as_json:
        print_json(diagnoses)
    else:
        rows = ((it.part, it.well, it.words) for it in diagnoses)
        print_table(("part", "well", "what was found"), rows, empty="", folds={"what was found"})
    if not all(diagnosis.well for diagnosis in diagnoses):
        raise typer.Exit(Exit.CONFIGURATION)


@config.command("show", epilog="Example: provisioner config show --json")
def config_show(as_json: Json = False) -> None:
    """Show every setting, where its value comes from, and with --json what it means. Secrets are masked."""
    with exit_codes():
        rows = settings_edge.show(bootstrap.settings())
    if as_json:
        print_json(rows)
    else:
        lines = ((row.name, row.value, row.origin) for row in rows)
        print_table(("variable", "value", "from"), lines, empty="", folds={"value"}, spare=("from",))


@config.command("reference", epilog="Example: provisioner config reference > settings.md")
def config_reference() -> None:
    """Print every setting with its meaning as a Markdown table."""
    with exit_codes():
        typer.echo(settings_edge.reference(bootstrap.provider_settings()))


@topology.command("show", epilog="Example: provisioner topology show --json > definitions.json")
def topology_show(as_json: Json = False) -> None:
    """Show exchanges, queues and bindings; `--json` is a RabbitMQ definitions file for the configured virtual host."""
    with exit_codes():
        configured = bootstrap.settings()
        wanted, definitions = bootstrap.topology(configured), bootstrap.definitions(configured)
    if as_json:
        print_json(definitions)
        return
    exchanges = ((it.name, it.kind, dict(it.arguments)) for it in wanted.exchanges)
    print_table(("exchange", "kind", "arguments"), exchanges, empty="", folds={"arguments"})
    out.print()
    queues = ((it.name, dict(it.arguments)) for it in wanted.queues)
    print_table(("queue", "arguments"), queues, empty="", folds={"arguments"})
    out.print()
    bindings = ((it.exchange, it.routing_key, it.queue) for it in wanted.bindings)
    print_table(("from exchange", "with key", "to queue"), bindings, empty="")


@topology.command("declare", epilog="Example: provisioner topology declare")
def topology_declare(as_json: Json = False) -> None:
    """Declare what is missing on the broker. What differs is never changed, only told."""
    with exit_codes():
        configured = bootstrap.settings()
        missing = run_async(bootstrap.check_topology(configured))
        run_async(bootstrap.declare_topology(configured))
    if as_json:
        print_json({"declared": [gap.what.removesuffix(" is missing") for gap in missing]})
        return
    for gap in missing:
        out.print(f"{safe(gap.what.removesuffix(' is missing'))} is declared now")
    out.print("exchanges, queues and bindings are as wanted")


@topology.command("check", epilog="Example: provisioner topology check && echo same")
def topology_check(as_json: Json = False) -> None:
    """Compare the broker with what is wanted; exit code 78 when they differ, or when the user may not compare them.

    Comparing needs the right to configure, as RabbitMQ refuses everybody else before it compares.
    """
    with exit_codes():
        gaps = run_async(bootstrap.check_topology(bootstrap.settings()))
    if as_json:
        print_json(gaps)
    elif not gaps:
        out.print("exchanges and queues are as wanted")
    for gap in gaps if not as_json else ():
        label = "differs" if gap.compared else "not compared"
        err.print(f"[bold red]{label}:[/] {safe(gap.what)}\n    {safe(gap.remedy)}")
    if gaps:
        raise typer.Exit(Exit.CONFIGURATION)


@contracts.command("export", epilog="Example: provisioner contracts export --check")
def contracts_export(
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where to write; left out, the folder of the package `contracts`."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", metavar="", help="Write nothing; say what has drifted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write JSON Schemas, golden examples and tables from the models."""
    target = export.HOME if folder is None else folder
    try:
        drifted = export.check(target)
        if not check:
            export.write(target)
    except (OSError, TypeError, ValueError) as error:
        complain(f"{target}: {error}")
        raise typer.Exit(Exit.FAILED) from None
    if as_json:
        print_json({"folder": target, "drifted" if check else "written": drifted})
    elif check and drifted:
        option = "" if folder is None else f" --folder {folder}"
        complain(f"drifted: {', '.join(drifted)}", f"`provisioner contracts export{option}`")
    else:
        for path in drifted:
            out.print(f"{'written' if (target / path).exists() else 'removed'}: {path}", markup=False)
        out.print(
            f"{cell(target)}: {'is up to date now' if drifted else 'nothing has drifted'}", markup=False
        )
    if check and drifted:
        raise typer.Exit(Exit.FAILED)

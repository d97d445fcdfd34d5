"""`provisioner provider …`: pause, resume, and how each provider stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from worker.cli import local_worker
from worker.cli.common import Actor, DryRun, Json, Office, Reason, open_office
from worker.cli.output import age, cell, out, print_json, print_table, safe
from worker.core.overview import Pause, Standing

app = typer.Typer(no_args_is_help=True, help="Pause and resume providers, and see how each stands.")

_NAMES = "As `provisioner provider status` lists them, such as phone_com."
_LONGEST_HISTORY = 50
_HERE = {
    "open": "asks it",
    "broken": "asks nothing: outage",
    "trying": "tries one create",
    "asked_to_wait": "waits: the provider asked for it",
    "paused_by_operator": "paused",
    "paused_by_credentials": "paused",
}

Name = Annotated[str, typer.Argument(metavar="NAME", help=_NAMES)]


@app.command(epilog="Example: provisioner provider pause phone_com --reason 'maintenance until 14:00'")
def pause(
    name: Name, reason: Reason, dry_run: DryRun = False, as_json: Json = False, actor: Actor = None
) -> None:
    """Start no new create at a provider, in every worker, until it is resumed. Survives restarts."""
    with open_office(actor, acts=not dry_run) as office:
        before = _pause_of(office, name)
        words = f"{name} would be paused; creates under way are finished, new ones wait in RabbitMQ"
        if before is not None:
            words = f"{name} is {_told(before)} already; your name and reason would replace these"
        _say(name, words if dry_run else office.run(office.providers.pause(name, reason)), as_json=as_json)


@app.command(epilog="Example: provisioner provider resume phone_com --reason 'maintenance is over'")
def resume(
    name: Name, reason: Reason, dry_run: DryRun = False, as_json: Json = False, actor: Actor = None
) -> None:
    """Let creates start again."""
    with open_office(actor, acts=not dry_run) as office:
        before = _pause_of(office, name)
        words = f"{name} is not paused; a wait that the provider asked for would end"
        if before is not None:
            words = f"{name} would be resumed; it is {_told(before)}"
        _say(name, words if dry_run else office.run(office.providers.resume(name, reason)), as_json=as_json)


@app.command(epilog="Example: provisioner provider status phone_com")
def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this one, with who paused it when and why.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show pauses and who made them why, what is open in the ledger, and how the worker on this machine sees each.

    What still waits in RabbitMQ is not in the ledger and not counted.
    """
    with open_office() as office:
        if name is not None:
            office.providers.check(name)
        lines = _lines(office, [name] if name else sorted(office.known_providers))
        history = office.run(office.ledger.pause_history(name, _LONGEST_HISTORY)) if name else ()
        if as_json:
            print_json({"status": lines[0], "history": history} if name else lines)
            return
        rows = (
            (
                it.provider,
                it.state,
                _HERE.get(it.worker_here or "", it.worker_here),
                it.why,
                it.by,
                age(it.since, office.now()),
                _words(it.open),
            )
            for it in lines
        )
        columns = ("provider", "state", "worker here", "why", "by", "since", "in the ledger")
        print_table(columns, rows, empty="", folds={"why", "in the ledger"}, spare=("since", "by"))
        if name:
            out.print()
            steps = ((it.at, it.name, it.actor, it.note) for it in history)
            print_table(("at (UTC)", "what", "by", "why"), steps, empty="it was never paused", folds={"why"})


def _pause_of(office: Office, name: str) -> Pause | None:
    office.providers.check(name)
    return next((it for it in office.run(office.ledger.pauses()) if it.provider == name), None)


def _told(pause: Pause) -> str:
    return f"paused by {pause.by} since {cell(pause.since)} UTC (“{cell(pause.note)}”)"


def _say(provider: str, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"provider": provider, "what": words})
    else:
        out.print(safe(words))


@dataclass(frozen=True, slots=True)
class _Line:
    """One provider; `worker_here` knows of breakers, None where no worker of this provider answers."""

    provider: str
    state: str
    worker_here: str | None
    why: str | None
    by: str | None
    since: datetime | None
    open: dict[str, int]


def _lines(office: Office, names: Sequence[str]) -> list[_Line]:
    pauses = {pause.provider: pause for pause in office.run(office.ledger.pauses())}
    standings = office.run(office.ledger.standings())
    here = local_worker.provider_states(office.configured)
    return [_line(name, pauses.get(name), here.get(name), standings) for name in names]


def _line(name: str, pause: Pause | None, here: str | None, standings: Sequence[Standing]) -> _Line:
    waiting = {it.kind: it.count for it in standings if it.provider == name and it.count}
    if pause is None:
        return _Line(name, "not paused", here, None, None, None, waiting)
    return _Line(name, f"paused by {pause.cause}", here, pause.note, pause.by, pause.since, waiting)


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"

"""`provisioner ledger …`: how the ledger stands, a copy of it, its schema, and moving it to a server."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker import bootstrap
from worker.cli.common import Json, Misuse, exit_codes, is_unicode, run_async
from worker.cli.output import Exit, age, cell, complain, err, out, print_json, print_table, safe

if TYPE_CHECKING:
    from worker.bootstrap import BackedUp, LedgerStanding, MigrationStep, MovedLedger, Progress

app = typer.Typer(
    no_args_is_help=True, help="See how the ledger stands, back it up, migrate it, and move it to a server."
)

_TOLD_EVERY = 20_000  # rows


@app.command(epilog="Example: provisioner ledger status --json")
def status(as_json: Json = False) -> None:
    """Show place, schema, workers and size of the ledger; exit code 78 when no worker of this version may use it."""
    with exit_codes():
        found = run_async(bootstrap.ledger_standing(bootstrap.settings()))
    words = found.words or (
        None if found.schema else "there are no tables yet; a worker makes them at its first start"
    )
    if as_json:
        print_json({"fits": words is None, "needs": bootstrap.NEWEST, "ledger": found})
    else:
        _show(found)
    if words is not None:
        complain(words)
        raise typer.Exit(Exit.CONFIGURATION)


def _show(found: "LedgerStanding") -> None:
    now = datetime.now(UTC)
    facts = (
        ("place", found.place),
        ("schema", f"{found.schema or 'none'} (this version of the worker needs {bootstrap.NEWEST})"),
        ("moved to", found.moved_to),
        ("size", f"{found.size / 1_000_000:.1f} MB"),
        ("requests", _counts(found.requests)),
        ("dead letters", _counts(found.dead_letters)),
        ("other rows", _counts(found.rows)),
    )
    print_table(("what", "found"), facts, empty="", folds={"found"})
    out.print()
    workers = (
        (it.worker, "yes" if it.alive else "no", f"{age(it.heartbeat_at, now)} ago", dict(it.slots))
        for it in found.workers
    )
    print_table(
        ("worker", "alive", "last sign of life", "slots"), workers, empty="no worker", folds={"slots"}
    )


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counted.items()) or "none"


@app.command(epilog="Example: provisioner ledger backup /backup/ledger-monday.db")
def backup(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to, a file that is not there yet.")],
    as_json: Json = False,
) -> None:
    """Copy a ledger on SQLite into a file, while the worker works; on PostgreSQL pg_dump does that."""
    with exit_codes():
        made = bootstrap.back_up_ledger(bootstrap.settings(), path)
    if as_json:
        print_json(made)
    else:
        _say_backed_up(made)


def _say_backed_up(made: "BackedUp") -> None:
    where = made.keys_file or "PROVISIONER_SEALING__KEYS"
    out.print(
        f"backed up: {made.requests} requests, {made.size / 1_000_000:.1f} MB, are in {cell(made.file)}.\n"
        f"The sealing keys ({cell(where)}) are not; without them it cannot be opened. Keep a copy of them elsewhere.",
        markup=False,
    )


@app.command(epilog="Example: provisioner ledger migrate")
def migrate(
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="REVISION", help="The schema to have afterwards; else the newest."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", metavar="", help="Go back although that forgets something.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the ledger to the schema of this version, or back to an older one. All workers must be stopped."""
    with exit_codes():
        configured, revision = bootstrap.settings(), _revision(to)
        taken = bootstrap.migrate_ledger(
            configured, revision, may_lose=yes, told=lambda step: None if as_json else _say_step(step)
        )
    if as_json:
        print_json({"schema": revision, "steps": taken})
    else:
        done = (
            f"the ledger has schema {revision} now"
            if taken
            else f"unchanged: the ledger has schema {revision}"
        )
        out.print(safe(done))


def _revision(wanted: str | None) -> str:
    known = bootstrap.ledger_revisions()
    if wanted is not None and wanted not in known:
        raise Misuse(f"no schema is called {wanted!r}; this version of the worker knows {', '.join(known)}")
    return wanted or bootstrap.NEWEST


def _say_step(step: "MigrationStep") -> None:
    way = "up" if step.loses is None else "back"
    err.print(
        safe(
            f"{way} to {step.revision} ({'brings' if step.loses is None else 'takes away'}: {step.words}) ..."
        )
    )


@app.command(
    epilog="Example: provisioner ledger move --to postgresql://provisioner@db.example.org/provisioner"
)
def move(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            help="postgresql://USER@HOST/DATABASE, which must be empty; or @FILE, with the URL in it, so that its "
            "password stands in no list of processes.",
        ),
    ],
    cancel: Annotated[
        bool,
        typer.Option("--cancel", metavar="", help="Undo a move to there of which nothing has arrived."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Move the ledger from its SQLite file to a PostgreSQL server. If it is interrupted, run it again to finish it."""
    with exit_codes():
        target, configured = _read(to), bootstrap.settings()
        if cancel:
            bootstrap.cancel_move(configured, target)
        else:
            moved = bootstrap.move_ledger(configured, target, told=_silent if as_json else _Telling())
    if as_json:
        print_json({"cancelled": True} if cancel else moved)
    elif cancel:
        out.print("cancelled: the file is the ledger, as before")
    else:
        _say_moved(moved)


def _read(to: str) -> str:
    if not is_unicode(to) and not to.startswith("@"):
        raise Misuse("--to must be UTF-8")
    if not to.startswith("@"):
        return to
    try:
        return Path(to[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misuse(
            f"{to[1:]} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        ) from None


def _silent(progress: "Progress") -> None:
    """Say nothing."""


class _Telling:
    """One line for each table and each step, and now and then one in between."""

    def __init__(self) -> None:
        self._next = _TOLD_EVERY

    def __call__(self, progress: "Progress") -> None:
        if progress.table is None:
            err.print(f"{progress.step}", markup=False)
        elif progress.done == progress.total or progress.done >= self._next:
            err.print(f"  {progress.table}: {progress.done} of {progress.total} rows", markup=False)
            self._next = progress.done + _TOLD_EVERY
        if progress.done == 0:
            self._next = _TOLD_EVERY


def _say_moved(moved: "MovedLedger") -> None:
    keys = "the same PROVISIONER_SEALING__KEYS"
    if moved.keys_file is not None:
        keys = f"PROVISIONER_SEALING__KEYS_FILE={moved.keys_file}"
    out.print(_MOVED.format(rows=sum(moved.rows.values()), place=moved.place, keys=keys), markup=False)


_MOVED = """\
moved: {rows} rows are at {place} now, each proved to be as it was.
The file stays as it is; no worker starts on it any more. Before you start one on the server:
  1. Set PROVISIONER_LEDGER__URL to the new address.
  2. Bring the sealing keys along: {keys}
     Without them nothing in the ledger can be opened, and on PostgreSQL the worker makes none of its own.
  3. provisioner config check --online"""

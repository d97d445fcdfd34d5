"""One verb on many rows, one after the other: what was done is told, however it ends."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import typer

from worker.cli.output import Exit, print_counts, print_json, print_table
from worker.cli.selection import Selection
from worker.core.errors import AccountClaimed, NotAllowed
from worker.operations.verbs import Effect

_DONE = "done"


@dataclass(frozen=True, slots=True)
class Row:
    """One row, and what the verb would do to it; a deed may be blocked where no plan was.

    Attributes:
        names: What it is told by, in this order.
        act: Does it, and tells what came of it; None where nothing is to be done but to say what would be.
    """

    names: Mapping[str, object]
    effect: Effect
    words: str
    act: Callable[[], str] | None


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are told.

    Attributes:
        columns: Headings of the table, and which of a row's names stands below each.
        empty: The sentence for no row at all.
    """

    columns: Mapping[str, str]
    empty: str
    folds: Collection[str] = ()
    spare: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    """What the verb did, or would do, to one row."""

    names: Mapping[str, object]
    effect: str
    what: str


def carry_out(
    rows: Sequence[Row], form: Form, found_by: Selection | None, *, dry_run: bool, as_json: bool
) -> None:
    """Say what would happen, or do it; a blocked row does not stop the others.

    Also when the broker or the ledger goes away in the middle, what is done already is told, and the limit of the
    filters that found the rows, if any did.

    Raises:
        typer.Exit: a row is blocked.
    """
    lines: list[_Line] = []
    try:
        lines.extend(_one(row) for row in rows)
    finally:
        _tell(lines, form, len(rows), dry_run=dry_run, as_json=as_json)
        if found_by is not None:
            found_by.mention_limit(len(rows))
    if any(line.effect == Effect.BLOCKED for line in lines):
        raise typer.Exit(Exit.BLOCKED)


def _one(row: Row) -> _Line:
    if row.act is None or row.effect is not Effect.WILL:
        return _Line(row.names, str(row.effect), row.words)
    try:
        return _Line(row.names, _DONE, row.act())
    except (NotAllowed, AccountClaimed) as error:
        return _Line(row.names, str(Effect.BLOCKED), str(error))


def _tell(lines: Sequence[_Line], form: Form, total: int, *, dry_run: bool, as_json: bool) -> None:
    if as_json and (lines or not total):
        print_json([{**line.names, "effect": line.effect, "what": line.what} for line in lines])
    elif lines or not total:
        rows = ((*(it.names[name] for name in form.columns.values()), it.effect, it.what) for it in lines)
        columns = (*form.columns, "effect", "what")
        print_table(columns, rows, empty=form.empty, folds=form.folds, spare=form.spare)
        print_counts((line.effect for line in lines), dry_run=dry_run)

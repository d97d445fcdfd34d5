"""One verb on many rows, one after the other: what was done is told, however it ends."""

import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self

import typer

from worker.cli.output import Exit, err, print_counts, print_json, print_table
from worker.cli.selection import Selection
from worker.core.errors import AccountClaimed, ConfigurationError, NotAllowed, SealBroken
from worker.operations.verbs import Effect

_DONE = "done"
_UNCLEAR = "unclear"
_HEARD = "stops after this row; Ctrl-C again ends it at once, done or not"
_INTERRUPTED = "it was under way when this ended: it may be done or not, so look before you repeat it"


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

    Ctrl-C stops after the row under way, a second one at once. Also then, and when the broker or the ledger goes away
    in the middle, what is done already is told, which row may be done or not, and how many were not begun. So is the
    limit of the filters that found the rows, if any did.

    Raises:
        typer.Exit: a row is blocked, or Ctrl-C came before all were begun.
    """
    lines: list[_Line] = []
    with _Interrupts() as interrupts:
        try:
            _each(rows, lines, interrupts)
        finally:
            interrupts.hold_off()
            _tell(lines, form, len(rows), dry_run=dry_run, as_json=as_json)
            if found_by is not None:
                found_by.mention_limit(len(rows))
    if interrupts.came and len(lines) < len(rows):
        raise typer.Exit(Exit.INTERRUPTED)
    if any(line.effect == Effect.BLOCKED for line in lines):
        raise typer.Exit(Exit.BLOCKED)


def _each(rows: Sequence[Row], lines: list[_Line], interrupts: "_Interrupts") -> None:
    """One line for each row that was begun; the last one is unclear when this ends in the middle of it."""
    for number, row in enumerate(rows, 1):
        if interrupts.came:
            return
        if row.act is None or row.effect is not Effect.WILL:
            lines.append(_Line(row.names, str(row.effect), row.words))
            continue
        with _progress(number, len(rows)):
            lines.append(_Line(row.names, _UNCLEAR, _INTERRUPTED))
            try:
                lines[-1] = _Line(row.names, _DONE, row.act())
            except (NotAllowed, AccountClaimed) as error:
                lines[-1] = _Line(row.names, str(Effect.BLOCKED), str(error))
            except (ConfigurationError, SealBroken):
                # Keys are read before anything is changed.
                del lines[-1]
                raise


class _Interrupts:
    """Ctrl-C beside a batch: remembered, obeyed at once when it comes again, and not heard while the end is told.

    Where it is ignored, as in what a script runs in the background, it stays so.
    """

    def __init__(self) -> None:
        self.came = False
        self._is_held_off = False
        self._before: Any = None

    def __enter__(self) -> Self:
        is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if threading.current_thread() is threading.main_thread() and not is_ignored:
            self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def hold_off(self) -> None:
        """From now on it would only cut off what is being told."""
        self._is_held_off = True

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._is_held_off:
            return
        if self.came:
            signal.default_int_handler(number, frame)
        self.came = True
        _say_heard()


def _say_heard() -> None:
    """At once, as a row may take long behind a slow ledger; silence would invite another Ctrl-C."""
    below_what_stands_there = "\n" if sys.stderr.isatty() else ""
    # The terminal may be gone, or be written to at this very moment: no reason to cut off the row under way.
    with suppress(OSError, RuntimeError):
        sys.stderr.write(f"{below_what_stands_there}{_HEARD}\n")
        sys.stderr.flush()


@contextmanager
def _progress(number: int, total: int) -> Iterator[None]:
    """Which row it is, for whoever waits before a terminal: silence there invites Ctrl-C."""
    is_told = total > 1 and sys.stderr.isatty()
    if is_told:
        sys.stderr.write(f"{number} of {total}; Ctrl-C stops after this one")
        sys.stderr.flush()
    try:
        yield
    finally:
        if is_told:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _tell(lines: Sequence[_Line], form: Form, total: int, *, dry_run: bool, as_json: bool) -> None:
    if as_json and (lines or not total):
        print_json([{**line.names, "effect": line.effect, "what": line.what} for line in lines])
    elif lines or not total:
        rows = ((*(it.names[name] for name in form.columns.values()), it.effect, it.what) for it in lines)
        columns = (*form.columns, "effect", "what")
        print_table(columns, rows, empty=form.empty, folds=form.folds, spare=form.spare)
        print_counts((line.effect for line in lines), dry_run=dry_run)
    if len(lines) < total:
        err.print(f"stopped: {total - len(lines)} of {total} were not begun")

"""How the program speaks: tables for people, JSON for programs, one sentence and an exit code for errors."""

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, IntEnum
from itertools import chain
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Exit(IntEnum):
    """Exit codes, the same for every verb."""

    OK = 0
    FAILED = 1  # something was tried and did not succeed
    USAGE = 2  # the command line, or a file that it names, is wrong; nothing was changed
    BLOCKED = 3  # the verb does not fit the state the row is in; that row was not changed
    NOT_FOUND = 4  # no such request, dead letter or provider
    UNAVAILABLE = 69  # RabbitMQ or the ledger cannot be reached
    CONFIGURATION = 78  # a setting, a file or the topology must be changed
    INTERRUPTED = 130  # Ctrl-C came before all was done; what was done is told


_STAND_INS = str.maketrans("[\\", "\ue000\ue001")
"""For what would mean something in markup. They cannot be printed, so `plain` leaves none of them in a value."""
_STOOD_FOR = str.maketrans("\ue000\ue001", "[\\")


class Screen(Console):
    """Shows every value to the letter. Keys are copied from here, and one that was altered is another valid key.

    The library reads `:id:` as a picture, and its own `escape` doubles or loses backslashes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, soft_wrap=True, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text with its markup obeyed; only then comes back what `safe` had taken out of its values."""
        shown = super().render_str(text, **options)
        shown.plain = shown.plain.translate(_STOOD_FOR)
        return shown


out = Screen()
err = Screen(stderr=True)

_SEALED_PREFIX = "sealed_"
_GAP = "  "
_LONGEST_UNBROKEN = 40


def as_data(value: object) -> object:
    """A value as plain JSON data; sealed columns are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: as_data(getattr(value, name)) for name in names if not name.startswith(_SEALED_PREFIX)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return as_data(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        return [as_data(item) for item in value]
    return _leaf(value)


def _leaf(value: object) -> object:
    match value:
        case IntEnum():
            return value.name.lower()
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case None | bool() | int() | float():
            return value
        case _:
            return str(value)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    text = json.dumps(as_data(value), indent=2, ensure_ascii=False)
    # Half a character, as of a file's name that is no UTF-8, is written as JSON escapes it.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    empty: str,
    folds: Collection[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """A table, or one line that says that there is nothing.

    On a terminal only the columns in `folds` are broken over several lines, and where that is not enough those in
    `spare` are left out, the first one first. What then still does not fit is longer than the terminal is wide: it
    wraps the lines, and nothing is cut. Elsewhere every row is one line, however long, for `grep` and `awk`.
    """
    texts = [[cell(value) for value in row] for row in rows]
    if not texts:
        out.print(empty)
    elif sys.stdout.isatty():
        _print_folded(columns, texts, folds, spare)
    else:
        widths = [max(map(cell_len, column)) for column in zip(columns, *texts, strict=True)]
        for line in chain([columns], texts):
            padded = (text + " " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True))
            sys.stdout.write(_GAP.join(padded).rstrip() + "\n")


def print_counts(effects: Iterable[str], *, dry_run: bool) -> None:
    """How many rows there were of each effect, below their table."""
    told = ", ".join(f"{count} {effect}" for effect, count in Counter(effects).items())
    if told:
        out.print(f"{told}; nothing was changed" if dry_run else told, style="dim")


def _print_folded(
    columns: Sequence[str], texts: list[list[str]], folds: Collection[str], spare: Sequence[str]
) -> None:
    table_of = dict(zip(columns, zip(*texts, strict=True), strict=True))
    left_out: list[str] = []
    while (needed := _needed(table_of, folds)) > out.width and len(left_out) < len(spare):
        left_out.append(spare[len(left_out)])
        del table_of[left_out[-1]]
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0))
    for name, width in _widths(table_of, folds, out.width - needed).items():
        table.add_column(name, overflow="fold", no_wrap=name not in folds, width=width)
    for row in zip(*table_of.values(), strict=True):
        table.add_row(*map(Text, row))
    # `out` would print no wider than the terminal is: it cuts what does not fit, and drops whole columns.
    paper = Screen(width=max(needed, out.width), color_system="auto" if out.color_system else None)
    paper.print(table, crop=False, soft_wrap=False)
    if left_out:
        err.print(f"[dim]left out, the terminal is too narrow: {', '.join(left_out)}[/]")


def _needed(table_of: Mapping[str, Sequence[str]], folds: Collection[str]) -> int:
    """Columns of the terminal without which a word or an id would be broken."""
    gaps = len(_GAP) * len(table_of)
    return gaps + sum(_narrowest(name, texts, folds) for name, texts in table_of.items())


def _widths(table_of: Mapping[str, Sequence[str]], folds: Collection[str], room: int) -> dict[str, int]:
    """Of each column; the room that is left goes to those that are folded, as much as each can use, from left to right.

    Left to share it out evenly, the library breaks a word in one column while another has room to give.
    """
    widths = {}
    for name, texts in table_of.items():
        narrowest = _narrowest(name, texts, folds)
        widths[name] = narrowest + max(0, min(room, _widest(name, texts) - narrowest))
        room -= widths[name] - narrowest
    return widths


def _widest(name: str, texts: Sequence[str]) -> int:
    return max(map(cell_len, (name, *texts)))


def _narrowest(name: str, texts: Sequence[str], folds: Collection[str]) -> int:
    if name not in folds:
        return _widest(name, texts)
    words = chain([name], *(text.split() for text in texts))
    return min(max(map(cell_len, words)), _LONGEST_UNBROKEN)


def cell(value: object) -> str:
    """A value as a person reads it, on one line."""
    match value:
        case None | "":
            return "-"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return _GAP[1:].join(f"{name}={_inner(item)}" for name, item in value.items()) or "-"
        case list() | tuple() | set() | frozenset():
            return ",".join(map(_inner, value)) or "-"
        case _:
            return plain(str(_leaf(value)))


def _inner(value: object) -> str:
    needs_quotes = isinstance(value, str) and (" " in value or not value)
    if needs_quotes or isinstance(value, Mapping | list | tuple):
        return plain(json.dumps(as_data(value), ensure_ascii=False))
    return cell(value)


def plain(text: str) -> str:
    """Text in which nothing can steer a terminal or begin a line: what cannot be printed is spelled out."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def safe(value: object) -> str:
    """A value for the inside of a sentence with markup."""
    return _inert(cell(value))


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, in the two largest units: 3m 20s, 2h 5m, 4d 1h."""
    if since is None:
        return "-"
    seconds = max(0, int((now - since).total_seconds()))
    units = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
    parts: list[str] = []
    for size, name in units:
        if seconds >= size or (size == 1 and not parts):
            parts.append(f"{seconds // size}{name}")
            seconds %= size
    return " ".join(parts[:2])


def complain(error: BaseException | str, hint: str = "") -> None:
    """The error in words, on standard error, and what helps."""
    err.print(f"[bold red]error:[/] {_lines(str(error))}")
    if hint:
        err.print(f"[bold]help:[/] {_lines(hint)}")


def _lines(text: str) -> str:
    return _inert("\n".join(map(plain, text.split("\n"))))


def _inert(text: str) -> str:
    return text.translate(_STAND_INS)

"""Tables on the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a head, rows of text, and what must be known to read them."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        body = "\n".join(_line(line, widths) for line in lines)
        note = f"  ({self.note})\n" if self.note else ""
        return f"{self.title}\n{indent(body, '  ')}\n{note}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first column begins at the left, the others end at the right."""
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()

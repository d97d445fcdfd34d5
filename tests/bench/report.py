"""Tables on the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a head, rows of text, and what must be known to read them.

    Attributes:
        left: How many columns begin at the left; the others end at the right.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    left: int = 1

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        body = "\n".join(_line(line, widths, self.left) for line in lines)
        note = f"  ({self.note})\n" if self.note else ""
        return f"{self.title}\n{indent(body, '  ')}\n{note}"


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = [
        cell.ljust(width) if column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()

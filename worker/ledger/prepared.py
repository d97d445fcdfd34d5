"""Statements that run for every request: written for SQLAlchemy, compiled once per database, run by the driver itself.

One such statement costs about a third of what it would through the general machinery; everything that runs rarely goes
the ordinary way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

Row = Sequence[Any]
_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement in one database's words.

    Attributes:
        names: Its holes; in order where the driver counts them, as a mapping's keys where it names them.
        into: How a value becomes what the driver takes, where it does not take the value as it is.
        fixed: Values that are part of the statement, and None for the columns of a new row that are not given.
        out_of: How the columns of a result that need it become values.
    """

    text: str
    names: tuple[str, ...]
    by_position: bool
    into: tuple[tuple[str, _Convert], ...]
    fixed: Mapping[str, Any]
    out_of: tuple[tuple[int, _Convert], ...]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        given = {**self.fixed, **values}
        for name, convert in self.into:
            value = given[name]
            if value is not None:
                given[name] = convert(value)
        if self.by_position:
            return [given[name] for name in self.names]
        return {name: given[name] for name in self.names}

    def row(self, found: Row) -> Row:
        row = list(found)
        for index, convert in self.out_of:
            row[index] = convert(row[index])
        return row


class Prepared:
    """One statement, or one for each database where they spell it differently.

    Its values are given by the names of its holes; those of an insert by the names of the columns in `row`.
    """

    def __init__(
        self, statement: sa.Executable | Mapping[str, sa.Executable], row: sa.Table | None = None
    ) -> None:
        self._statement = statement
        self._columns = [] if row is None else [c.name for c in row.c if c is not row.autoincrement_column]
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: sa.Connection, values: Mapping[str, Any]) -> list[Row]:
        """Run it once and fetch what it returns."""
        compiled = self._for(connection.dialect)
        found = _cursor(connection).execute(compiled.text, compiled.parameters(values)).fetchall()
        return [compiled.row(row) for row in found]

    def count(self, connection: sa.Connection, values: Mapping[str, Any]) -> int:
        """Run it once and count the rows it concerned."""
        compiled = self._for(connection.dialect)
        count: int = _cursor(connection).execute(compiled.text, compiled.parameters(values)).rowcount
        return count

    def many(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each of the rows."""
        compiled = self._for(connection.dialect)
        _cursor(connection).executemany(compiled.text, [compiled.parameters(row) for row in rows])

    def _for(self, dialect: Dialect) -> _Compiled:
        found = self._compiled.get(dialect.name)
        if found is None:
            ours = self._statement
            statement = ours if isinstance(ours, sa.Executable) else ours[dialect.name]
            found = self._compiled[dialect.name] = _compile(statement, self._columns, dialect)
        return found


def _cursor(connection: sa.Connection) -> Any:
    """A cursor of the driver, inside the transaction that the connection is in."""
    return connection.connection.cursor()


def _compile(statement: Any, columns: Sequence[str], dialect: Dialect) -> _Compiled:
    compiled = statement.compile(dialect=dialect, column_keys=columns or None)
    into = {
        name: convert
        for name, hole in compiled.binds.items()
        if (convert := hole.type.dialect_impl(dialect).bind_processor(dialect)) is not None
    }
    constants = {
        name: into.pop(name)(hole.effective_value) if name in into else hole.effective_value
        for name, hole in compiled.binds.items()
        if not hole.required
    }
    return _Compiled(
        text=str(compiled),
        names=tuple(compiled.positiontup or compiled.binds),
        by_position=compiled.positional,
        into=tuple(into.items()),
        fixed=dict.fromkeys(columns) | constants,
        out_of=_out_of(statement, dialect),
    )


def _out_of(statement: Any, dialect: Dialect) -> tuple[tuple[int, _Convert], ...]:
    columns = getattr(statement, "exported_columns", ())
    found = (column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns)
    return tuple((index, convert) for index, convert in enumerate(found) if convert is not None)

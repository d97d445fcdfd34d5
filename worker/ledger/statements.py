"""Pieces of statements. Every statement is built once, when its module is loaded, and compiled once per database."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from worker.core.states import State
from worker.ledger.columns import Utc
from worker.ledger.prepared import Prepared


def insert(table: sa.Table) -> Prepared:
    """Insert a row."""
    return Prepared(sa.insert(table), row=table)


def insert_once(table: sa.Table) -> Prepared:
    """Insert a row unless one of its unique keys is taken; then nothing happens and the count is 0."""
    spelled = {
        "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
        "postgresql": postgresql.insert(table).on_conflict_do_nothing(),
    }
    return Prepared(spelled, row=table)


def hole(name: str, type_: Any = None) -> sa.BindParameter[Any]:
    """A value that is given at execution. Names start with ``p_`` so that none is taken for a column's."""
    return sa.bindparam(f"p_{name}", type_=type_)


def time(name: str) -> sa.BindParameter[Any]:
    """A time that is given at execution."""
    return hole(name, Utc())


def in_states(column: sa.Column[State], states: Collection[State]) -> sa.ColumnElement[bool]:
    """Whether the state is one of these."""
    return sa.or_(*(column == state for state in sorted(states)))

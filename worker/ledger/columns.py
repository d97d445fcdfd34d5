"""How values lie in the columns, the same on both databases: times, closed words, free text, JSON."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

Json = sa.JSON(none_as_null=True)
"""JSON as text: also what PostgreSQL's jsonb refuses, such as an escaped NUL, comes back as it went in."""

WordT = TypeVar("WordT", bound=StrEnum)


class Utc(TypeDecorator[datetime]):
    """An aware time in UTC with microseconds; on SQLite as ISO text of fixed width, which sorts by time."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sa.Text())

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _utc if dialect.name == "postgresql" else _utc_text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        del coltype
        return _utc if dialect.name == "postgresql" else _from_utc_text


class Word(TypeDecorator[WordT], Generic[WordT]):
    """One word of a closed list."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, words: type[WordT]) -> None:
        super().__init__()
        self.words = words

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        del dialect
        return _plain

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        del dialect, coltype
        known: dict[str | None, WordT | None] = {None: None, **{word.value: word for word in self.words}}
        return known.__getitem__


class Words(TypeDecorator[str]):
    """Free text that may come from anywhere. What a database refuses (NUL, halves of surrogate pairs) is replaced."""

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        del dialect
        return _clean


# These run a hundred times for every request, so they are plain functions.


def _utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a time without a zone does not fit the ledger")
    return value.astimezone(UTC)


@lru_cache(maxsize=256)  # the time of a change stands in most of its rows, and more than once in some
def _utc_text(value: datetime | None) -> str | None:
    known = _utc(value)
    return None if known is None else known.isoformat(timespec="microseconds")


def _from_utc_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _plain(value: StrEnum | None) -> str | None:
    return None if value is None else str(value.value)


def _clean(value: str | None) -> str | None:
    if value is None:
        return None
    text = str(value)
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()

"""Which rows a verb is for: those that are named, or those that filters find. Never everything by accident."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from contracts.reason import ReasonCode
from worker.cli.common import Misuse, Office
from worker.cli.output import err
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.overview import Filter, LetterFilter
from worker.core.states import State

_LONGEST_AGO = timedelta(days=36_500) / timedelta(minutes=1)
"""Older than any ledger; from here a clock can still reckon back."""

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Request ids or idempotency keys.", show_default=False),
]
LetterIds = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Dead-letter ids.", show_default=False)
]
StateOption = Annotated[
    list[State] | None,
    typer.Option("--state", metavar="STATE", help=f"Only in this state; repeatable: {', '.join(State)}."),
]
ProviderOption = Annotated[
    str | None, typer.Option("--provider", metavar="NAME", help="Only of this provider.")
]
CodeOption = Annotated[
    ReasonCode | None,
    typer.Option("--code", metavar="CODE", help="Only with this reason code, such as connection_lost."),
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Only with this idempotency key, from whatever source."),
]
SourceOption = Annotated[str | None, typer.Option("--source", metavar="URI", help="Only from this source.")]
OlderOption = Annotated[
    float | None,
    typer.Option(
        "--older-than",
        metavar="MINUTES",
        min=0,
        max=_LONGEST_AGO,
        help="Only received longer ago than this.",
    ),
]
NewerOption = Annotated[
    float | None,
    typer.Option(
        "--newer-than",
        metavar="MINUTES",
        min=0,
        max=_LONGEST_AGO,
        help="Only received less long ago than this.",
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", metavar="ROWS", min=1, max=10_000, help="At most this many, the newest.")
]


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters of one command line; None where one was not given."""

    provider: str | None
    code: ReasonCode | None
    source: str | None
    older_than: float | None
    newer_than: float | None
    limit: int
    states: Sequence[State] | None = None
    key: str | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether any filter was given; a limit alone is none."""
        given = (
            self.provider,
            self.code,
            self.source,
            self.older_than,
            self.newer_than,
            self.states or None,
            self.key,
        )
        return any(value is not None for value in given)

    def wanted(self, office: Office) -> Filter:
        """The same for the ledger.

        Raises:
            UnknownRequest: no provider has that name.
        """
        if self.provider is not None:
            office.providers.check(self.provider)
        return Filter(
            states=frozenset(self.states) if self.states else None,
            provider=self.provider,
            reason=self.code,
            source=self.source,
            older_than=_ago(self.older_than, office.now()),
            newer_than=_ago(self.newer_than, office.now()),
            limit=self.limit,
        )

    def letters(self, office: Office, state: LetterState | None) -> list[DeadLetter]:
        """The dead letters in this state that the filters find, newest first."""
        wanted = LetterFilter(
            state=state,
            reason=self.code,
            provider=self.provider,
            source=self.source,
            idempotency_key=self.key,
            older_than=_ago(self.older_than, office.now()),
            newer_than=_ago(self.newer_than, office.now()),
            limit=self.limit,
        )
        return list(office.run(office.ledger.dead_letters(wanted)))

    def mention_limit(self, count: int) -> None:
        """Say so when there may be more rows than were asked for."""
        if count >= self.limit:
            err.print(f"[dim]the newest {count}; there may be more (--limit, then --older-than)[/]")


def _ago(minutes: float | None, now: datetime) -> datetime | None:
    return None if minutes is None else now - timedelta(minutes=minutes)


def either(ids: Sequence[str] | None, selection: Selection) -> bool:
    """Whether rows are named; if not, they are filtered for.

    Raises:
        Misuse: both, or neither, which would mean everything.
    """
    if ids and selection.is_narrowed:
        raise Misuse("give ids or filters, not both")
    if not ids and not selection.is_narrowed:
        raise Misuse("name at least one id, or give a filter such as --code")
    return bool(ids)

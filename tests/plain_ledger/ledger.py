"""The port, on plain dicts. How a write is made to last and when a question is answered is the owner's business."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from tests.plain_ledger import changes, claims, letters, questions
from tests.plain_ledger.tables import Tables
from worker.core import ledger as port
from worker.core.change import Change, Event
from worker.core.clock import Clock
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.entry import Acceptance, Arrival, Claim, Entry
from worker.core.errors import WorkerError
from worker.core.overview import Filter, LetterFilter, Pause, Standing
from worker.core.shares import Share, Wish
from worker.core.story import Attempt, EventLine, HistoryLine

T = TypeVar("T")
Unit = Callable[[Tables], T]


class Access(Protocol):
    """The way to the tables."""

    async def write(self, unit: Unit[T]) -> T:
        """Run the unit as one transaction; it has happened, all of it, when this returns."""
        ...

    async def ask(self, question: Unit[T]) -> T:
        """The answer."""
        ...


class AtOnce:
    """An access without a delay."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def write(self, unit: Unit[T]) -> T:
        return unit(self._tables)

    async def ask(self, question: Unit[T]) -> T:
        return question(self._tables)


class PlainLedger(port.Ledger):
    """The system of record, as long as somebody keeps its tables."""

    def __init__(self, access: Access, clock: Clock, lease: timedelta) -> None:
        self._access = access
        self._clock = clock
        self._lease = lease
        self._begun: set[str] = set()

    # --- requests ---------------------------------------------------------------------------------------------

    async def accept(self, arrival: Arrival, worker: str) -> Acceptance:
        await self._begin_once(worker)
        return await self._access.write(lambda tables: changes.accept(tables, arrival, worker))

    async def claim_due(self, provider: str, worker: str, now: datetime, limit: int) -> Sequence[Claim]:
        await self._begin_once(worker)
        return await self._access.write(
            lambda tables: claims.claim(tables, claims.DUE, provider, worker, now, limit)
        )

    async def claim_look_ups(self, provider: str, worker: str, now: datetime, limit: int) -> Sequence[Claim]:
        await self._begin_once(worker)
        return await self._access.write(
            lambda tables: claims.claim(tables, claims.LOOK_UPS, provider, worker, now, limit)
        )

    async def record(self, claim: Claim, change: Change) -> Claim:
        return await self._access.write(lambda tables: changes.record(tables, claim, change))

    async def release(self, claim: Claim) -> None:
        await self._access.write(lambda tables: claims.release(tables, claim))

    async def note(self, request_id: str, line: HistoryLine, account_id: str | None = None) -> None:
        told = replace(line, detail=json.loads(json.dumps(dict(line.detail), default=str)))
        await self._access.write(lambda tables: changes.note(tables, request_id, told, account_id))

    async def operate(self, seen: Entry, change: Change) -> Entry:
        return await self._access.write(lambda tables: changes.operate(tables, seen, change))

    # --- results ----------------------------------------------------------------------------------------------

    async def claim_unpublished(self, before: datetime, limit: int) -> Sequence[EventLine]:
        now = self._clock.now()
        return await self._access.write(lambda tables: letters.claim_unpublished(tables, before, now, limit))

    async def mark_published(self, event_id: str, at: datetime) -> None:
        await self._access.write(lambda tables: tables.confirm(event_id, at))

    async def mark_unpublished(
        self, request_id: str, at: datetime, actor: str, note: str | None
    ) -> str | None:
        line = HistoryLine(at, actor, "publish_again", None, None, None, note, {})
        return await self._access.write(lambda tables: letters.mark_unpublished(tables, request_id, line))

    # --- dead letters -----------------------------------------------------------------------------------------

    async def bury(self, letter: DeadLetter, event: Event | None) -> bool:
        return await self._access.write(lambda tables: letters.bury(tables, letter, event))

    async def change_dead_letter(
        self,
        dead_letter_id: str,
        state: LetterState,
        actor: str,
        note: str,
        at: datetime,
        *,
        seen_at: datetime | None = None,
    ) -> DeadLetter:
        line = HistoryLine(at, actor, state, "open", state, None, note, {})
        return await self._access.write(
            lambda tables: letters.close(tables, dead_letter_id, state, line, seen_at)
        )

    # --- the living and the dead ------------------------------------------------------------------------------

    async def heartbeat(self, worker: str, now: datetime) -> float:
        clock, uptime = self._clock, self._clock.monotonic()
        if worker not in self._begun:
            await self._begin(worker, now)

        def beat(tables: Tables) -> tuple[datetime, float]:
            there, as_of = clock.time_of_day(), clock.monotonic()
            tables.workers[worker] = now
            tables.clocks[clock.era] = (now + timedelta(seconds=as_of - uptime), as_of)
            return there, as_of

        return clock.agree(*await self._access.write(beat))

    async def _begin_once(self, worker: str) -> None:
        if worker not in self._begun:
            await self._begin(worker, self._clock.now())

    async def _begin(self, worker: str, now: datetime) -> None:
        self._begun.add(worker)  # now: what is written from here on comes after the beginning
        try:
            await self._access.write(lambda tables: claims.begin(tables, worker, now))
        except WorkerError:
            self._begun.discard(worker)
            raise

    async def retire(self, worker: str) -> None:
        await self._access.write(lambda tables: claims.end(tables, worker))
        self._begun.discard(worker)

    async def share(self, worker: str, wishes: Mapping[str, Wish], now: datetime) -> Mapping[str, Share]:
        await self._begin_once(worker)
        dead_since = now - self._lease
        return await self._access.write(lambda tables: claims.share(tables, worker, wishes, now, dead_since))

    async def rescue(self, now: datetime, actor: str) -> Sequence[str]:
        dead_since = now - self._lease
        return await self._access.write(lambda tables: claims.rescue(tables, now, dead_since, actor))

    async def forget(self, worker: str, in_flight: frozenset[str], actor: str) -> Sequence[str]:
        now = self._clock.now()
        before = now - self._lease
        return await self._access.write(
            lambda tables: claims.forget(tables, worker, in_flight, now, before, actor)
        )

    async def prune(self, closed_before: datetime, limit: int) -> int:
        now = self._clock.now()
        return await self._access.write(lambda tables: letters.prune(tables, closed_before, now, limit))

    # --- pauses -----------------------------------------------------------------------------------------------

    async def pause(self, pause: Pause) -> None:
        await self._access.write(lambda tables: letters.pause(tables, pause))

    async def resume(self, provider: str, actor: str, note: str, at: datetime) -> bool:
        line = HistoryLine(at, actor, "resume", None, None, None, note, {})
        return await self._access.write(lambda tables: letters.resume(tables, provider, line))

    async def lift(self, provider: str, cause: str, actor: str, note: str, at: datetime) -> bool:
        line = HistoryLine(at, actor, "resume", None, None, None, note, {})
        return await self._access.write(lambda tables: letters.lift(tables, provider, cause, line))

    async def pauses(self) -> Sequence[Pause]:
        return await self._access.ask(lambda tables: [pause for _, pause in sorted(tables.pauses.items())])

    async def pause_history(self, provider: str, limit: int) -> Sequence[HistoryLine]:
        story = await self.history(f"provider:{provider}")
        return story[::-1][:limit]

    # --- questions --------------------------------------------------------------------------------------------

    async def find(self, request_id: str) -> Entry | None:
        return await self._access.ask(lambda tables: questions.find(tables, request_id))

    async def find_by_key(self, source: str | None, idempotency_key: str) -> Sequence[Entry]:
        return await self._access.ask(lambda tables: questions.find_by_key(tables, source, idempotency_key))

    async def entries(self, wanted: Filter) -> Sequence[Entry]:
        return await self._access.ask(lambda tables: questions.entries(tables, wanted))

    async def attempts(self, request_id: str) -> Sequence[Attempt]:
        return await self._access.ask(lambda tables: list(tables.attempts.get(request_id, {}).values()))

    async def history(self, subject_id: str) -> Sequence[HistoryLine]:
        return await self._access.ask(lambda tables: list(tables.stories.get(subject_id, ())))

    async def events(self, subject_id: str) -> Sequence[EventLine]:
        return await self._access.ask(lambda tables: questions.events(tables, subject_id))

    async def owner_of(self, provider: str, account_id: str) -> str | None:
        return await self._access.ask(lambda tables: tables.owners.get((provider, account_id)))

    async def dead_letters(self, wanted: LetterFilter) -> Sequence[DeadLetter]:
        return await self._access.ask(lambda tables: questions.dead_letters(tables, wanted))

    async def dead_letter(self, dead_letter_id: str) -> DeadLetter | None:
        return await self._access.ask(lambda tables: questions.dead_letter(tables, dead_letter_id))

    async def standings(self) -> Sequence[Standing]:
        return await self._access.ask(questions.standings)

    async def check(self) -> None:
        at = self._clock.now()

        def check(tables: Tables) -> None:
            tables.checked_at = at

        await self._access.write(check)

"""The ledger in SQL: every promise of the port, on SQLite and PostgreSQL alike."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from worker.core import ledger as port
from worker.core.change import Change, Event
from worker.core.clock import Clock
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.entry import Acceptance, Accepted, Arrival, Claim, Conflict, Entry, Same
from worker.core.errors import AccountClaimed, WorkerError
from worker.core.overview import Filter, LetterFilter, Pause, Standing
from worker.core.shares import Share, Wish
from worker.core.story import Attempt, EventLine, HistoryLine
from worker.ledger import (
    changes,
    claims,
    dead_letters,
    events,
    intake,
    pauses,
    pruning,
    questions,
    shares,
    timekeeping,
)
from worker.ledger.claims import CLAIM_DUE, CLAIM_LOOK_UPS, Lease
from worker.ledger.faults import RuleBroken
from worker.ledger.fit import hold_fit
from worker.ledger.reader import Reader
from worker.ledger.schema import checks
from worker.ledger.statements import hole, insert_once, time
from worker.ledger.timekeeping import ClockReading
from worker.ledger.writer import Batch, Writer

_FIRST_CHECK: Final = insert_once(checks)
_CHECKED: Final = sa.update(checks).where(checks.c.name == hole("name")).values(at=time("at"))


class SqlLedger(port.Ledger):
    """The system of record. Writes queue up for one commit, reads go beside them."""

    def __init__(
        self, writer: Writer, reader: Reader, clock: Clock, lease: timedelta, counter: Reader | None = None
    ) -> None:
        """`counter` is the reader that counts, so that no other question waits behind that."""
        self._writer = writer
        self._reader = reader
        self._counter = counter or reader
        self._clock = clock
        self._lease = lease
        self._begun: set[str] = set()

    # --- requests ---------------------------------------------------------------------------------------------

    async def accept(self, arrival: Arrival, worker: str) -> Acceptance:
        await self._begin_once(worker)
        found = await self._writer.write(lambda batch: intake.accept(batch, arrival, worker))
        if isinstance(found, Accepted):
            return found
        return Same(found.entry) if arrival.same(found.fingerprint) else Conflict(found.entry)

    async def claim_due(self, provider: str, worker: str, now: datetime, limit: int) -> Sequence[Claim]:
        await self._begin_once(worker)
        wanted = claims.wanted(provider, worker, now, limit)
        return await self._writer.write(lambda batch: claims.claim(batch, CLAIM_DUE, wanted), slow=True)

    async def claim_look_ups(self, provider: str, worker: str, now: datetime, limit: int) -> Sequence[Claim]:
        await self._begin_once(worker)
        wanted = claims.wanted(provider, worker, now, limit)
        return await self._writer.write(lambda batch: claims.claim(batch, CLAIM_LOOK_UPS, wanted), slow=True)

    async def record(self, claim: Claim, change: Change) -> Claim:
        try:
            return await self._writer.write(lambda batch: changes.record(batch, claim, change))
        except RuleBroken:
            await self._refuse_a_second_owner(claim.entry.request_id, claim.entry.provider, change)
            raise

    async def release(self, claim: Claim) -> None:
        await self._writer.write(lambda batch: claims.release(batch, claim))

    async def note(self, request_id: str, line: HistoryLine, account_id: str | None = None) -> None:
        try:
            await self._writer.write(lambda batch: changes.note(batch, request_id, line, account_id))
        except RuleBroken:  # another request has that account; the story tells of it all the same
            await self._writer.write(lambda batch: changes.note(batch, request_id, line, None))

    async def operate(self, seen: Entry, change: Change) -> Entry:
        try:
            return await self._writer.write(lambda batch: changes.operate(batch, seen, change))
        except RuleBroken:
            await self._refuse_a_second_owner(seen.request_id, seen.provider, change)
            raise

    async def _refuse_a_second_owner(self, request_id: str, provider: str, change: Change) -> None:
        if change.account_id is None:
            return
        owner = await self.owner_of(provider, change.account_id)
        if owner is not None and owner != request_id:
            raise AccountClaimed(
                f"account {change.account_id} of {provider} is that of request {owner} already"
            )

    # --- results ----------------------------------------------------------------------------------------------

    async def claim_unpublished(self, before: datetime, limit: int) -> Sequence[EventLine]:
        now = self._clock.now()
        return await self._writer.write(
            lambda batch: events.claim_unpublished(batch, before, now, limit), slow=True
        )

    async def mark_published(self, event_id: str, at: datetime) -> None:
        await self._writer.write(lambda batch: events.mark_published(batch, event_id, at))

    async def mark_unpublished(
        self, request_id: str, at: datetime, actor: str, note: str | None
    ) -> str | None:
        line = HistoryLine(at, actor, "publish_again", None, None, None, note, {})
        return await self._writer.write(lambda batch: events.mark_unpublished(batch, request_id, line))

    # --- dead letters -----------------------------------------------------------------------------------------

    async def bury(self, letter: DeadLetter, event: Event | None) -> bool:
        return await self._writer.write(lambda batch: dead_letters.bury(batch, letter, event))

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
        line = HistoryLine(at, actor, state, LetterState.OPEN, state, None, note, {})
        return await self._writer.write(
            lambda batch: dead_letters.change(batch, dead_letter_id, state, line, seen_at)
        )

    # --- the living and the dead ------------------------------------------------------------------------------

    async def heartbeat(self, worker: str, now: datetime) -> float:
        clock, shown = self._clock, ClockReading(now, self._clock.monotonic())
        if worker not in self._begun:
            await self._begin(worker, now)

        def beat(batch: Batch) -> ClockReading:
            claims.heartbeat(batch, worker, now)
            there = timekeeping.read(batch.connection, clock)
            timekeeping.note(batch, worker, clock.era, shown, there)
            return there

        there = await self._writer.write(beat)
        return clock.agree(there.at, there.as_of)

    async def _begin_once(self, worker: str) -> None:
        """Nobody holds a claim before the first sign of life, which would end it."""
        if worker not in self._begun:
            await self._begin(worker, self._clock.now())

    async def _begin(self, worker: str, now: datetime) -> None:
        def begin(batch: Batch) -> None:
            hold_fit(batch.connection, self._writer.place)  # it may have been migrated since it was opened
            claims.begin(batch, worker, now)
            timekeeping.forget(batch, now, self._clock.era)

        self._begun.add(worker)  # now: what is written from here on comes after the beginning
        try:
            await self._writer.write(begin, slow=True)
        except WorkerError:
            self._begun.discard(worker)
            raise

    async def retire(self, worker: str) -> None:
        await self._writer.write(lambda batch: claims.end(batch, worker), slow=True)
        self._begun.discard(worker)

    async def share(self, worker: str, wishes: Mapping[str, Wish], now: datetime) -> Mapping[str, Share]:
        await self._begin_once(worker)
        lease = Lease(now, now - self._lease)
        return await self._writer.write(
            lambda batch: shares.share(batch, worker, wishes, lease), slow=True, alone=True
        )

    async def rescue(self, now: datetime, actor: str) -> Sequence[str]:
        lease = Lease(now, now - self._lease)
        return await self._writer.write(lambda batch: claims.rescue(batch, lease, actor), slow=True)

    async def forget(self, worker: str, in_flight: frozenset[str], actor: str) -> Sequence[str]:
        now = self._clock.now()
        lease = Lease(now, now - self._lease)
        return await self._writer.write(
            lambda batch: claims.forget(batch, worker, in_flight, lease, actor), slow=True
        )

    async def prune(self, closed_before: datetime, limit: int) -> int:
        now = self._clock.now()
        return await self._writer.write(
            lambda batch: pruning.prune(batch, closed_before, now, limit), slow=True
        )

    # --- pauses -----------------------------------------------------------------------------------------------

    async def pause(self, pause: Pause) -> None:
        await self._writer.write(lambda batch: pauses.pause(batch, pause))

    async def resume(self, provider: str, actor: str, note: str, at: datetime) -> bool:
        line = HistoryLine(at, actor, "resume", None, None, None, note, {})
        return await self._writer.write(lambda batch: pauses.resume(batch, provider, line))

    async def lift(self, provider: str, cause: str, actor: str, note: str, at: datetime) -> bool:
        line = HistoryLine(at, actor, "resume", None, None, None, note, {})
        return await self._writer.write(lambda batch: pauses.lift(batch, provider, cause, line))

    async def pauses(self) -> Sequence[Pause]:
        return await self._reader.ask(questions.pauses)

    async def pause_history(self, provider: str, limit: int) -> Sequence[HistoryLine]:
        return await self._reader.ask(lambda connection: questions.pause_history(connection, provider, limit))

    # --- questions --------------------------------------------------------------------------------------------

    async def find(self, request_id: str) -> Entry | None:
        return await self._reader.ask(lambda connection: questions.find(connection, request_id))

    async def find_by_key(self, source: str | None, idempotency_key: str) -> Sequence[Entry]:
        return await self._reader.ask(
            lambda connection: questions.find_by_key(connection, source, idempotency_key)
        )

    async def entries(self, wanted: Filter) -> Sequence[Entry]:
        return await self._reader.ask(lambda connection: questions.entries(connection, wanted))

    async def attempts(self, request_id: str) -> Sequence[Attempt]:
        return await self._reader.ask(lambda connection: questions.attempts(connection, request_id))

    async def history(self, subject_id: str) -> Sequence[HistoryLine]:
        return await self._reader.ask(lambda connection: questions.history(connection, subject_id))

    async def events(self, subject_id: str) -> Sequence[EventLine]:
        return await self._reader.ask(lambda connection: questions.events(connection, subject_id))

    async def owner_of(self, provider: str, account_id: str) -> str | None:
        return await self._reader.ask(lambda connection: questions.owner_of(connection, provider, account_id))

    async def dead_letters(self, wanted: LetterFilter) -> Sequence[DeadLetter]:
        return await self._reader.ask(lambda connection: questions.dead_letters(connection, wanted))

    async def dead_letter(self, dead_letter_id: str) -> DeadLetter | None:
        return await self._reader.ask(lambda connection: questions.dead_letter(connection, dead_letter_id))

    async def standings(self) -> Sequence[Standing]:
        return await self._counter.ask(questions.standings)

    async def check(self) -> None:
        at = self._clock.now()

        def check(batch: Batch) -> None:
            if batch.connection.execute(_CHECKED, {"p_name": "ledger", "p_at": at}).rowcount == 0:
                _FIRST_CHECK.count(batch.connection, {"name": "ledger", "at": at})

        await self._writer.write(check)

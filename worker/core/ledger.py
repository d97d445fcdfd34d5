"""Port: the ledger, system of record. Its values are in `entry`, `change`, `story`, `dead_letter` and `overview`.

`Ledger.record` applies a change only if the row is still in a state that the transition leaves and under the fence of
the claim; otherwise it raises `StaleClaim` and nothing is written. Each applied change appends to the history in the
same transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from worker.core.change import Change, Event
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.entry import Acceptance, Arrival, Claim, Entry
from worker.core.overview import Filter, LetterFilter, Pause, Standing
from worker.core.shares import Share, Wish
from worker.core.story import Attempt, EventLine, HistoryLine


class Ledger(Protocol):
    """The system of record. Every method raises `LedgerUnavailable` when disk or server fail; what a method
    promised is on the disk when it returns.
    """

    async def accept(self, arrival: Arrival, worker: str) -> Acceptance:
        """Insert once; the unique (source, idempotency key) decides new, same or conflict."""
        ...

    async def claim_due(self, provider: str, worker: str, now: datetime, limit: int) -> Sequence[Claim]:
        """Claim accepted rows nobody works on and waiting rows whose time has come, the longest due first."""
        ...

    async def claim_look_ups(self, provider: str, worker: str, now: datetime, limit: int) -> Sequence[Claim]:
        """Claim rows in doubt whose next look-up is due."""
        ...

    async def record(self, claim: Claim, change: Change) -> Claim:
        """Apply one change; the claim that comes back holds the row as it is now.

        Every change but `SEND` lets the row go. Until somebody else claims it, the claim that comes back still fits
        by its fence: a worker that listens on after `DOUBT` sets `due_at` to the end of its listening and may record
        the late answer.

        Raises:
            StaleClaim: the row is under another fence or in another state; nothing was written.
            AccountClaimed: another request has that account; nothing was written.
            AccountKnown: the row has an account already, and the change would say that there is none.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Give an unsent claim back, unchanged, at once claimable by anybody. A stale claim is ignored."""
        ...

    async def note(self, request_id: str, line: HistoryLine, account_id: str | None = None) -> None:
        """Append evidence to a story without changing its state (a late answer nobody waits for).

        An account that it names is written to a row that has none, so that nobody runs the request again without
        knowing of it.
        """
        ...

    async def operate(self, seen: Entry, change: Change) -> Entry:
        """Apply an operator's change to the row as the operator saw it, claims included: whatever happened since then
        may be what the operator decided without. The fence moves on, so that a worker's claim on the row ends.

        Raises:
            UnknownRequest: no such row.
            StaleClaim: the row changed since the operator looked.
            NotAllowed: its content was pruned, so it cannot be run again.
            AccountClaimed: another request has that account.
        """
        ...

    async def claim_unpublished(self, before: datetime, limit: int) -> Sequence[EventLine]:
        """Take events that are not confirmed and were recorded or last tried before then; nobody else is given them
        until as much time has passed again.
        """
        ...

    async def mark_published(self, event_id: str, at: datetime) -> None:
        """The broker confirmed it."""
        ...

    async def mark_unpublished(
        self, request_id: str, at: datetime, actor: str, note: str | None
    ) -> str | None:
        """Mark the newest event of a request unpublished; its id, None when there is none that is true."""
        ...

    async def bury(self, letter: DeadLetter, event: Event | None) -> bool:
        """Keep a dead letter and its rejection event; an event that was there waits to be confirmed once more.

        - Unknown: it is inserted.
        - Open, and it died of the same before: only its `changed_at` becomes the time of this death.
        - Closed, or it died of something else: it is open again, as it died now, with a line of history. Its
          `changed_at` is the time of this death, and so is its `received_at`, unless it died of the same before.

        Returns:
            Whether there is something new to see: False in the second case.
        """
        ...

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
        """Close an open dead letter as replayed or discarded, with a line of history.

        `seen_at` is its `changed_at` when the operator looked: one that died again since then stays open.

        Raises:
            UnknownRequest: no such row.
            NotAllowed: it is not open, or it died again since it was looked at.
        """
        ...

    async def heartbeat(self, worker: str, now: datetime) -> float:
        """This worker lives. A worker silent for longer than the lease is dead.

        The first one of a process says that it begins: whatever was held under the same name before is let go. The
        worker's clock is corrected by the ledger's.

        Returns:
            Seconds by which the worker's clock was behind.
        """
        ...

    async def retire(self, worker: str) -> None:
        """This worker ends: its unsent claims and its slots are free at once, its rows left sending become rescuable
        at once.
        """
        ...

    async def share(self, worker: str, wishes: Mapping[str, Wish], now: datetime) -> Mapping[str, Share]:
        """Divide each provider's slots among the living workers that want some, and hear of its waits.

        The slots of all living workers never exceed the provider's limit (the largest, where they are configured with
        different ones). A provider that another worker is dividing at this moment is left out: nothing changes then.
        """
        ...

    async def rescue(self, now: datetime, actor: str) -> Sequence[str]:
        """Rows left sending by dead workers go in doubt; unsent claims of dead workers are freed. Ids of the former."""
        ...

    async def forget(self, worker: str, in_flight: frozenset[str], actor: str) -> Sequence[str]:
        """Let go what this living worker claimed more than a lease ago but is not working on (a write whose fate was
        unknown, a surprise): unsent claims are free at once, rows left sending go in doubt. Ids of the latter.
        """
        ...

    async def prune(self, closed_before: datetime, limit: int) -> int:
        """Erase sealed bodies, context, events, attempts and history of requests, and of dead letters, that were
        closed before then and whose events are all confirmed; keys, fingerprints, states, account ids stay. Open rows
        are never touched. How many rows it were.
        """
        ...

    async def pause(self, pause: Pause) -> None:
        """Remember a pause; an operator's pause is not overwritten by the worker's own."""
        ...

    async def resume(self, provider: str, actor: str, note: str, at: datetime) -> bool:
        """Forget the pause or, without one, a wait that the provider asked for; False when there was neither."""
        ...

    async def lift(self, provider: str, cause: str, actor: str, note: str, at: datetime) -> bool:
        """Forget the pause if this is its cause, and nothing else; False when there was no such pause."""
        ...

    async def pauses(self) -> Sequence[Pause]:
        """The pauses in force."""
        ...

    async def pause_history(self, provider: str, limit: int) -> Sequence[HistoryLine]:
        """Who paused and resumed a provider, when and why, newest first."""
        ...

    async def find(self, request_id: str) -> Entry | None:
        """The row with this id."""
        ...

    async def find_by_key(self, source: str | None, idempotency_key: str) -> Sequence[Entry]:
        """Rows with this key, of one source or of any."""
        ...

    async def entries(self, wanted: Filter) -> Sequence[Entry]:
        """Rows, newest first."""
        ...

    async def history(self, subject_id: str) -> Sequence[HistoryLine]:
        """The story of a request or a dead letter, oldest first."""
        ...

    async def attempts(self, request_id: str) -> Sequence[Attempt]:
        """The creates that were begun for a request, oldest first."""
        ...

    async def events(self, subject_id: str) -> Sequence[EventLine]:
        """The result events of a request or a dead letter, oldest first."""
        ...

    async def owner_of(self, provider: str, account_id: str) -> str | None:
        """The request that has this account, if one has."""
        ...

    async def dead_letters(self, wanted: LetterFilter) -> Sequence[DeadLetter]:
        """Dead letters, newest first."""
        ...

    async def dead_letter(self, dead_letter_id: str) -> DeadLetter | None:
        """The dead letter with this id."""
        ...

    async def standings(self) -> Sequence[Standing]:
        """What the gauges show: open rows per provider and state, unpublished events, open dead letters."""
        ...

    async def check(self) -> None:
        """Prove with a small durable write that the ledger works.

        Raises:
            LedgerUnavailable: it does not.
        """
        ...

"""What an answer or a finding still settles that comes when its request has moved on."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import JsonValue

from contracts.reason import ReasonCode
from worker.core.desk import Desk
from worker.core.entry import Claim, Entry
from worker.core.errors import StaleClaim
from worker.core.observer import StrayAccount
from worker.core.provider import Found
from worker.core.recording import Basis, Stage
from worker.core.retry import REFUSED_OR_CONFLICT, Decision, Hold, Provision
from worker.core.states import State
from worker.core.story import HistoryLine
from worker.core.verdict import Created, Outcome, Verdict

Record = Callable[[Claim, Decision, Basis], Awaitable[object]]
"""Writes a decision and publishes what it calls for.

Raises:
    StaleClaim: the row moved on; nothing was written.
"""


class LateAnswers:
    """Takes up what comes when others have decided about the row: no account that shows is forgotten."""

    def __init__(self, desk: Desk, record: Record) -> None:
        self._desk = desk
        self._record = record

    async def answered(self, claim: Claim, decision: Decision, outcome: Outcome) -> None:
        """The claim was stale. If the row still awaits what this attempt brought, that counts, whoever holds the row;
        else it is only noted.

        Raises:
            LedgerUnavailable: then it is to be said again.
        """
        read, sent_at = claim.entry, claim.entry.attempt_sent_at
        while True:
            row = await self._desk.ledger.find(read.request_id)
            # Refused, and yet it has not changed: it is held, and cannot be told more.
            stage = settles(row, decision, outcome, sent_at) if row and row != read else None
            if row is None or stage is None:
                await self._note_answer(row or read, outcome)
                return
            with contextlib.suppress(StaleClaim):
                await self._record(
                    replace(claim, entry=row), decision, Basis(stage, outcome, sent_at=sent_at)
                )
                return
            read = row  # it moved on once more, between reading and writing

    async def found(self, entry: Entry, found: Found) -> None:
        """A look-up found the account when the row had moved on: worth a word if whoever was quicker knows of none.

        Raises:
            LedgerUnavailable: then it is to be said again.
        """
        row = await self._desk.ledger.find(entry.request_id) or entry
        if row.account_id != found.created.account_id:
            code = ReasonCode.FOUND_BY_LOOK_UP
            await self._note(row, "found_after_all", code, found.evidence, found.created)

    async def _note_answer(self, row: Entry, outcome: Outcome) -> None:
        detail = {"verdict": outcome.verdict, "rule": outcome.rule_id, "status": outcome.status}
        await self._note(row, "answer_after_all", outcome.reason, detail, outcome.created)

    async def _note(
        self,
        row: Entry,
        name: str,
        reason: ReasonCode,
        detail: Mapping[str, JsonValue],
        created: Created | None,
    ) -> None:
        """Keep what was seen, without a change of state. An account that the row has no place for is told as well."""
        account_id = created.account_id if created else None
        shown = {**detail, "account_id": account_id, **self._desk.recorder.kept(row, created)}
        line = HistoryLine(self._desk.clock.now(), self._desk.worker, name, None, None, reason, None, shown)
        await self._desk.ledger.note(row.request_id, line, account_id)
        # A row that is closed without an account may have this one only by an earlier try of this very note, which was
        # written although nobody heard so: that it is there does not show that anybody was told.
        is_told = row.account_id == account_id and row.state in {State.PROVISIONED, State.HELD}
        if account_id is not None and not is_told:
            self._desk.observer.tell(StrayAccount(row.provider, row.request_id, account_id))


def settles(entry: Entry, decision: Decision, outcome: Outcome, sent_at: datetime | None) -> Stage | None:
    """Which stage the answer to the attempt of that time still settles, once its row moved on: the doubt about that
    attempt, a request that is held for want of this account or its credentials, or one whose account was taken for
    absent and for which no other create was sent. None: the answer is only noted.
    """
    is_newest = entry.attempt_sent_at == sent_at
    match entry.state:
        case State.IN_DOUBT if is_newest and _says_something(outcome):
            return Stage.ANSWERED_LATE
        case State.HELD if isinstance(decision, Provision):
            is_missing = _is_missing(entry, decision.created, is_newest=is_newest)
            return Stage.ANSWERED_WHILE_HELD if is_missing else None
        case State.ACCEPTED | State.WAITING if isinstance(decision, Provision | Hold) and decision.created:
            return Stage.ANSWERED_AFTER_ABSENCE
        case _:
            return None


def _says_something(outcome: Outcome) -> bool:
    """Whether it says more than the doubt itself: "it exists" speaks against every look-up that finds nothing."""
    return outcome.verdict is not Verdict.IN_DOUBT or outcome.reason in REFUSED_OR_CONFLICT


def _is_missing(entry: Entry, created: Created, *, is_newest: bool) -> bool:
    """Whether a held request lacks this account, or the credentials of it: nobody else may ever have them.

    While a newer attempt may have opened another account, a person must look.
    """
    if entry.account_id == created.account_id or entry.reason is ReasonCode.ATTEMPTS_EXHAUSTED:
        return True
    return is_newest and entry.reason is not ReasonCode.CREDENTIALS_LOST

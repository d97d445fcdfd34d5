"""From a decision to the ledger: which transition, which event, credentials encrypted before the first write."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import partial
from typing import assert_never

from pydantic import JsonValue, SecretStr

from contracts.reason import ReasonCode
from contracts.result import Evidence
from contracts.result import Outcome as ResultOutcome
from worker.core import states
from worker.core.change import Change, Event, Seen
from worker.core.clock import Clock
from worker.core.entry import Claim, Entry
from worker.core.errors import AccountClaimed, AccountKnown, ConfigurationError, StaleClaim
from worker.core.events import EventWriter, event_id, subject_of
from worker.core.ledger import Ledger
from worker.core.observer import Finished, Moved, Observer
from worker.core.retry import Decision, Hold, LookUp, Provision, Refuse, Retry
from worker.core.sealing import CredentialBox
from worker.core.seen import seen_in
from worker.core.states import State, Transition
from worker.core.verdict import Created, Outcome


class Stage(Enum):
    """Where a request stood when it was decided about; gives the transition and the evidence."""

    UNSENT = "unsent"
    """Nothing was sent under this claim."""
    SENT = "sent"
    """The create was sent, and its answer or its silence is decided about."""
    ANSWERED_LATE = "answered_late"
    """It was in doubt already when the answer came."""
    ANSWERED_WHILE_HELD = "answered_while_held"
    """It was held for want of just what the answer brings."""
    ANSWERED_AFTER_ABSENCE = "answered_after_absence"
    """The account was taken for absent, and nothing was sent again yet."""
    LOOKED_UP = "looked_up"
    """A look-up has its finding."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a decision rests on.

    Attributes:
        stage: Where the request stood.
        outcome: The answer, if there was one.
        seen: What the history shall show; without it what the outcome shows.
        sent_at: When the attempt was begun that was answered, if it may not be the newest.
    """

    stage: Stage
    outcome: Outcome | None = None
    seen: Seen | None = None
    sent_at: datetime | None = None

    @property
    def shown(self) -> Seen | None:
        """What goes into the history."""
        return self.seen or seen_in(self.outcome)


_TRANSITIONS: Mapping[tuple[Stage, type[Decision]], Transition] = {
    (Stage.UNSENT, Refuse): states.REJECT,
    (Stage.UNSENT, Retry): states.WAIT,
    (Stage.UNSENT, Hold): states.HOLD_UNSENT,
    (Stage.SENT, Provision): states.PROVISION,
    (Stage.SENT, Refuse): states.REFUSE,
    (Stage.SENT, Retry): states.NOT_DONE,
    (Stage.SENT, LookUp): states.DOUBT,
    (Stage.SENT, Hold): states.HOLD,
    (Stage.ANSWERED_LATE, Provision): states.LATE_ANSWER,
    (Stage.ANSWERED_LATE, Refuse): states.LATE_REFUSAL,
    (Stage.ANSWERED_LATE, Retry): states.LATE_NOT_DONE,
    (Stage.ANSWERED_LATE, LookUp): states.LATE_DOUBT,
    (Stage.ANSWERED_LATE, Hold): states.LATE_HOLD,
    (Stage.ANSWERED_WHILE_HELD, Provision): states.LATE_PROOF,
    (Stage.ANSWERED_AFTER_ABSENCE, Provision): states.LATE_PROOF,
    (Stage.ANSWERED_AFTER_ABSENCE, Hold): states.LATE_HOLD,
    (Stage.LOOKED_UP, Provision): states.FOUND,
    (Stage.LOOKED_UP, Refuse): states.ABSENT_FOR_GOOD,
    (Stage.LOOKED_UP, Retry): states.CONFIRM_ABSENT,
    (Stage.LOOKED_UP, LookUp): states.LOOK_AGAIN,
    (Stage.LOOKED_UP, Hold): states.HOLD_IN_DOUBT,
}

_SUCCESS: Mapping[Stage, tuple[ReasonCode, Evidence]] = {
    Stage.SENT: (ReasonCode.CREATED, Evidence.ANSWER),
    Stage.ANSWERED_LATE: (ReasonCode.CREATED_LATE, Evidence.LATE_ANSWER),
    Stage.ANSWERED_WHILE_HELD: (ReasonCode.CREATED_LATE, Evidence.LATE_ANSWER),
    Stage.ANSWERED_AFTER_ABSENCE: (ReasonCode.CREATED_LATE, Evidence.LATE_ANSWER),
    Stage.LOOKED_UP: (ReasonCode.FOUND_BY_LOOK_UP, Evidence.LOOK_UP),
}

_ANNOUNCED: Mapping[State, ResultOutcome] = {
    State.PROVISIONED: ResultOutcome.PROVISIONED,
    State.REJECTED: ResultOutcome.REJECTED,
    State.HELD: ResultOutcome.HELD,
    State.ABANDONED: ResultOutcome.ABANDONED,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written: the claim on the row as it is now, and the event that is to be published."""

    claim: Claim
    event: Event | None


class Recorder:
    """Writes decisions."""

    def __init__(
        self, ledger: Ledger, events: EventWriter, box: CredentialBox, clock: Clock, observer: Observer
    ) -> None:
        self._ledger = ledger
        self.events = events
        self._box = box
        self._clock = clock
        self._observer = observer

    async def record_decision(self, claim: Claim, decision: Decision, basis: Basis) -> Recorded:
        """Write one decision, with the event it calls for, in one transaction. What cannot be written so (no key for
        the credentials, an account that came to light or is another request's) gives the request to a person.

        Raises:
            StaleClaim: the row moved on, or is held and cannot be told more; nothing was written.
            LedgerUnavailable: the ledger cannot be written.
        """
        try:
            change = self._change(claim, decision, basis)
        except (ConfigurationError, ValueError) as problem:
            return await self._instead(claim, _without_event(decision, problem), basis)
        try:
            return await self._write(claim, change)
        except AccountKnown as known:  # by an older attempt's answer, after this one was decided about
            return await self._instead(claim, Hold.known(known.account_id), basis)
        except AccountClaimed as claimed:
            created = decision.created if isinstance(decision, Provision | Hold) else None
            detail = {**self.kept(claim.entry, created), "claimed": str(claimed)}
            elsewhere = replace(basis, seen=_with_detail(basis.shown, detail))
            return await self._instead(claim, Hold(ReasonCode.ACCOUNT_CLAIMED_ELSEWHERE), elsewhere)

    async def _instead(self, claim: Claim, hold: Hold, basis: Basis) -> Recorded:
        """Give the request to a person in place of what could not be written; one that is held already stays so."""
        if basis.stage is Stage.ANSWERED_WHILE_HELD:
            raise StaleClaim(f"request {claim.entry.request_id} is held already, and stays so: {hold.reason}")
        return await self.record_decision(claim, hold, basis)

    async def record_intent(self, claim: Claim, baseline: Mapping[str, JsonValue]) -> Claim | Hold:
        """Make the intent durable; only after this has returned a claim may the create leave.

        Returns:
            The claim; or, where the account came to light since the row was looked at, that it is to be held.

        Raises:
            StaleClaim, LedgerUnavailable: then nothing may be sent.
        """
        change = Change(
            states.SEND, self._clock.now(), None, claim.worker, counts=True, baseline=dict(baseline)
        )
        try:
            return (await self._write(claim, change)).claim
        except AccountKnown as known:
            return Hold.known(known.account_id)

    async def _write(self, claim: Claim, change: Change) -> Recorded:
        after = await self._ledger.record(claim, change)
        self.tell(after.entry, change)
        return Recorded(after, change.event)

    def tell(self, entry: Entry, change: Change) -> None:
        """Tell the observers what was just written."""
        due_in = (change.due_at - change.at).total_seconds() if change.due_at else None
        self._observer.tell(
            Moved(
                provider=entry.provider,
                request_id=entry.request_id,
                idempotency_key=entry.idempotency_key,
                transition=change.transition,
                enters=change.transition.enters,
                reason=change.reason,
                attempt=entry.attempts,
                due_in=due_in,
            )
        )
        outcome = _ANNOUNCED.get(change.transition.enters)
        if outcome is not None and change.reason is not None:
            seconds = (change.at - entry.since).total_seconds()
            self._observer.tell(
                Finished(
                    entry.provider, entry.request_id, outcome, change.reason, seconds, dry_run=entry.dry_run
                )
            )

    def _change(self, claim: Claim, decision: Decision, basis: Basis) -> Change:
        entry, now, seen = claim.entry, self._clock.now(), basis.shown
        to = partial(
            Change, _TRANSITIONS[basis.stage, type(decision)], now, actor=claim.worker, sent_at=basis.sent_at
        )
        match decision:
            case Provision(created=created):
                reason, evidence = _SUCCESS[basis.stage]
                event = self.provisioned(entry, now, created, evidence)
                return to(reason, seen=seen, account_id=created.account_id, event=event)
            case Refuse(reason=reason):
                event = self.events.rejected(subject_of(entry), now, reason, outcome=basis.outcome)
                return to(reason, seen=seen, event=event)
            case Hold(reason=reason, created=created):
                account_id = created.account_id if created else None
                event = self.events.held(subject_of(entry), now, reason, account_id)
                kept = _with_detail(seen, self.kept(entry, created))
                return to(reason, seen=kept, account_id=account_id, event=event)
            case Retry(reason=reason, due_at=due_at, counts=counts):
                return to(reason, seen=seen, due_at=due_at, counts=counts)
            case LookUp(reason=reason, due_at=due_at, absent=absent):
                return to(reason, seen=seen, due_at=due_at, absent=absent)
            case _:
                assert_never(decision)

    def provisioned(self, entry: Entry, at: datetime, created: Created, evidence: Evidence) -> Event:
        """The event of an account that exists; what is secret in it is encrypted to the consumer here."""
        return self.events.provisioned(
            subject_of(entry),
            at,
            account_id=created.account_id,
            account=created.account,
            credentials=self._encrypted(entry, created),
            missing=created.missing,
            evidence=evidence,
        )

    def kept(self, entry: Entry, created: Created | None) -> Mapping[str, JsonValue]:
        """For the history: credentials that came and that no event may tell, encrypted to the consumer alone.

        A provider shows them once. Empty where there are none, or where the consumer has no key.
        """
        if created is None or not created.secrets:
            return {}
        try:
            return {"credentials": self._encrypted(entry, created)}
        except (ConfigurationError, ValueError):
            return {}

    def _encrypted(self, entry: Entry, created: Created) -> str | None:
        if not created.secrets:
            return None
        payload = {
            "event_id": event_id(entry.request_id, ResultOutcome.PROVISIONED, entry.generation),
            "request_id": entry.request_id,
            "provider": entry.provider,
            "account_id": created.account_id,
            "credentials": {name: _clear(value) for name, value in created.secrets.items()},
        }
        return self._box.encrypt(entry.source, payload)


def _with_detail(seen: Seen | None, detail: Mapping[str, JsonValue]) -> Seen | None:
    return seen and replace(seen, detail={**seen.detail, **detail})


def _without_event(decision: Decision, problem: ConfigurationError | ValueError) -> Hold:
    """What is left of a decision whose event could not be made.

    Raises:
        ConfigurationError, ValueError: no account hangs on it, so it is a mistake of ours.
    """
    if not isinstance(decision, Provision):
        raise problem
    if isinstance(problem, ConfigurationError):
        # The consumer's key vanished after the create was sent: the account is real, its secrets are lost.
        return Hold(ReasonCode.CREDENTIALS_LOST, decision.created)
    # The account's facts fit into no event of ours: a person must read what was seen.
    created = decision.created
    return Hold(ReasonCode.INTERNAL_ERROR, created if _is_sound(created.account_id) else None)


def _is_sound(account_id: str) -> bool:
    """Whether an id can stand in event and row: it says something, and every database takes it."""
    return account_id != "" and account_id.isprintable()


def _clear(value: SecretStr) -> str:
    return value.get_secret_value()

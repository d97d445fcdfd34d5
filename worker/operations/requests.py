"""The operators' verbs on requests, carried out: guarded by what the operator saw, recorded with who and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from contracts.reason import ReasonCode
from worker.core.change import Change, Event
from worker.core.clock import Clock
from worker.core.entry import Entry
from worker.core.errors import AmbiguousKey, NotAllowed, StaleClaim, UnknownRequest
from worker.core.events import subject_of
from worker.core.ledger import Ledger
from worker.core.overview import Filter, Pause
from worker.core.recording import Recorder
from worker.core.sealing import CredentialBox, Sealer
from worker.operations.accounts import Account, Accounts
from worker.operations.providers import held_up
from worker.operations.shell import typed
from worker.operations.verbs import Effect, Plan, Verb, account_may_exist, plan

_REASONS: Mapping[Verb, ReasonCode] = {
    Verb.REPLAY: ReasonCode.REPLAYED_BY_OPERATOR,
    Verb.RESOLVE_CREATED: ReasonCode.RESOLVED_BY_OPERATOR,
    Verb.RESOLVE_NOT_CREATED: ReasonCode.DECLARED_NOT_CREATED,
    Verb.ABANDON: ReasonCode.ABANDONED_BY_OPERATOR,
}

_NOT_YET = (
    "What still waits in RabbitMQ, as while its provider is paused (`provisioner provider status`), is not in the "
    "ledger yet. Its own sender may send the same request again under the same key; sent by anybody else (also with "
    "`provisioner submit`, which is urn:provisioner:cli) or under another key it is another account"
)


class RequestOperations:
    """Plans and carries out verbs on requests. A plan is frozen: what changed since then is not touched."""

    def __init__(
        self,
        ledger: Ledger,
        sealer: Sealer,
        box: CredentialBox,
        recorder: Recorder,
        clock: Clock,
        actor: str,
        *,
        parents: Mapping[str, str],
    ) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._clock = clock
        self._actor = actor
        self.accounts = Accounts(ledger, sealer, box, recorder, parents)

    async def find(self, reference: str) -> Entry:
        """The request with this id, or with this idempotency key if only one has it.

        Raises:
            UnknownRequest: none has it.
            AmbiguousKey: several sources used the key, or it is the id of another request.
        """
        bearer, users = await self._ledger.find(reference), await self._ledger.find_by_key(None, reference)
        found = {entry.request_id: entry for entry in (bearer, *users) if entry}
        if not found:
            raise UnknownRequest(
                f"no request has the id or key {reference!r}; see `provisioner requests list`. {_NOT_YET}"
            )
        if len(found) > 1:
            raise AmbiguousKey(_which(reference, bearer, users))
        (entry,) = found.values()
        return entry

    async def plan(self, verb: Verb, references: Sequence[str], wanted: Filter | None) -> tuple[Plan, ...]:
        """What the verb would do to each of the named requests, or to those the filter finds."""
        named = [await self.find(reference) for reference in references]
        filtered = list(await self._ledger.entries(wanted)) if wanted is not None else []
        unique = {entry.request_id: entry for entry in (*named, *filtered)}
        pauses = await self._ledger.pauses()
        return tuple(_heeding(plan(verb, entry), pauses) for entry in unique.values())

    async def for_attempt(self, planned: Plan, attempt: int | None) -> Plan:
        """The same plan, blocked unless it is about the newest attempt.

        Who says that nothing was created has looked at the provider for a while; meanwhile the worker may have proven
        that itself, and sent another create. An attempt need not be named where there was only one.
        """
        sent = await self._ledger.attempts(planned.entry.request_id)
        newest = sent[-1].number if sent else 0
        if planned.effect is not Effect.WILL or attempt == newest or (attempt is None and newest <= 1):
            return planned
        words = (
            f"{newest} creates were sent: look for an account of the newest one too (`provisioner explain` tells when "
            f"it was sent), then add --attempt {newest}"
        )
        return replace(planned, effect=Effect.BLOCKED, words=words)

    async def for_account(self, planned: Plan, account: Account) -> Plan:
        """The same plan, blocked where the account that a person names cannot be recorded, and else with what its
        result will lack, and what is odd about its id.

        Raises:
            ConfigurationError, SealBroken: no result can be made of it.
        """
        objection = await self.accounts.objection(planned, account)
        if objection is not None:
            return replace(planned, effect=Effect.BLOCKED, words=objection)
        if planned.effect is not Effect.WILL:
            return planned
        self.accounts.event(planned.entry, account, self._clock.now())
        doubt = self.accounts.doubt(planned.entry, account)
        odd = f". Look again: at {planned.entry.provider} an id is {doubt}" if doubt else ""
        return replace(planned, words=f"{planned.words}{self._without(planned.entry, account)}{odd}")

    async def carry_out(self, planned: Plan, reason: str, account: Account | None = None) -> str:
        """Do what was planned; words on what came of it. What was blocked or nothing stays untouched.

        Raises:
            NotAllowed: the request changed since it was planned, its event was erased, or the plan was blocked.
            AccountClaimed: another request was given the account that was named, just now.
        """
        if account is not None:
            planned = await self.for_account(planned, account)
        if planned.effect is Effect.NOTHING:
            return f"unchanged: {planned.words}"
        if planned.effect is Effect.BLOCKED:
            raise NotAllowed(planned.words)
        entry = planned.entry
        if planned.verb is Verb.REPUBLISH:
            await self._republish(entry, reason)
            return planned.words
        change = self._change(planned, reason, account)
        # Only told; but asked afterwards, what fails here would be taken for a deed that failed.
        pauses = await self._ledger.pauses()
        lacking = self._without(entry, account) if account is not None else ""
        try:
            after = await self._ledger.operate(entry, change)
        except StaleClaim:
            words = "it changed since you looked; look again with `provisioner explain` and repeat"
            raise NotAllowed(f"request {entry.request_id}: {words}") from None
        self._recorder.tell(after, change)
        held = held_up(after, pauses)
        return f"{after.request_id} is {after.state} now{lacking}" + (f"; but {held}" if held else "")

    async def _republish(self, entry: Entry, reason: str) -> None:
        now = self._clock.now()
        if not await self._ledger.mark_unpublished(entry.request_id, now, self._actor, reason):
            words = "its result event was erased after the retention time, or it runs again, since you looked"
            raise NotAllowed(f"request {entry.request_id}: {words}")

    def _change(self, planned: Plan, reason: str, account: Account | None) -> Change:
        entry, now = planned.entry, self._clock.now()
        if planned.transition is None:
            raise NotAllowed(planned.words)
        return Change(
            planned.transition,
            now,
            _REASONS[planned.verb],
            self._actor,
            due_at=now,
            forgets_deadline=entry.deadline is not None and entry.deadline <= self._clock.time_of_day(),
            account_id=account.account_id if account else None,
            event=self._event(planned, entry, reason, account),
            note=reason,
        )

    def _event(self, planned: Plan, entry: Entry, reason: str, account: Account | None) -> Event | None:
        now = self._clock.now()
        if planned.verb is Verb.ABANDON:
            return self._recorder.events.abandoned(
                subject_of(entry),
                now,
                ReasonCode.ABANDONED_BY_OPERATOR,
                reason,
                account_id=entry.account_id,
                account_may_exist=account_may_exist(entry),
            )
        if planned.verb is not Verb.RESOLVE_CREATED:
            return None
        if account is None:
            raise NotAllowed("resolving with an account needs its id: --account-id")
        return self.accounts.event(entry, account, now)

    def _without(self, entry: Entry, account: Account) -> str:
        missing = self.accounts.missing(entry, account.credentials)
        return f"; without {', '.join(missing)}, which cannot be added later" if missing else ""


def _heeding(planned: Plan, pauses: Iterable[Pause]) -> Plan:
    """The same plan, with what keeps the request from being sent all the same."""
    if planned.transition is None:
        return planned
    held = held_up(replace(planned.entry, state=planned.transition.enters), pauses)
    return replace(planned, words=f"{planned.words}; but {held}") if held else planned


def _which(reference: str, bearer: Entry | None, users: Sequence[Entry]) -> str:
    """By what else the request that is meant can be named. Keys are the publishers' choice: one may be another's id."""
    own = bearer.request_id if bearer else None
    ids = ", ".join(entry.request_id for entry in users if entry.request_id != own)
    if bearer is None:
        whose = ", ".join(f"{entry.request_id} (from {entry.source})" for entry in users)
        return f"{len(users)} sources used the key {reference!r}; name one of {whose}"
    return (
        f"{reference!r} is the id of one request and the key of another; name the first by its key "
        f"{typed(bearer.idempotency_key)}, the other by its id {ids}"
    )

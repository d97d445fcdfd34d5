"""The whole story of one request: what came, what was seen, which rule decided, who did what and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from contracts.reason import CATALOGUE, Reason
from worker.core.entry import Entry
from worker.core.errors import SealBroken
from worker.core.ledger import Ledger
from worker.core.states import FINAL, State
from worker.core.story import EventLine, HistoryLine
from worker.operations.accounts import Accounts
from worker.operations.providers import held_up
from worker.operations.verbs import account_may_exist, without_content


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the ledger knows about a request, oldest first.

    Attributes:
        verdict: One sentence: where it stands.
        next_step: One sentence: what happens next, or what a person can do.
        recognised_by: What a person compares with the provider's list in order to know the account.
        unreadable: Why that cannot be told, where it cannot.
        credentials_missing: Of an account that is recorded, names of the credentials that its requester never gets, as
            nobody has them; None where there is no account yet, or its result cannot be read any more.
    """

    entry: Entry
    history: Sequence[HistoryLine]
    events: Sequence[EventLine]
    verdict: str
    next_step: str
    recognised_by: Mapping[str, JsonValue]
    unreadable: str | None
    credentials_missing: Sequence[str] | None


async def tell(ledger: Ledger, accounts: Accounts, entry: Entry) -> Story:
    """Collect the story of one request."""
    history = await ledger.history(entry.request_id)
    events = await ledger.events(entry.request_id)
    next_step = held_up(entry, await ledger.pauses()) or _next_step(entry, events)
    known, unreadable = _recognised_by(accounts, entry)
    missing = _credentials_missing(accounts, entry, events)
    return Story(entry, history, events, _verdict(entry), next_step, known, unreadable, missing)


def _recognised_by(accounts: Accounts, entry: Entry) -> tuple[Mapping[str, JsonValue], str | None]:
    """The story is told all the same where nobody can open what was asked."""
    if not entry.sealed_request:
        return {}, "what was asked was erased after the retention time"
    try:
        return accounts.recognised_by(entry), None
    except SealBroken as error:
        return {}, f"what was asked cannot be opened: {error}"


def _credentials_missing(
    accounts: Accounts, entry: Entry, events: Sequence[EventLine]
) -> Sequence[str] | None:
    """What was given up is known by the result alone: what an operator brought stands nowhere else."""
    result = next((line.event for line in events if line.event.event_id == entry.event_id), None)
    if entry.state is not State.PROVISIONED or result is None:
        return None
    try:
        return accounts.missing_in(result)
    except SealBroken:
        return None


def _verdict(entry: Entry) -> str:
    reason = f" ({entry.reason}: {CATALOGUE[entry.reason].meaning})" if entry.reason else ""
    if entry.state is State.PROVISIONED:
        return f"provisioned: account {entry.account_id} at {entry.provider}{reason}"
    return f"{entry.state}{reason}"


def _next_step(entry: Entry, events: Sequence[EventLine]) -> str:
    pruned = without_content(entry)
    if pruned is not None:
        return pruned
    if entry.state in {State.REJECTED, State.ABANDONED} and entry.account_id is not None:
        return f"account {entry.account_id} exists all the same: resolve with it, or close it at the provider"
    if entry.state in FINAL:
        waiting = any(line.published_at is None for line in events)
        return (
            "its result event is not confirmed yet; upkeep publishes it again"
            if waiting
            else "nothing is open"
        )
    if entry.state is State.HELD and entry.reason:
        return _held(entry, CATALOGUE[entry.reason])
    due = f" at {entry.due_at:%Y-%m-%d %H:%M:%S} UTC" if entry.due_at else " soon"
    return {
        State.ACCEPTED: "a worker runs it as soon as its provider has a free slot",
        State.WAITING: f"it is tried again{due}",
        State.SENDING: "a worker waits for the provider's answer",
        State.IN_DOUBT: f"the provider is asked{due}",
    }.get(entry.state, "an operator must look")


def _held(entry: Entry, reason: Reason) -> str:
    """What a person can do. A doubt says first what happens while the worker looks, and it looks no more."""
    if reason.retried == "after_a_person" or not account_may_exist(entry):
        return reason.what_to_do
    return (
        "Operator: the worker looks no more; search at the provider, then resolve it with the account or declare it "
        "not created"
    )

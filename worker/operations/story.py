"""The whole story of one request: what came, what was seen, which rule decided, who did what and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.reason import CATALOGUE, Reason
from worker.core.entry import Entry
from worker.core.ledger import Ledger
from worker.core.states import FINAL, State
from worker.core.story import EventLine, HistoryLine
from worker.operations.providers import held_up
from worker.operations.verbs import account_may_exist


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the ledger knows about a request, oldest first.

    Attributes:
        verdict: One sentence: where it stands.
        next_step: One sentence: what happens next, or what a person can do.
    """

    entry: Entry
    history: Sequence[HistoryLine]
    events: Sequence[EventLine]
    verdict: str
    next_step: str


async def tell(ledger: Ledger, entry: Entry) -> Story:
    """Collect the story of one request."""
    history = await ledger.history(entry.request_id)
    events = await ledger.events(entry.request_id)
    next_step = held_up(entry, await ledger.pauses()) or _next_step(entry, events)
    return Story(entry, history, events, _verdict(entry), next_step)


def _verdict(entry: Entry) -> str:
    reason = f" ({entry.reason}: {CATALOGUE[entry.reason].meaning})" if entry.reason else ""
    if entry.state is State.PROVISIONED:
        return f"provisioned: account {entry.account_id} at {entry.provider}{reason}"
    return f"{entry.state}{reason}"


def _next_step(entry: Entry, events: Sequence[EventLine]) -> str:
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

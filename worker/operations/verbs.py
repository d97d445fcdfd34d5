"""What each verb would do to a request in each state: pure, so that a dry run and the real run cannot differ."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from contracts.reason import ReasonCode
from worker.core import states
from worker.core.entry import Entry
from worker.core.states import State, Transition

_EVENT_ERASED: Final = "its result event was erased after the retention time and cannot be published again"
_ASK_FIRST: Final = (
    "ask its sender first, who was told how it ended and may have ordered again under another key"
)


class Verb(StrEnum):
    """What an operator asks for."""

    REPLAY = "replay"
    RESOLVE_CREATED = "resolve --account-id"
    RESOLVE_NOT_CREATED = "resolve --not-created"
    ABANDON = "abandon"
    REPUBLISH = "republish"


_NEED_CONTENT: Final = frozenset({Verb.REPLAY, Verb.RESOLVE_CREATED, Verb.RESOLVE_NOT_CREATED})
"""What they lead to is made of what was asked."""


class Effect(StrEnum):
    """Whether the verb would change anything."""

    WILL = "will"
    NOTHING = "nothing"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a verb would do to one request.

    Attributes:
        words: What happens and why, for the operator.
        transition: The one it takes; None for a republish and where nothing happens.
    """

    entry: Entry
    verb: Verb
    effect: Effect
    words: str
    transition: Transition | None = None


def plan(verb: Verb, entry: Entry) -> Plan:
    """What the verb would do to this request now."""
    pruned = without_content(entry)
    if verb in _NEED_CONTENT and pruned is not None:
        return _blocked(verb, entry, pruned)
    return _plan(verb, entry)


def without_content(entry: Entry) -> str | None:
    """Why a request that was closed long ago is neither run nor resolved, and what is left to do; None for others."""
    if entry.sealed_request or entry.state not in {State.REJECTED, State.ABANDONED}:
        return None
    words = "its content was pruned after the retention time"
    if entry.account_id is not None:
        return (
            f"{words}, so no result can be made of it. Account {entry.account_id} exists: hand it over another way "
            "or close it at the provider; do not ask for it under another key"
        )
    if _abandoned_after_a_create(entry):
        return (
            f"{words}. A create was sent: unless `explain` shows each attempt as not done, an account may exist. Look "
            "at the provider before anybody asks again under another key"
        )
    return f"{words}; nothing was created, and whoever asked may ask anew under a new key"


def _plan(verb: Verb, entry: Entry) -> Plan:
    match verb:
        case Verb.REPLAY:
            return _replay(entry)
        case Verb.RESOLVE_CREATED:
            return _resolve_created(entry)
        case Verb.RESOLVE_NOT_CREATED:
            return _resolve_not_created(entry)
        case Verb.ABANDON:
            return _abandon(entry)
        case Verb.REPUBLISH:
            return _republish(entry)
        case _:
            assert_never(verb)


def _replay(entry: Entry) -> Plan:
    match entry.state:
        case State.REJECTED | State.ABANDONED:
            return _replay_closed(entry)
        case State.ACCEPTED | State.WAITING:
            return _will(Verb.REPLAY, entry, states.RETRY_NOW, "is tried at once instead of later")
        case State.IN_DOUBT:
            return _will(
                Verb.REPLAY,
                entry,
                states.LOOK_UP_NOW,
                "is looked up at once; it may exist: nothing is sent before look-ups agree that it does not",
            )
        case State.HELD:
            return _replay_held(entry)
        case State.SENDING:
            return _blocked(Verb.REPLAY, entry, "a create is under way; wait for its verdict")
        case State.PROVISIONED:
            return _nothing(
                Verb.REPLAY, entry, f"account {entry.account_id} exists already; `republish` sends its event"
            )
        case _:
            assert_never(entry.state)


def _replay_closed(entry: Entry) -> Plan:
    """Rejected is certain, unless an answer came after all. Abandoned may have been in doubt, which the row no
    longer tells, so only what was never sent runs again just like that.
    """
    if entry.account_id is not None:
        return _blocked(Verb.REPLAY, entry, _exists(entry))
    if not _abandoned_after_a_create(entry):
        words = f"runs again: it was {entry.state}, nothing was created; {_ASK_FIRST}"
        return _will(Verb.REPLAY, entry, states.REPLAY, words)
    words = (
        "a create was sent before it was abandoned; its result says whether the account may exist "
        "(`account_may_exist`), and `explain` what became of each attempt. If it may, look at the provider; then "
        f"`requests resolve {entry.request_id} --not-created`"
    )
    return _blocked(Verb.REPLAY, entry, words)


def _abandoned_after_a_create(entry: Entry) -> bool:
    """Whether a create of it was ever sent. Whether that may have opened an account its result says, not its row."""
    return entry.state is State.ABANDONED and entry.attempt_sent_at is not None


def _replay_held(entry: Entry) -> Plan:
    if entry.account_id is not None:
        return _blocked(Verb.REPLAY, entry, _exists(entry))
    if certainly_not_created(entry):
        return _will(
            Verb.REPLAY, entry, states.REPLAY_HELD, "runs again: every attempt certainly created nothing"
        )
    words = (
        "the account may exist; look at the provider, then "
        f"`requests resolve {entry.request_id} --account-id ID` or `--not-created`"
    )
    return _blocked(Verb.REPLAY, entry, words)


def _exists(entry: Entry) -> str:
    command = f"requests resolve {entry.request_id} --account-id {entry.account_id}"
    return f"account {entry.account_id} exists: `{command}`"


def certainly_not_created(entry: Entry) -> bool:
    """Whether a held request was held although every attempt is proven to have created nothing."""
    if entry.account_id is not None:
        return False
    return entry.reason is ReasonCode.ATTEMPTS_EXHAUSTED or (
        entry.reason is ReasonCode.INTERNAL_ERROR and entry.attempts == 0 and not entry.doubted
    )


def _resolve_created(entry: Entry) -> Plan:
    match entry.state:
        case State.ACCEPTED | State.WAITING | State.IN_DOUBT | State.HELD if entry.dry_run:
            return _blocked(Verb.RESOLVE_CREATED, entry, _opens_nothing(entry))
        case State.ACCEPTED | State.WAITING | State.IN_DOUBT | State.HELD:
            words = "becomes provisioned with the account you name, for good: what is published cannot be corrected"
            return _will(Verb.RESOLVE_CREATED, entry, states.RESOLVE_CREATED, words)
        case State.ABANDONED | State.REJECTED if entry.account_id is not None:
            words = f"becomes provisioned after all, for good, as account {entry.account_id} is known"
            return _will(Verb.RESOLVE_CREATED, entry, states.RESOLVE_CREATED, words)
        case State.PROVISIONED:
            return _nothing(Verb.RESOLVE_CREATED, entry, f"account {entry.account_id} is recorded already")
        case State.SENDING:
            return _blocked(Verb.RESOLVE_CREATED, entry, "a create is under way; wait for its verdict")
        case State.ABANDONED | State.REJECTED:
            words = f"it is {entry.state} and no account of it is known; only what is open can be resolved so"
            return _blocked(Verb.RESOLVE_CREATED, entry, words)
        case _:
            assert_never(entry.state)


def _opens_nothing(entry: Entry) -> str:
    """What can be done instead for a dry run: an account that somebody names is another's, or one nobody asked for."""
    again = f"`requests resolve {entry.request_id} --not-created` runs it again"
    if entry.state in {State.ACCEPTED, State.WAITING}:
        again = "it runs by itself"
    return f"a dry run opens no account: {again}, `requests abandon {entry.request_id}` closes it"


def _resolve_not_created(entry: Entry) -> Plan:
    match entry.state:
        case State.IN_DOUBT | State.HELD | State.ABANDONED if entry.account_id is None:
            words = "runs again on your word that no account exists; if one does, there will be two"
            if entry.state is State.ABANDONED:
                words += f"; {_ASK_FIRST}"
            return _will(Verb.RESOLVE_NOT_CREATED, entry, states.RESOLVE_NOT_CREATED, words)
        case State.IN_DOUBT | State.HELD | State.ABANDONED | State.PROVISIONED:
            return _blocked(
                Verb.RESOLVE_NOT_CREATED, entry, f"account {entry.account_id} is recorded; it exists"
            )
        case State.ACCEPTED | State.WAITING:
            return _nothing(
                Verb.RESOLVE_NOT_CREATED, entry, f"it is {entry.state} already and will run by itself"
            )
        case State.SENDING | State.REJECTED:
            words = f"it is {entry.state}; only in_doubt, held and abandoned can be resolved so"
            return _blocked(Verb.RESOLVE_NOT_CREATED, entry, words)
        case _:
            assert_never(entry.state)


def _abandon(entry: Entry) -> Plan:
    match entry.state:
        case State.ACCEPTED | State.WAITING | State.IN_DOUBT | State.HELD:
            return _will(Verb.ABANDON, entry, states.ABANDON, f"is closed {_leaving(entry)}")
        case State.SENDING:
            return _blocked(Verb.ABANDON, entry, "a create is under way; wait for its verdict")
        case State.ABANDONED:
            return _nothing(Verb.ABANDON, entry, "it is abandoned already")
        case State.PROVISIONED | State.REJECTED:
            return _blocked(Verb.ABANDON, entry, f"it is {entry.state}, which is final")
        case _:
            assert_never(entry.state)


def _leaving(entry: Entry) -> str:
    """What is left behind by a request that is closed."""
    if entry.account_id is not None:
        return f"and account {entry.account_id} stays at the provider"
    doubt = "; the account may exist and nobody will look" if account_may_exist(entry) else ""
    return f"without an account{doubt}"


def account_may_exist(entry: Entry) -> bool:
    """Whether an open request may have an account at the provider, as far as the ledger knows."""
    if entry.account_id is not None or entry.state is State.IN_DOUBT:
        return True
    return entry.state is State.HELD and not certainly_not_created(entry)


def _republish(entry: Entry) -> Plan:
    if entry.state not in states.ANNOUNCED and entry.event_id is not None:
        words = f"it is {entry.state} again, so its last result is no longer true; the new one follows"
        return _blocked(Verb.REPUBLISH, entry, words)
    if entry.event_id is None:
        return _blocked(Verb.REPUBLISH, entry, f"it is {entry.state} and has no result event yet")
    if not entry.sealed_request:  # pruned, and its events with it
        return _blocked(Verb.REPUBLISH, entry, _EVENT_ERASED)
    return Plan(
        entry, Verb.REPUBLISH, Effect.WILL, f"event {entry.event_id} is published again, with the same id"
    )


def _will(verb: Verb, entry: Entry, transition: Transition, words: str) -> Plan:
    return Plan(entry, verb, Effect.WILL, words, transition)


def _nothing(verb: Verb, entry: Entry, words: str) -> Plan:
    return Plan(entry, verb, Effect.NOTHING, words)


def _blocked(verb: Verb, entry: Entry, words: str) -> Plan:
    return Plan(entry, verb, Effect.BLOCKED, words)

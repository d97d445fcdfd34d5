"""The states of a request and every transition from one to another. Nothing else writes a state."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a request stands."""

    ACCEPTED = "accepted"
    """In the ledger; nothing was sent since it was received or put back here."""
    WAITING = "waiting"
    """Nothing was created; due again at a time, with a reason."""
    SENDING = "sending"
    """The intent is durable, the create may be under way; when its worker dies it is in doubt."""
    IN_DOUBT = "in_doubt"
    """The account may exist. Left by evidence or an operator's word; never to sending."""
    HELD = "held"
    """A person must look; a late answer that brings what the person was asked for counts as well."""
    PROVISIONED = "provisioned"
    """The account id is recorded. Final."""
    REJECTED = "rejected"
    """Refused for good with nothing created. Final; an operator may replay."""
    ABANDONED = "abandoned"
    """Closed by an operator with a reason. Final; an operator may replay."""


FINAL = frozenset({State.PROVISIONED, State.REJECTED, State.ABANDONED})
OPEN = frozenset(State) - FINAL
ANNOUNCED = FINAL | {State.HELD}
"""States that a result event tells of; in the others the newest event, if there is one, is about an earlier run."""


class Actor(StrEnum):
    """Who may take a transition."""

    INTAKE = "intake"
    EXECUTION = "execution"
    UPKEEP = "upkeep"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Transition:
    """One named step: the states it leaves, the one it enters, and who may take it."""

    name: str
    leaves: frozenset[State]
    enters: State
    by: Actor
    meaning: str


def _transition(name: str, leaves: str, enters: State, by: Actor, meaning: str) -> Transition:
    return Transition(name, frozenset(State(state) for state in leaves.split()), enters, by, meaning)


SEND = _transition(
    "send", "accepted waiting", State.SENDING, Actor.EXECUTION, "intent is durable; the create goes out next"
)
WAIT = _transition(
    "wait", "accepted waiting", State.WAITING, Actor.EXECUTION, "nothing was sent; due again later"
)
NOT_DONE = _transition(
    "not_done", "sending", State.WAITING, Actor.EXECUTION, "the create certainly did not happen; due again"
)
DOUBT = _transition("doubt", "sending", State.IN_DOUBT, Actor.EXECUTION, "the account may exist")
RESCUE = _transition("rescue", "sending", State.IN_DOUBT, Actor.UPKEEP, "the worker that was sending is dead")
PROVISION = _transition(
    "provision", "sending", State.PROVISIONED, Actor.EXECUTION, "the provider answered with the account id"
)
REFUSE = _transition(
    "refuse", "sending", State.REJECTED, Actor.EXECUTION, "the provider refused for good, nothing created"
)
REJECT = _transition(
    "reject",
    "accepted waiting",
    State.REJECTED,
    Actor.EXECUTION,
    "contract, policy or deadline; nothing was sent",
)
HOLD_UNSENT = _transition(
    "hold_unsent",
    "accepted waiting",
    State.HELD,
    Actor.EXECUTION,
    "a person must look before anything is sent: attempts are used up, it cannot be opened, or an account turned up",
)
HOLD = _transition(
    "hold", "sending", State.HELD, Actor.EXECUTION, "no look-up can tell, or something is missing"
)
LATE_ANSWER = _transition(
    "late_answer", "in_doubt", State.PROVISIONED, Actor.EXECUTION, "the answer came after all"
)
LATE_HOLD = _transition(
    "late_hold",
    "in_doubt accepted waiting",
    State.HELD,
    Actor.EXECUTION,
    "a late answer left something missing or unclear",
)
LATE_REFUSAL = _transition(
    "late_refusal", "in_doubt", State.REJECTED, Actor.EXECUTION, "a late answer proved nothing was created"
)
LATE_NOT_DONE = _transition(
    "late_not_done", "in_doubt", State.WAITING, Actor.EXECUTION, "a late answer proved it did not happen"
)
LATE_DOUBT = _transition(
    "late_doubt",
    "in_doubt",
    State.IN_DOUBT,
    Actor.EXECUTION,
    "the listening is over, and what was seen settles nothing",
)
LATE_PROOF = _transition(
    "late_proof",
    "held accepted waiting",
    State.PROVISIONED,
    Actor.EXECUTION,
    "a late answer brought the account, or its credentials, that a person was asked for or that was taken for absent",
)
LOOK_AGAIN = _transition(
    "look_again", "in_doubt", State.IN_DOUBT, Actor.UPKEEP, "a look-up could not settle it yet"
)
FOUND = _transition("found", "in_doubt", State.PROVISIONED, Actor.UPKEEP, "a look-up found the account")
CONFIRM_ABSENT = _transition(
    "confirm_absent",
    "in_doubt",
    State.WAITING,
    Actor.UPKEEP,
    "agreeing look-ups after the settle time found nothing",
)
ABSENT_FOR_GOOD = _transition(
    "absent_for_good",
    "in_doubt",
    State.REJECTED,
    Actor.UPKEEP,
    "it does not exist and is not sent again: the deadline has passed, or the name is somebody else's",
)
HOLD_IN_DOUBT = _transition(
    "hold_in_doubt", "in_doubt", State.HELD, Actor.UPKEEP, "look-ups cannot settle it; a person must"
)
REPLAY = _transition(
    "replay", "rejected abandoned", State.ACCEPTED, Actor.OPERATOR, "run it again; nothing was created before"
)
RETRY_NOW = _transition(
    "retry_now", "waiting accepted", State.WAITING, Actor.OPERATOR, "due at once instead of later"
)
REPLAY_HELD = _transition(
    "replay_held",
    "held",
    State.ACCEPTED,
    Actor.OPERATOR,
    "run a held request again that certainly created nothing",
)
LOOK_UP_NOW = _transition(
    "look_up_now", "in_doubt", State.IN_DOUBT, Actor.OPERATOR, "look up at once instead of later"
)
RESOLVE_CREATED = _transition(
    "resolve_created",
    "accepted waiting in_doubt held abandoned rejected",
    State.PROVISIONED,
    Actor.OPERATOR,
    "a person found the account and gave its id",
)
RESOLVE_NOT_CREATED = _transition(
    "resolve_not_created",
    "in_doubt held abandoned",
    State.ACCEPTED,
    Actor.OPERATOR,
    "a person says it was not created; run it again",
)
ABANDON = _transition(
    "abandon",
    "accepted waiting in_doubt held",
    State.ABANDONED,
    Actor.OPERATOR,
    "a person closes it with a reason",
)

TRANSITIONS: tuple[Transition, ...] = (
    SEND, WAIT, NOT_DONE, DOUBT, RESCUE, PROVISION, REFUSE, REJECT, HOLD_UNSENT, HOLD,
    LATE_ANSWER, LATE_HOLD, LATE_REFUSAL, LATE_NOT_DONE, LATE_DOUBT, LATE_PROOF,
    LOOK_AGAIN, FOUND, CONFIRM_ABSENT, ABSENT_FOR_GOOD, HOLD_IN_DOUBT,
    REPLAY, RETRY_NOW, REPLAY_HELD, LOOK_UP_NOW, RESOLVE_CREATED, RESOLVE_NOT_CREATED, ABANDON,
)  # fmt: skip


def diagram() -> str:
    """The state diagram in Mermaid's words, one line for each transition and state it leaves."""
    lines = ["stateDiagram-v2", "    [*] --> accepted: accept (intake)"]
    for each in TRANSITIONS:
        lines += [
            f"    {state} --> {each.enters}: {each.name} ({each.by})"
            for state in sorted(each.leaves, key=list(State).index)
        ]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines)

"""Facts as log lines. An event's name is snake_case and its fields are the fact's, with what is nothing left out."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import get_args

from worker.core.observer import (
    Began,
    BrokerChanged,
    Buried,
    Called,
    ClockStepped,
    Counted,
    Ended,
    Fact,
    Finished,
    LaneChanged,
    LaneState,
    LedgerChanged,
    Moved,
    Published,
    QueueChanged,
    QueueRestored,
    QueueState,
    Received,
    Rescued,
    StrayAccount,
    Surprised,
    TopologyUncompared,
    Unsettled,
)
from worker.core.states import State
from worker.core.verdict import Effect, Outcome
from worker.telemetry.logs import Fields

_EVENTS: Mapping[type[Fact], str] = {
    Received: "request_received",
    Buried: "message_buried",
    Began: "work_began",
    Ended: "work_ended",
    Called: "provider_called",
    Moved: "request_moved",
    Finished: "request_finished",
    StrayAccount: "stray_account",
    Published: "result_published",
    LaneChanged: "provider_state_changed",
    BrokerChanged: "broker_connected",
    QueueChanged: "queue_state_changed",
    QueueRestored: "queue_made_anew",
    TopologyUncompared: "topology_not_compared",
    LedgerChanged: "ledger_well",
    Rescued: "requests_rescued",
    ClockStepped: "clock_stepped",
    Unsettled: "delivery_comes_again",
    Surprised: "surprise",
}
_NAMES: Mapping[type[Fact], tuple[str, ...]] = {
    kind: tuple(each.name for each in fields(kind)) for kind in get_args(Fact)
}


class LogObserver:
    """Implements `worker.core.observer.Observer`.

    Args:
        worker: Id of this worker; stands in every line.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._log = logging.getLogger("worker.facts")

    def tell(self, fact: Fact) -> None:
        """Write one line, or none where there is nothing to say."""
        level, event = _level(fact), _event(fact)
        if event is not None and self._log.isEnabledFor(level):
            said = Fields(event=event, worker=self._worker, **_fields(fact))
            # As structlog's own logger would make it, without asking which line of code told the fact: half the cost.
            self._log.handle(logging.LogRecord(self._log.name, level, "", 0, said, (), None))


def _event(fact: Fact) -> str | None:
    match fact:
        case Counted() | Rescued(request_ids=()):
            return None
        case Published(confirmed=False):
            return "result_not_published"
        case BrokerChanged(up=False):
            return "broker_disconnected"
        case LedgerChanged(well=False):
            return "ledger_failed"
        case _:
            return _EVENTS[type(fact)]


def _level(fact: Fact) -> int:
    match fact:
        case (
            Began()
            | Ended()
            | Published(confirmed=True)
            | Moved(enters=State.SENDING | State.PROVISIONED | State.REJECTED)
        ):
            # Said again by what follows; a request that goes well has three lines: received, called, finished.
            return logging.DEBUG
        case Called():
            return _level_of_call(fact)
        case Surprised() | LedgerChanged(well=False):
            return logging.ERROR
        case LaneChanged():
            return logging.INFO if fact.state is LaneState.OPEN else logging.WARNING
        case (
            Buried()
            | Rescued()
            | ClockStepped()
            | StrayAccount()
            | QueueRestored()
            | TopologyUncompared()
            | Received(novelty="conflict")
            | Moved(enters=State.IN_DOUBT | State.HELD)
            | (
                Published(confirmed=False)
                | BrokerChanged(up=False)
                | QueueChanged(state=QueueState.NOT_SERVED)
            )
        ):
            return logging.WARNING
        case _:
            return logging.INFO


def _level_of_call(call: Called) -> int:
    if call.outcome is not None and call.outcome.effect is not Effect.NONE:
        return logging.WARNING
    return logging.INFO if call.operation in {"create", "look_up"} else logging.DEBUG


def _fields(fact: Fact) -> dict[str, object]:
    told = {name: getattr(fact, name) for name in _NAMES[type(fact)]} | _special(fact)
    return {name: _short(value) for name, value in told.items() if value is not None and value != ""}


def _special(fact: Fact) -> dict[str, object]:
    """What stands for those fields that are no plain values."""
    match fact:
        case Moved():
            return {"transition": fact.transition.name}
        case Called(outcome=Outcome() as outcome):
            return _of_outcome(outcome)
        case Surprised():
            return {"error": None, "exc_info": fact.error}
        case _:
            return {}


def _of_outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "outcome": None,
        "verdict": outcome.verdict.value,
        "reason": outcome.reason.value,
        "rule": outcome.rule_id,
        "moment": outcome.moment.name.lower(),
        "status": outcome.status,
        "error_id": outcome.error_id,
        "message": outcome.message,
        "wait": outcome.wait,
    }


def _short(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value

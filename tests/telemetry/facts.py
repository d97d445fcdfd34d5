"""One fact of each kind, for tests that must not miss one."""

from dataclasses import replace
from datetime import UTC, datetime

from contracts.reason import ReasonCode
from contracts.result import HELD_TYPE, PROVISIONED_TYPE
from contracts.result import Outcome as ResultOutcome
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
from worker.core.overview import Standing
from worker.core.states import DOUBT, HOLD, NOT_DONE, RETRY_NOW, SEND, State
from worker.core.verdict import Effect, Moment, Outcome, Verdict

PHONE = "phone_com"
SINCE = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

REFUSED = Outcome(
    verdict=Verdict.NOT_DONE,
    reason=ReasonCode.CREDENTIALS_REFUSED,
    rule_id="phone_com.401",
    moment=Moment.ANSWER_READ,
    effect=Effect.PAUSE,
    status=401,
    message="Unauthorized",
)

RECEIVED = Received(PHONE, "structured", "new", "r1", "order-1", "evt-1", f"00-{'a' * 32}-{'b' * 16}-01")
CONFLICT = Received(PHONE, "plain", "conflict", "r1", "order-1")
BURIED = Buried("d1", None, ReasonCode.NOT_JSON)
BEGAN = Began(PHONE, "r1")
ENDED = Ended(PHONE, "r1")
CREATED = Called(PHONE, "create", "created", 0.12345, "r1")
CREATE_REFUSED = Called(PHONE, "create", "credentials_refused", 0.2, "r1", REFUSED)
LOOKED_UP = Called(PHONE, "look_up", "absent", 0.3, "r1")
PROBED = Called(PHONE, "probe", "healthy", 0.1)
SENDS = Moved(PHONE, "r1", "order-1", SEND, State.SENDING, ReasonCode.CREATED, 1)
WAITS = Moved(PHONE, "r1", "order-1", NOT_DONE, State.WAITING, ReasonCode.RATE_LIMITED, 2, 4.0)
DOUBTS = Moved(PHONE, "r1", "order-1", DOUBT, State.IN_DOUBT, ReasonCode.NO_ANSWER, 1)
HOLDS = Moved(PHONE, "r1", "order-1", HOLD, State.HELD, ReasonCode.CREDENTIALS_LOST, 1)
HURRIED = Moved(PHONE, "r1", "order-1", RETRY_NOW, State.WAITING, ReasonCode.REPLAYED_BY_OPERATOR, 1, 0.0)
FINISHED = Finished(PHONE, "r1", ResultOutcome.PROVISIONED, ReasonCode.CREATED, 1.5)
REJECTED = Finished(PHONE, "r1", ResultOutcome.REJECTED, ReasonCode.NO_CONSUMER_KEY, 1.5)
TRIED_DRY = replace(REJECTED, reason=ReasonCode.DRY_RUN_PASSED, dry_run=True)
STRAY = StrayAccount(PHONE, "r1", "a-4711")
PUBLISHED = Published("r1", "e1", PROVISIONED_TYPE, confirmed=True, seconds=0.004)
UNPUBLISHED = Published("r1", "e1", HELD_TYPE, confirmed=False, seconds=10.0, detail="no confirm in time")
PAUSED = LaneChanged(PHONE, LaneState.PAUSED_BY_CREDENTIALS, "401")
OPENED = LaneChanged(PHONE, LaneState.OPEN, "resumed")
CONNECTED = BrokerChanged("consume", up=True)
DISCONNECTED = BrokerChanged("consume", up=False, detail="heartbeat missed")
CONSUMED = QueueChanged("provisioning.requests.phone_com", QueueState.CONSUMED)
NOT_SERVED = QueueChanged("provisioning.requests.phone_com", QueueState.NOT_SERVED, "541 INTERNAL_ERROR")
RESTORED = QueueRestored("provisioning.requests.phone_com")
UNCOMPARED = TopologyUncompared(("queue q could not be compared",), "run the check with another user")
LEDGER_WELL = LedgerChanged(well=True)
LEDGER_SICK = LedgerChanged(well=False, detail="disk full")
RESCUED = Rescued(("r1", "r2"))
RESCUED_NONE = Rescued(())
CLOCK_STEPPED = ClockStepped(3600.0)
COUNTED = Counted((Standing(PHONE, "in_doubt", 3, SINCE),))
UNSETTLED = Unsettled("ack", "provisioning.requests.phone_com", "its channel is gone", "m1")
SURPRISED = Surprised("upkeep", RuntimeError("boom"), "r1")

FACTS: tuple[Fact, ...] = (
    RECEIVED, CONFLICT, BURIED, BEGAN, ENDED, CREATED, CREATE_REFUSED, LOOKED_UP, PROBED, SENDS, WAITS, DOUBTS, HOLDS,
    HURRIED, FINISHED, REJECTED, TRIED_DRY, STRAY, PUBLISHED, UNPUBLISHED, PAUSED, OPENED, CONNECTED, DISCONNECTED,
    CONSUMED, NOT_SERVED, RESTORED, UNCOMPARED, LEDGER_WELL, LEDGER_SICK, RESCUED, RESCUED_NONE, CLOCK_STEPPED, COUNTED,
    UNSETTLED, SURPRISED,
)  # fmt: skip

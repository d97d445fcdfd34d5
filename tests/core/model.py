"""The outside of a worker as a model: a broker that loses nothing, and a provider that knows what it did."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from contracts.reason import ReasonCode
from tests.builders import make_done, make_outcome
from tests.core.world import World
from tests.fakes import FakeDelivery, ScriptedProvider
from worker.core.broker import Message
from worker.core.provider import Absent, Doubt, Finding, Found, Order, Prepared, Unclear
from worker.core.verdict import Created, Effect, Outcome, Verdict

LISTENS = 120.0
SETTLES = 150.0  # longer than any create may take, as the settings ask for

NOTHING_DONE = {
    "refused": make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN),
    "busy": make_outcome(Verdict.NOT_DONE, reason=ReasonCode.PROVIDER_BUSY, retry=True),
    "outage": make_outcome(Verdict.NOT_DONE, reason=ReasonCode.UNREACHABLE, retry=True, effect=Effect.OUTAGE),
    "too fast": make_outcome(
        Verdict.NOT_DONE, reason=ReasonCode.RATE_LIMITED, retry=True, effect=Effect.LIMIT, wait=5.0
    ),
    "not you": make_outcome(
        Verdict.NOT_DONE, reason=ReasonCode.CREDENTIALS_REFUSED, retry=True, effect=Effect.PAUSE
    ),
}
"""Answers that are true only while no account was opened."""
OPENING = ("created", "opened, then lost")
"""Answers before which the account was opened."""
LOST = make_outcome(Verdict.IN_DOUBT, reason=ReasonCode.CONNECTION_LOST, effect=Effect.OUTAGE)
"""The answer that tells nothing, whatever was done."""


@dataclass
class Pending:
    """One create that the provider was sent and has not answered."""

    order: Order
    sent_at: float
    answer: asyncio.Future[Outcome]
    account_id: str | None = None


class TruthfulProvider(ScriptedProvider):
    """Opens accounts when the test says so, never contradicts itself, and tells look-ups the truth."""

    def __init__(self, clock: Any) -> None:
        super().__init__(
            listen_for=LISTENS, settle=SETTLES, look_up_schedule=(15.0, 60.0), agreeing_look_ups=2
        )
        self._clock = clock
        self.pending: list[Pending] = []
        self.accounts: dict[str, list[str]] = {}
        self.blind = False

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        answer = asyncio.get_running_loop().create_future()
        self.sent.append(order)
        self.pending.append(Pending(order, self._clock.monotonic(), answer))
        return await asyncio.shield(answer)

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        if self.blind:
            return Unclear({"status": 500})
        owned = self.accounts.get(order.request_id)
        return Found(Created(owned[-1], {}), {}) if owned else Absent({})

    def act(self, pending: Pending) -> None:
        """Open the account of a create."""
        if pending.account_id is None:
            pending.account_id = f"A-{sum(map(len, self.accounts.values())) + 1}"
            self.accounts.setdefault(pending.order.request_id, []).append(pending.account_id)

    def say(self, pending: Pending, kind: str) -> None:
        """Answer a create: "created" and "opened, then lost" open the account; once open it is not denied."""
        if kind in OPENING:
            self.act(pending)
        denied = NOTHING_DONE.get(kind, LOST) if pending.account_id is None else LOST
        told = make_done(pending.account_id) if kind == "created" and pending.account_id else denied
        self.pending.remove(pending)
        if not pending.answer.done():
            pending.answer.set_result(told)

    def give_up(self, before: float) -> None:
        """No create takes longer than this, whoever still listens; what it did by then is done."""
        for pending in [one for one in self.pending if one.sent_at <= before]:
            self.say(pending, "lost")


@dataclass
class Broker:
    """Queues that keep what was not acknowledged.

    Attributes:
        requests: What lies in the queue of requests.
        dead: What lies in the queue of dead letters.
        handed_over: Deliveries without a verb, and the queue that each came from.
    """

    requests: deque[Message] = field(default_factory=deque)
    dead: deque[Message] = field(default_factory=deque)
    handed_over: list[tuple[FakeDelivery, deque[Message]]] = field(default_factory=list)

    async def deliver(self, world: World) -> None:
        """Hand the oldest request over."""
        delivery = FakeDelivery(self.requests.popleft())
        self.handed_over.append((delivery, self.requests))
        world.taking.append(asyncio.create_task(world.pipeline.take(delivery, world.lane)))
        await world.calm()
        self.settle()

    async def deliver_dead(self, world: World) -> None:
        """Hand the oldest dead letter over."""
        delivery = FakeDelivery(self.dead.popleft())
        self.handed_over.append((delivery, self.dead))
        await world.burial.bury(delivery)
        await world.calm()
        self.settle()

    def settle(self) -> None:
        """Do what the verbs say."""
        for delivery, queue in [one for one in self.handed_over if one[0].verbs]:
            self.handed_over.remove((delivery, queue))
            if delivery.verbs[0] == "requeue":
                queue.append(delivery.message)
            if delivery.verbs[0] == "reject":
                self.dead.append(delivery.message)

    def lose_connection(self) -> None:
        """Everything without a verb goes back."""
        self.settle()
        for delivery, queue in self.handed_over:
            delivery.taken_back = True
            queue.append(delivery.message)
        self.handed_over.clear()

    @property
    def messages(self) -> list[Message]:
        """All that the broker still has."""
        return [*self.requests, *self.dead, *(delivery.message for delivery, _ in self.handed_over)]

"""The whole way of one request, top to bottom.

    take      a delivery from RabbitMQ: decode, accept into the ledger, acknowledge      (intake)
    run       a claimed request: prepare, make the intent durable, send, judge, record   (execution)
    look_up   a claimed request in doubt: ask the provider, judge, record                (upkeep)
    publish   a recorded result: publish, wait for the confirmation, mark published      (all three)

Each step first looks at what the last one stored, so a crash between any two is repaired by doing the next one.
What could not become a request goes another way: `burial.py`. What comes when its request has moved on: `late.py`.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from contracts.reason import ReasonCode
from worker.core.broker import Delivery
from worker.core.calls import Calls
from worker.core.change import Event
from worker.core.decode import Refusal
from worker.core.desk import Desk
from worker.core.entrance import ends_unsent, is_late, read, time_left
from worker.core.entry import Accepted, Arrival, Claim, Conflict, Entry, Same
from worker.core.errors import (
    ConfigurationError,
    LedgerUnavailable,
    PublishUnconfirmed,
    SealBroken,
    StaleClaim,
)
from worker.core.lanes import Lane, LaneClosed, Slot
from worker.core.late import LateAnswers
from worker.core.observer import Began, Ended, Published, Received, Surprised
from worker.core.pausing import pause
from worker.core.provider import Found, Order, Prepared, Provider, Several
from worker.core.recording import Basis, Stage
from worker.core.retry import Decision, Hold, LookUp, Refuse, Retry, after_attempt, after_look_up
from worker.core.seen import NOBODY_WAS_ASKED, PLACE, harmless, seen_by_look_up, sent_elsewhere
from worker.core.states import State
from worker.core.steps import Step
from worker.core.verdict import Effect, Outcome

T = TypeVar("T")

_RECORD_AGAIN_AFTER = 1.0  # seconds between tries to record what a provider answered while the ledger is away


class Pipeline:
    """The way of one request."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._calls = Calls(desk)
        self._late = LateAnswers(desk, self._record)
        # Counted: an operator may have a request run again while its first create is still listened for.
        self._in_flight: Counter[str] = Counter()

    @property
    def in_flight(self) -> frozenset[str]:
        """Ids of the requests that wait here for a slot, are run, or are looked up."""
        return frozenset(self._in_flight)

    @contextlib.contextmanager
    def _working_on(self, claim: Claim) -> Iterator[None]:
        request_id = claim.entry.request_id
        self._in_flight[request_id] += 1
        try:
            yield
        finally:
            self._in_flight[request_id] -= 1
            if not self._in_flight[request_id]:
                del self._in_flight[request_id]

    # --- intake -----------------------------------------------------------------------------------------------

    async def take(self, delivery: Delivery, lane: Lane) -> None:
        """Take one delivery when a slot is free. The acknowledgement moves the promise to the ledger."""
        try:
            slot = await lane.acquire_slot()
        except LaneClosed:
            await delivery.requeue()
            return
        handed_on = False
        try:
            if delivery.open:  # else it went back while it waited, and comes again
                handed_on = await self._take(delivery, slot)
        except (LedgerUnavailable, ConfigurationError) as error:  # away, or no longer for this code to use
            self._desk.gate.sick(error)
            await delivery.requeue()
        except Exception as error:  # noqa: BLE001 - a delivery that surprises us is set aside, never dropped or spun
            self._desk.observer.tell(Surprised("take", error, message_id=delivery.message.message_id))
            await delivery.reject()
        finally:
            if not handed_on:
                slot.free()

    async def _take(self, delivery: Delivery, slot: Slot) -> bool:
        """Whether the slot was handed on to execution."""
        reached = self._desk.reached
        reached(Step.DELIVERED, "")
        arrival = read(self._desk, delivery.message)
        if isinstance(arrival, Refusal):
            await self._reject(delivery)
            return False
        reached(Step.READ, arrival.request_id)
        match await self.accept(arrival):
            case Accepted(claim=claim):
                self._desk.tasks.start(self.run(claim, slot), f"run {claim.entry.request_id}")
                await delivery.ack()
                reached(Step.ACKNOWLEDGED, claim.entry.request_id)
                return True
            case Same(entry=entry):
                await self.answer_again(entry)
                await delivery.ack()
                reached(Step.ACKNOWLEDGED, entry.request_id)
            case Conflict():
                await self._reject(delivery)
        return False

    async def _reject(self, delivery: Delivery) -> None:
        """To the dead-letter queue, from which it becomes a row."""
        await delivery.reject()
        self._desk.reached(Step.REJECTED, "")

    async def accept(self, arrival: Arrival) -> Accepted | Same | Conflict:
        """One insert; the unique key decides. A conflict is told by whoever buries it, as it comes by here before."""
        acceptance = await self._desk.ledger.accept(arrival, self._desk.worker)
        self._desk.reached(Step.ACCEPTED, acceptance.entry.request_id)
        if not isinstance(acceptance, Conflict):
            self.tell_received(arrival, acceptance)
        return acceptance

    def tell_received(self, arrival: Arrival, acceptance: Accepted | Same | Conflict) -> None:
        """Tell that a request came, and whether it is known."""
        self._desk.observer.tell(
            Received(
                arrival.provider,
                arrival.content_mode,
                {Accepted: "new", Same: "same", Conflict: "conflict"}[type(acceptance)],
                acceptance.entry.request_id,
                arrival.idempotency_key,
                _attribute(arrival, "id"),
                _attribute(arrival, "traceparent"),
            )
        )

    async def answer_again(self, entry: Entry) -> None:
        """The same request again gets the same event again, if there is one that is true."""
        desk, request_id = self._desk, entry.request_id
        event_id = await desk.ledger.mark_unpublished(
            request_id, desk.clock.now(), desk.worker, "asked again"
        )
        if event_id is not None:
            desk.tasks.start(self.publish_stored(request_id, event_id), f"publish {request_id}")

    async def publish_stored(self, subject_id: str, event_id: str) -> None:
        """Publish an event of a request or a dead letter as it was recorded. Failing is no loss, as with `publish`."""
        with contextlib.suppress(LedgerUnavailable):
            for line in await self._desk.ledger.events(subject_id):
                if line.event.event_id == event_id:
                    await self.publish(subject_id, line.event)

    # --- execution --------------------------------------------------------------------------------------------

    async def run_when_free(self, claim: Claim, lane: Lane) -> None:
        """Run a claimed request as soon as its lane has a slot; give it back when the lane closes first.

        One that was never tried is served before all others: it had its turn already, in a worker that died.
        """
        with self._working_on(claim):
            try:
                slot = await lane.acquire_slot(first=claim.entry.state is State.ACCEPTED)
            except LaneClosed:
                await self._give_back(claim)
            else:
                await self.run(claim, slot)

    async def _give_back(self, claim: Claim) -> None:
        """Nothing was sent. If the ledger is away, upkeep finds the claim that nobody works on."""
        with contextlib.suppress(LedgerUnavailable):
            await self._desk.ledger.release(claim)

    async def run(self, claim: Claim, slot: Slot) -> None:
        """Bring one claimed, unsent request to a verdict. Never raises; never cancelled once the create is sent."""
        entry = claim.entry
        try:
            self._desk.observer.tell(Began(entry.provider, entry.request_id))
            self._desk.reached(Step.BEGUN, entry.request_id)
            with self._working_on(claim):
                await self._run(claim)
        except LaneClosed:
            await self._give_back(claim)
        except StaleClaim:
            pass  # an operator or another worker has the row now, and the history says so
        except LedgerUnavailable as error:
            self._desk.gate.sick(error)
        except Exception as error:  # noqa: BLE001 - the last net; upkeep finds the row that nobody works on
            self._desk.observer.tell(Surprised("run", error, entry.request_id))
        finally:
            slot.free()
            self._desk.observer.tell(Ended(entry.provider, entry.request_id))

    async def _run(self, claim: Claim) -> None:
        desk, entry = self._desk, claim.entry
        provider, lane = desk.providers[entry.provider], desk.lanes[entry.provider]
        order = await self._open(claim)
        if order is None:
            return
        forbidden = ends_unsent(desk, entry, order, provider)
        if forbidden is not None:
            await self._record(claim, forbidden, Basis(Stage.UNSENT))
            return
        await lane.permission()
        prepared = await self._prepare(provider, order)  # last, so that what it sees is not of long ago
        if isinstance(prepared, Outcome):
            await self._settle(claim, prepared, Stage.UNSENT)
            return
        if isinstance(prepared, Several):
            seen = seen_by_look_up(prepared)
            await self._record(claim, Hold(ReasonCode.LOOK_UP_AMBIGUOUS), Basis(Stage.UNSENT, seen=seen))
            return
        lane.check_permission()
        if is_late(desk, entry):  # preparing and waiting took their time
            await self._record(claim, Refuse(ReasonCode.DEADLINE_PASSED), Basis(Stage.UNSENT))
            return
        desk.reached(Step.PREPARED, entry.request_id)
        in_time = self._in_time(provider, entry)
        baseline = {**prepared.baseline, PLACE: provider.settings.place}
        intended = await desk.recorder.record_intent(claim, baseline)
        if isinstance(intended, Hold):
            await self._record(claim, intended, Basis(Stage.UNSENT))
            return
        desk.reached(Step.INTENDED, entry.request_id)
        await self._send(intended, provider, order, replace(prepared, in_time=in_time))

    async def _prepare(self, provider: Provider, order: Order) -> Prepared | Outcome | Several:
        """Prepare; once more where what came since the last attempt is known to be other requests' accounts."""
        prepared = await self._calls.prepare(provider, order)
        came = prepared.account_ids if isinstance(prepared, Several) else ()
        owners = {one: await self._desk.ledger.owner_of(provider.name, one) for one in came}
        not_ours = frozenset(one for one, owner in owners.items() if owner not in {None, order.request_id})
        if not not_ours:
            return prepared
        return await self._calls.prepare(provider, replace(order, not_ours=not_ours))

    def _in_time(self, provider: Provider, entry: Entry) -> Callable[[], bool]:
        """A create leaves before its answer is due, or never: a worker that was frozen so long may have been judged.
        Nor does it leave after the request's deadline, however long the intent took to become durable.
        """
        desk, clock = self._desk, self._desk.clock
        closes = clock.monotonic() + provider.settings.answer_within
        return lambda: clock.monotonic() < closes and not is_late(desk, entry)

    async def _open(self, claim: Claim) -> Order | None:
        try:
            return self._desk.orders.order(claim.entry)
        except (SealBroken, ValueError) as error:
            self._desk.observer.tell(Surprised("open", error, claim.entry.request_id))
            await self._record(claim, Hold(ReasonCode.INTERNAL_ERROR), Basis(Stage.UNSENT))
            return None

    async def _send(self, claim: Claim, provider: Provider, order: Order, prepared: Prepared) -> None:
        """Send the create, say so when no answer comes in time, and go on listening: a late answer settles it."""
        desk = self._desk
        create = desk.tasks.start(self._calls.create(provider, order, prepared), f"create {order.request_id}")
        answer_due = desk.tasks.start(desk.clock.sleep(provider.settings.answer_within), "answer due")
        await asyncio.wait({create, answer_due}, return_when=asyncio.FIRST_COMPLETED)
        answer_due.cancel()
        stage = Stage.SENT
        if not create.done():
            stage = Stage.ANSWERED_LATE
            # An operator may have been quicker; what the provider says is still worth waiting for.
            with contextlib.suppress(StaleClaim):
                unanswered = self._unanswered(provider)
                claim = await self._until_it_sticks(
                    lambda: self._record(claim, unanswered, Basis(Stage.SENT))
                )
                desk.reached(Step.DOUBTED, order.request_id)
        outcome = await asyncio.shield(create)
        desk.reached(Step.JUDGED, order.request_id)
        await self._settle(claim, harmless(outcome) if order.dry_run else outcome, stage)

    def _unanswered(self, provider: Provider) -> LookUp:
        """In doubt from now on, but nobody looks before the listening is over."""
        left = provider.settings.listen_for - provider.settings.answer_within
        first_look_up = self._desk.clock.now() + timedelta(
            seconds=left + provider.settings.look_up_schedule[0]
        )
        return LookUp(ReasonCode.NO_ANSWER, first_look_up)

    async def _settle(self, claim: Claim, outcome: Outcome, stage: Stage) -> None:
        """Decide what follows from an outcome, and record it until it sticks: the outside work is done only once."""
        desk, entry = self._desk, claim.entry
        desk.lanes[entry.provider].learn(outcome)
        provider = desk.providers[entry.provider]
        decision = after_attempt(
            outcome,
            entry,
            now=desk.clock.now(),
            policy=desk.policy,
            look_up_after=provider.settings.look_up_schedule[0] if provider.CAN_LOOK_UP else None,
            time_left=time_left(desk, entry),
            draw=random.random,
        )
        try:
            await self._until_it_sticks(lambda: self._record(claim, decision, Basis(stage, outcome)))
        except StaleClaim:
            await self._until_it_sticks(lambda: self._late.answered(claim, decision, outcome))
        if outcome.effect is Effect.PAUSE:
            await pause(desk, entry.provider, outcome)

    async def _until_it_sticks(self, write: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await write()
            except LedgerUnavailable as error:
                self._desk.gate.sick(error)
                await self._desk.clock.sleep(_RECORD_AGAIN_AFTER)

    async def _record(self, claim: Claim, decision: Decision, basis: Basis) -> Claim:
        """Record a decision, and publish the event that was recorded with it."""
        recorded = await self._desk.recorder.record_decision(claim, decision, basis)
        self._desk.reached(Step.RECORDED, claim.entry.request_id)
        if recorded.event is not None:
            await self.publish(claim.entry.request_id, recorded.event)
        return recorded.claim

    # --- look-ups ---------------------------------------------------------------------------------------------

    async def look_up(self, claim: Claim) -> None:
        """Ask the provider about one request in doubt and record what that proves. Never raises."""
        try:
            with self._working_on(claim):
                await self._look_up(claim)
        except StaleClaim:
            pass  # a late answer or an operator settled it first
        except LedgerUnavailable as error:
            self._desk.gate.sick(error)
        except Exception as error:  # noqa: BLE001 - the row stays in doubt and is looked at again
            self._desk.observer.tell(Surprised("look_up", error, claim.entry.request_id))

    async def _look_up(self, claim: Claim) -> None:
        desk, entry = self._desk, claim.entry
        provider = desk.providers[entry.provider]
        if entry.dry_run:
            # Its worker died. A test mode creates nothing, so whatever a look-up found would be another's account.
            absent = Retry(ReasonCode.CONFIRMED_ABSENT, desk.clock.now(), counts=False)
            await self._record(claim, absent, Basis(Stage.LOOKED_UP, seen=NOBODY_WAS_ASKED))
            return
        elsewhere = sent_elsewhere(entry, provider.settings)
        if elsewhere or not provider.CAN_LOOK_UP:
            basis = Basis(Stage.LOOKED_UP, seen=elsewhere)
            await self._record(claim, Hold(ReasonCode.LOOK_UP_UNSUPPORTED), basis)
            return
        asked_at = desk.clock.now()
        finding = await self._calls.look_up(provider, entry)
        desk.reached(Step.LOOKED_UP, entry.request_id)
        # Judged as of the question: a worker that froze meanwhile must not take an early "absent" for a late one.
        decision = after_look_up(
            finding, entry, now=asked_at, is_late=is_late(desk, entry), settings=provider.settings
        )
        try:
            await self._record(claim, decision, Basis(Stage.LOOKED_UP, seen=seen_by_look_up(finding)))
        except StaleClaim:
            if isinstance(finding, Found):
                await self._until_it_sticks(partial(self._late.found, entry, finding))

    # --- results ----------------------------------------------------------------------------------------------

    async def publish(self, subject_id: str, event: Event) -> None:
        """Publish one recorded event and mark it once confirmed. Failing is no loss: upkeep publishes it again."""
        desk = self._desk
        if await self._confirmed(subject_id, event):
            with contextlib.suppress(LedgerUnavailable):  # published twice is harmless; it has the same id
                await desk.ledger.mark_published(event.event_id, desk.clock.now())
                desk.reached(Step.SETTLED, event.event_id)

    async def _confirmed(self, subject_id: str, event: Event) -> bool:
        """Whether the broker has it now."""
        desk = self._desk
        began = desk.clock.monotonic()
        try:
            await desk.publisher.publish(
                desk.events.body_of(event),
                event_id=event.event_id,
                event_type=event.event_type,
                routing_key=event.routing_key,
            )
            confirmed, detail = True, ""
        except (PublishUnconfirmed, SealBroken) as error:
            confirmed, detail = False, str(error)
        seconds = desk.clock.monotonic() - began
        desk.observer.tell(
            Published(subject_id, event.event_id, event.event_type, confirmed, seconds, detail)
        )
        if confirmed:
            desk.reached(Step.CONFIRMED, event.event_id)
        return confirmed


def _attribute(arrival: Arrival, name: str) -> str | None:
    """An attribute of the event that asked, where it has it."""
    value = arrival.context.get(name)
    return value if isinstance(value, str) else None

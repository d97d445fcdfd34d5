"""The whole way of one request, top to bottom.

    take      a delivery from RabbitMQ: decode, accept into the ledger, acknowledge      (intake)
    run       a claimed request: prepare, make the intent durable, send, judge, record   (execution)
    look_up   a claimed request in doubt: ask the provider, judge, record                (upkeep)
    publish   a recorded result: publish, wait for the confirmation, mark published      (execution and upkeep)

Each step first looks at what the last one stored, so a crash between any two is repaired by doing the next one.
What could not become a request goes another way: `burial.py`.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from pydantic import JsonValue

from contracts.reason import ReasonCode
from worker.core.broker import Delivery
from worker.core.change import Event, Seen
from worker.core.decode import Refusal
from worker.core.desk import Desk
from worker.core.entrance import ends_unsent, is_late, read, time_left
from worker.core.entry import Accepted, Arrival, Claim, Conflict, Entry, Same
from worker.core.errors import (
    AccountKnown,
    ConfigurationError,
    LedgerUnavailable,
    PublishUnconfirmed,
    SealBroken,
    StaleClaim,
)
from worker.core.lanes import Lane, LaneClosed, Slot
from worker.core.late import awaits
from worker.core.observer import (
    Began,
    Called,
    Ended,
    LaneState,
    Published,
    Received,
    StrayAccount,
    Surprised,
)
from worker.core.overview import CREDENTIALS, Pause
from worker.core.provider import Doubt, Finding, Found, Order, Prepared, Provider, Several, Unclear
from worker.core.recording import Stage
from worker.core.retry import Decision, Hold, LookUp, Refuse, Retry, after_attempt, after_look_up
from worker.core.seen import (
    NOBODY_WAS_ASKED,
    PLACE,
    harmless,
    seen_by_look_up,
    seen_in,
    sent_elsewhere,
    surprise,
)
from worker.core.states import State
from worker.core.steps import Step
from worker.core.story import HistoryLine
from worker.core.verdict import Created, Effect, Outcome, Verdict

T = TypeVar("T")

_RECORD_AGAIN_AFTER = 1.0  # seconds between tries to record what a provider answered while the ledger is away


class Pipeline:
    """The way of one request."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        # Counted: an operator may have a request run again while its first create is still listened for.
        self._in_flight: Counter[str] = Counter()

    @property
    def in_flight(self) -> frozenset[str]:
        """Ids of the requests that are being run or looked up."""
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
            slot = await lane.slot()
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
            self._desk.observer.tell(Surprised("take", error))
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
        """One insert; the unique key decides."""
        acceptance = await self._desk.ledger.accept(arrival, self._desk.worker)
        entry = acceptance.claim.entry if isinstance(acceptance, Accepted) else acceptance.entry
        self._desk.reached(Step.ACCEPTED, entry.request_id)
        novelty = {Accepted: "new", Same: "same", Conflict: "conflict"}[type(acceptance)]
        self._desk.observer.tell(
            Received(
                arrival.provider, arrival.content_mode, novelty, entry.request_id, arrival.idempotency_key
            )
        )
        return acceptance

    async def answer_again(self, entry: Entry) -> None:
        """The same request again gets the same event again, if there is one that is true."""
        desk, request_id = self._desk, entry.request_id
        event_id = await desk.ledger.publish_again(request_id, desk.clock.now(), desk.worker, "asked again")
        if event_id is not None:
            desk.tasks.start(self.publish_stored(request_id, event_id), f"publish {request_id}")

    async def publish_stored(self, subject_id: str, event_id: str) -> None:
        """Publish an event of a request or a dead letter as it was recorded. Failing is no loss, as with `publish`."""
        with contextlib.suppress(LedgerUnavailable):
            for line in await self._desk.ledger.events(subject_id):
                if line.event.event_id == event_id:
                    await self.publish(line.event)

    # --- execution --------------------------------------------------------------------------------------------

    async def run_when_free(self, claim: Claim, lane: Lane) -> None:
        """Run a claimed request as soon as its lane has a slot; give it back when the lane closes first.

        One that was never tried is served before all others: it had its turn already, in a worker that died.
        """
        with self._working_on(claim):
            try:
                slot = await lane.slot(first=claim.entry.state is State.ACCEPTED)
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
            await self._decided(claim, forbidden, Stage.UNSENT)
            return
        await lane.permission()
        prepared = await self._prepare(provider, order)  # last, so that what it sees is not of long ago
        if isinstance(prepared, Outcome):
            await self._settle(claim, prepared, Stage.UNSENT)
            return
        if isinstance(prepared, Several):
            hold, seen = Hold(ReasonCode.LOOK_UP_AMBIGUOUS), seen_by_look_up(prepared)
            await self._decided(claim, hold, Stage.UNSENT, seen=seen)
            return
        lane.insist()
        if is_late(desk, entry):  # preparing and waiting took their time
            await self._decided(claim, Refuse(ReasonCode.DEADLINE_PASSED), Stage.UNSENT)
            return
        desk.reached(Step.PREPARED, entry.request_id)
        in_time = self._in_time(provider, entry)
        try:
            claim = await desk.recorder.sending(claim, {**prepared.baseline, PLACE: provider.settings.place})
        except AccountKnown as known:  # by an older attempt's answer or look-up, since the row was looked at
            exists = Hold(ReasonCode.CREDENTIALS_LOST, Created(known.account_id, {}))
            await self._decided(claim, exists, Stage.UNSENT)
            return
        desk.reached(Step.INTENDED, entry.request_id)
        await self._send(claim, provider, order, replace(prepared, in_time=in_time))

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
            await self._decided(claim, Hold(ReasonCode.INTERNAL_ERROR), Stage.UNSENT)
            return None

    async def _prepare(self, provider: Provider, order: Order) -> Prepared | Outcome | Several:
        began = self._desk.clock.monotonic()
        try:
            prepared = await provider.prepare(order)
        except Exception as error:  # noqa: BLE001 - nothing was sent, whatever broke
            self._desk.observer.tell(Surprised("prepare", error, order.request_id))
            prepared = surprise(Verdict.NOT_DONE)
        if not isinstance(prepared, Outcome):
            return prepared
        self._called(provider, "prepare", prepared.reason, began, order.request_id, prepared)
        # Nothing was sent, so nothing can be in doubt or done, whatever a handler says.
        return (
            prepared
            if prepared.verdict is Verdict.NOT_DONE
            else replace(prepared, verdict=Verdict.NOT_DONE, retry=True)
        )

    async def _send(self, claim: Claim, provider: Provider, order: Order, prepared: Prepared) -> None:
        """Send the create, say so when no answer comes in time, and go on listening: a late answer settles it."""
        desk = self._desk
        began = desk.clock.monotonic()
        create = desk.tasks.start(self._create(provider, order, prepared), f"create {order.request_id}")
        patience = desk.tasks.start(desk.clock.sleep(provider.settings.answer_within), "patience")
        await asyncio.wait({create, patience}, return_when=asyncio.FIRST_COMPLETED)
        patience.cancel()
        stage = Stage.SENT
        if not create.done():
            stage = Stage.LATE
            # An operator may have been quicker; what the provider says is still worth waiting for.
            with contextlib.suppress(StaleClaim):
                unanswered = self._unanswered(provider)
                claim = await self._until_it_sticks(lambda: self._decided(claim, unanswered, Stage.SENT))
                desk.reached(Step.DOUBTED, order.request_id)
        outcome = await asyncio.shield(create)
        desk.reached(Step.JUDGED, order.request_id)
        self._called(provider, "create", outcome.reason, began, order.request_id, outcome)
        await self._settle(claim, harmless(outcome) if order.dry_run else outcome, stage)

    async def _create(self, provider: Provider, order: Order, prepared: Prepared) -> Outcome:
        try:
            return await provider.create(order, prepared)
        except Exception as error:  # noqa: BLE001 - the create may be out; only in doubt is honest
            self._desk.observer.tell(Surprised("create", error, order.request_id))
            return surprise(Verdict.IN_DOUBT)

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
            await self._until_it_sticks(lambda: self._decided(claim, decision, stage, outcome))
        except StaleClaim:
            await self._until_it_sticks(lambda: self._after_all(claim, decision, outcome))
        if outcome.effect is Effect.PAUSE:
            await self._pause(entry.provider, outcome)

    async def _pause(self, provider: str, outcome: Outcome) -> None:
        desk = self._desk
        note = f"{outcome.reason}: {outcome.message or 'the provider refuses our credentials or address'}"
        await desk.ledger.pause(Pause(provider, CREDENTIALS, desk.worker, note, desk.clock.now()))
        lane = desk.lanes[provider]
        if lane.state is not LaneState.PAUSED_BY_OPERATOR:  # a person's pause is not turned into one of ours
            lane.pause(LaneState.PAUSED_BY_CREDENTIALS, note)

    async def _until_it_sticks(self, write: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await write()
            except LedgerUnavailable as error:
                self._desk.gate.sick(error)
                await self._desk.clock.sleep(_RECORD_AGAIN_AFTER)

    async def _decided(
        self,
        claim: Claim,
        decision: Decision,
        stage: Stage,
        outcome: Outcome | None = None,
        *,
        seen: Seen | None = None,
        sent_at: datetime | None = None,
    ) -> Claim:
        recorded = await self._desk.recorder.decided(
            claim, decision, stage, seen or seen_in(outcome), outcome, sent_at
        )
        self._desk.reached(Step.RECORDED, claim.entry.request_id)
        if recorded.event is not None:
            await self.publish(recorded.event)
        return recorded.claim

    async def _after_all(self, claim: Claim, decision: Decision, outcome: Outcome) -> None:
        """The row moved on. If it still awaits what this attempt brought, that counts, whoever holds the row."""
        looked_at = claim.entry
        sent_at = looked_at.attempt_sent_at
        while (now := await self._moved_on(looked_at)) and (stage := awaits(now, decision, outcome, sent_at)):
            with contextlib.suppress(StaleClaim):
                again = replace(claim, entry=now, fence=now.fence)
                await self._decided(again, decision, stage, outcome, sent_at=sent_at)
                return
            looked_at = now  # it moved on once more, between looking and writing
        await self._evidence_for_others(claim.entry, outcome)

    async def _moved_on(self, before: Entry) -> Entry | None:
        """The row as it is now, if it changed."""
        now = await self._desk.ledger.find(before.request_id)
        return None if now == before else now

    async def _evidence_for_others(self, entry: Entry, outcome: Outcome) -> None:
        """Somebody else decided about the row meanwhile: what was seen is kept, but changes no state."""
        detail = {"verdict": outcome.verdict, "rule": outcome.rule_id, "status": outcome.status}
        row = await self._desk.ledger.find(entry.request_id)
        await self._after_others(row or entry, "answer_after_all", outcome.reason, detail, outcome.created)

    async def _after_others(
        self,
        row: Entry,
        name: str,
        reason: ReasonCode,
        detail: Mapping[str, JsonValue],
        created: Created | None,
    ) -> None:
        """Keep what was seen; an account that the row has no place for is told as well."""
        account_id = created.account_id if created else None
        shown = {**detail, "account_id": account_id, **self._desk.recorder.kept(row, created)}
        line = HistoryLine(self._desk.clock.now(), self._desk.worker, name, None, None, reason, None, shown)
        await self._desk.ledger.note(row.request_id, line, account_id)
        # One that is closed without an account may have it of this very note, written before and not confirmed.
        is_told = row.account_id == account_id and row.state in {State.PROVISIONED, State.HELD}
        if account_id is not None and not is_told:
            self._desk.observer.tell(StrayAccount(row.provider, row.request_id, account_id))

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
            await self._decided(claim, absent, Stage.LOOKED_UP, seen=NOBODY_WAS_ASKED)
            return
        elsewhere = sent_elsewhere(entry, provider.settings)
        if elsewhere or not provider.CAN_LOOK_UP:
            await self._decided(claim, Hold(ReasonCode.LOOK_UP_UNSUPPORTED), Stage.LOOKED_UP, seen=elsewhere)
            return
        began, asked_at = desk.clock.monotonic(), desk.clock.now()
        finding = await self._ask(provider, entry)
        desk.reached(Step.LOOKED_UP, entry.request_id)
        self._called(provider, "look_up", type(finding).__name__.lower(), began, entry.request_id, None)
        # Judged as of the question: a worker that froze meanwhile must not take an early "absent" for a late one.
        decision = after_look_up(
            finding, entry, now=asked_at, is_late=is_late(desk, entry), settings=provider.settings
        )
        try:
            await self._decided(claim, decision, Stage.LOOKED_UP, seen=seen_by_look_up(finding))
        except StaleClaim:
            if isinstance(finding, Found):
                await self._until_it_sticks(partial(self._found_after_all, entry, finding))

    async def _found_after_all(self, entry: Entry, found: Found) -> None:
        """What was found is worth a word if whoever was quicker does not know of it."""
        row = await self._desk.ledger.find(entry.request_id) or entry
        if row.account_id != found.created.account_id:
            code = ReasonCode.FOUND_BY_LOOK_UP
            await self._after_others(row, "found_after_all", code, found.evidence, found.created)

    async def _ask(self, provider: Provider, entry: Entry) -> Finding:
        doubt = Doubt(sent_at=entry.attempt_sent_at or entry.changed_at, baseline=entry.baseline)
        try:
            return await provider.look_up(self._desk.orders.order(entry), doubt)
        except Exception as error:  # noqa: BLE001 - a look-up that breaks proves nothing
            self._desk.observer.tell(Surprised("look_up", error, entry.request_id))
            return Unclear({"failure": type(error).__name__})

    # --- results ----------------------------------------------------------------------------------------------

    async def publish(self, event: Event) -> None:
        """Publish one recorded event and mark it once confirmed. Failing is no loss: upkeep publishes it again."""
        desk = self._desk
        began = desk.clock.monotonic()
        try:
            await desk.publisher.publish(
                desk.events.body_of(event),
                event_id=event.event_id,
                event_type=event.event_type,
                routing_key=event.routing_key,
            )
            desk.reached(Step.CONFIRMED, event.event_id)
            await desk.ledger.published(event.event_id, desk.clock.now())
            desk.reached(Step.SETTLED, event.event_id)
            confirmed, detail = True, ""
        except (PublishUnconfirmed, LedgerUnavailable, SealBroken) as error:
            confirmed, detail = False, str(error)
        seconds = desk.clock.monotonic() - began
        desk.observer.tell(Published(event.event_id, event.event_type, confirmed, seconds, detail))

    def _called(
        self,
        provider: Provider,
        operation: str,
        result: str,
        began: float,
        request_id: str,
        outcome: Outcome | None,
    ) -> None:
        seconds = self._desk.clock.monotonic() - began
        self._desk.observer.tell(Called(provider.name, operation, result, seconds, request_id, outcome))

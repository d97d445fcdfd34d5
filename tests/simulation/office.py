"""Operators: honest ones, who look at the provider before they say what is there, and sometimes take their time."""

from collections.abc import Callable
from typing import Final

from pydantic import SecretStr

from tests.simulation.life import Life, MachineClock
from tests.simulation.machine import SOURCE, Surroundings
from tests.simulation.watch import Watch
from tests.simulation.weather import ANSWER_WITHIN, Fault
from worker.core.broker import Message
from worker.core.clock import SLEW, Clock, SteadyClock
from worker.core.entry import Entry
from worker.core.errors import WorkerError
from worker.core.events import EventWriter
from worker.core.recording import Recorder
from worker.operations.accounts import Account
from worker.operations.dead_letters import DeadLetterOperations
from worker.operations.providers import ProviderOperations
from worker.operations.requests import RequestOperations
from worker.operations.verbs import Effect, Plan, Verb, plan

_ACTOR: Final = "ada"
_WHY: Final = "looked at the provider"


class _DeskClock(SteadyClock):
    """The clock of whatever verb is carried out."""

    def __init__(self, machine: Clock) -> None:
        super().__init__(machine)
        self._own = machine

    def begin_anew(self) -> None:
        """Know of no other verb."""
        super().__init__(self._own)


class Office:
    """The operators' commands, on a connection of their own to the ledger."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._scene = around.scene
        self._life = Life(_ACTOR, self._scene.loop, _never)
        clock = self._clock = _DeskClock(MachineClock(self._life, self._scene.shown_time))
        seals = around.seals
        ledger = around.books.open(self._life, clock, alone=False)
        recorder = Recorder(ledger, EventWriter(SOURCE, seals), seals, clock, Watch(self._scene, _ACTOR))
        self._ledger = ledger
        self._requests = RequestOperations(ledger, seals, seals, recorder, clock, _ACTOR, parents={})
        self._letters = DeadLetterOperations(ledger, seals, clock, _ACTOR)
        self._providers = ProviderOperations(ledger, frozenset(around.vendors), clock, _ACTOR)

    def act(self) -> None:
        """One of them does something."""
        what = self._scene.dice.random()
        if what < 0.85:
            self._begin(self._on_a_request)
        elif what < 0.95:
            self._begin(self._on_a_letter)
        else:
            self._begin(self._on_a_provider)

    async def resume_all(self) -> None:
        """The faults are over: nobody wants a provider to be paused any more."""
        for name in self._around.vendors:
            await self._providers.resume(name, _WHY)

    def _begin(self, work: Callable[[], object]) -> None:
        self._clock.begin_anew()  # each verb is a process of its own
        self._around.books.set(self._clock, begins=False)
        self._life.start(self._do(work), "operator")

    async def _do(self, work: Callable[[], object]) -> None:
        try:
            words = await work()  # type: ignore[misc]  # each is a coroutine function
        except WorkerError as error:
            words = f"refused: {error}"
        except Exception as error:  # noqa: BLE001 - a verb must not break
            self._scene.trace.fail("no surprises", f"an operator's verb: {error!r}")
            return
        self._scene.trace.tell(_ACTOR, str(words))

    # --- requests -------------------------------------------------------------------------------------------------

    async def _on_a_request(self) -> str:
        dice = self._scene.dice
        known = self._around.books.touchable()
        if not known:
            return "finds nothing to do"
        request_id = known[int(len(known) * dice.random() ** 2)]  # mostly those that are not provisioned
        entry = await self._requests.find(request_id)
        honest = [
            planned
            for planned in (plan(verb, entry) for verb in Verb)
            if planned.effect is Effect.WILL and self._is_honest(planned)
        ]
        if not honest:
            return f"leaves {request_id} alone: it is {entry.state}"
        planned = dice.choice(honest)
        account = self._account(entry) if planned.verb is Verb.RESOLVE_CREATED else None
        self._scene.trace.fault(Fault.OPERATOR, _ACTOR, f"{planned.verb} {request_id}")
        await self._life.pass_time(self._scene.between(0.0, 5.0))
        return await self._requests.carry_out(planned, _WHY, account)

    def _is_honest(self, planned: Plan) -> bool:
        """Says only what is true, and not before every create of the request has left or never will."""
        entry = planned.entry
        vendor = self._around.vendors[entry.provider]
        match planned.verb:
            case Verb.RESOLVE_CREATED:
                return bool(vendor.accounts.get(entry.idempotency_key))
            case Verb.RESOLVE_NOT_CREATED:
                sent_at = entry.attempt_sent_at or entry.received_at
                age = (self._clock.now() - sent_at).total_seconds()
                nothing = not vendor.accounts.get(entry.idempotency_key)
                still = vendor.may_still_open(entry.idempotency_key)
                return nothing and not still and age > ANSWER_WITHIN * (1 + SLEW)
            case Verb.ABANDON:
                return self._scene.dice.random() < 0.2
            case _:
                return True

    def _account(self, entry: Entry) -> Account:
        found = self._around.vendors[entry.provider].accounts[entry.idempotency_key][0]
        knows = entry.provider == "secretive" and self._scene.dice.random() < 0.5
        return Account(found.account_id, {"api_key": SecretStr(found.api_key)} if knows else {})

    # --- the rest -------------------------------------------------------------------------------------------------

    async def _on_a_letter(self) -> str:
        dice = self._scene.dice
        known = self._around.books.open_letters()
        if not known:
            return "finds no dead letter"
        letter = await self._letters.find(dice.choice(known))
        self._scene.trace.fault(Fault.OPERATOR, _ACTOR, f"dead letter {letter.dead_letter_id}")
        if dice.random() < 0.5:
            return await self._letters.discard(self._letters.plan_discard(letter), _WHY)
        return await self._letters.replay(self._letters.plan_replay(letter), _WHY, self._republish)

    async def _republish(self, message: Message) -> None:
        self._around.broker.put(message)

    async def _on_a_provider(self) -> str:
        dice = self._scene.dice
        name = dice.choice(tuple(self._around.vendors))
        self._scene.trace.fault(Fault.OPERATOR, _ACTOR, f"pauses {name}")
        words = await self._providers.pause(name, _WHY)
        await self._life.pass_time(self._scene.between(1.0, 20.0))
        return f"{words}; {await self._providers.resume(name, _WHY)}"


def _never(_: Life, __: str) -> None:
    """Nothing befalls an operator."""

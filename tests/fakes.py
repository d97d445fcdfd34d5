"""One fake for each port, a few lines each: a test scripts what the world does, and reads what was done to it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, SecretStr

from contracts.model import ClosedModel
from tests.builders import make_done
from worker.core.broker import Handler, Message
from worker.core.change import Change
from worker.core.errors import LedgerUnavailable, PublishUnconfirmed
from worker.core.observer import Fact
from worker.core.provider import (
    Absent,
    Doubt,
    Finding,
    Found,
    Order,
    Prepared,
    Probe,
    ProviderSettings,
    Several,
)
from worker.core.rules import COMMON, Rule
from worker.core.verdict import Created, Outcome

T = TypeVar("T")
FactT = TypeVar("FactT")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FixedClock:
    """Time that stands still until the test moves it. `sleep` waits for that."""

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    era = "fixed"

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def time_of_day(self) -> datetime:
        return self.now()

    def monotonic(self) -> float:
        return self._passed

    def agree(self, reference: datetime, as_of: float) -> float:
        """It shows what the test says."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        sleeper = (self._passed + seconds, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    @property
    def naps(self) -> tuple[float, ...]:
        """Seconds that each sleeper still has to wait."""
        return tuple(sorted(until - self._passed for until, waking in self._sleepers if not waking.done()))

    def advance(self, seconds: float) -> None:
        """Let time pass; whoever has slept long enough goes on as soon as the test waits."""
        self._passed += seconds
        for until, waking in self._sleepers:
            if until <= self._passed and not waking.done():
                waking.set_result(None)


class Watch:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def tell(self, fact: Fact) -> None:
        self.facts.append(fact)

    def all(self, kind: type[FactT], **having: object) -> list[FactT]:
        """The facts of one kind with these values."""
        return [
            fact
            for fact in self.facts
            if isinstance(fact, kind) and all(getattr(fact, name) == value for name, value in having.items())
        ]


class Script(Generic[T]):
    """What a call answers, in order; the last answer repeats. A future is waited for, an exception is raised."""

    def __init__(self, *answers: T | BaseException | asyncio.Future[T]) -> None:
        self._answers = list(answers)

    def then(self, *answers: T | BaseException | asyncio.Future[T]) -> None:
        """From now on these."""
        self._answers = list(answers)

    def held(self) -> asyncio.Future[T]:
        """From now on the answer waits until the test gives it."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._answers = [answer]
        return answer

    async def next(self) -> T:
        """The next answer."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, asyncio.Future):
            return await asyncio.shield(answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class AcmeParameters(ClosedModel):
    """What the pretended provider asks for."""

    company: str
    note: str | None = None
    password: SecretStr | None = None


async def _nothing(_: Order) -> None:
    """Do nothing while a create begins."""


class ScriptedProvider:
    """A provider that does as it is told, and counts."""

    name: ClassVar[str] = "acme"
    Parameters: ClassVar[type[BaseModel]] = AcmeParameters
    Settings: ClassVar[type[ProviderSettings]] = ProviderSettings
    RULES: ClassVar[Sequence[Rule]] = COMMON
    CAN_LOOK_UP: ClassVar[bool] = True
    HAS_TEST_MODE: ClassVar[bool] = True

    def __init__(self, **settings: Any) -> None:
        self.settings = ProviderSettings(base_url="http://acme.test", **settings)
        self.prepares = Script[Prepared | Outcome | Several](Prepared(None, {"accounts_before": 3}))
        self.creates = Script[Outcome](make_done())
        self.findings = Script[Finding](Absent({"asked": "list"}))
        self.probes = Script[Probe](Probe(healthy=True, detail="answered 200"))
        self.prepared: list[Order] = []
        self.sent: list[Order] = []
        self.given: list[Prepared] = []
        self.asked: list[tuple[Order, Doubt]] = []
        self.probed = 0
        self.issues_credentials = False
        self.generates: str | None = None
        self.while_sending: Callable[[Order], Awaitable[None]] = _nothing

    def complete(self, parameters: BaseModel) -> tuple[BaseModel, frozenset[str]]:
        if self.generates is None or getattr(parameters, "password", None) is not None:
            return parameters, frozenset()
        return parameters.model_copy(update={"password": SecretStr(self.generates)}), frozenset({"password"})

    def hands_over_credentials(self, parameters: BaseModel) -> bool:
        return self.issues_credentials

    async def prepare(self, order: Order) -> Prepared | Outcome | Several:
        self.prepared.append(order)
        return await self.prepares.next()

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        self.sent.append(order)
        self.given.append(prepared)
        await self.while_sending(order)
        return await self.creates.next()

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        self.asked.append((order, doubt))
        return await self.findings.next()

    async def probe(self) -> Probe:
        self.probed += 1
        return await self.probes.next()


class BlindProvider(ScriptedProvider):
    """A provider that cannot be asked afterwards, and has no test mode."""

    CAN_LOOK_UP: ClassVar[bool] = False
    HAS_TEST_MODE: ClassVar[bool] = False


class Vendor(ScriptedProvider):
    """A provider with a memory: `acts` says whether the next creates open an account; a look-up tells the truth."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.acts = True
        self.accounts: dict[str, list[str]] = {}

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        account_id = f"{order.request_id}/{len(self.sent) + 1}"
        if self.acts and not order.dry_run:
            self.accounts.setdefault(order.request_id, []).append(account_id)
        outcome = await super().create(order, prepared)
        return outcome if outcome.created is None else replace(outcome, created=Created(account_id, {}))

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        self.asked.append((order, doubt))
        owned = self.accounts.get(order.request_id)
        return Found(Created(owned[-1], {}), {"matching": owned[-1]}) if owned else Absent({"asked": "list"})


@dataclass(frozen=True, slots=True)
class Publication:
    """One publish that the broker took."""

    body: bytes
    event_id: str
    event_type: str
    routing_key: str


class RecordingPublisher:
    """A way out that confirms, unless it is told to fail with a text such as "returned as unroutable"."""

    def __init__(self) -> None:
        self.confirmed: list[Publication] = []
        self.tried: list[str] = []
        self.failure: str | None = None

    async def publish(self, body: bytes, *, event_id: str, event_type: str, routing_key: str) -> None:
        self.tried.append(event_id)
        if self.failure is not None:
            raise PublishUnconfirmed(self.failure)
        self.confirmed.append(Publication(body, event_id, event_type, routing_key))


class FakeDelivery:
    """A delivery that remembers its verbs."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.verbs: list[str] = []
        self.taken_back = False
        self.on_ack: Callable[[], None] = lambda: None

    @property
    def open(self) -> bool:
        return not self.verbs and not self.taken_back

    async def ack(self) -> None:
        self.on_ack()
        self.verbs.append("ack")

    async def reject(self) -> None:
        self.verbs.append("reject")

    async def requeue(self) -> None:
        self.verbs.append("requeue")


class FakeDoors:
    """Queues that are open or closed, each with its handler and prefetch."""

    def __init__(self) -> None:
        self.open_now: dict[str, tuple[Handler, int]] = {}
        self.story: list[str] = []

    async def open(self, queue: str, handler: Handler, *, prefetch: int) -> None:
        self.story.append(f"open {queue}")
        self.open_now[queue] = (handler, prefetch)

    async def close(self, queue: str) -> None:
        self.story.append(f"close {queue}")
        self.open_now.pop(queue, None)


class FreeLimiter:
    """A rate limit that never limits, and counts."""

    def __init__(self) -> None:
        self.acquired = 0

    async def acquire(self, wanted: Callable[[], bool]) -> None:
        self.acquired += 1


class UnreliableLedger:
    """The real ledger behind a switch. Methods are named as in the port, changes also as in ``record send``.

    Attributes:
        failing: Names of methods that raise and do nothing.
        forgetting: Names of methods that do their work and raise all the same.
        calls: Names of the methods that were called.
    """

    def __init__(self, real: Any) -> None:
        self.real = real
        self.failing: set[str] = set()
        self.forgetting: set[str] = set()
        self.calls: list[str] = []
        self._holds: dict[tuple[str, str], asyncio.Event] = {}
        self._under_way = 0
        self._idle = asyncio.Event()

    def hold(self, name: str, when: Literal["before", "after"] = "before") -> asyncio.Event:
        """From now on a method waits before it begins, or once it was carried out, until the test lets it go on."""
        return self._holds.setdefault((when, name), asyncio.Event())

    @property
    def busy(self) -> bool:
        """Whether the real ledger works on something."""
        return self._under_way > 0

    async def rest(self) -> None:
        """Wait until it works on nothing."""
        while self.busy:
            self._idle.clear()
            await self._idle.wait()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **named: Any) -> Any:
            names = _names(name, arguments)
            self.calls.extend(names)
            await self._wait("before", names)
            if self.failing & names:
                raise LedgerUnavailable(f"{name} failed, as the test wishes")
            answer = await self._carried_out(getattr(self.real, name)(*arguments, **named))
            await self._wait("after", names)
            if self.forgetting & names:
                raise LedgerUnavailable(f"{name} was carried out, and nobody was told")
            return answer

        return call

    async def _wait(self, when: str, names: set[str]) -> None:
        for name in names:
            if hold := self._holds.get((when, name)):
                await hold.wait()

    async def _carried_out(self, work: Awaitable[T]) -> T:
        self._under_way += 1
        try:
            return await work
        finally:
            self._under_way -= 1
            self._idle.set()


def _names(name: str, arguments: tuple[Any, ...]) -> set[str]:
    return {name, *(f"{name} {change.transition.name}" for change in arguments if isinstance(change, Change))}

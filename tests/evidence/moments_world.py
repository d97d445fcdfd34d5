"""A worker without RabbitMQ, and all else real: its core, a ledger in a file, its provider modules and HTTP client, the
sandbox, and the fault proxy on the TCP connection between them. Time stands still until a moment moves it.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from contracts.result import AccountProvisioned, ResultEvent
from tests.builders import make_message, make_request
from tests.core.world import Place, World, open_world
from tests.evidence.line import turns
from tests.evidence.proxy import FaultProxy
from tests.fakes import FakeDelivery, ScriptedProvider
from tests.providers.bench import Bench, SetClock
from tests.providers.known import KNOWN
from worker.core.broker import Message
from worker.core.entry import Entry
from worker.core.observer import LaneState
from worker.core.provider import Provider
from worker.core.retry import RetryPolicy
from worker.core.story import Attempt
from worker.demo.cast import MAKERS
from worker.http_client import HttpClient
from worker.sandbox import Account, Fault, Operation, Rule, Sandbox
from worker.sandbox.provider import Provider as Pretended
from worker.service import Service

ANSWER_WITHIN = 10.0
"""Seconds, of the clock that stands still for a create and of the true one for a read."""

LOOK_UP_EVERY = 10.0
SETTLE = 25.0
"""So the third look-up is the first that is believed when it finds nothing; two must agree."""

ATTEMPTS = RetryPolicy(attempts=3)

LONG = 30.0
"""Seconds after which a test says what it waits for in vain."""

KEY = "order-1"
NAME = "moment"


class Stage:
    """One request to one provider, and everything that can be done around it.

    Attributes:
        provider: Name of the provider that is asked.
        sandbox: The pretended providers.
        proxy: What the worker's connections to them go through.
        place: What outlives a worker: ledger file, keys, publisher, clock.
        worker: The one that lives now.
    """

    worker: World

    def __init__(self, provider: str, sandbox: Sandbox, proxy: FaultProxy, place: Place) -> None:
        self.provider = provider
        self.sandbox = sandbox
        self.proxy = proxy
        self.place = place
        self._life = AsyncExitStack()

    async def start(self, base_url: str | None = None, **settings: Any) -> None:
        """A worker process begins; `settings` are its provider's."""
        self._life = AsyncExitStack()
        http = await self._life.enter_async_context(HttpClient())
        bench = Bench(self.sandbox, http, cast("SetClock", self.place.clock))
        pace = {
            "base_url": base_url or f"http://{self.proxy.host}:{self.proxy.port}",
            "answer_within": ANSWER_WITHIN,
            "listen_for": LONG,
            "look_up_schedule": (LOOK_UP_EVERY,),
            "settle": SETTLE,
        }
        handler: Provider = bench.handler(self.provider, **{**pace, **settings})
        self.place.providers = cast("Mapping[str, ScriptedProvider]", {self.provider: handler})
        self.worker = await self._life.enter_async_context(open_world(self.place, policy=ATTEMPTS))

    async def die(self) -> None:
        """The process is gone, and nothing it had under way is brought to an end."""
        await self._life.aclose()

    async def restart(self, base_url: str | None = None, **settings: Any) -> None:
        """It is gone, and another one begins on the same ledger."""
        await self.die()
        await self.start(base_url, **settings)

    async def rescued(self) -> None:
        """It died, another one began and found what the dead one left."""
        await self.restart()
        await self.worker.ledger.rescue(self.place.clock.now(), "worker-1")

    def message(self, **parameters: Any) -> Message:
        """The request as it stands in the queue."""
        own = {**MAKERS[self.provider](NAME), **parameters}
        return make_message(make_request(KEY, provider=self.provider, parameters=own))

    async def open_by_hand(self, **parameters: Any) -> str:
        """Somebody opens an account of that name at the provider, past the worker; its id."""
        async with HttpClient() as http:
            bench = Bench(self.sandbox, http, cast("SetClock", self.place.clock))
            handler = bench.handler(self.provider)
            own = {**MAKERS[self.provider](NAME), **parameters}
            outcome = await bench.run(handler, bench.order_for(handler, own))
        assert outcome.created is not None, outcome
        return outcome.created.account_id

    async def deliver(self, **parameters: Any) -> FakeDelivery:
        """The broker hands the request over; what it set in motion goes on."""
        delivery = FakeDelivery(self.message(**parameters))
        await self.worker.pipeline.take(delivery, self.worker.desk.lanes[self.provider])
        return delivery

    async def ask(self, **parameters: Any) -> None:
        """The broker hands the request over, and all that follows comes to rest."""
        await self.deliver(**parameters)
        await self.rest()

    async def rest(self) -> None:
        """Wait until the worker has nothing under way."""
        assert await self.worker.desk.tasks.wait(LONG), self.worker.desk.tasks.names

    async def later(self, seconds: float = 0.0) -> None:
        """Let time pass, then one round of upkeep, and all that follows comes to rest."""
        self.place.clock.advance(seconds)
        await self.worker.upkeep.once()
        await self.rest()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is true."""
        async with asyncio.timeout(LONG):
            while not holds():
                await turns(1)

    async def until_made(self) -> None:
        """Wait until the provider has opened an account."""
        await self.until(lambda: self.made == 1)

    async def until_called(self, name: str) -> None:
        """Wait until a method of the ledger was called, and whatever it does is done."""
        ledger = self.worker.ledger
        await self.until(lambda: name in ledger.calls and not ledger.busy)

    def service(self, drain: float) -> Service:
        """The life of the process, from its start until it is told to stop; `drain` in true seconds."""
        worker = self.worker
        return Service(worker.desk, worker.intake, worker.upkeep, _settled, drain)

    def let_go_wrong(self, fault: Fault, operation: Operation = Operation.CREATE, **options: Any) -> None:
        """The provider does this to the next request of that kind."""
        rule = {"times": 1, **options}
        self.sandbox.faults.add(Rule(fault=fault, provider=self.provider, operation=operation, **rule))

    @property
    def before_create(self) -> tuple[None, ...]:
        """What to tell the proxy about the connections that come before the create's."""
        return (None,) * len(KNOWN[self.provider].before)

    @property
    def book(self) -> Any:
        """The provider's own memory."""
        return self.pretended.book

    @property
    def pretended(self) -> Pretended:
        """The pretended provider, for the attributes that tests may set."""
        return self.sandbox._providers[self.provider]

    @property
    def accounts(self) -> Sequence[Account]:
        """Every account that exists at the provider."""
        return self.sandbox.accounts(self.provider)

    @property
    def made(self) -> int:
        """Accounts that came of creates."""
        return self.sandbox.creates(self.provider).made

    @property
    def received(self) -> int:
        """Creates that the provider has read in full."""
        return self.sandbox.creates(self.provider).attempted

    @property
    def lane_state(self) -> LaneState:
        """Whether the provider is asked."""
        return self.worker.desk.lanes[self.provider].state

    async def entry(self) -> Entry:
        """The row."""
        return await self.worker.entry(KEY)

    async def attempts(self) -> Sequence[Attempt]:
        """The creates that were begun, as the ledger has them."""
        entry = await self.entry()
        return cast("Sequence[Attempt]", await self.worker.ledger.real.attempts(entry.request_id))

    @property
    def results(self) -> list[ResultEvent]:
        """What was published, oldest first."""
        return self.place.results

    @property
    def credentials(self) -> dict[str, str]:
        """What the consumer can read in the newest result."""
        result = self.results[-1]
        assert isinstance(result, AccountProvisioned)
        assert result.data.credentials is not None
        read: dict[str, str] = self.place.opened(result.data.credentials)["credentials"]
        return read


async def _settled() -> None:
    """Every delivery has its verb."""


@asynccontextmanager
async def open_stage(provider: str, empty: Path, folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    """A stage with a living worker. `empty` is an empty ledger to copy into `folder`."""
    file = folder / "ledger.db"
    shutil.copy(empty, file)
    place = Place(file, {})
    place.give_consumer_key()
    async with (
        Sandbox(now=place.clock.now) as sandbox,
        FaultProxy("127.0.0.1", int(sandbox.base_url.rpartition(":")[2])) as proxy,
    ):
        stage = Stage(provider, sandbox, proxy, place)
        await stage.start(**settings)
        try:
            yield stage
        finally:
            await stage.die()

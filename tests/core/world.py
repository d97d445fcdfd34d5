"""A worker without its edges: the real core on the real ledger in a file, between fakes."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from joserfc import jwe
from joserfc.jwk import ECKey

from contracts.result import ResultEvent, read_result
from tests.builders import make_message, make_request
from tests.fakes import (
    FakeDelivery,
    FakeDoors,
    FixedClock,
    FreeLimiter,
    RecordingPublisher,
    ScriptedProvider,
    UnreliableLedger,
    Watch,
)
from worker.core.breaker import BreakerPolicy
from worker.core.broker import Message
from worker.core.burial import Burial
from worker.core.desk import Desk
from worker.core.entry import Entry
from worker.core.events import EventWriter
from worker.core.gate import LedgerGate
from worker.core.intake import Intake
from worker.core.lanes import Lane
from worker.core.ledger import Ledger
from worker.core.orders import Orders
from worker.core.overview import Filter
from worker.core.pipeline import Pipeline
from worker.core.provider import Provider
from worker.core.recording import Recorder
from worker.core.retry import RetryPolicy
from worker.core.sealing import CredentialBox
from worker.core.story import HistoryLine
from worker.core.upkeep import Upkeep, UpkeepPolicy
from worker.keyring import ConsumerKeys, Keyring, new_consumer_key, new_key, read_consumer_keys
from worker.ledger import migrate, open_ledger

LEASE = 30.0
SOURCE = "urn:provisioner:test"
DEAD_LETTERS = "dead-letters"


@dataclass
class Place:
    """What outlives a worker: the ledger's file, the keys, the provider, the broker and time."""

    file: Path
    providers: Mapping[str, ScriptedProvider]
    clock: FixedClock = field(default_factory=FixedClock)
    publisher: RecordingPublisher = field(default_factory=RecordingPublisher)
    watch: Watch = field(default_factory=Watch)
    box: CredentialBox = field(default_factory=ConsumerKeys)
    private_key: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keyring = Keyring([new_key(self.clock.now())], self.clock)

    @property
    def acme(self) -> Any:
        """The provider that most tests use."""
        return self.providers["acme"]

    def give_consumer_key(self) -> None:
        """From now on credentials can be encrypted for the requester."""
        self.private_key, public = new_consumer_key("consumer-1", self.clock.now())
        self.box = ConsumerKeys(read_consumer_keys(json.dumps(public), "test"), clock=self.clock)

    def opened(self, credentials: str) -> dict[str, Any]:
        """What the consumer reads in a JWE."""
        key = ECKey.import_key({name: self.private_key[name] for name in ("kty", "crv", "x", "y", "d")})
        read: dict[str, Any] = json.loads(jwe.decrypt_compact(credentials, key).plaintext or b"{}")
        return read

    @property
    def results(self) -> list[ResultEvent]:
        """What the broker took, read as a consumer reads it."""
        return [read_result(json.loads(one.body)) for one in self.publisher.confirmed]

    def bytes_on_disk(self) -> bytes:
        """All that lies in the ledger's files."""
        return b"".join(path.read_bytes() for path in self.file.parent.glob(f"{self.file.name}*"))


def empty_ledger(folder: Path) -> Path:
    """A ledger with its tables and nothing in it, to be copied."""
    file = folder / "empty.db"
    migrate(f"sqlite:///{file}")
    return file


def make_place(empty: Path, folder: Path, *providers: ScriptedProvider) -> Place:
    """A place with its own copy of the empty ledger."""
    file = folder / "ledger.db"
    shutil.copy(empty, file)
    return Place(file, {provider.name: provider for provider in providers or (ScriptedProvider(),)})


class World:
    """One worker at a place."""

    def __init__(self, place: Place, ledger: UnreliableLedger, name: str, **options: Any) -> None:
        self.place = place
        self.clock = place.clock
        self.ledger = ledger
        self.changed = asyncio.Event()
        self.gate = LedgerGate(place.watch, self.changed)
        self.limiter = FreeLimiter()
        self.desk = self._desk(name, **options)
        self.pipeline = Pipeline(self.desk)
        self.burial = Burial(self.desk, self.pipeline)
        self.upkeep = Upkeep(self.desk, self.pipeline, UpkeepPolicy())
        self.doors = FakeDoors()
        self.intake = self._intake()
        self.taking: list[asyncio.Task[None]] = []

    def _desk(
        self,
        name: str,
        *,
        concurrency: int = 4,
        policy: RetryPolicy | None = None,
        breaker: BreakerPolicy | None = None,
    ) -> Desk:
        place = self.place
        ledger = cast("Ledger", self.ledger)
        providers = cast("Mapping[str, Provider]", place.providers)
        events = EventWriter(SOURCE, place.keyring)
        lanes = {
            provider: Lane(
                provider,
                concurrency=concurrency,
                limiter=self.limiter,
                policy=breaker or BreakerPolicy(),
                clock=place.clock,
                observer=place.watch,
                changed=self.changed,
            )
            for provider in providers
        }
        return Desk(
            worker=name,
            ledger=ledger,
            publisher=place.publisher,
            providers=providers,
            lanes=lanes,
            orders=Orders(place.keyring, providers, frozenset({*providers, "elsewhere"})),
            events=events,
            recorder=Recorder(ledger, events, place.box, place.clock, place.watch),
            box=place.box,
            gate=self.gate,
            clock=place.clock,
            observer=place.watch,
            policy=policy or RetryPolicy(),
        )

    def _intake(self) -> Intake:
        queues = {f"requests.{name}": lane for name, lane in self.desk.lanes.items()}
        return Intake(
            self.desk,
            self.doors,
            self.pipeline,
            self.burial,
            self.changed,
            lanes=queues,
            dead_letters=DEAD_LETTERS,
        )

    @property
    def lane(self) -> Lane:
        """The lane of the provider that most tests use."""
        return self.desk.lanes["acme"]

    async def calm(self) -> None:
        """Wait until nothing moves any more without the test's doing."""
        ready: Sequence[object] = cast("Any", asyncio.get_running_loop())._ready
        await asyncio.sleep(0)
        while self.ledger.busy or ready:
            await self.ledger.rest()
            await asyncio.sleep(0)

    async def take(self, message: Message | None = None) -> FakeDelivery:
        """Hand one message over as the broker does, and wait until all it set in motion rests."""
        delivery = FakeDelivery(message or make_message())
        self.taking.append(asyncio.create_task(self.pipeline.take(delivery, self.lane)))
        await self.calm()
        return delivery

    async def ask(self, key: str = "order-1", **data: Any) -> Entry:
        """Take one good request; the row as it is once everything rests."""
        await self.take(make_message(make_request(key, **data)))
        return await self.entry(key)

    async def bury(self, message: Message) -> FakeDelivery:
        """Hand one dead letter over."""
        delivery = FakeDelivery(message)
        await self.burial.bury(delivery)
        await self.calm()
        return delivery

    async def go_round(self, after: float = 0.0) -> None:
        """Let time pass, then one round of upkeep, and wait until everything rests."""
        self.clock.advance(after)
        await self.calm()
        await self.upkeep.once()
        await self.calm()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass and wait until everything rests."""
        self.clock.advance(seconds)
        await self.calm()

    async def entry(self, key: str = "order-1") -> Entry:
        """The row of a request."""
        (entry,) = await self.ledger.real.find_by_key(None, key)
        return cast("Entry", entry)

    async def entries(self) -> Sequence[Entry]:
        """All rows."""
        return cast("Sequence[Entry]", await self.ledger.real.entries(Filter()))

    async def story(self, key: str = "order-1") -> list[str]:
        """Names of the steps in the history of a request."""
        return [line.name for line in await self.history(key)]

    async def history(self, key: str = "order-1") -> Sequence[HistoryLine]:
        """The history of a request."""
        entry = await self.entry(key)
        return cast("Sequence[HistoryLine]", await self.ledger.real.history(entry.request_id))


@asynccontextmanager
async def open_world(
    place: Place, name: str = "worker-1", *, alone: bool = True, **options: Any
) -> AsyncIterator[World]:
    """Start a worker; when the block ends it is gone as if killed: nothing it had under way is brought to an end."""
    url = f"sqlite:///{place.file}"
    async with open_ledger(url, clock=place.clock, lease=LEASE, exclusive=alone) as ledger:
        world = World(place, UnreliableLedger(ledger), name, **options)
        await world.ledger.heartbeat(name, place.clock.now())
        try:
            yield world
        finally:
            for taking in world.taking:
                taking.cancel()
            await asyncio.gather(*world.taking, world.desk.tasks.cancel(), return_exceptions=True)

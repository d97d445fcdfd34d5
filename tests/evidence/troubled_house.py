"""A house for disturbances: one worker process, its requesters, and the books that are compared at the end."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.evidence.result import RunResult
from tests.evidence.soak.books import Books, read_books
from tests.evidence.soak.census import Census, Counting, key_of
from tests.evidence.soak.upstream import Upstream
from tests.evidence.watching import PATIENCE, came_within, is_not_ready, is_ready, until
from tests.scenarios.conftest import House, furnish
from worker.demo.cast import canary_speech, gateway360, phone_com
from worker.demo.worker_process import WorkerProcess

BACK_WITHIN = 15.0
"""Seconds after the end of an outage in which the worker must do its work again, without a restart."""

SHOWN_WITHIN = 30.0
"""Seconds after the beginning of an outage in which readiness must show it."""

_LIMITS: Mapping[str, float] = {
    "seconds until ready": BACK_WITHIN,
    "seconds until an account was opened": BACK_WITHIN,
    "seconds until readiness showed it": SHOWN_WITHIN,
}
_SEEN = "canary_speech"  # whose accounts show that requests are taken again
_UNDER_WAY = (
    40  # requests that flow by themselves and wait for their events, so that none waits for a backlog
)
_MAKERS = {"canary_speech": canary_speech, "phone_com": phone_com, "gateway360": gateway360}

_USUAL: Mapping[str, str] = {}

# The provider has time to answer, so that a busy machine makes no doubts of its own.
_UNHURRIED: Mapping[str, str] = {
    "UPKEEP__REPUBLISH_AFTER": "2",
    **{
        f"PROVIDERS__{provider.upper()}__{name}": value
        for provider in (*_MAKERS, "postcode_eu")
        for name, value in {
            "CONNECT_TIMEOUT": "5",
            "ANSWER_WITHIN": "10",
            "LISTEN_FOR": "20",
            "SETTLE": "30",
        }.items()
    },
}


@asynccontextmanager
async def troubled_house(
    broker_url: str,
    folder: Path,
    *,
    seen_at: str | None = None,
    ledger: str | None = None,
    books_at: str | None = None,
    settings: Mapping[str, str] = _USUAL,
) -> AsyncIterator["TroubledHouse"]:
    """A worker that is ready, and requesters who listen.

    Args:
        broker_url: Where the requesters find the broker.
        folder: There already; for the ledger, the keys and the logs.
        seen_at: Where the worker finds it, if that is a proxy.
        ledger: Where the worker finds its ledger; None: a file in the folder.
        books_at: Where the ledger can be read at the end, if `ledger` is a proxy.
        settings: More settings of the worker, such as `BROKER__HEARTBEAT`.
    """
    async with AsyncExitStack() as stack:
        house = await furnish(seen_at or broker_url, folder, stack)
        worker = await house.worker(ledger=ledger, **{**_UNHURRIED, **settings})
        upstream = await stack.enter_async_context(_PatientUpstream(broker_url))
        books = books_at or ledger or house.environment["PROVISIONER_LEDGER__URL"]
        yield TroubledHouse(house, worker, upstream, broker_url, books)


class _PatientUpstream(Upstream):
    """Does not give up a connection over which nothing comes while the broker is frozen."""

    def __init__(self, broker_url: str) -> None:
        super().__init__(broker_url)
        self._url = f"{broker_url}?heartbeat=60"


@dataclass
class TroubledHouse:
    """A house in which things are broken on purpose.

    Attributes:
        broker_url: Where the requesters find the broker.
        books_at: Where the ledger can be read once the worker has ended.
        faults: What was done, by kind.
        notes: The longest of what was measured, by name.
    """

    house: House
    worker: WorkerProcess
    upstream: Upstream
    broker_url: str
    books_at: str
    faults: Counter[str] = field(default_factory=Counter)
    notes: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _numbers: "count[int]" = field(default_factory=count)

    async def ask(self, provider: str | None = None) -> str:
        """One request, which the broker has confirmed when this returns; its key."""
        number = next(self._numbers)
        chosen = provider or list(_MAKERS)[number % len(_MAKERS)]
        key = f"order-{number:05d}"
        await self.upstream.ask(key, chosen, _MAKERS[chosen](key))
        return key

    async def told(self, *keys: str, outcome: str = "provisioned", seconds: float = PATIENCE) -> None:
        """Wait until the newest event of each of these requests has this outcome."""

        def others() -> dict[str, str | None]:
            return {key: told for key in keys if (told := self.upstream.outcome(key)) != outcome}

        assert await self.upstream.until(lambda: not others(), seconds), others()

    @asynccontextmanager
    async def requests_flow(self, every: float = 0.1) -> AsyncIterator[None]:
        """Requests keep coming while the block runs; the last one is confirmed when it ends."""
        stopping = asyncio.Event()
        flow = asyncio.create_task(self._ask_on(stopping, every), name="requests flow")
        try:
            yield
        finally:
            stopping.set()
            await asyncio.wait_for(flow, PATIENCE)

    async def _ask_on(self, stopping: asyncio.Event, every: float) -> None:
        while not stopping.is_set():
            if len(self.upstream.confirmed) < len(self.upstream.told) + _UNDER_WAY:
                await self.ask()
            await came_within(stopping, every)

    async def shown(self, after: str) -> None:
        """Wait until readiness shows an outage that begins now; note how long that took."""
        since = time.monotonic()
        await until(lambda: is_not_ready(self.worker))
        self.note(f"{after}: seconds until readiness showed it", since)

    async def back(self, after: str) -> None:
        """Wait until the worker is ready and a new request goes through; note how long each took from now."""
        since = time.monotonic()
        key = await self.ask(_SEEN)
        ready, opened = await asyncio.gather(
            until(lambda: is_ready(self.worker)), until(lambda: self._has_account(key))
        )
        self.note(f"{after}: seconds until ready", since, ready)
        self.note(f"{after}: seconds until an account was opened", since, opened)
        await self.told(key)
        self.note(f"{after}: seconds until its result was told", since)

    async def _has_account(self, key: str) -> bool:
        return any(key_of(account) == key for account in reversed(self.house.sandbox.accounts(_SEEN)))

    def note(self, name: str, since: float, moment: float | None = None) -> float:
        """Keep how long something took, if nothing of that name took longer; that time in seconds."""
        seconds = round((moment or time.monotonic()) - since, 2)
        self.notes[name] = max(seconds, self.notes.get(name, 0.0))
        return seconds

    def longest(self, words: str) -> float:
        """The longest time noted under any name with these words in it."""
        return max(seconds for name, seconds in self.notes.items() if words in name)

    async def result(self, name: str) -> RunResult:
        """End the worker in good order, and compare what was asked, what was told and what the sandbox counts."""
        upstream, sandbox = self.upstream, self.house.sandbox
        await upstream.until(self._all_told, PATIENCE)
        with suppress(TimeoutError):  # then the books will say what is missing
            await until(self._at_rest)
        code = await self.worker.stop()
        await sandbox.settle()
        accounts = [account for provider in sandbox.provider_names for account in sandbox.accounts(provider)]
        census = Counting(upstream.confirmed, upstream.told, accounts).census(self.house.private_key)
        books = await asyncio.to_thread(read_books, self.books_at)
        return self._added_up(name, code, census, books)

    async def _at_rest(self) -> bool:
        books = await asyncio.to_thread(read_books, self.books_at)
        return not books.open and not books.unpublished

    def _all_told(self) -> bool:
        return self.upstream.confirmed <= {key for key, told in self.upstream.told.items() if told}

    @property
    def creates(self) -> int:
        """Creates that reached a provider, whatever came of them."""
        sandbox = self.house.sandbox
        return sum(sandbox.creates(provider).attempted for provider in sandbox.provider_names)

    def _late(self) -> Iterator[str]:
        """What took longer than it may."""
        for words, limit in _LIMITS.items():
            yield from (
                f"{name}: {seconds}, more than {limit:g}"
                for name, seconds in self.notes.items()
                if name.endswith(words) and seconds > limit
            )

    def _added_up(self, name: str, code: int, census: Census, books: Books) -> RunResult:
        defects = [*census.defects, *self._late()]
        if code != 0:
            defects.append(f"the worker ended with {code}")
        if books.unpublished or books.forbidden:
            defects.append(
                f"{books.unpublished} events unpublished, {books.forbidden} creates out of a doubt"
            )
        return RunResult(
            name=name,
            command="",
            seconds=round(time.monotonic() - self._began, 1),
            requests=census.requests,
            faults=dict(self.faults),
            lost=census.lost,
            surplus=census.surplus,
            false_events=census.false_events,
            lost_credentials=census.lost_credentials,
            copies=self.upstream.copies,
            provisioned=census.provisioned,
            rejected=census.rejected,
            held=dict(census.held),
            open=books.open,
            doubted=books.doubted,
            found_by_look_up=books.ended["found_by_look_up"],
            late_answers=books.ended["late_answers"],
            confirmed_absent=books.ended["confirmed_absent"],
            defects=tuple(defects),
            notes={**self.notes, "creates that reached a provider": self.creates},
        )

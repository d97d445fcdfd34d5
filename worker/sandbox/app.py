"""The sandbox: one server that plays the four account-provisioning APIs as their vendors describe them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from worker.sandbox.control import Control
from worker.sandbox.exchange import Exchange, Time
from worker.sandbox.fault_plan import FaultPlan
from worker.sandbox.listener import Listener
from worker.sandbox.provider import Provider, World, discover
from worker.sandbox.router import Router
from worker.sandbox.state import Account, Book, Creates, ReceivedRequest

P = TypeVar("P", bound=Provider)


def utc_now() -> datetime:
    """The time of day, aware."""
    return datetime.now(UTC)


@dataclass(eq=False)
class Sandbox:
    """Four pretended providers behind one port, and a control port beside it.

    An async context manager: it listens inside the block. Port 0 means any free port. `seed` decides every
    drawn fault and every made-up id, token and secret. `now` is the providers' clock (token expiry, creation
    times), `sleep` what waits of so many seconds are made of. `credentials` are accepted, by provider name, in
    place of a provider's own.

    Raises:
        OSError: On entering, a port cannot be bound.
    """

    host: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    _: KW_ONLY
    now: Callable[[], datetime] = utc_now
    seed: int = 0
    credentials: Mapping[str, object] = field(default_factory=dict, repr=False)
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def __post_init__(self) -> None:
        world = World(self.now, random.Random(f"ids of {self.seed}"), self.credentials)
        self._providers = {kind.name: kind(world, Book(kind.name, kind.secret_fields)) for kind in discover()}
        self.faults = FaultPlan(self._providers, self.seed)
        self._gates: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        router = Router(self._providers.values())
        exchange = Exchange(router, self.faults, Time(self.sleep, self.gate), self._run_later)
        self._listener = Listener(self.host, self.port, exchange.answer)
        self._control = Control(self)

    async def __aenter__(self) -> Self:
        await self._listener.start()
        try:
            await self._control.start(self.host, self.control_port)
        except OSError:
            await self._listener.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancel_tasks()
        await self._control.stop()
        await self._listener.stop()

    @property
    def base_url(self) -> str:
        """Where the four APIs are, without a trailing slash."""
        return _url(self.host, self._listener.port)

    @property
    def control_url(self) -> str:
        """Where the control port is, without a trailing slash."""
        return _url(self.host, self._control.port)

    @property
    def listening(self) -> bool:
        """Whether the provider port takes connections."""
        return self._listener.is_open

    @property
    def provider_names(self) -> tuple[str, ...]:
        return tuple(self._providers)

    def provider(self, kind: type[P]) -> P:
        """The one provider of that class, for the attributes that tests may set.

        Raises:
            KeyError: There is none.
        """
        provider = self._providers[kind.name]
        if not isinstance(provider, kind):
            raise KeyError(kind.name)
        return provider

    def credentials_of(self, provider: str) -> Any:
        """What a caller of the provider must present.

        Raises:
            KeyError: There is no such provider.
        """
        return self._providers[provider].credentials

    def accounts(self, provider: str) -> tuple[Account, ...]:
        """Every account that exists at a provider, oldest first, secrets and all.

        Raises:
            KeyError: There is no such provider.
        """
        return self._providers[provider].book.accounts

    def creates(self, provider: str) -> Creates:
        """How many creates a provider was asked for, and how many it made.

        Raises:
            KeyError: There is no such provider.
        """
        return self._providers[provider].book.creates

    def requests(self, provider: str) -> tuple[ReceivedRequest, ...]:
        """The last requests that a provider received in full, oldest first.

        Raises:
            KeyError: There is no such provider.
        """
        return self._providers[provider].book.received

    def public_state(self) -> dict[str, Any]:
        """Accounts with secrets masked, and all counts, as JSON."""
        books = {name: provider.book.public_view() for name, provider in self._providers.items()}
        return {"listening": self.listening, "providers": books}

    def gate(self, name: str) -> asyncio.Event:
        """The gate of that name, shut until somebody sets it; faults wait for it by `until`."""
        return self._gates.setdefault(name, asyncio.Event())

    async def open_listener(self) -> None:
        """Takes connections again, on the same port as before."""
        await self._listener.open()

    async def close_listener(self) -> None:
        """Refuses connections from now on, and drops idle ones; requests under way are still answered."""
        await self._listener.close()

    async def settle(self) -> None:
        """Waits until no request is under way and no delayed work is left; for ever, if a gate stays shut."""
        await self._listener.idle()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def end_accounts(self) -> None:
        """Ends every account at every provider; unlike after `reset`, no id comes a second time."""
        for provider in self._providers.values():
            provider.book.remove_all()

    def reset(self) -> None:
        """Forgets accounts, counts, requests, rules and gates, and cuts every request under way."""
        self._listener.cut_requests()
        self._cancel_tasks()
        for gate in self._gates.values():
            gate.set()
        self._gates.clear()
        self.faults.reset()
        for provider in self._providers.values():
            provider.book.clear()

    def _run_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

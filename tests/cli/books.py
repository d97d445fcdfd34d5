"""A ledger in a file, filled through its own API as a worker would, for commands to look at."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from contracts.reason import ReasonCode
from tests.builders import make_message
from tests.fakes import FixedClock
from tests.ledger.scene import Scene
from worker.core import states
from worker.core.burial import packed
from worker.core.dead_letter import DeadLetter
from worker.core.entry import Arrival, Claim
from worker.core.sealing import Sealer
from worker.core.states import State
from worker.core.story import HistoryLine
from worker.keyring import load_or_create
from worker.ledger import migrate, open_ledger

T = TypeVar("T")

PASSWORD = "canary-password-of-a-request"
PARAMETERS: Mapping[str, Any] = {"username": "order-1", "password": PASSWORD}
BODY = b'{"password": "canary-body-of-a-dead-letter"'
EXHAUSTED: Mapping[str, Any] = {"reason": ReasonCode.ATTEMPTS_EXHAUSTED}


@dataclass
class Desk(Scene):
    """A scene whose rows are sealed with the keys beside the ledger, so that every command can work on them."""

    keys: Sealer = field(kw_only=True)

    def arrival(
        self,
        key: str = "key-1",
        parameters: Mapping[str, Any] = PARAMETERS,
        generated: Sequence[str] = ("password",),
        **changes: Any,
    ) -> Arrival:
        """A request for an account, at Phone.com unless another provider is named, whose password was generated."""
        plain = super().arrival(key)
        content = json.dumps({"parameters": dict(parameters), "generated": list(generated)}).encode()
        sealed = self.keys.seal(content, f"request:{plain.request_id}")
        return replace(plain, sealed_request=sealed, **changes)

    def letter(self, name: str = "letter", keep: int | None = None, **changes: Any) -> DeadLetter:
        """A message that is no JSON, on its way to Phone.com; `keep`: of which so many bytes were kept."""
        message = make_message(BODY, queue="provisioning.requests.phone_com", routing_key="request.phone_com")
        sealed = self.keys.seal(packed(message, keep), f"dead_letter:{name}")
        return replace(super().letter(name), sealed_message=sealed, provider="phone_com", **changes)

    async def exhausted(self, key: str) -> Claim:
        """A held request of which every attempt certainly created nothing."""
        claim = await self.accepted(key)
        return await self.take(claim, states.HOLD_UNSENT, event=self.event(key), **EXHAUSTED)


class Books:
    """One ledger file with its keys, an hour old."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FixedClock(datetime.now(UTC) - timedelta(hours=1))
        self.environment = {"PROVISIONER_LEDGER__URL": self.url, "PROVISIONER_ACTOR": "olivia"}

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    @property
    def file(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def keys_file(self) -> Path:
        return self.folder / "ledger.db.keys.json"

    def write(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        """Do something to the ledger as a worker would, and close it again."""
        return asyncio.run(self._write(work))

    def bring(self, state: State, key: str = "key-1") -> str:
        """A request in this state; its id."""
        return self.write(lambda desk: desk.bring(state, key)).entry.request_id

    def state(self, request_id: str) -> State:
        """Where a request stands."""
        return self.write(lambda desk: desk.ledger.find(request_id)).state  # type: ignore[union-attr]

    def history(self, subject: str) -> list[HistoryLine]:
        """The story of a request or a dead letter."""
        return list(self.write(lambda desk: desk.ledger.history(subject)))

    def bury(self, name: str = "letter", **changes: Any) -> str:
        """A dead letter; its id."""

        async def work(desk: Desk) -> str:
            await desk.ledger.bury(desk.letter(name, **changes), None)
            return name

        return self.write(work)

    async def _write(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        keys = load_or_create(self.keys_file, may_create=False)
        async with open_ledger(self.url, clock=self.clock) as opened:
            return await work(Desk(opened, self.clock, self.url, keys=keys))


def empty_books(folder: Path) -> Books:
    """A ledger as the first start of a worker leaves it."""
    books = Books(folder)
    migrate(books.url)
    load_or_create(books.keys_file, may_create=True)
    return books


def copied(books: Books, folder: Path) -> Books:
    """The same in another folder."""
    for file in (books.file, books.keys_file):
        shutil.copy2(file, folder)
    return Books(folder)

"""The ledger of a simulation: it outlives every process, may be away, and forgets or keeps what it should not.

There are two kinds behind this door, which behave alike to the last step: `sql_books.py` and `plain_books.py`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tests.simulation.life import Life
from tests.simulation.scene import Scene
from tests.simulation.weather import Fault
from worker.core.clock import Clock
from worker.core.errors import LedgerUnavailable
from worker.core.ledger import Ledger
from worker.ledger.writer import _Job, _Outcome, _settle

UNKNOWN: Final = ("credentials_lost", "look_up_unsupported", "look_up_ambiguous", "look_up_exhausted")
"""Why a request is held of which there is something that nobody knows."""

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """A request as it stands in the ledger."""

    request_id: str
    key: str
    provider: str
    state: str
    reason: str | None
    account_id: str | None
    event_id: str | None
    dry_run: bool
    doubted: bool
    pruned: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A step of its story."""

    name: str
    leaves: str | None
    enters: str
    event_id: str | None


class Books(ABC):
    """The database itself, and what stands in it behind everybody's back."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.away = False

    @abstractmethod
    def open(self, life: Life, clock: Clock, *, alone: bool) -> Ledger:
        """A process opens the ledger.

        Raises:
            LedgerUnavailable: it is away.
        """

    @abstractmethod
    def set(self, clock: Clock, *, begins: bool) -> None:
        """Let a clock go on where the ledger's time is, as opening a ledger does; `begins`: as a worker opens it."""

    @abstractmethod
    def close(self) -> None:
        """Forget everything."""

    def refuse_while_away(self) -> None:
        """As a database does that is away.

        Raises:
            LedgerUnavailable: always, while it is.
        """
        if self.away:
            raise LedgerUnavailable("the ledger in memory cannot be used: it is away")

    def begin(self, life: Life) -> None:
        """A transaction begins, unless the ledger is away or breaks.

        Raises:
            LedgerUnavailable: nothing was written.
        """
        self.refuse_while_away()
        self._break(Fault.LEDGER_BEFORE, life)

    def end(self, life: Life) -> None:
        """A transaction is committed, and perhaps nobody is told.

        Raises:
            LedgerUnavailable: what was written stays.
        """
        self._break(Fault.LEDGER_AFTER, life)

    def _break(self, fault: Fault, life: Life) -> None:
        if self.scene.strikes(fault):
            self.scene.trace.fault(fault, life.name)
            raise LedgerUnavailable(f"the ledger in memory cannot be used: {fault}")

    # --- what stands in it --------------------------------------------------------------------------------------

    @abstractmethod
    def knows(self, event_id: str) -> bool:
        """Whether an event was recorded."""

    @abstractmethod
    def unended(self) -> Sequence[str]:
        """Requests that are neither final nor held, in words."""

    @abstractmethod
    def unpublished(self) -> Sequence[str]:
        """Events that are not confirmed, in words."""

    @abstractmethod
    def keyless(self) -> Iterable[tuple[str, str]]:
        """Key and provider of the requests that are held for what nobody could find out, their credentials for one."""

    @abstractmethod
    def rows(self) -> Sequence[Row]:
        """All requests."""

    @abstractmethod
    def count(self) -> int:
        """How many requests there are."""

    @abstractmethod
    def steps(self) -> Iterable[tuple[str, Line]]:
        """Every step of every story, with whose it is."""

    @abstractmethod
    def letters(self) -> Sequence[str | None]:
        """Message ids of the dead letters."""

    @abstractmethod
    def touchable(self) -> Sequence[str]:
        """Ids of the requests as an operator goes through them: those that are provisioned last."""

    @abstractmethod
    def open_letters(self) -> Sequence[str]:
        """Ids of the dead letters that nobody closed."""


class GroupCommit(Generic[S]):
    """One process's way to write: what is handed in while a commit takes its time is in the next one.

    Args:
        scene: Decides how long a commit takes.
        outcomes: Runs units in one transaction.
    """

    def __init__(
        self, scene: Scene, life: Life, outcomes: Callable[[Sequence[_Job]], Sequence[_Outcome]]
    ) -> None:
        self._scene = scene
        self._life = life
        self._outcomes = outcomes
        self._waiting: list[_Job] = []

    async def write(self, unit: Callable[[S], T]) -> T:
        """Run the unit in the next transaction, unless the process is killed before."""
        life = self._life
        await life.cross("write")
        future: asyncio.Future[T] = life.loop.create_future()
        if not self._waiting:
            life.loop.after(self._scene.between(0.0001, self._scene.weather.slow_commit), self._commit)
        self._waiting.append(_Job(unit, future))  # type: ignore[arg-type]  # a unit of the writer's own kind
        found = await future
        await life.cross("written")
        return found

    def _commit(self, *_: object) -> None:
        life = self._life
        if life.frozen and not life.dead:
            life.thawed().add_done_callback(self._commit)
            return
        jobs, self._waiting = self._waiting, []
        if not life.dead:
            _settle(jobs, self._outcomes(jobs))


async def answer(scene: Scene, life: Life, question: Callable[[], T]) -> T:
    """Ask the ledger something: it takes its time, and is as of the end of that."""
    await life.cross("ask")
    await life.pass_time(scene.between(0.0001, 0.002))
    await life.wake()
    found = question()
    await life.cross("asked")
    return found

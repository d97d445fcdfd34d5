"""How a test sets a ledger up, and how it looks at what is really stored."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import sqlalchemy as sa

from contracts.reason import ReasonCode
from tests.fakes import FixedClock
from tests.ledger.kinds import empty_plain, tables_at
from worker.core import states
from worker.core.change import Change, Event, Seen
from worker.core.dead_letter import DeadLetter
from worker.core.entry import Accepted, Arrival, Claim, Entry
from worker.core.ledger import Ledger
from worker.core.sealing import Sealed
from worker.core.states import Actor, State, Transition
from worker.core.verdict import Moment, Verdict
from worker.ledger import SqlLedger
from worker.ledger.memory import MEMORY, memory_uri
from worker.ledger.schema import metadata
from worker.ledger.sqlite import opened

WORKER = "worker-1"
PROVIDER = "phone_com"
SOURCE = "urn:test"
SEEN = Seen(Verdict.NOT_DONE, "phone_com.422", Moment.ANSWER_READ, 422, "E1", "no", {"hint": "none"})

_NAMESPACE = UUID(int=7)


@dataclass
class Scene:
    """One ledger and one worker on it."""

    ledger: Ledger
    clock: FixedClock
    url: str
    worker: str = WORKER

    @property
    def sql(self) -> SqlLedger:
        """The ledger, where the test looks into what only a real one has."""
        assert isinstance(self.ledger, SqlLedger)
        return self.ledger

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def later(self, seconds: float) -> datetime:
        """The time in that many seconds."""
        return self.now + timedelta(seconds=seconds)

    def arrival(self, key: str = "key-1", **changes: Any) -> Arrival:
        """A request on its way in."""
        return replace(make_arrival(key, self.now), **changes)

    async def accepted(self, key: str = "key-1", **changes: Any) -> Claim:
        """A new row, claimed by this worker."""
        acceptance = await self.ledger.accept(self.arrival(key, **changes), self.worker)
        assert isinstance(acceptance, Accepted)
        return acceptance.claim

    def change(self, way: Transition, **more: Any) -> Change:
        """A change that takes this way, with what the way asks for."""
        actor = "olivia" if way.by is Actor.OPERATOR else self.worker
        plain = Change(way, self.now, ReasonCode.INTERNAL_ERROR, actor)
        return replace(plain, **more)

    async def take(self, claim: Claim, way: Transition, **more: Any) -> Claim:
        """Record a change."""
        return await self.ledger.record(claim, self.change(way, **more))

    async def operate(self, entry: Entry, way: Transition, **more: Any) -> Entry:
        """Apply an operator's change to what was looked at."""
        return await self.ledger.operate(entry, self.change(way, **more))

    async def entry(self, claim: Claim) -> Entry:
        """The row as it is stored."""
        found = await self.ledger.find(claim.entry.request_id)
        assert found is not None
        return found

    async def sending(self, key: str = "key-1", **changes: Any) -> Claim:
        """A row whose create may be under way."""
        return await self.take(await self.accepted(key, **changes), states.SEND, counts=True)

    async def in_doubt(self, key: str = "key-1", due_in: float = 0) -> Claim:
        """A row whose account may exist."""
        return await self.take(await self.sending(key), states.DOUBT, due_at=self.later(due_in))

    async def provisioned(self, key: str = "key-1") -> Claim:
        """A row with its account and an event that nobody confirmed."""
        event = self.event(key)
        return await self.take(await self.sending(key), states.PROVISION, account_id=key, event=event)

    def event(self, name: str = "event") -> Event:
        """A result event; the same name is the same event."""
        return Event(
            str(uuid5(_NAMESPACE, name)),
            "account.provisioned.v1",
            "result.x.y",
            Sealed(f"s:{name}"),
            self.now,
        )

    def letter(self, name: str = "letter", **changes: Any) -> DeadLetter:
        """A message that could not become a request."""
        plain = DeadLetter(
            dead_letter_id=name,
            queue="provisioning.dead-letters",
            routing_key="request.phone_com",
            reason=ReasonCode.NOT_JSON,
            problems=({"pointer": "", "message": "this is no JSON"},),
            sealed_message=Sealed("s:letter"),
            size=12,
            message_id="m-1",
            source=None,
            idempotency_key=None,
            provider=None,
            received_at=self.now,
        )
        return replace(plain, **changes)

    async def bring(self, state: State, key: str = "key-1") -> Claim:
        """A row in this state, by an honest way."""
        honest = {
            State.ACCEPTED: self.accepted,
            State.WAITING: self.waiting,
            State.SENDING: self.sending,
            State.IN_DOUBT: self.in_doubt,
            State.HELD: self.held,
            State.PROVISIONED: self.provisioned,
            State.REJECTED: self.rejected,
            State.ABANDONED: self.abandoned,
        }
        return await honest[state](key)

    async def waiting(self, key: str = "key-1") -> Claim:
        """A row that nothing was sent for and that is due."""
        return await self.take(await self.accepted(key), states.WAIT, due_at=self.now)

    async def held(self, key: str = "key-1") -> Claim:
        """A row that a person must look at."""
        return await self.take(await self.sending(key), states.HOLD)

    async def rejected(self, key: str = "key-1") -> Claim:
        """A row that was refused, with an event that nobody confirmed."""
        return await self.take(await self.accepted(key), states.REJECT, event=self.event(key))

    async def abandoned(self, key: str = "key-1") -> Claim:
        """A row that a person closed, with an event that nobody confirmed."""
        claim = await self.accepted(key)
        entry = await self.operate(claim.entry, states.ABANDON, event=self.event(key))
        return Claim(entry, self.worker)

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything in every table but the signs of life."""
        tables = tables_at(self.url)
        if tables is not None:
            rows = {name: repr(content) for name, content in vars(tables).items() if name != "workers"}
            return {name: [(row,)] for name, row in rows.items()}
        with connected(self.url) as connection:
            return {
                name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
                for name, table in metadata.tables.items()
                if name != "workers"
            }


def make_arrival(key: str, at: datetime) -> Arrival:
    """A request with this key."""
    return Arrival(
        request_id=str(uuid4()),
        source=SOURCE,
        idempotency_key=key,
        provider=PROVIDER,
        fingerprint="k1:same",
        same=lambda stored: stored == "k1:same",
        sealed_request=Sealed("s:request"),
        context={"id": "e-1", "subject": "s"},
        content_mode="structured",
        dry_run=False,
        deadline=None,
        received_at=at,
    )


def wait_for_others(url: str, state: str = "%") -> None:
    """Wait until no other session of this database on a server is in such a state, or in any."""
    others = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND coalesce(state, '') LIKE :state"
    )
    found = 1
    while found:
        with connected(url) as connection:  # anew each time: within a transaction the answer stays the same
            found = connection.execute(others, {"state": state}).scalar_one()


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A connection of the test's own, which commits."""
    _, _, in_memory = url.partition(MEMORY)
    options: dict[str, Any] = {"creator": lambda: opened(memory_uri(in_memory))} if in_memory else {}
    driver = url.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(driver, poolclass=sa.NullPool, **options)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL TIME ZONE 'Asia/Kathmandu'")  # must make no difference
        yield connection


def empty(url: str) -> None:
    """Make a ledger as good as new."""
    if tables_at(url) is not None:
        empty_plain(url)
        return
    with connected(url) as connection:
        if connection.dialect.name == "postgresql":
            # Without the history's guard; and much quicker than TRUNCATE, which makes new files.
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        else:
            connection.exec_driver_sql("UPDATE requests SET pruned_at = received_at")
        for table in sorted(
            metadata.sorted_tables, key=lambda table: table.name in {"requests", "dead_letters"}
        ):
            connection.execute(sa.delete(table))


def count_commits(ledger: SqlLedger) -> Callable[[], int]:
    """How many transactions the ledger has committed since."""
    commits = 0

    def count(_: sa.Connection) -> None:
        nonlocal commits
        commits += 1

    sa.event.listen(ledger._writer._store._writing, "commit", count)  # type: ignore[attr-defined]
    return lambda: commits

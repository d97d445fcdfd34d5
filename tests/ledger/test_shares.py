"""What all workers of a provider share: its slots are divided among the living, and its waits hold for everybody."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from tests.fakes import FixedClock
from tests.ledger.conftest import SQL
from tests.ledger.kinds import open_any, tables_at
from tests.ledger.scene import PROVIDER, Scene, connected, count_commits
from worker.core.ledger import Ledger
from worker.core.overview import Pause
from worker.core.shares import Wish
from worker.core.story import HistoryLine
from worker.ledger.schema import shares, waits

OTHER = "postcode_eu"


class Crew:
    """Workers that ask for slots as upkeep does: each keeps no more than it was given."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.slots: Counter[str] = Counter()
        self.in_use: Counter[str] = Counter()

    async def ask(self, worker: str, *, limit: int = 4, leaves: bool = False) -> int:
        """One round of a worker; the slots it may use from now on."""
        ledger, now = self.scene.ledger, self.scene.now
        await ledger.heartbeat(worker, now)
        keeps = max(self.in_use[worker], self.slots[worker])
        found = await ledger.share(worker, {PROVIDER: Wish(limit, keeps, leaves)}, now)
        self.slots[worker] = found[PROVIDER].slots
        return self.slots[worker]

    async def rounds(self, *workers: str, count: int = 3, limit: int = 4) -> dict[str, int]:
        """Some rounds of each; what they have at the end."""
        for _ in range(count):
            for worker in workers:
                await self.ask(worker, limit=limit)
                assert sum(self.stored().values()) <= limit
        return {worker: self.slots[worker] for worker in workers}

    def stored(self) -> dict[str, int]:
        """The shares that stand in the ledger."""
        tables = tables_at(self.scene.url)
        if tables is not None:
            return dict(tables.shares[PROVIDER])
        with connected(self.scene.url) as connection:
            rows = connection.execute(sa.select(shares.c.worker, shares.c.slots))
            return {row.worker: row.slots for row in rows}


@pytest.fixture
def crew(scene: Scene) -> Crew:
    """Nobody has asked yet."""
    return Crew(scene)


async def test_who_is_alone_has_everything_at_once(crew: Crew) -> None:
    """One worker needs no second round."""
    assert await crew.ask("a") == 4


@pytest.mark.parametrize(
    ("limit", "parts", "reason"),
    [
        (4, {"a": 2, "b": 2}, "it divides evenly"),
        (5, {"a": 3, "b": 2}, "what is left over goes to the first by name"),
        (4, {"a": 2, "b": 1, "c": 1}, "and to nobody else"),
        (2, {"a": 1, "b": 1, "c": 0}, "more workers than slots: one has none"),
    ],
)
async def test_living_workers_have_equal_parts(
    crew: Crew, limit: int, parts: dict[str, int], reason: str
) -> None:
    """After a few rounds each has its fair part, whoever came first; it then stays where it is."""
    assert await crew.rounds(*parts, limit=limit) == parts, reason
    assert await crew.rounds(*parts, count=1, limit=limit) == parts, reason


async def test_slots_in_use_are_not_taken_away(crew: Crew) -> None:
    """A newcomer gets what becomes free, when it becomes free."""
    await crew.ask("a")
    crew.in_use["a"] = 4
    assert await crew.rounds("a", "b") == {"a": 2, "b": 0}
    crew.in_use["a"] = 3
    assert await crew.rounds("a", "b", count=1) == {"a": 2, "b": 1}
    crew.in_use["a"] = 0
    assert await crew.rounds("a", "b", count=1) == {"a": 2, "b": 2}


async def test_a_worker_that_ends_leaves_its_slots_to_the_others(crew: Crew) -> None:
    """At once, without a lease to wait for."""
    await crew.rounds("a", "b")
    await crew.scene.ledger.retire("a")
    assert await crew.ask("b") == 4
    assert crew.stored() == {"b": 4}


async def test_the_slots_of_a_dead_worker_are_free_after_its_lease(crew: Crew) -> None:
    """Not a moment earlier: it may still begin creates."""
    await crew.rounds("a", "b")
    crew.scene.clock.advance(29.999)
    assert await crew.ask("b") == 2
    crew.scene.clock.advance(0.001)
    assert await crew.ask("b") == 4
    assert crew.stored() == {"b": 4}


async def test_a_worker_that_was_only_frozen_finds_its_slots_taken(crew: Crew) -> None:
    """What it still has under way is finished; it begins nothing before others have given something back."""
    await crew.rounds("a", "b")
    crew.in_use["a"], crew.in_use["b"] = 2, 4
    crew.scene.clock.advance(31)
    await crew.ask("b")
    assert await crew.ask("a") == 0
    crew.in_use["b"] = 3
    assert await crew.rounds("b", "a", count=2) == {"b": 2, "a": 1}


async def test_who_leaves_keeps_what_is_in_use_and_no_more(crew: Crew) -> None:
    """A lane that is closed begins nothing, so its part is of use to others; it comes back like a newcomer."""
    await crew.rounds("a", "b")
    crew.in_use["a"] = 1
    await crew.ask("a", leaves=True)
    crew.slots["a"] = 0
    assert (await crew.ask("a", leaves=True), await crew.ask("b")) == (0, 2)
    assert crew.stored() == {"a": 1, "b": 2}
    crew.in_use["a"] = 0
    await crew.ask("a", leaves=True)
    assert (await crew.ask("b"), crew.stored()) == (4, {"b": 4})
    assert await crew.rounds("a", "b") == {"a": 2, "b": 2}


async def test_workers_that_are_configured_differently_agree_on_the_larger_limit(crew: Crew) -> None:
    """While a new limit is rolled out nobody is driven below what the old one allowed, and none exceeds both."""
    await crew.ask("a", limit=8)
    for _ in range(3):
        parts = (await crew.ask("b", limit=4), await crew.ask("a", limit=8))
        assert sum(crew.stored().values()) <= 8
    assert parts == (0, 4)
    await crew.scene.ledger.retire("a")
    assert await crew.ask("b", limit=4) == 4


async def test_each_provider_is_divided_by_itself(scene: Scene) -> None:
    """A worker that does not know a provider has no part of it."""
    both = {PROVIDER: Wish(4, 0), OTHER: Wish(3, 0)}
    await scene.ledger.share("a", both, scene.now)
    found = await scene.ledger.share("b", {PROVIDER: Wish(4, 0)}, scene.now)
    assert set(found) == {PROVIDER}
    found = await scene.ledger.share("a", {PROVIDER: Wish(4, 4), OTHER: Wish(3, 3)}, scene.now)
    assert {provider: share.slots for provider, share in found.items()} == {PROVIDER: 2, OTHER: 3}


async def test_a_restart_under_the_same_name_begins_without_slots(crew: Crew) -> None:
    """What the dead one had is not inherited: nobody knows what became of it."""
    await crew.rounds("a", "b")
    async with open_any(crew.scene.url, clock=crew.scene.clock, lease=30) as again:
        await again.heartbeat("a", crew.scene.now)
        assert crew.stored() == {"b": 2}


async def test_a_round_in_which_nothing_moves_changes_nothing(crew: Crew) -> None:
    """So it costs no sync of the disk."""
    await crew.rounds("a", "b")
    before = crew.scene.stored()
    await crew.scene.ledger.share("a", {PROVIDER: Wish(4, 2)}, crew.scene.now)
    assert crew.scene.stored() == before


@pytest.mark.parametrize("ledger_url", SQL, indirect=True)
async def test_a_round_in_which_nothing_moves_is_one_commit(crew: Crew) -> None:
    """Of a transaction that wrote nothing."""
    await crew.rounds("a", "b")
    commits = count_commits(crew.scene.sql)
    await crew.scene.ledger.share("a", {PROVIDER: Wish(4, 2)}, crew.scene.now)
    assert commits() == 1


# --- waits ----------------------------------------------------------------------------------------------------


async def test_a_wait_is_told_to_everybody(scene: Scene) -> None:
    """What one worker was asked for, all follow; a shorter one does not shorten it."""
    until = scene.later(60)
    first = await scene.ledger.share("a", {PROVIDER: Wish(4, 0, wait_until=until)}, scene.now)
    other = await scene.ledger.share("b", {PROVIDER: Wish(4, 0, wait_until=scene.later(9))}, scene.now)
    last = await scene.ledger.share("a", {PROVIDER: Wish(4, 0)}, scene.now)
    assert [found[PROVIDER].wait_until for found in (first, other, last)] == [until] * 3


async def test_without_a_wait_nobody_waits(scene: Scene) -> None:
    """The time that comes back lies not in the future."""
    found = await scene.ledger.share("a", {PROVIDER: Wish(4, 0)}, scene.now)
    assert found[PROVIDER].wait_until <= scene.now


async def test_an_operator_ends_a_wait_by_resuming(scene: Scene) -> None:
    """A provider may ask for a day by mistake. A pause is lifted first; then the wait; then nothing is left to lift."""
    await scene.ledger.share("a", {PROVIDER: Wish(4, 0, wait_until=scene.later(86400))}, scene.now)
    await scene.ledger.pause(Pause(PROVIDER, "operator", "ada", "by hand", scene.now))
    lifted = [await scene.ledger.resume(PROVIDER, "ada", "they said so", scene.now) for _ in range(3)]
    found = await scene.ledger.share("a", {PROVIDER: Wish(4, 0)}, scene.now)
    assert (lifted, found[PROVIDER].wait_until) == ([True, True, False], scene.now)
    story: list[HistoryLine] = list(await scene.ledger.pause_history(PROVIDER, 10))
    assert [line.name for line in story] == ["resume", "resume", "pause"]


# --- several processes ----------------------------------------------------------------------------------------


@pytest.fixture
async def other(ledger_url: str, clock: FixedClock, scene: Scene) -> AsyncIterator[Ledger]:
    """A second ledger on the same database, as another process has it."""
    async with open_any(ledger_url, clock=clock, lease=30) as ledger:
        yield ledger


@pytest.mark.postgresql
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_a_provider_that_is_being_divided_is_passed_over(scene: Scene, other: Ledger) -> None:
    """A worker that was frozen in the middle of dividing holds up nobody: the others go on with what they have."""
    await scene.ledger.share("a", {PROVIDER: Wish(4, 0), OTHER: Wish(3, 0)}, scene.now)
    with connected(scene.url) as connection:
        connection.execute(sa.select(waits).where(waits.c.provider == PROVIDER).with_for_update())
        found = await other.share("b", {PROVIDER: Wish(4, 0), OTHER: Wish(3, 0)}, scene.now)
    assert set(found) == {OTHER}
    assert set(await other.share("b", {PROVIDER: Wish(4, 0)}, scene.now)) == {PROVIDER}

"""A move that is undone, and one that is refused before anything is marked."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.ledger.moves import CLOCK, content, interrupted, move, unusable
from tests.ledger.scene import PROVIDER, Scene
from worker.core import states
from worker.core.dead_letter import LetterState
from worker.core.entry import Entry
from worker.core.errors import ConfigurationError, LedgerUnavailable, NotAllowed
from worker.core.overview import Filter, Pause
from worker.core.states import State
from worker.core.story import HistoryLine
from worker.ledger import migrate, open_ledger
from worker.ledger.migrating import change, undisturbed
from worker.ledger.moving import Progress, cancel
from worker.ledger.urls import store_at

pytestmark = pytest.mark.postgresql


@pytest.mark.parametrize("step", ["marked", "prepared", "history 200", "verified"])
async def test_a_move_of_which_nothing_arrived_can_be_cancelled(source: str, target: str, step: str) -> None:
    """The file is the ledger again, as it was; and the server may be used for another one."""
    before = content(source)
    with interrupted(source, target, step):
        cancel(source, target)
    assert (unusable(source), content(source)) == (None, before)
    with pytest.raises(NotAllowed, match="is not being moved"):
        cancel(source, target)
    move(source, target)
    assert content(target) == before


async def test_a_move_of_which_everything_arrived_cannot_be_cancelled(source: str, target: str) -> None:
    """A worker may be at work there already: two ledgers would open accounts twice."""
    with (
        interrupted(source, target, "copied"),
        pytest.raises(NotAllowed, match="without --cancel ends the move"),
    ):
        cancel(source, target)
    assert "was moved to" in (unusable(source) or "")
    move(source, target)
    with pytest.raises(NotAllowed, match="already"):
        cancel(source, target)


# --- refused --------------------------------------------------------------------------------------------------


async def test_a_ledger_that_is_worked_on_is_not_moved(source: str, target: str) -> None:
    """The process is named; nothing is marked."""
    async with open_ledger(source, exclusive=True):
        with pytest.raises(NotAllowed, match=r"a worker \(process \d+\) works on the ledger .*stop it first"):
            move(source, target)
    assert unusable(source) is None


@pytest.mark.parametrize("what", ["requests", "workers", "pauses"])
async def test_a_server_that_is_not_empty_is_refused(source: str, target: str, what: str) -> None:
    """A ledger in which there is anything, or on which a worker began, is never mixed with another."""
    async with open_ledger(target, clock=CLOCK, exclusive=True) as ledger:
        scene = Scene(ledger, CLOCK, target)
        match what:
            case "requests":
                await scene.accepted()
            case "workers":
                await ledger.heartbeat("worker-1", CLOCK.now())
            case _:
                await ledger.pause(Pause(PROVIDER, "operator", "olivia", "by hand", CLOCK.now()))
    with pytest.raises(NotAllowed, match=f"there is something in the table ({what}|history)"):
        move(source, target)
    assert unusable(source) is None


async def test_an_empty_ledger_that_somebody_only_looked_at_will_do(source: str, target: str) -> None:
    """`config check --online` before the move writes a small row; it does not count."""
    before = content(source)
    migrate(target)
    async with open_ledger(target) as ledger:
        await ledger.check()
    move(source, target)
    assert content(target) == before


async def test_a_ledger_goes_to_one_place_only(
    source: str, target: str, postgresql_ledger_url: str, tmp_path: Path
) -> None:
    """A second target is refused until the first is cancelled; and a server takes one ledger only."""
    with interrupted(source, target, "prepared"), pytest.raises(NotAllowed, match="already, not to"):
        move(source, postgresql_ledger_url)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    migrate(other)
    with pytest.raises(NotAllowed, match="another ledger was moved to"):
        move(other, target)
    assert unusable(other) is None
    cancel(source, target)
    move(other, target)


async def test_a_moved_file_does_not_forget_that_by_going_back(source: str, target: str) -> None:
    """An older worker would not know of the move, and work on it."""
    move(source, target)
    with undisturbed(store_at(source)) as connection, pytest.raises(NotAllowed, match="would forget that"):
        change(connection, "there", "0001", may_lose=True)


async def test_a_server_that_is_not_all_there_does_not_forget_that_by_going_back(
    source: str, target: str
) -> None:
    """A worker that started there would find an empty ledger, and open every account anew."""
    with (
        interrupted(source, target, "prepared"),
        undisturbed(store_at(target)) as connection,
        pytest.raises(NotAllowed, match=r"is being filled from .*; going back would forget that"),
    ):
        change(connection, "there", "0001", may_lose=True)


HOPELESS = [
    ("{target}", "{target}", ConfigurationError, "only a ledger in a SQLite file is moved"),
    ("sqlite:///:memory:x", "{target}", ConfigurationError, "only a ledger in a SQLite file is moved"),
    ("{source}", "{source}", ConfigurationError, "is moved to postgresql://"),
    ("{source}", "postgresql://u:geheim@127.0.0.1:1/x", LedgerUnavailable, r"127\.0\.0\.1:1/x"),
    ("{source}", "nonsense", ConfigurationError, "cannot be read"),
    ("{folder}/none.db", "{target}", LedgerUnavailable, "none.db"),
    ("{folder}/empty.db", "{target}", ConfigurationError, "there is no ledger at"),
]


@pytest.mark.parametrize("case", HOPELESS, ids=[f"{case[0]} to {case[1]}" for case in HOPELESS])
async def test_what_cannot_be_moved_is_told(
    source: str, target: str, tmp_path: Path, case: tuple[str, str, type[Exception], str]
) -> None:
    """In words, without a password; the file is as it was."""
    (tmp_path / "empty.db").touch()
    names = {"source": source, "target": target, "folder": f"sqlite:///{tmp_path}"}
    here, there, kind, words = case
    with pytest.raises(kind, match=words) as told:
        move(here.format(**names), there.format(**names))
    assert "geheim" not in str(told.value)
    assert unusable(source) is None


# --- an operator beside it ------------------------------------------------------------------------------------


async def abandon(scene: Scene) -> None:
    """Close the books on a request that is held."""
    (held, *_) = await scene.ledger.entries(Filter(states=frozenset({State.HELD})))
    await scene.operate(held, states.ABANDON)


async def publish_again(scene: Scene) -> None:
    """Have the event of a request published again."""
    (done, *_) = await scene.ledger.entries(Filter(states=frozenset({State.PROVISIONED})))
    assert await scene.ledger.mark_unpublished(done.request_id, scene.now, "olivia", None)


async def note(scene: Scene) -> None:
    """Append to a story."""
    (held, *_) = await scene.ledger.entries(Filter(states=frozenset({State.HELD})))
    line = HistoryLine(scene.now, "olivia", "note", None, None, None, "seen", {})
    await scene.ledger.note(held.request_id, line)


async def discard(scene: Scene) -> None:
    """Close a dead letter."""
    await scene.ledger.change_dead_letter("open", LetterState.DISCARDED, "olivia", "nonsense", scene.now)


async def pause(scene: Scene) -> None:
    """Have a provider left alone."""
    await scene.ledger.pause(Pause("gateway360", "operator", "olivia", "by hand", scene.now))


async def resume(scene: Scene) -> None:
    """Have a provider asked again."""
    assert await scene.ledger.resume(PROVIDER, "olivia", "done", scene.now)


VERBS = [abandon, publish_again, note, discard, pause, resume]


async def refusal(url: str) -> str:
    """What who opens the ledger now is told."""
    with pytest.raises(ConfigurationError) as told:
        async with open_ledger(url):
            pass
    return str(told.value)


@pytest.mark.parametrize("verb", VERBS)
async def test_an_operator_who_opened_a_file_before_it_was_moved_is_refused(
    source: str, target: str, verb: Callable[[Scene], Awaitable[None]]
) -> None:
    """In the words for who comes later: what was written there would be lost. Once the move is undone it is taken."""
    before = content(source)
    async with open_ledger(source, clock=CLOCK) as ledger:
        scene = Scene(ledger, CLOCK, source)
        with interrupted(source, target, "prepared"), pytest.raises(ConfigurationError) as told:
            await verb(scene)
        assert (str(told.value), content(source)) == (await refusal(source), before)
        cancel(source, target)
        await verb(scene)
    assert content(source) != before


async def test_an_operators_write_that_waits_for_the_end_of_a_move_is_refused(
    source: str, target: str
) -> None:
    """It is handed in while the file is locked for the copy; the row is as it was in both places."""
    before, loop = content(source), asyncio.get_running_loop()
    async with open_ledger(source, clock=CLOCK) as ledger:
        scene = Scene(ledger, CLOCK, source)
        (held, *_) = await ledger.entries(Filter(states=frozenset({State.HELD})))
        waiting: list[asyncio.Task[Entry]] = []

        async def begin() -> None:
            waiting.append(asyncio.create_task(scene.operate(held, states.ABANDON)))
            await asyncio.sleep(0)  # it is handed in

        def told(progress: Progress) -> None:
            if progress.step == "verified":
                asyncio.run_coroutine_threadsafe(begin(), loop).result(60)

        await asyncio.to_thread(move, source, target, told)
        with pytest.raises(ConfigurationError, match="was moved to"):
            await waiting[0]
    assert content(source) == content(target) == before


async def test_an_operator_who_opened_a_server_before_it_was_filled_is_refused_until_all_is_there(
    source: str, target: str
) -> None:
    """Nothing is mixed into what arrives."""
    migrate(target)
    async with open_ledger(target, clock=CLOCK) as ledger:
        scene = Scene(ledger, CLOCK, target)
        with (
            interrupted(source, target, "prepared"),
            pytest.raises(ConfigurationError, match="is being filled from"),
        ):
            await pause(scene)
        move(source, target)
        await abandon(scene)

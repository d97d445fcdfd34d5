"""A move that is undone, and one that is refused before anything is marked."""

from pathlib import Path

import pytest

from tests.ledger.moves import CLOCK, content, interrupted, move, unusable
from tests.ledger.scene import PROVIDER, Scene
from worker.core.errors import ConfigurationError, LedgerUnavailable, NotAllowed
from worker.core.overview import Pause
from worker.ledger import migrate, open_ledger
from worker.ledger.migrating import change, undisturbed
from worker.ledger.moving import cancel
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

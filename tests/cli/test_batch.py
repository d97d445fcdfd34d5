"""A verb on many rows that is ended in the middle: what was done, what may be, and what was not begun is told."""

import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.cli.books import Books
from tests.cli.terminal import Said, Terminal
from worker.cli import batch
from worker.cli.output import print_json
from worker.core.errors import LedgerUnavailable, NotAllowed, SealBroken
from worker.core.states import State
from worker.operations.accounts import Account
from worker.operations.requests import RequestOperations
from worker.operations.verbs import Plan

Abandoned = Callable[[Callable[[], None], str], Said]
"""Abandons three requests; what is given happens `before` or `after` the deed on the second one."""


@pytest.fixture
def ids(books: Books) -> list[str]:
    """Three requests that wait."""
    return [books.bring(State.WAITING, f"order-{number}") for number in range(3)]


@pytest.fixture
def abandoned(terminal: Terminal, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Abandoned]:
    """A verb on three rows, in the middle of which something happens."""
    original, before = RequestOperations.carry_out, signal.getsignal(signal.SIGINT)

    def run(happens: Callable[[], None], when: str) -> Said:
        async def disturbed(
            hands: RequestOperations, planned: Plan, reason: str, account: Account | None = None
        ) -> str:
            is_second = planned.entry.request_id == ids[1]
            if is_second and when == "before":
                happens()
            said = await original(hands, planned, reason, account)
            if is_second and when == "after":
                happens()
            return said

        monkeypatch.setattr(RequestOperations, "carry_out", disturbed)
        return terminal("requests", "abandon", *ids, "--reason", "because of a test", "--json")

    yield run
    assert signal.getsignal(signal.SIGINT) is before


def interrupt(times: int = 1) -> None:
    """Ctrl-C."""
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_row_under_way_is_finished(books: Books, ids: list[str], abandoned: Abandoned, when: str) -> None:
    """One Ctrl-C leaves nothing half done or untold: two are done and told, the third was not begun."""
    said = abandoned(interrupt, when)
    assert (said.code, [(it["request"], it["effect"]) for it in said.json]) == (
        130,
        [(ids[0], "done"), (ids[1], "done")],
    )
    assert said.err.startswith("stops after this row; Ctrl-C again ends it at once")
    assert "stopped: 1 of 3 were not begun" in said.err
    assert [books.state(each) for each in ids] == [State.ABANDONED, State.ABANDONED, State.WAITING]


@pytest.mark.parametrize(("when", "state"), [("before", State.WAITING), ("after", State.ABANDONED)])
def test_a_second_interrupt_ends_it_at_once_and_names_the_row(
    books: Books, ids: list[str], abandoned: Abandoned, when: str, state: State
) -> None:
    """Whether that row was done nobody can tell, so it is told as unclear, with what to do."""
    said = abandoned(lambda: interrupt(2), when)
    assert (said.code, [(it["request"], it["effect"]) for it in said.json]) == (
        130,
        [(ids[0], "done"), (ids[1], "unclear")],
    )
    assert "may be done or not" in said.json[1]["what"]
    assert books.state(ids[1]) is state


@pytest.mark.parametrize(
    ("code", "effect", "reason"),
    [
        (0, "done", "as if nobody had been impatient"),
        (3, "blocked", "that it did not fit is not hidden"),
    ],
)
def test_an_interrupt_in_the_last_row_is_heard_and_changes_nothing(
    ids: list[str], abandoned: Abandoned, code: int, effect: str, reason: str
) -> None:
    """Whoever waits for it is answered at once; and as it was finished, so is the verb."""

    def disturb() -> None:
        interrupt()
        if effect == "blocked":
            raise NotAllowed("it changed meanwhile")

    del ids[2]
    said = abandoned(disturb, "before")
    assert (said.code, [it["effect"] for it in said.json]) == (code, ["done", effect]), reason
    assert said.err == "stops after this row; Ctrl-C again ends it at once, done or not\n"


def test_an_interrupt_that_is_ignored_stays_ignored(
    books: Books, ids: list[str], abandoned: Abandoned
) -> None:
    """What a script runs in the background is not meant by a Ctrl-C at its terminal."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        said = abandoned(interrupt, "before")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert (said.code, said.err) == (0, "")
    assert {books.state(each) for each in ids} == {State.ABANDONED}


def test_a_terminal_that_is_gone_does_not_end_the_row_under_way(
    books: Books, ids: list[str], abandoned: Abandoned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can be told there that the interrupt was heard; it is obeyed all the same."""

    def gone(_: str) -> int:
        raise OSError

    def interrupt_unseen() -> None:
        with monkeypatch.context() as patching:
            patching.setattr(sys.stderr, "write", gone)
            interrupt()

    said = abandoned(interrupt_unseen, "before")
    assert (said.code, len(said.json)) == (130, 2)
    assert books.state(ids[1]) is State.ABANDONED


def test_a_ledger_that_goes_away_leaves_the_row_unclear(ids: list[str], abandoned: Abandoned) -> None:
    """A commit whose confirmation is lost may have been made."""

    def gone() -> None:
        raise LedgerUnavailable("gone")

    said = abandoned(gone, "after")
    assert (said.code, [it["effect"] for it in said.json]) == (69, ["done", "unclear"])
    assert "stopped: 1 of 3 were not begun" in said.err


def test_keys_that_are_missing_leave_the_row_alone(ids: list[str], abandoned: Abandoned) -> None:
    """They are read before anything is changed: that row was not begun either."""

    def missing() -> None:
        raise SealBroken("no such key")

    said = abandoned(missing, "before")
    assert (said.code, [it["effect"] for it in said.json]) == (78, ["done"])
    assert "stopped: 2 of 3 were not begun" in said.err


def test_an_interrupt_does_not_cut_off_what_is_told(
    ids: list[str], abandoned: Abandoned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Impatience while the table is made costs nothing: all of it is told."""

    def impatiently(value: object) -> None:
        interrupt(2)
        print_json(value)

    monkeypatch.setattr(batch, "print_json", impatiently)
    said = abandoned(lambda: None, "after")
    assert (said.code, [it["effect"] for it in said.json]) == (0, ["done", "done", "done"])


def test_whoever_waits_sees_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal each row is counted while it is worked on, and the line is gone afterwards."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with batch._progress(2, 250):
        assert capsys.readouterr().err == "2 of 250; Ctrl-C stops after this one"
    assert capsys.readouterr().err == "\r\x1b[K"


def test_an_answer_to_an_interrupt_stands_below_what_the_terminal_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The count, which is wiped out afterwards, or the ^C that it echoed."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with batch._Interrupts(), batch._progress(2, 250):
        interrupt()
    _, answer, rest = capsys.readouterr().err.split("\n")
    assert (answer.partition(";")[0], rest) == ("stops after this row", "\r\x1b[K")


def test_who_does_not_wait_at_a_terminal_sees_no_count(capsys: pytest.CaptureFixture[str]) -> None:
    """A log is no place for a line that is written over."""
    with batch._progress(2, 250):
        pass
    assert capsys.readouterr().err == ""

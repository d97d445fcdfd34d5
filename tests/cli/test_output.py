"""Tables on a terminal and in a pipe, ages, and texts that cannot steer a terminal and come out as they went in."""

from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.builders import make_entry
from tests.cli.terminal import on_a_terminal
from worker.cli.output import Screen, age, as_data, cell, plain, print_table, safe
from worker.core.sealing import Sealed
from worker.core.states import State
from worker.core.verdict import Moment

COLUMNS_OF_TEXT = {"why", "what"}
COLUMNS = ("request", "state", "key", "account")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("width", "has_account", "reason"),
    [
        (140, True, "room for both ids"),
        (100, True, "the text folds"),
        (80, False, "the spare column goes first"),
        (60, False, "too narrow for all"),
    ],
)
def test_no_id_is_ever_broken(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    width: int,
    has_account: bool,
    reason: str,
) -> None:
    """On a terminal columns of text fold, spare ones are left out and said to be, and ids stay whole."""
    on_a_terminal(monkeypatch, width)
    request_id, account_id = str(uuid4()), str(uuid4())
    key = "a key of many words " * 4
    print_table(
        COLUMNS, [(request_id, State.HELD, key, account_id)], empty="", folds={"key"}, spare=("account",)
    )
    said = capsys.readouterr()
    assert request_id in said.out, reason
    assert (account_id in said.out) is has_account, reason
    assert ("left out, the terminal is too narrow: account" in said.err) is not has_account


def test_no_word_is_broken_while_another_column_has_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two columns that fold share the room so that each word of both is whole."""
    on_a_terminal(monkeypatch, 22)
    texts = ("maintenance until 14:00", "nothing at all now")
    print_table(("why", "what"), [texts], empty="", folds=COLUMNS_OF_TEXT)
    told = capsys.readouterr().out.split()
    assert sorted(told) == sorted(("why", "what", *texts[0].split(), *texts[1].split()))


def test_a_pipe_gets_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    """However long a text is, and whatever is in it."""
    print_table(("a", "b"), [("x" * 300, "two\nlines [bold]"), ("y", None)], empty="")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.split() == ["a", "b"]
    assert second == f"{'x' * 300}  two\\nlines [bold]"
    assert third.split() == ["y", "-"]


def test_wide_characters_do_not_shift_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """A name in Japanese takes two columns per character, as terminals show it."""
    print_table(("name", "n"), [("株式会社", 1), ("acme", 2)], empty="")
    assert capsys.readouterr().out == "name      n\n株式会社  1\nacme      2\n"


@pytest.mark.parametrize(
    ("value", "shown", "reason"),
    [
        (None, "-", "nothing"),
        ("", "-", "nothing"),
        (True, "yes", "for people"),
        (State.IN_DOUBT, "in_doubt", "as on the wire"),
        (Moment.ANSWER_READ, "answer_read", "by name"),
        (NOW, "2026-11-21 12:00:00", "in UTC"),
        (
            {"asked": "GET /x", "count": 0, "matching": ["a"]},
            'asked="GET /x" count=0 matching=["a"]',
            "evidence",
        ),
        ("red\x1b[31m\r\n\u202eevil", "red\\x1b[31m\\r\\n\\u202eevil", "nothing steers the terminal"),
    ],
)
def test_a_value_as_a_person_reads_it(value: object, shown: str, reason: str) -> None:
    """One line, printable, in words."""
    assert cell(value) == shown, reason


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (200, "3m 20s"), (7500, "2h 5m"), (349_200, "4d 1h"), (-5, "0s")],
)
def test_ages_have_two_units(seconds: float, shown: str) -> None:
    """Short enough for a column, exact enough to judge."""
    assert age(NOW - timedelta(seconds=seconds), NOW) == shown


def test_printable_text_is_left_alone() -> None:
    """Umlauts, quotes and brackets are text."""
    assert plain("Café “O'Hara” [x] ✓") == "Café “O'Hara” [x] ✓"


READ_BY_MARKUP = ("[", "]", "\\", "[/]", "[red]", "[a", ":id:", ":key:", "@", "/", "  ")
KEYS = st.lists(st.characters().filter(str.isprintable) | st.sampled_from(READ_BY_MARKUP), min_size=1).map(
    "".join
)


@pytest.mark.parametrize("is_terminal", [True, False])
@example(key="order:id:7", source="a")
@example(key="a\\", source="\\[1]\\\\")
@example(key="[red", source="b]")
@given(key=KEYS, source=KEYS)
def test_a_sentence_holds_its_values_to_the_letter(is_terminal: bool, key: str, source: str) -> None:
    """A key that is copied from the screen is the one that went in: an altered one opens a second account."""
    paper = StringIO()
    screen = Screen(file=paper, force_terminal=is_terminal, width=20, color_system=None)
    screen.print(f"[bold]key {safe(key)}[/] from {safe(source)}")
    screen.print(key, markup=False)
    assert paper.getvalue() == f"key {key} from {source}\n{key}\n"


@pytest.mark.parametrize("is_terminal", [True, False])
@example(key="order:id:7")
@example(key="a\\")
@given(key=KEYS.filter(lambda key: key == key.strip()))
def test_a_table_holds_its_values_to_the_letter(is_terminal: bool, key: str) -> None:
    """Likewise where a column is not folded."""
    with redirect_stdout(StringIO()) as paper, pytest.MonkeyPatch.context() as patching:
        if is_terminal:
            on_a_terminal(patching, 80)
        print_table(("key",), [(key,)], empty="")
    assert [line.rstrip() for line in paper.getvalue().split("\n")] == ["key", key, ""]


def test_sealed_columns_are_no_data() -> None:
    """JSON leaves out what is sealed, and tells times in UTC."""
    told = as_data(make_entry(sealed_request=Sealed("canary")))
    assert isinstance(told, dict)
    assert "sealed_request" not in told
    assert told["received_at"] == "2026-01-01T00:00:00Z"

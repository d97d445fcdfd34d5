"""Whose name is kept beside what an operator did."""

import getpass
import os
from pathlib import Path

import pytest

from tests.cli.books import Books
from tests.cli.terminal import Terminal
from worker.cli import common
from worker.core.states import State

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
ACTS = [
    ("requests", "replay", "key-1"),
    ("requests", "resolve", "key-1", "--not-created"),
    ("requests", "abandon", "key-1"),
    ("requests", "republish", "key-1"),
    ("dead-letters", "replay", "letter"),
    ("dead-letters", "discard", "letter"),
    ("provider", "pause", "phone_com"),
    ("provider", "resume", "phone_com"),
]
WHY = ("--reason", "outage over")


@pytest.fixture
def container(books: Books, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in the worker's container, where everybody is the service; with a request and a dead letter."""
    books.bring(State.HELD)
    books.bury()
    monkeypatch.setattr(getpass, "getuser", lambda: "provisioner")
    monkeypatch.delenv("SUDO_USER", raising=False)
    return Terminal({**terminal.environment, "PROVISIONER_ACTOR": ""})


@pytest.mark.parametrize("words", ACTS, ids=" ".join)
def test_who_acts_in_a_container_must_give_a_name(
    books: Books, container: Terminal, words: tuple[str, ...]
) -> None:
    """Each verb that changes something refuses, says what to give, and has changed nothing."""
    before = books.file.read_bytes()
    said = container(*words, *WHY)
    told = " ".join(said.err.split())
    assert (said.code, "--actor NAME, or set PROVISIONER_ACTOR" in told) == (2, True)
    assert books.file.read_bytes() == before


@pytest.mark.parametrize("given", [{"ACTOR": "olga"}, {}], ids=["variable", "option"])
def test_the_name_that_is_given_is_kept(books: Books, container: Terminal, given: dict[str, str]) -> None:
    """As a variable or as an option; it stands in the history."""
    option = () if given else ("--actor", " olga ")
    assert container("requests", "abandon", "key-1", *WHY, *option, **given).code == 0
    request_id = container("requests", "show", "key-1", "--json").json["request_id"]
    assert books.history(request_id)[-1].actor == "olga"


def test_who_only_looks_needs_no_name(container: Terminal) -> None:
    """Lists, stories and dry runs are for everybody in the container."""
    assert container("requests", "list").code == 0
    assert container("explain", "key-1").code == 0
    assert container("requests", "abandon", "key-1", "--dry-run", *WHY).code == 0


@pytest.mark.parametrize(
    ("login", "uid", "code"),
    [("olga", 1000, 0), ("root", 0, 2), ("provisioner", 998, 2), ("olga", 10001, 2)],
)
def test_a_login_of_ones_own_is_a_name(
    container: Terminal, monkeypatch: pytest.MonkeyPatch, login: str, uid: int, code: int
) -> None:
    """The service is known by its name, as beside systemd, or by its number, as in the image; root is no name."""
    monkeypatch.setattr(getpass, "getuser", lambda: login)
    monkeypatch.setattr(os, "getuid", lambda: uid)
    assert container("provider", "pause", "phone_com", *WHY).code == code


@pytest.mark.parametrize(
    ("login", "caller", "actor"),
    [
        ("root", "olga", "olga"),
        ("provisioner", "olga", "olga"),
        ("ada", "olga", "ada"),
        ("root", "root", None),
    ],
)
def test_sudo_tells_who_it_is(
    books: Books,
    container: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    login: str,
    caller: str,
    actor: str | None,
) -> None:
    """Who became root or the service by `sudo` is known by their own login; a root that called it is nobody still."""
    monkeypatch.setattr(getpass, "getuser", lambda: login)
    monkeypatch.setattr(os, "getuid", lambda: 998)
    monkeypatch.setenv("SUDO_USER", caller)
    said = container("requests", "abandon", "key-1", *WHY)
    assert said.code == (2 if actor is None else 0)
    request_id = container("requests", "show", "key-1", "--json").json["request_id"]
    assert (books.history(request_id)[-1].actor == actor) is (actor is not None)


def test_an_account_without_a_login_is_nobody(container: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that no list of users knows, as an orchestrator may choose, is no name."""

    def unknown() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert container("provider", "pause", "phone_com", *WHY).code == 2


def test_the_number_is_that_of_the_image() -> None:
    """The account that the image runs as is the one that is refused."""
    assert f"USER {common._SERVICE_UID}:" in DOCKERFILE.read_text()

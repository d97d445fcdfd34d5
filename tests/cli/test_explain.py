"""`explain` on rows of every provider: what a person who looks for the account is shown, and what nobody is."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.examples import messages
from contracts.model import secret_paths
from contracts.providers import ProviderContract, discover
from contracts.request import REQUEST_TYPE
from tests.cli.books import Books, Desk
from tests.cli.terminal import Terminal
from worker.core import states
from worker.core.states import State
from worker.keyring import load_or_create

every_provider = pytest.mark.parametrize("contract", discover().values(), ids=discover())
CANARY = "canary-secret-of-a-request"


def held(provider: str, parameters: dict[str, Any]) -> Callable[[Desk], Awaitable[str]]:
    """A request that may have an account at this provider; its id."""

    async def work(desk: Desk) -> str:
        claim = await desk.sending("lost", provider=provider, parameters=parameters, generated=())
        return (await desk.take(claim, states.HOLD, event=desk.event("lost"))).entry.request_id

    return work


def asked_of(contract: ProviderContract) -> dict[str, Any]:
    """What the provider's example asks for, with a canary in place of each secret."""
    asked: Any = messages()[f"{REQUEST_TYPE}.{contract.NAME}"]["data"]
    return {**asked["parameters"], **{path[0]: CANARY for path in secret_paths(contract.Parameters)}}


@every_provider
def test_what_an_account_is_recognised_by_is_shown(
    books: Books, terminal: Terminal, contract: ProviderContract
) -> None:
    """The runbook sends people to a portal: what to look for there stands in the story, and no secret beside it."""
    asked = asked_of(contract)
    request_id = books.write(held(contract.NAME, asked))
    told = contract.recognised_by(asked, request_id)
    text, data = terminal("explain", "lost").out, terminal("explain", "lost", "--json")
    assert data.json["recognised_by"] == told
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert [name for name, value in told.items() if f"{name} {value}" not in lines] == []
    assert CANARY not in text + data.everything


def test_the_reference_that_the_worker_chose_is_shown(books: Books, terminal: Terminal) -> None:
    """Where none was asked for, it is the only mark on the vendor's side, and nothing else tells it."""
    request_id = books.write(held("postcode_eu", {"company_name": "Voorbeeld B.V."}))
    assert f"invoice_reference Request {request_id[:13]}\n" in terminal("explain", "lost").out


def test_without_its_sealing_key_a_story_is_told_all_the_same(books: Books, terminal: Terminal) -> None:
    """What was asked cannot be opened, and it says so; the credentials to bring are all that the provider issues."""
    books.write(held("gateway360", {"user_name": "example"}))
    books.keys_file.unlink()
    load_or_create(books.keys_file, may_create=True)
    said = terminal("explain", "lost")
    assert said.code == 0
    assert "what was asked cannot be opened: " in said.out
    assert "FILE holds password, api_key" in said.out
    assert "example" not in said.out
    data = terminal("explain", "lost", "--json").json
    assert (data["recognised_by"], "cannot be opened" in data["unreadable"]) == ({}, True)


def test_without_its_sealing_key_nobody_says_that_no_credentials_are_missing(
    books: Books, terminal: Terminal
) -> None:
    """What cannot be read is unknown, which is not the same as none."""
    books.bring(State.PROVISIONED)
    books.keys_file.unlink()
    load_or_create(books.keys_file, may_create=True)
    assert terminal("explain", "key-1", "--json").json["credentials_missing"] is None


def test_what_was_asked_cannot_steer_the_terminal(books: Books, terminal: Terminal) -> None:
    """A name that somebody else chose is shown as it is spelled, colours and cursor movements included."""
    books.write(
        held("gateway360", {"user_name": "[red]a[/]\x1b[2J", "email": "a\nprovisioner requests abandon"})
    )
    text = terminal("explain", "lost").out
    assert "user_name [red]a[/]\\x1b[2J\n" in text
    assert "email     a\\nprovisioner requests abandon\n" in text


def test_of_an_erased_request_it_is_said_that_it_is_erased(books: Books, terminal: Terminal) -> None:
    """Nobody looks for a key that would open what is gone."""

    async def forgotten(desk: Desk) -> None:
        entry = (await desk.provisioned("forgotten")).entry
        await desk.ledger.mark_published(str(entry.event_id), desk.now)
        await desk.ledger.prune(desk.later(1), 10)

    books.write(forgotten)
    assert "what was asked was erased after the retention time" in terminal("explain", "forgotten").out

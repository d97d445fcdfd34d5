"""Canary secrets: wherever they are looked for, they are not there, except where the consumer alone can read them."""

import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.reason import ReasonCode
from contracts.result import AccountHeld, AccountProvisioned
from tests.builders import make_done, make_message, make_outcome, make_request
from tests.core.operating import operate
from tests.core.world import Place, World, make_place, open_world
from worker.core.overview import LetterFilter
from worker.core.provider import Found
from worker.core.states import State
from worker.core.verdict import Created, Verdict
from worker.keyring import ConsumerKeys
from worker.operations.verbs import Verb

ASKED = "canary-asked-5Hq"
GENERATED = "canary-generated-7Xw"
ISSUED = "canary-issued-2Zk"
CANARIES = (ASKED, GENERATED, ISSUED)


@pytest.fixture
async def secretive(empty: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A worker whose provider generates one canary and issues another."""
    place = make_place(empty, tmp_path)
    place.give_consumer_key()
    place.acme.issues_credentials = True
    place.acme.generates = GENERATED
    async with open_world(place) as world:
        yield world


def issued(**changes: Any) -> Any:
    """The good answer with the issued canary."""
    secrets = {"password": SecretStr(GENERATED), "api_key": SecretStr(ISSUED)}
    return make_done(secrets=secrets, **changes)


def odd(account_id: str = "A-1") -> Any:
    """The good answer of an account with facts that are no JSON."""
    secrets = {"password": SecretStr(GENERATED), "api_key": SecretStr(ISSUED)}
    account: Any = {"opened": object()}
    return make_outcome(Verdict.DONE, created=Created(account_id, account, secrets))


def found_in(place: Place, *more: object) -> list[str]:
    """Canaries that can be read in the ledger's files, in what was published or in what the observers were told."""
    published = b"".join(one.body for one in place.publisher.confirmed)
    seen = place.bytes_on_disk() + published + repr((place.watch.facts, *more)).encode()
    return [canary for canary in CANARIES if canary.encode() in seen]


WAYS = [
    (issued(), State.PROVISIONED, "created in time"),
    (make_outcome(Verdict.NOT_DONE, reason=ReasonCode.NAME_TAKEN), State.REJECTED, "refused"),
    (make_outcome(Verdict.NOT_DONE, retry=True), State.WAITING, "not now"),
    (make_outcome(Verdict.IN_DOUBT), State.IN_DOUBT, "in doubt"),
    (issued(missing=("other_key",)), State.HELD, "something is missing"),
    (issued(account_id=""), State.HELD, "an answer that breaks our own contract"),
    (ValueError(f"password {ISSUED} is wrong"), State.IN_DOUBT, "an exception with the secret in its text"),
]


@pytest.mark.parametrize(("answer", "state", "reason"), WAYS, ids=[reason for *_, reason in WAYS])
async def test_no_way_leaves_a_secret_in_clear(
    secretive: World, caplog: pytest.LogCaptureFixture, answer: Any, state: State, reason: str
) -> None:
    """Whatever becomes of a request, its secrets are in no file, no event, no fact and no log."""
    place = secretive.place
    place.acme.creates.then(answer)
    with caplog.at_level(logging.DEBUG):
        await secretive.ask("order-1", parameters={"company": "Example", "note": "n"})
        await secretive.ask("order-2", parameters={"company": "Example", "password": ASKED})
    assert (await secretive.entry()).state is state, reason
    told = [canary for canary in CANARIES if canary in caplog.text]
    assert told == []
    assert place.watch.facts
    if not isinstance(
        answer, BaseException
    ):  # an exception is handed to the observers, whose part it is to hide it
        assert found_in(place) == []
    else:
        place.watch.facts.clear()
        assert found_in(place) == []


async def test_the_search_finds_what_is_there(secretive: World) -> None:
    """The canary test can fail: what is written in clear is found."""
    await secretive.ask("order-1", parameters={"company": ISSUED})
    secretive.place.watch.tell(GENERATED)  # type: ignore[arg-type]  # no fact at all
    assert found_in(secretive.place) == [GENERATED]
    (secretive.place.file.parent / "ledger.db-more").write_text(ASKED)
    assert found_in(secretive.place) == [ASKED, GENERATED]


async def test_the_consumer_reads_the_credentials_and_what_they_belong_to(secretive: World) -> None:
    """The one door to the secrets is the consumer's private key."""
    secretive.place.acme.creates.then(issued())
    await secretive.ask()
    (event,) = secretive.place.results
    assert isinstance(event, AccountProvisioned)
    assert event.dataclassification == "confidential"
    opened = secretive.place.opened(event.data.credentials or "")
    assert opened["credentials"] == {"password": GENERATED, "api_key": ISSUED}
    assert (opened["account_id"], opened["event_id"]) == ("A-1", str(event.id))


async def test_the_stored_event_opens_to_the_same_credentials_after_a_restart(secretive: World) -> None:
    """Credentials that could not be delivered at once are delivered later, unchanged."""
    place = secretive.place
    place.acme.creates.then(issued())
    place.publisher.failure = "not confirmed"
    await secretive.ask()
    assert place.results == []
    place.publisher.failure = None
    await secretive.go_round(after=11)
    (event,) = place.results
    assert isinstance(event, AccountProvisioned)
    assert place.opened(event.data.credentials or "")["credentials"]["api_key"] == ISSUED


async def test_a_consumer_key_that_vanished_after_the_create_holds_the_request(secretive: World) -> None:
    """The account is real and its secrets are lost: a person is told, with the account's id."""
    place = secretive.place

    async def lose_the_key(_: object) -> None:
        secretive.desk.recorder._box = ConsumerKeys()

    place.acme.while_sending = lose_the_key
    place.acme.creates.then(issued())
    entry = await secretive.ask()
    assert (entry.state, entry.reason, entry.account_id) == (State.HELD, ReasonCode.CREDENTIALS_LOST, "A-1")
    (event,) = place.results
    assert isinstance(event, AccountHeld)
    assert event.data.account_id == "A-1"
    assert found_in(place) == []


class Placeholder(ConsumerKeys):
    """Takes itself for keys, and encrypts nothing."""

    def encrypt(self, source: str, payload: Mapping[str, object]) -> str:
        raise ValueError("error computing the shared key")


async def test_a_key_that_encrypts_nothing_does_not_cost_the_account_its_id(secretive: World) -> None:
    """Where encrypting fails the row and the held event still name the account that was opened."""
    secretive.desk.recorder._box = Placeholder()
    secretive.place.acme.creates.then(issued())
    entry = await secretive.ask()
    assert (entry.state, entry.reason, entry.account_id) == (State.HELD, ReasonCode.INTERNAL_ERROR, "A-1")
    (event,) = secretive.place.results
    assert isinstance(event, AccountHeld)
    assert event.data.account_id == "A-1"
    assert found_in(secretive.place) == []


async def test_an_account_whose_facts_fit_no_event_keeps_its_id_and_credentials(secretive: World) -> None:
    """The id stands in row and event, and what came only once is kept for the consumer in the history."""
    secretive.place.acme.creates.then(odd())
    entry = await secretive.ask()
    assert (entry.state, entry.reason, entry.account_id) == (State.HELD, ReasonCode.INTERNAL_ERROR, "A-1")
    detail = (await secretive.history())[-1].detail["detail"]
    assert isinstance(detail, dict)
    opened = secretive.place.opened(str(detail["credentials"]))
    assert opened["credentials"] == {"password": GENERATED, "api_key": ISSUED}
    assert found_in(secretive.place) == []


@pytest.mark.parametrize("account_id", ["", "A\0", "A\ud800"], ids=["empty", "NUL", "half a character"])
async def test_an_id_that_no_event_or_row_can_bear_is_not_told(secretive: World, account_id: str) -> None:
    """An id that says nothing, or that a database refuses, is no account's: the request is held without one."""
    secretive.place.acme.creates.then(odd(account_id))
    entry = await secretive.ask()
    assert (entry.state, entry.reason, entry.account_id) == (State.HELD, ReasonCode.INTERNAL_ERROR, None)


async def test_a_vanished_key_and_a_claimed_account_at_once_are_held_too(secretive: World) -> None:
    """Two troubles at once do not leave the row sending."""
    place = secretive.place
    place.acme.creates.then(issued())
    await secretive.ask("order-1")
    secretive.desk.recorder._box = ConsumerKeys()
    entry = await secretive.ask("order-2")
    assert (entry.state, entry.reason) == (State.HELD, ReasonCode.ACCOUNT_CLAIMED_ELSEWHERE)


async def test_a_found_account_brings_the_generated_password(secretive: World) -> None:
    """What was generated here is not lost with the answer: it is handed over with the look-up's finding."""
    place = secretive.place
    place.acme.creates.then(make_outcome(Verdict.IN_DOUBT))
    place.acme.findings.then(Found(Created("A-1", {}, {"password": SecretStr(GENERATED)}), {"asked": "list"}))
    await secretive.ask()
    await secretive.go_round(after=16)
    (event,) = place.results
    assert isinstance(event, AccountProvisioned)
    assert place.opened(event.data.credentials or "")["credentials"] == {"password": GENERATED}
    assert found_in(place) == []


async def test_an_operators_credentials_are_encrypted_as_well(secretive: World) -> None:
    """What an operator found out reaches the consumer and nobody else."""
    place = secretive.place
    place.acme.creates.then(make_outcome(Verdict.IN_DOUBT))
    await secretive.ask()
    words = await operate(secretive, Verb.RESOLVE_CREATED, "A-7", api_key=ISSUED)
    await secretive.go_round(after=11)
    (event,) = place.results
    assert isinstance(event, AccountProvisioned)
    opened = place.opened(event.data.credentials or "")["credentials"]
    assert opened == {"password": GENERATED, "api_key": ISSUED}
    assert found_in(place, words, await secretive.history()) == []


async def test_a_dead_letter_hides_what_its_sender_sent(secretive: World) -> None:
    """A refused message is kept sealed, and neither its problems nor its rejection repeat its values."""
    parameters = {"company": "Example", "password": ASKED, "mistyped": GENERATED}
    await secretive.bury(make_message(make_request(parameters=parameters)))
    await secretive.bury(make_message(f'{{"cut": "{ISSUED}'.encode(), message_id="m-1"))
    letters = await secretive.ledger.real.dead_letters(LetterFilter(limit=10))
    assert len(letters) == 2
    assert found_in(secretive.place, letters) == []

"""What must hold of a request after whatever happened to its worker, checked against the sandbox's own count."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from jwcrypto import jwe, jwk

from contracts.reason import ReasonCode
from contracts.result import Outcome
from tests.scenarios.conftest import House
from worker.core import states
from worker.core.entry import Entry
from worker.core.ledger import Ledger
from worker.core.overview import LetterFilter
from worker.core.states import State
from worker.core.story import EventLine, HistoryLine
from worker.demo.mailbox import SOURCE, Mailbox
from worker.sandbox import Account, Operation

_NAMES: Final = {
    "canary_speech": "name",
    "phone_com": "username",
    "gateway360": "user_name",
    "postcode_eu": "companyName",
}
"""The field in which each provider was told the request's key."""

_MAY_BE_HELD: Final[Mapping[str, frozenset[ReasonCode]]] = {
    "canary_speech": frozenset(),
    "phone_com": frozenset(),
    "gateway360": frozenset({ReasonCode.CREDENTIALS_LOST}),
    "postcode_eu": frozenset(
        {ReasonCode.LOOK_UP_UNSUPPORTED, ReasonCode.CONNECTION_LOST, ReasonCode.NO_ANSWER}
    ),
}
"""Why a person may be asked: a key that is shown once was lost, or nobody can look up whether there is an account."""

_PROOFS: Final = frozenset({"confirm_absent", "not_done", "late_not_done"})


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request must end.

    Attributes:
        accounts: What the sandbox must have made for it.
        reasons: Codes of which its event must carry one; empty: its event carries none.
    """

    outcome: Outcome
    accounts: int
    reasons: frozenset[ReasonCode] = frozenset()


@dataclass(frozen=True, slots=True)
class Witness:
    """Where to look: what exists, what was told, and what was written down."""

    house: House
    mailbox: Mailbox
    ledger: Ledger
    provider: str

    def accounts(self, key: str) -> Sequence[Account]:
        """What the sandbox has made for a request."""
        field = _NAMES[self.provider]
        return [one for one in self.house.sandbox.accounts(self.provider) if one.fields[field] == key]

    def creates(self, key: str) -> Sequence[int]:
        """The numbers, from 1, of the requests to the provider that were creates for this request."""
        field, received = _NAMES[self.provider], self.house.sandbox.requests(self.provider)
        return [
            number
            for number, one in enumerate(received, start=1)
            if one.operation == Operation.CREATE and one.body[field] == key
        ]


async def broken_promises(witness: Witness, key: str, ending: Ending | None = None) -> list[str]:
    """Every promise that was not kept to one request, in words.

    Args:
        witness: Where to look; everything must have come to rest.
        key: The request's idempotency key.
        ending: How it must end, where that is known.
    """
    told = {event["id"]: event["data"] for event in witness.mailbox.events[key]}
    if len(told) != 1:
        return [f"{key}: {len(told)} different events were heard: {witness.mailbox.outcomes(key)}"]
    ((event_id, data),) = told.items()
    accounts = witness.accounts(key)
    rows = await witness.ledger.find_by_key(SOURCE, key)
    found = [*_about_accounts(witness, key), *_about_the_end(witness, data, accounts)]
    found += [*_as_expected(data, accounts, ending)] if ending else []
    if rows:
        found += _about_the_row(rows, data, accounts)
        found += _about_the_story(await witness.ledger.history(rows[0].request_id), witness.creates(key))
        found += _about_the_events(await witness.ledger.events(rows[0].request_id), event_id)
    else:
        found += await _about_the_dead_letter(witness.ledger, key, event_id)
    return [f"{key}: {complaint}" for complaint in found]


def _about_accounts(witness: Witness, key: str) -> Iterator[str]:
    accounts, creates = witness.accounts(key), witness.creates(key)
    if len(accounts) > 1:
        yield f"{len(accounts)} accounts exist"
    if accounts and creates[-1] != accounts[0].request_number:
        yield f"a create was sent (request {creates[-1]}) after the one that made the account"


def _about_the_end(witness: Witness, data: Mapping[str, Any], accounts: Sequence[Account]) -> Iterator[str]:
    code = data["reason"]["code"] if "reason" in data else None
    match data["outcome"]:
        case Outcome.PROVISIONED:
            if [account.id for account in accounts] != [data["account_id"]]:
                yield f"told account {data['account_id']}, there are {[account.id for account in accounts]}"
            else:
                yield from _about_credentials(witness, data, accounts[0])
        case Outcome.REJECTED:
            if accounts:
                yield f"told to be rejected ({code}), and {len(accounts)} accounts exist"
        case Outcome.HELD:
            if code not in _MAY_BE_HELD[witness.provider]:
                yield f"held for {code}, which {witness.provider} gives no cause for"
            if code == ReasonCode.CREDENTIALS_LOST and [one.id for one in accounts] != [data["account_id"]]:
                yield f"held with account {data['account_id']}, there are {[one.id for one in accounts]}"
        case other:
            yield f"the outcome is {other}"


def _about_credentials(witness: Witness, data: Mapping[str, Any], account: Account) -> Iterator[str]:
    """The requester, and nobody else, reads exactly what the provider holds."""
    wanted = _issued(witness.provider, account)
    if data["credentials_missing"]:
        yield f"provisioned without {data['credentials_missing']}"
    if data["credentials"] is None:
        if wanted:
            yield f"no credentials were told, the provider issued {sorted(wanted)}"
        return
    token = jwe.JWE()
    token.deserialize(data["credentials"], jwk.JWK(**witness.house.private_key))
    opened = json.loads(token.payload)
    if opened["credentials"] != wanted:
        yield "the credentials that were told are not the provider's"


def _issued(provider: str, account: Account) -> Mapping[str, Any]:
    match provider:
        case "phone_com":
            return {"password": account.fields["password"]}
        case "gateway360":
            return {name: account.issued[name] for name in ("password", "api_key")}
        case "postcode_eu":
            return {name: account.issued[name] for name in ("key", "secret")}
        case _:
            return {}


def _as_expected(data: Mapping[str, Any], accounts: Sequence[Account], ending: Ending) -> Iterator[str]:
    code = data["reason"]["code"] if "reason" in data else None
    if data["outcome"] != ending.outcome or len(accounts) != ending.accounts:
        yield (
            f"ended {data['outcome']} ({code}) with {len(accounts)} accounts, "
            f"instead of {ending.outcome} with {ending.accounts}"
        )
    if (code in ending.reasons) != bool(ending.reasons):
        yield f"the reason is {code}, instead of one of {sorted(ending.reasons)}"


def _about_the_row(
    rows: Sequence[Entry], data: Mapping[str, Any], accounts: Sequence[Account]
) -> Iterator[str]:
    if len(rows) > 1:
        yield f"{len(rows)} rows have the key"
    row = rows[0]
    if row.state != data["outcome"]:
        yield f"the row is {row.state}, told was {data['outcome']}"
    known = [account.id for account in accounts]
    if row.account_id is not None and [row.account_id] != known:
        yield f"the row's account is {row.account_id}, there are {known}"
    if row.state is State.PROVISIONED and row.account_id is None:
        yield "the row is provisioned without an account"


def _about_the_story(lines: Sequence[HistoryLine], creates: Sequence[int]) -> Iterator[str]:
    """No create without proof that the one before made nothing, and none without its intent."""
    names = [line.name for line in lines]
    sends = [at for at, name in enumerate(names) if name == states.SEND.name]
    for one, next_one in pairwise(sends):
        if not _PROOFS & set(names[one:next_one]):
            yield f"sent again without proof: {' > '.join(names)}"
    if any(line.leaves == State.IN_DOUBT and line.enters == State.SENDING for line in lines):
        yield f"sent out of a doubt: {' > '.join(names)}"
    if len(creates) > len(sends):
        yield f"{len(creates)} creates reached the provider, {len(sends)} were intended"


def _about_the_events(lines: Sequence[EventLine], event_id: str) -> Iterator[str]:
    if [line.event.event_id for line in lines] != [event_id]:
        yield f"{len(lines)} events are stored, and the one that was told is not the only one"
    if any(line.published_at is None for line in lines):
        yield "its event is not marked as published"


async def _about_the_dead_letter(ledger: Ledger, key: str, event_id: str) -> list[str]:
    letters = [one for one in await ledger.dead_letters(LetterFilter()) if one.idempotency_key == key]
    if len(letters) != 1:
        return [f"{len(letters)} dead letters and no row have the key"]
    return [*_about_the_events(await ledger.events(letters[0].dead_letter_id), event_id)]

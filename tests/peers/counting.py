"""What came of the requests, counted from three sides that know nothing of one another.

The sandbox knows which accounts exist, the mailbox which results came, the ledger (ours only) which requests it has.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.sandbox import Sandbox

_NAMES = ("name", "username", "user_name", "companyName")
"""Under which field each provider keeps the name that was asked for."""

_OPEN = "held"
"""The one outcome that does not end a request (contracts/README.md, a consumer's duties)."""


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """An account that exists. `key` is that of the request in whose name it was opened; None: of none that was made."""

    provider: str
    id: str
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What came of a set of requests.

    Attributes:
        accounts: Accounts that exist.
        surplus: Accounts beyond the first of a request, and accounts of no request.
        surplus_at: The same, provider by provider; those without any are left out.
        lost: Requests without a result and, where there is a ledger, without a row.
        unanswered: Requests without a result; all of `lost` are among them.
        misreported: Requests whose last result says that nothing was opened, although something was.
        duplicate_events: Final results beyond the first of a request that differ from it in id or account id.
        outcomes: How many requests have this as their last outcome.
    """

    accounts: int
    surplus: int
    surplus_at: Mapping[str, int]
    lost: int
    unanswered: int
    misreported: int
    duplicate_events: int
    outcomes: Mapping[str, int]


def count(
    keys: AbstractSet[str],
    accounts: Sequence[OpenAccount],
    events: Mapping[str, Sequence[Mapping[str, Any]]],
    rows: AbstractSet[str] = frozenset(),
) -> Count:
    """Count. `events` are the results of each key in order of arrival, `rows` the keys that the ledger knows."""
    surplus_at = _surplus(accounts)
    answered = {key for key in keys if events.get(key)}
    last = {key: str(events[key][-1]["data"]["outcome"]) for key in answered}
    opened = {account.key for account in accounts}
    return Count(
        accounts=len(accounts),
        surplus=sum(surplus_at.values()),
        surplus_at=surplus_at,
        lost=len(keys - answered - rows),
        unanswered=len(keys - answered),
        misreported=sum(1 for key, outcome in last.items() if outcome == "rejected" and key in opened),
        duplicate_events=sum(_repeated(events[key]) for key in answered),
        outcomes=dict(sorted(Counter(last.values()).items())),
    )


def accounts_of(sandbox: Sandbox, names: Mapping[str, str]) -> list[OpenAccount]:
    """Every account that exists. `names` gives the key to each name that was asked for."""
    return [
        OpenAccount(provider, account.id, _key(account.fields, names))
        for provider in sandbox.provider_names
        for account in sandbox.accounts(provider)
    ]


def rows_of(ledger: Path) -> frozenset[str]:
    """The keys that a ledger knows; none where there is no ledger."""
    if not ledger.exists():
        return frozenset()
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
        return frozenset(key for (key,) in connection.execute("SELECT idempotency_key FROM requests"))


def _surplus(accounts: Iterable[OpenAccount]) -> dict[str, int]:
    first: set[str] = set()
    surplus: Counter[str] = Counter()
    for account in accounts:
        if account.key is None or account.key in first:
            surplus[account.provider] += 1
        else:
            first.add(account.key)
    return dict(sorted(surplus.items()))


def _repeated(events: Sequence[Mapping[str, Any]]) -> int:
    """The same event may come any number of times; another one about the same end may not."""
    final = {
        (event["id"], event["data"].get("account_id"))
        for event in events
        if event["data"]["outcome"] != _OPEN
    }
    return max(0, len(final) - 1)


def _key(fields: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    asked_for = (fields.get(name) for name in _NAMES)
    return next((names[name] for name in asked_for if isinstance(name, str) and name in names), None)

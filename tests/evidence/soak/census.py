"""The books compared: what was asked for, what was told, and what the providers really hold."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey

from tests.evidence.soak.upstream import Told
from worker.sandbox.state import Account

_NAMES = ("user_name", "username", "companyName", "name")
_SECRETS = ("password", "api_key")


@dataclass(frozen=True, slots=True)
class Census:
    """What one round came to. `untold` are the keys of what is lost, `defects` says what must not be."""

    requests: int
    lost: int
    surplus: int
    false_events: int
    lost_credentials: int
    unreceived_credentials: int
    provisioned: int
    rejected: int
    held: Counter[str] = field(default_factory=Counter)
    untold: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()


class Counting:
    """Compares the books of one round."""

    def __init__(
        self, asked: Collection[str], told: Mapping[str, Sequence[Told]], accounts: Sequence[Account]
    ) -> None:
        self._asked = asked
        self._told = told
        self._accounts: dict[str, list[Account]] = defaultdict(list)
        for account in accounts:
            self._accounts[key_of(account)].append(account)
        self._defects: list[str] = []

    def census(self, private_key: Mapping[str, Any]) -> Census:
        """All numbers. Every request of the round must have settled before."""
        last = {key: self._told[key][-1] for key in self._asked if self._told.get(key)}
        untold = tuple(sorted(set(self._asked) - set(last)))
        self._complain("no event was ever told", untold)
        outcomes = Counter(one.outcome for one in last.values())
        return Census(
            requests=len(self._asked),
            lost=len(untold),
            surplus=self._surplus(),
            false_events=self._false_events(last),
            lost_credentials=self._lost_credentials(last, private_key),
            unreceived_credentials=sum(1 for one in last.values() if one.reason == "credentials_lost"),
            provisioned=outcomes["provisioned"],
            rejected=outcomes["rejected"],
            held=Counter(str(one.reason) for one in last.values() if one.outcome == "held"),
            untold=untold,
            defects=tuple(self._defects),
        )

    def _surplus(self) -> int:
        """Every account beyond the first of its request, and every one that nobody asked for."""
        twice = {key: len(held) - 1 for key, held in self._accounts.items() if len(held) > 1}
        unasked = {key: len(held) for key, held in self._accounts.items() if key not in self._asked}
        self._complain("more than one account", sorted(twice))
        self._complain("an account that nobody asked for", sorted(unasked))
        return sum(twice.values()) + sum(unasked.values())

    def _false_events(self, last: Mapping[str, Told]) -> int:
        """Events that say what is not so, or that contradict one another."""
        false = [key for key, one in last.items() if not self._is_true(key, one)]
        torn = [key for key in last if len({one.event_id for one in self._told[key] if _is_final(one)}) > 1]
        self._complain("the event does not say what the provider holds", false)
        self._complain("two different final events", torn)
        return len(false) + len(torn)

    def _is_true(self, key: str, told: Told) -> bool:
        held = [account.id for account in self._accounts.get(key, ())]
        match told.outcome:
            case "provisioned":
                return told.account_id in held
            case "rejected":
                return not held
            case _:
                return told.account_id is None or told.account_id in held

    def _lost_credentials(self, last: Mapping[str, Told], private_key: Mapping[str, Any]) -> int:
        """An account with secrets was told, and the secrets that came with it are not the provider's."""
        key = ECKey.import_key({name: private_key[name] for name in ("kty", "crv", "x", "y", "d")})
        lost = [name for name, one in last.items() if not self._hands_over(name, one, key)]
        self._complain("the credentials that were told are not those of the provider", lost)
        return len(lost)

    def _hands_over(self, name: str, told: Told, key: ECKey) -> bool:
        held = self._accounts.get(name)
        if told.outcome != "provisioned" or not held:
            return True
        wanted = {**held[0].fields, **held[0].issued}
        secrets = {field: wanted[field] for field in _SECRETS if field in wanted}
        if not secrets:
            return True
        if told.credentials is None:
            return False
        handed = json.loads(jwe.decrypt_compact(told.credentials, key).plaintext or b"{}")
        return set(secrets.values()) <= set(_leaves(handed))

    def _complain(self, words: str, keys: Sequence[str]) -> None:
        if keys:
            self._defects.append(f"{words}: {', '.join(keys[:5])}{' ...' if len(keys) > 5 else ''}")


def key_of(account: Account) -> str:
    """The idempotency key: every request of a run bears it as the account's name."""
    return next(
        str(account.fields[name]) for name in _NAMES if name in account.fields
    )  # user_name before name


def _leaves(value: object) -> Iterator[object]:
    """Every plain value in a JSON value."""
    match value:
        case dict():
            for each in value.values():
                yield from _leaves(each)
        case list():
            for each in value:
                yield from _leaves(each)
        case _:
            yield value


def _is_final(told: Told) -> bool:
    return told.outcome in {"provisioned", "rejected", "abandoned"}

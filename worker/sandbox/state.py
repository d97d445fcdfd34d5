"""What the pretended providers remember: accounts made, creates counted, the last requests received."""

from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.sandbox import strict_json

REQUESTS_KEPT = 1000
"""How many requests each provider keeps for tests; older ones are forgotten."""

MASK = "***"


@dataclass(frozen=True, slots=True)
class Account:
    """One account that a provider holds.

    `fields` are the create's parameters exactly as received, `issued` is what the provider made up for it
    (keys, secrets), `request_number` says which request to this provider made it, counted from 1.
    """

    provider: str
    id: str
    fields: Mapping[str, Any] = field(repr=False)
    issued: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    request_number: int


@dataclass(frozen=True, slots=True)
class Creates:
    """`attempted`: create requests read in full, whatever came of them. `made`: accounts that came of
    them.
    """

    attempted: int
    made: int


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it was read. Only the names of its headers are kept, as their values are credentials."""

    operation: str
    method: str
    path: str
    query: str = field(repr=False)
    header_names: tuple[str, ...]
    raw_body: bytes = field(repr=False)

    @property
    def body(self) -> Any:
        """The parsed JSON; the raw bytes where they are not JSON."""
        try:
            return strict_json.parse(self.raw_body)
        except ValueError:
            return self.raw_body


class Book:
    """One provider's memory, and which fields of it are secret."""

    def __init__(self, provider: str, secret_fields: Collection[str]) -> None:
        self.provider = provider
        self._secret_fields = secret_fields
        self.clear()

    def clear(self) -> None:
        """Forgets everything, counts included."""
        self._accounts: dict[str, Account] = {}
        self._by_natural_key: dict[str, str] = {}
        self._hidden: set[str] = set()
        self._received: deque[ReceivedRequest] = deque(maxlen=REQUESTS_KEPT)
        self._requests: Counter[str] = Counter()
        self._attempted = 0
        self._made = 0

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Every account that exists, oldest first, those that look-ups do not show yet included."""
        return tuple(self._accounts.values())

    @property
    def creates(self) -> Creates:
        return Creates(self._attempted, self._made)

    @property
    def received(self) -> tuple[ReceivedRequest, ...]:
        """The last requests read in full, oldest first, at most `REQUESTS_KEPT`."""
        return tuple(self._received)

    def note(self, request: ReceivedRequest, *, is_create: bool) -> int:
        """Keeps and counts a request; gives its number, counted from 1."""
        self._received.append(request)
        self._requests[request.operation] += 1
        self._attempted += is_create
        return self._requests.total()

    def add(self, account: Account, natural_key: str | None = None) -> None:
        """Takes a new account; `natural_key` is what the provider finds it by besides its id."""
        self._accounts[account.id] = account
        if natural_key is not None:
            self._by_natural_key[natural_key] = account.id
        self._made += 1

    def remove(self, account_id: str) -> None:
        """Ends an account; `creates.made` keeps counting it."""
        del self._accounts[account_id]
        self._hidden.discard(account_id)
        self._by_natural_key = {key: held for key, held in self._by_natural_key.items() if held != account_id}

    def remove_all(self) -> None:
        """Ends every account; counts and ids go on."""
        self._accounts.clear()
        self._by_natural_key.clear()
        self._hidden.clear()

    def taken(self, natural_key: str) -> bool:
        """Whether an account of that natural key exists, shown by look-ups or not."""
        return natural_key in self._by_natural_key

    def shown(self) -> list[Account]:
        """The accounts that look-ups show, oldest first."""
        return [account for account in self._accounts.values() if account.id not in self._hidden]

    def find(self, account_id: str) -> Account | None:
        """The account of that id, if look-ups show it."""
        return None if account_id in self._hidden else self._accounts.get(account_id)

    def find_by(self, natural_key: str) -> Account | None:
        """The account of that natural key, if look-ups show it."""
        account_id = self._by_natural_key.get(natural_key)
        return None if account_id is None else self.find(account_id)

    def hide(self, account_id: str) -> None:
        """Keeps an account from look-ups, as a lagging read model would."""
        self._hidden.add(account_id)

    def show(self, account_id: str) -> None:
        self._hidden.discard(account_id)

    def public_view(self) -> dict[str, Any]:
        """Everything that may leave the process as JSON: counts, and accounts with their secrets masked."""
        return {
            "creates": {"attempted": self._attempted, "made": self._made},
            "requests": dict(self._requests),
            "accounts": [self._public(account) for account in self._accounts.values()],
        }

    def _public(self, account: Account) -> dict[str, Any]:
        return {
            "id": account.id,
            "fields": masked(account.fields, self._secret_fields),
            "issued": masked(account.issued, self._secret_fields),
            "created_at": account.created_at.isoformat(),
            "request_number": account.request_number,
        }


def masked(value: Any, secret_fields: Collection[str]) -> Any:
    """The value with each of these fields in it, at any depth and in any case, replaced by `MASK`."""
    if isinstance(value, Mapping):
        return {
            name: MASK if name.lower() in secret_fields else masked(inner, secret_fields)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [masked(inner, secret_fields) for inner in value]
    return value

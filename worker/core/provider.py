"""Port: one account provider. A module in ``worker/providers/`` implements it; nothing else knows the vendor."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr

from worker.core.rules import Rule
from worker.core.verdict import Created, Outcome


class ProviderSettings(BaseModel):
    """What every provider is configured with; a provider's module adds its own fields.

    Durations are seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    PLACED_BY: ClassVar[Sequence[str]] = ("base_url",)
    """Names of the settings that say where accounts are opened and looked for: the address, and the account or the key
    under which it is done. What was sent under other values of these is not to be seen under the present ones.
    """
    PARENT: ClassVar[str | None] = None
    """Name of the setting with the id of our own account, under which accounts are opened, where there is one. None of
    them can have it, although the portal shows it beside theirs.
    """

    base_url: str = Field(description="Root of the provider's API, without a path.")
    concurrency: int = Field(
        default=8,
        ge=1,
        le=1000,
        description="Creates under way at once, over all workers that share the ledger.",
    )
    rate: float = Field(
        default=20.0,
        gt=0,
        description="Creates started per second, at most, over all workers that share the ledger.",
    )
    connect_timeout: float = Field(default=5.0, gt=0, description="Seconds to connect, TLS included.")
    answer_within: float = Field(
        default=30.0, gt=0, description="Seconds after which an unanswered create is shown as in doubt."
    )
    listen_for: float = Field(
        default=120.0,
        gt=0,
        description="Seconds a late answer is still listened for; then the connection is closed.",
    )
    look_up_schedule: tuple[float, ...] = Field(
        default=(15.0, 60.0, 240.0, 600.0, 1800.0, 3600.0),
        description="Seconds between look-ups of a request in doubt; the last one repeats.",
    )
    settle: float = Field(
        default=300.0,
        ge=0,
        description="Seconds after the attempt before a look-up that finds nothing is believed.",
    )
    agreeing_look_ups: int = Field(
        default=2, ge=1, description="Look-ups after the settle time that must find nothing, all of them."
    )
    give_up_look_ups_after: float = Field(
        default=86400.0, gt=0, description="Seconds in doubt after which a person is asked instead."
    )

    @property
    def place(self) -> str:
        """Where accounts are opened and looked for, to be compared and shown: the address, and a digest of the rest."""
        named = [_plain(getattr(self, name)) for name in self.PLACED_BY]
        return f"{self.base_url} #{sha256(json.dumps(named).encode()).hexdigest()[:8]}"

    @property
    def parent(self) -> str | None:
        """The id of our own account under which accounts are opened, as far as it is configured."""
        given = None if self.PARENT is None else getattr(self, self.PARENT)
        return None if given is None else str(given)


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@dataclass(frozen=True, slots=True)
class Order:
    """What a provider is asked to open.

    Attributes:
        request_id: Ledger row id, stable over every attempt.
        parameters: The provider's own, validated; generated passwords are filled in.
        generated: Names of the secrets that `complete` generated, so that they are handed over.
        dry_run: Use the provider's test mode.
        sent_before: Whether an earlier attempt of this request was begun, whatever was made of it: a "not done" may be
            a gateway's word on the answer's way, after the provider had acted. True as well where that attempt never
            left the machine, which the row does not tell apart.
        after_doubt: Whether an earlier attempt of it ever was in doubt: the account may exist, whatever was seen since.
        baseline: What `prepare` saw before the newest attempt; empty before the first, and after a person said that
            nothing was created, whatever can be seen.
        not_ours: Ids of accounts that belong to other requests, as far as somebody asked: none of them is this order's.
    """

    request_id: str
    parameters: BaseModel
    generated: frozenset[str] = frozenset()
    dry_run: bool = False
    sent_before: bool = False
    after_doubt: bool = False
    baseline: Mapping[str, JsonValue] = field(default_factory=dict)
    not_ours: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that can be done before the intent is durable.

    Attributes:
        payload: What `create` needs (body, headers); may hold secrets, so it is never shown or stored.
        baseline: What was seen before the attempt and helps a later look-up; stored with the attempt, no secrets.
        in_time: Whether the create may still be sent. A worker that was frozen after its intent wakes up in a world
            in which others have judged the attempt; asked at the last moment before the first byte.
    """

    payload: Any = field(repr=False)
    baseline: Mapping[str, JsonValue] = field(default_factory=dict)
    in_time: Callable[[], bool] = field(default=lambda: True, repr=False)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a look-up may lean on.

    Attributes:
        sent_at: When the attempt in doubt was begun.
        baseline: What `prepare` saw before that attempt.
    """

    sent_at: datetime
    baseline: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Found:
    """The look-up found exactly one account that is ours."""

    word: ClassVar[str] = "found"

    created: Created
    evidence: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Absent:
    """The look-up answered and no account of ours is there (yet)."""

    word: ClassVar[str] = "absent"

    evidence: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Taken:
    """The look-up answered: the name is borne by an account that is certainly not ours, and ours is not there (yet).

    Attributes:
        only_one: Whether no second account can bear the name, so that ours can neither exist nor come any more.
    """

    word: ClassVar[str] = "taken"

    evidence: Mapping[str, JsonValue]
    only_one: bool


@dataclass(frozen=True, slots=True)
class Several:
    """More than one account could be ours: only a person can tell."""

    word: ClassVar[str] = "several"

    account_ids: tuple[str, ...]
    evidence: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Unclear:
    """The look-up itself failed; it proves nothing."""

    word: ClassVar[str] = "unclear"

    evidence: Mapping[str, JsonValue]


Finding = Found | Absent | Taken | Several | Unclear
"""What a look-up found; `word` names it in metrics and histories."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a harmless read said about the provider: `healthy`, and if not, why in words without secrets."""

    healthy: bool
    detail: str


class Provider(Protocol):
    """One vendor's API.

    Demanded of every implementer: `prepare`, `look_up` and `probe` change nothing at the provider and may be
    repeated; `create` sends the create at most once, only while `Prepared.in_time` says so, never raises for anything
    seen on the wire, and is never cancelled by its caller once it has begun; every call ends within its own limits.
    """

    name: ClassVar[str]
    Parameters: ClassVar[type[BaseModel]]
    Settings: ClassVar[type[ProviderSettings]]
    RULES: ClassVar[Sequence[Rule]]
    CAN_LOOK_UP: ClassVar[bool]
    HAS_TEST_MODE: ClassVar[bool]
    settings: ProviderSettings

    def complete(self, parameters: BaseModel) -> tuple[BaseModel, frozenset[str]]:
        """The same parameters with every missing password generated, and the names of what was generated.

        Called once, before anything is stored.
        """
        ...

    def hands_over_credentials(self, parameters: BaseModel) -> bool:
        """Whether a create with these parameters as they were asked for ends with credentials for the requester."""
        ...

    async def prepare(self, order: Order) -> Prepared | Outcome | Several:
        """Token, body and baseline; or a *not done* outcome when one of them cannot be had; or what has come since the
        last attempt and may be ours, although it was proven absent (none of it where the provider says that it does
        not show everything): then a person looks, and nothing is sent.
        """
        ...

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        """Send the create, once, and judge what was seen."""
        ...

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        """Ask the provider whether the account of this order exists."""
        ...

    async def probe(self) -> Probe:
        """One harmless read that shows whether the provider answers and takes our credentials."""
        ...

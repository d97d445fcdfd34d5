"""The worker's own settings, as far as a peer needs them, so that the same environment starts either."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PREFIX = "PROVISIONER_"
_PROVIDERS = f"{PREFIX}PROVIDERS__"


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider.

    Attributes:
        credentials: Whatever else is set for it, by the setting's name in lower case (`api_key`, `token` ...).
        at_once: Requests in the works at the same time: the queue's prefetch.
        connect_timeout: In seconds.
        answer_within: Seconds to wait for an answer.
    """

    base_url: str
    credentials: Mapping[str, str] = field(repr=False)
    at_once: int = 25
    connect_timeout: float = 5.0
    answer_within: float = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a peer is told.

    Attributes:
        retry_base: Seconds before the second attempt; doubled for each further one.
    """

    broker_url: str = field(repr=False)
    providers: Mapping[str, ProviderSettings]
    retry_base: float = 1.0

    @property
    def at_once(self) -> int:
        """Requests in the works at the same time, all providers together."""
        return sum(provider.at_once for provider in self.providers.values())


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment.

    Raises:
        KeyError: the broker or a provider's base address is missing.
    """
    given: dict[str, dict[str, str]] = {}
    for variable, value in environment.items():
        if variable.startswith(_PROVIDERS):
            provider, _, name = variable.removeprefix(_PROVIDERS).lower().partition("__")
            given.setdefault(provider, {})[name] = value
    return Settings(
        broker_url=environment[f"{PREFIX}BROKER__URL"],
        providers={name: _provider(given[name]) for name in sorted(given)},
        retry_base=float(environment.get(f"{PREFIX}RETRY__BASE", "1")),
    )


def _provider(given: Mapping[str, str]) -> ProviderSettings:
    return ProviderSettings(
        base_url=given["base_url"],
        credentials=given,
        at_once=int(given.get("concurrency", "25")),
        connect_timeout=float(given.get("connect_timeout", "5")),
        answer_within=float(given.get("answer_within", "30")),
    )

"""The ledger beside the running workers, and the operators' verbs on it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property

from worker import ledger, providers
from worker.bootstrap import parts
from worker.core.clock import Clock, SteadyClock, SystemClock
from worker.core.events import EventWriter
from worker.core.ledger import Ledger
from worker.core.recording import Recorder
from worker.core.sealing import CredentialBox
from worker.operations.dead_letters import DeadLetterOperations
from worker.operations.providers import ProviderOperations
from worker.operations.requests import RequestOperations
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class OfficeParts:
    """What operators' verbs work with."""

    configured: Settings
    ledger: Ledger
    requests: RequestOperations
    dead_letters: DeadLetterOperations
    providers: ProviderOperations
    known_providers: frozenset[str]
    clock: Clock


class _Silent:
    """Nobody watches."""

    def tell(self, fact: object) -> None:
        """Take no note."""


class _BoxWhenNeeded:
    """The consumers' keys, read when the first credential is to be encrypted. Implements `CredentialBox`."""

    def __init__(self, configured: Settings) -> None:
        self._configured = configured

    @cached_property
    def _box(self) -> CredentialBox:
        return parts.credential_box(self._configured)

    def can_encrypt_for(self, source: str) -> bool:
        """As the keys say."""
        return self._box.can_encrypt_for(source)

    def encrypt(self, source: str, payload: Mapping[str, object]) -> str:
        """The JWE of the payload."""
        return self._box.encrypt(source, payload)


@asynccontextmanager
async def open_office(configured: Settings, actor: str) -> AsyncIterator[OfficeParts]:
    """The ledger beside the running workers, and the operators' verbs on it.

    Raises:
        ConfigurationError: there is no ledger yet, or its keys are missing.
        LedgerUnavailable: the ledger cannot be opened.
    """
    parts.require_ledger(configured)
    clock = SteadyClock(SystemClock())
    known = frozenset(providers.discover())
    keys, box = parts.sealer(configured, may_create=False), _BoxWhenNeeded(configured)
    async with ledger.open_ledger(
        configured.ledger.url.get_secret_value(), clock=clock, lease=configured.ledger.lease, exclusive=False
    ) as opened:
        events = EventWriter(configured.results.source, keys)
        recorder = Recorder(opened, events, box, clock, _Silent())
        yield OfficeParts(
            configured=configured,
            ledger=opened,
            requests=RequestOperations(
                opened, keys, box, recorder, clock, actor, parents=_parents(configured)
            ),
            dead_letters=DeadLetterOperations(opened, keys, clock, actor),
            providers=ProviderOperations(opened, known, clock, actor),
            known_providers=known,
            clock=clock,
        )


def _parents(configured: Settings) -> Mapping[str, str]:
    given = {name: settings.parent for name, settings in configured.providers.items()}
    return {name: parent for name, parent in given.items() if parent is not None}

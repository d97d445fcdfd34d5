"""The keys of a simulation: the real keyring under a fixed key, and a box that everybody can open.

The real box encrypts to the consumer's public key, which costs more than all the rest of a request.
"""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from worker.core.clock import Clock
from worker.keyring import Keyring
from worker.keyring.sealing_keys import SealingKey

_KEY: Final = SealingKey("simulated", datetime(2026, 1, 1, tzinfo=UTC), bytes(range(32)))


class Seals:
    """Implements `worker.core.sealing.CredentialBox`; makes keyrings."""

    def keyring(self, clock: Clock) -> Keyring:
        """A process's own keyring: the same key in each."""
        return Keyring([_KEY], clock)

    def can_encrypt_for(self, source: str) -> bool:
        """For everybody."""
        return bool(source)

    def encrypt(self, source: str, payload: Mapping[str, object]) -> str:
        """The payload in a box without a lock."""
        return base64.urlsafe_b64encode(json.dumps([source, payload]).encode()).decode()


def opened(credentials: str) -> dict[str, Any]:
    """What the consumer reads in a box."""
    _, payload = json.loads(base64.urlsafe_b64decode(credentials))
    return dict(payload)

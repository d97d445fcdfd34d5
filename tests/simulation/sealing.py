"""The keys of a simulation: seals that say what they seal, and a box that everybody can open.

The real ones encrypt, which costs more than all the rest of a request and decides nothing. What the worker relies on is
kept: a seal opens in its own context alone, and one content has one fingerprint.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from worker.core.errors import SealBroken
from worker.core.sealing import Sealed


class Seals:
    """Implements `worker.core.sealing.Sealer` and `worker.core.sealing.CredentialBox`."""

    def seal(self, plain: bytes, context: str) -> Sealed:
        """The text with its context before it."""
        return Sealed(f"{context}\n{plain.decode()}")

    def open(self, sealed: Sealed, context: str) -> bytes:
        """What was sealed in this context.

        Raises:
            SealBroken: it was sealed in another one, or not at all.
        """
        named, _, plain = sealed.partition("\n")
        if named != context:
            raise SealBroken(f"sealed for {named!r}, opened for {context!r}")
        return plain.encode()

    def fingerprint(self, content: bytes) -> str:
        """The digest of the only key."""
        return f"simulated:{sha256(content).hexdigest()}"

    def fingerprints(self, content: bytes) -> Sequence[str]:
        """There is no other key."""
        return [self.fingerprint(content)]

    def same(self, fingerprint: str, content: bytes) -> bool:
        """Whether it is of this content."""
        return fingerprint == self.fingerprint(content)

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

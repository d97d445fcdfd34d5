"""Port: sealing. Only `Sealed` text fits the ledger's columns for bodies and secrets."""

from collections.abc import Mapping, Sequence
from typing import NewType, Protocol

Sealed = NewType("Sealed", str)
"""Text that is encrypted and names its key: safe to store, useless without the keyring."""


class Sealer(Protocol):
    """Encryption at rest with a key id and rotation."""

    def seal(self, plain: bytes, context: str) -> Sealed:
        """Encrypt under the newest key; `context` (table and row) must be given again to open."""
        ...

    def open(self, sealed: Sealed, context: str) -> bytes:
        """Decrypt.

        Raises:
            SealBroken: the key is not in the keyring, the context differs or the data was changed.
        """
        ...

    def fingerprint(self, content: bytes) -> str:
        """Keyed digest that names its key: ``<key id>:<hex>``."""
        ...

    def fingerprints(self, content: bytes) -> Sequence[str]:
        """The digest under each key of the keyring, the newest one's first: what it may have been called before."""
        ...

    def same(self, fingerprint: str, content: bytes) -> bool:
        """Whether `content` has that fingerprint, under the key the fingerprint names.

        Raises:
            SealBroken: that key is no longer in the keyring.
        """
        ...


class CredentialBox(Protocol):
    """Encryption of one-time credentials to the consumer's own key (JWE)."""

    def can_encrypt_for(self, source: str) -> bool:
        """Whether a usable key is configured for requests from this source."""
        ...

    def encrypt(self, source: str, payload: Mapping[str, object]) -> str:
        """The JWE of the payload.

        Raises:
            ConfigurationError: no usable key is configured.
        """
        ...

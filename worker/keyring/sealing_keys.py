"""Sealing at rest: AES-256-GCM under the newest key, opened by whichever key the sealed text names.

Sealed text is ``s1.<key id>.<base64url of nonce, ciphertext and tag>``. The nonce is 96 random bits, so one
key should seal no more than some 2^32 texts: rotate long before. Of each key two others are derived
(HKDF-SHA256, RFC 5869), one to seal and one for fingerprints, so that neither use weakens the other.
"""

import base64
import binascii
import hmac
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Annotated

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from worker.core.clock import Clock, SystemClock
from worker.core.errors import ConfigurationError, SealBroken
from worker.core.sealing import Sealed

_FORMAT = "s1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class SealingKey:
    """One key of the keyring.

    Attributes:
        key_id: 1 to 40 letters, digits, `_` or `-`; stands in clear in everything sealed under the key.
        created: From when on it seals. A key of the future opens already and does not seal yet, so that
            every worker can be given it before the first one uses it.
        secret: 32 bytes; never shown.
    """

    key_id: str
    created: datetime
    secret: bytes = field(repr=False)


def new_key(created: datetime) -> SealingKey:
    """A fresh random key with a fresh random id."""
    return SealingKey(f"k{secrets.token_hex(6)}", created, secrets.token_bytes(_KEY_BYTES))


class Keyring:
    """Seals, opens and fingerprints. Implements `worker.core.sealing.Sealer`."""

    def __init__(self, keys: Iterable[SealingKey], clock: Clock | None = None) -> None:
        self._keys = {key.key_id: _Derived(key) for key in keys}
        self._clock = clock or SystemClock()
        if not self._keys:
            raise ConfigurationError("a keyring needs at least one key")

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of all keys that can open."""
        return tuple(self._keys)

    def seal(self, plain: bytes, context: str) -> Sealed:
        """Encrypt under the newest key."""
        key = self._newest()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        body = nonce + key.cipher.encrypt(nonce, plain, context.encode())
        return Sealed(f"{_FORMAT}.{key.key_id}.{_encode(body)}")

    def open(self, sealed: Sealed, context: str) -> bytes:
        """Decrypt what was sealed under any key of the ring, in the same context."""
        key, body = self._parse(sealed)
        try:
            return key.cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise SealBroken(
                f"data sealed under key {key.key_id!r} was changed or belongs somewhere else"
            ) from None

    def fingerprint(self, content: bytes) -> str:
        """Digest under the newest key: ``<key id>:<hex of HMAC-SHA256>``."""
        key = self._newest()
        return f"{key.key_id}:{key.digest(content)}"

    def fingerprints(self, content: bytes) -> Sequence[str]:
        """Digests under every key; the first is the one that `fingerprint` gives."""
        newest = self._newest()
        keys = [newest, *(key for key in self._keys.values() if key is not newest)]
        return [f"{key.key_id}:{key.digest(content)}" for key in keys]

    def same(self, fingerprint: str, content: bytes) -> bool:
        """Whether `content` has that fingerprint, under the key the fingerprint names."""
        key_id, _, digest = fingerprint.partition(":")
        return hmac.compare_digest(self._key(key_id).digest(content).encode(), digest.encode())

    def _newest(self) -> "_Derived":
        now = self._clock.time_of_day()
        begun = [key for key in self._keys.values() if key.created <= now]
        if not begun:
            return min(self._keys.values(), key=lambda key: key.created)
        return max(reversed(begun), key=lambda key: key.created)

    def _parse(self, sealed: str) -> tuple["_Derived", bytes]:
        _, _, named = sealed.partition(".")
        key_id, _, text = named.partition(".")
        body = _decode(text)
        # The text must be exactly what sealing wrote: base64 has several spellings of the same bytes.
        if body is None or sealed != f"{_FORMAT}.{key_id}.{_encode(body)}":
            raise SealBroken("this is not sealed text, or it was changed")
        key = self._key(key_id)
        if len(body) < _NONCE_BYTES + _TAG_BYTES:
            raise SealBroken("sealed text was cut short")
        return key, body

    def _key(self, key_id: str) -> "_Derived":
        try:
            return self._keys[key_id]
        except KeyError:
            named = f"key {key_id!r}" if _KEY_ID.fullmatch(key_id) else "a key without a proper id"
            raise SealBroken(f"it names {named}, which is not in the keyring") from None


def read_keys(text: str, where: str) -> tuple[SealingKey, ...]:
    """The keys of a key file's text: ``{"keys": [{"id": ..., "created": ..., "key": ...}]}``.

    Args:
        text: JSON; `key` is 32 bytes in base64url, `created` an RFC 3339 time.
        where: Names the file or the setting in errors.

    Raises:
        ConfigurationError: it is something else; the text names the place, never what stands there.
    """
    try:
        entries = _KeyFile.model_validate_json(text).keys
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the whole"
        raise ConfigurationError(f"{where} is no key file: {place}: {first['type']}") from None
    repeated = [key_id for key_id, times in Counter(entry.id for entry in entries).items() if times > 1]
    if repeated:
        raise ConfigurationError(f"{where} has more than one key with the id {repeated[0]}")
    return tuple(SealingKey(entry.id, entry.created, _secret(entry, where)) for entry in entries)


def write_keys(keys: Sequence[SealingKey]) -> str:
    """The text of a key file with these keys. IN CLEAR: only for a file that the worker alone can read."""
    entries = [
        {"id": key.key_id, "created": key.created.isoformat(), "key": _encode(key.secret)} for key in keys
    ]
    return json.dumps({"keys": entries}, indent=2) + "\n"


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class _KeyEntry(_Closed):
    id: Annotated[str, Field(pattern=f"^{_KEY_ID.pattern}$")]
    created: AwareDatetime
    key: SecretStr


class _KeyFile(_Closed):
    keys: Annotated[tuple[_KeyEntry, ...], Field(min_length=1)]


def _secret(entry: _KeyEntry, where: str) -> bytes:
    secret = _decode(entry.key.get_secret_value().rstrip("="))
    if secret is None or len(secret) != _KEY_BYTES:
        raise ConfigurationError(f"{where}: key {entry.id} is not {_KEY_BYTES} bytes in base64url")
    return secret


class _Derived:
    """A key made ready: its cipher and its fingerprint key."""

    def __init__(self, key: SealingKey) -> None:
        self.key_id = key.key_id
        self.created = key.created
        self.cipher = AESGCM(_derive(key, "seal"))
        self._fingerprint_key = _derive(key, "fingerprint")

    def digest(self, content: bytes) -> str:
        return hmac.new(self._fingerprint_key, content, sha256).hexdigest()


def _derive(key: SealingKey, purpose: str) -> bytes:
    info = f"provisioner.{purpose}.{key.key_id}".encode()
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(key.secret)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None

"""Credentials for the consumer's eyes only: JWE in compact form, under public keys from configuration.

The kind of the key decides the algorithm (RFC 7518): ECDH-ES+A256KW for P-256 and X25519, RSA-OAEP-256 for
RSA; the content is A256GCM. What a key's own `alg` says can only lead to refusal.
"""

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from joserfc import jwe
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from contracts.credentials import TEST_VECTOR_KID
from worker.core.clock import Clock, SystemClock
from worker.core.errors import ConfigurationError

_CONTENT_ENCRYPTION = "A256GCM"
_AGREEMENT = "ECDH-ES+A256KW"
_TRANSPORT = "RSA-OAEP-256"
_MIN_RSA_BITS = 2048
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_SIGNING = re.compile(r"(ES|RS|PS)\d+K?|EdDSA|Ed\d+|secp256k1")
"""Algorithms and curves that can do nothing but sign."""

_USABLE = "usable are EC keys on P-256, OKP keys on X25519 and RSA keys of 2048 bits or more"


@dataclass(frozen=True, slots=True)
class ConsumerKey:
    """A consumer's public key.

    Attributes:
        kid: Its id, so that the consumer finds the private half; the RFC 7638 thumbprint if it came without.
        algorithm: How keys are wrapped for it, decided by its kind.
        key: The key itself.
        issued: Seconds since 1970 (`iat`, else `nbf`); the newest key is used. 0 when not given.
        begins: Seconds since 1970 (`nbf`) before which it is not used.
        expires: Seconds since 1970 (`exp`) from which on no new request is taken because of it.
    """

    kid: str
    algorithm: str
    key: ECKey | OKPKey | RSAKey = field(repr=False)
    issued: float = 0.0
    begins: float | None = None
    expires: float | None = None

    def is_usable_at(self, seconds: float) -> bool:
        """Whether the key is in its time."""
        begun = self.begins is None or self.begins <= seconds
        return begun and (self.expires is None or seconds < self.expires)

    def encrypt(self, content: bytes) -> str:
        """The content in a compact JWE.

        Raises:
            ValueError, JoseError: the numbers of this key are those of no real key.
        """
        header = {"alg": self.algorithm, "enc": _CONTENT_ENCRYPTION, "kid": self.kid}
        allowed = [self.algorithm, _CONTENT_ENCRYPTION]
        return jwe.encrypt_compact(header, content, self.key, algorithms=allowed)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one JWKS; none where nothing is configured.

    Attributes:
        where: Names the file or the setting.
        keys: Those that can encrypt.
        unusable: Each key that is not for signatures and cannot encrypt, and why not, in words.
    """

    where: str = ""
    keys: tuple[ConsumerKey, ...] = ()
    unusable: tuple[str, ...] = ()


class ConsumerKeys:
    """Encrypts for consumers. Implements `worker.core.sealing.CredentialBox`.

    Args:
        general: Keys for every source that has none of its own.
        by_source: Keys of single sources; such a source never gets something under the general keys.
        clock: Tells which keys are in their time.
    """

    def __init__(
        self,
        general: KeySet = KeySet(),
        by_source: Mapping[str, KeySet] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._general = general
        self._by_source = dict(by_source or {})
        self._clock = clock or SystemClock()

    def can_encrypt_for(self, source: str) -> bool:
        """Whether a key for this source is in its time."""
        return self._newest(self._keys_of(source)) is not None

    def in_use(self) -> tuple[str, ...]:
        """The id of the key under which each set encrypts now, in words."""
        newest = [(each.where, self._newest(each.keys)) for each in self._sets()]
        return tuple(f"{where}: kid {key.kid} is in use" for where, key in newest if key)

    def troubles(self) -> tuple[str, ...]:
        """Keys that a consumer may believe in and that are not used, and sets without any that is, in words."""
        return tuple(trouble for each in self._sets() for trouble in self._troubles_of(each))

    def expiries(self) -> Mapping[str, float]:
        """When the keys of each source run out, in seconds since 1970; "" is every source without keys of its own.

        A source whose key does not expire, or is followed by a newer one in time, is left out.
        """
        now = self._clock.time_of_day().timestamp()
        sets = {"": self._general, **self._by_source}
        ends = {source: _end_of(each.keys, now) for source, each in sets.items() if each.keys}
        return {source: end for source, end in ends.items() if end is not None}

    def encrypt(self, source: str, payload: Mapping[str, object]) -> str:
        """The payload as JSON in a compact JWE, under the newest key in its time.

        Where none is (any more), any other still serves: the account exists, and nobody else will ever have these
        credentials. Whether a request is taken at all was decided before, by `can_encrypt_for`.
        """
        keys = self._keys_of(source)
        key = self._newest(keys) or _newest_of(keys)
        if key is None:
            raise ConfigurationError("no consumer key for this source is configured")
        return key.encrypt(json.dumps(payload).encode())

    def _troubles_of(self, key_set: KeySet) -> Iterator[str]:
        for words in key_set.unusable:
            yield f"{key_set.where}: {words} and is not used; {_USABLE}"
        if self._newest(key_set.keys) is None:
            yield f"{key_set.where}: no key is in its time (nbf, exp)"

    def _newest(self, keys: Iterable[ConsumerKey]) -> ConsumerKey | None:
        return _newest_at(keys, self._clock.time_of_day().timestamp())

    def _keys_of(self, source: str) -> Sequence[ConsumerKey]:
        return self._by_source.get(source, self._general).keys

    def _sets(self) -> Iterable[KeySet]:
        """Those that are configured, a file that serves several sources once."""
        sets = {each.where: each for each in (self._general, *self._by_source.values()) if each.keys}
        return sets.values()


def _newest_of(keys: Iterable[ConsumerKey]) -> ConsumerKey | None:
    """Keys without a date are ordered by their place: what was added last is newest."""
    return max(reversed(tuple(keys)), key=lambda key: key.issued, default=None)


def _end_of(keys: Sequence[ConsumerKey], now: float) -> float | None:
    """When the newest key of a time expires and no newer one takes over: an older one, which its consumer may have
    thrown away, would be fallen back to, or none is left. None for never.
    """
    newest = _newest_at(keys, now)
    if newest is None:
        return max(
            (key.expires for key in keys if key.expires is not None and key.expires <= now), default=0.0
        )
    while newest.expires is not None:
        successor = _newest_at(keys, newest.expires)
        if successor is None or successor.issued <= newest.issued:
            return newest.expires
        newest = successor
    return None


def _newest_at(keys: Iterable[ConsumerKey], seconds: float) -> ConsumerKey | None:
    return _newest_of(key for key in keys if key.is_usable_at(seconds))


def load_consumer_keys(path: Path) -> KeySet:
    """The keys in a JWKS file.

    Raises:
        ConfigurationError: it cannot be read, or as for `read_consumer_keys`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the consumers' key file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the consumers' key file {path} is not text") from None
    return read_consumer_keys(text, str(path))


def read_consumer_keys(text: str, where: str) -> KeySet:
    """The keys of a JWKS (RFC 7517) that can encrypt; keys for signatures are left out.

    Args:
        text: JSON ``{"keys": [...]}``.
        where: Names the file or the setting in errors.

    Raises:
        ConfigurationError: it is no JWKS, holds a private key, or holds no key that can encrypt.
    """
    try:
        entries = json.loads(text)["keys"]
    except (ValueError, TypeError, KeyError):
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError(f'{where} is no JWKS: {{"keys": [...]}} is expected')
    if any(_PRIVATE & entry.keys() for entry in entries):
        raise ConfigurationError(
            f"{where} holds a private or symmetric key. Give the worker public keys only, and replace that one: "
            "it has been in the wrong hands"
        )
    return _usable(entries, where)


def new_consumer_key(kid: str, issued: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    """A fresh P-256 pair: the private JWK for the consumer, and the public JWKS for the worker."""
    key = ECKey.generate_key("P-256")
    about = {"kid": kid, "use": "enc", "iat": int(issued.timestamp())}
    private = {**key.as_dict(private=True), **about}
    public = {**key.as_dict(private=False), **about}
    return private, {"keys": [public]}


def _usable(entries: Sequence[Mapping[str, Any]], where: str) -> KeySet:
    keys, unusable, signing = [], [], []
    for place, entry in enumerate(entries, start=1):
        try:
            keys.append(_read(entry))
        except _ForSignatures as reason:
            signing.append(f"{_name(place, entry)} {reason}")
        except _Unusable as reason:
            unusable.append(f"{_name(place, entry)} {reason}")
    if not keys:
        raise ConfigurationError(
            "; ".join([f"{where} has no key that can encrypt", *signing, *unusable, _USABLE])
        )
    return KeySet(where, tuple(keys), tuple(unusable))


def _name(place: int, entry: Mapping[str, Any]) -> str:
    kid = entry.get("kid")
    return f"key {place} (kid {kid})" if isinstance(kid, str) and kid else f"key {place}"


class _Unusable(Exception):
    """Why a key is left out; no error of the whole set."""


class _ForSignatures(_Unusable):
    """It is left out as it should be."""


def _read(entry: Mapping[str, Any]) -> ConsumerKey:
    if _is_for_signatures(entry):
        raise _ForSignatures("is for signatures")
    if entry.get("use", "enc") != "enc":
        raise _Unusable("has a use that is neither enc nor sig")
    if str(entry.get("kid")).startswith(TEST_VECTOR_KID):
        raise _Unusable("is a test vector, whose private half everybody has")
    algorithm, key = _key(entry)
    if entry.get("alg", algorithm) != algorithm:
        raise _Unusable(f"asks for another algorithm than {algorithm}")
    begins, expires, issued = (_seconds(entry, name) for name in ("nbf", "exp", "iat"))
    return _tried(
        ConsumerKey(
            kid=_kid(entry, key),
            algorithm=algorithm,
            key=key,
            issued=issued or begins or 0.0,
            begins=begins,
            expires=expires,
        )
    )


def _tried(key: ConsumerKey) -> ConsumerKey:
    # A placeholder, such as zeros, can be imported. Found out after a create it would cost the credentials.
    try:
        key.encrypt(b"{}")
    except (JoseError, ValueError, TypeError):
        raise _Unusable("cannot encrypt") from None
    return key


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    if entry.get("use") == "sig" or "verify" in str(entry.get("key_ops")):
        return True
    return "use" not in entry and any(_SIGNING.fullmatch(str(entry.get(name))) for name in ("alg", "crv"))


class _Importable(Protocol):
    def import_key(self, value: Any) -> Any: ...


def _key(entry: Mapping[str, Any]) -> tuple[str, ECKey | OKPKey | RSAKey]:
    match entry.get("kty"), entry.get("crv"):
        case "EC", "P-256":
            return _AGREEMENT, _imported(ECKey, entry, "kty", "crv", "x", "y")
        case "OKP", "X25519":
            return _AGREEMENT, _imported(OKPKey, entry, "kty", "crv", "x")
        case "RSA", _:
            key: RSAKey = _imported(RSAKey, entry, "kty", "n", "e")
            if key.raw_value.key_size < _MIN_RSA_BITS:
                raise _Unusable("is an RSA key that is too short")
            return _TRANSPORT, key
        case _:
            raise _Unusable("is of another kind")


def _imported(kind: _Importable, entry: Mapping[str, Any], *members: str) -> Any:
    # Only the numbers go in: nothing else of the entry may steer the library. It warns of short RSA keys,
    # which are refused anyway.
    try:
        with warnings.catch_warnings(action="ignore", category=SecurityWarning):
            key = kind.import_key({name: entry[name] for name in members})
            _ = key.raw_value
    except (JoseError, ValueError, TypeError, KeyError):
        raise _Unusable("is damaged") from None
    return key


def _kid(entry: Mapping[str, Any], key: ECKey | OKPKey | RSAKey) -> str:
    kid = entry.get("kid")
    return kid if isinstance(kid, str) and kid else key.thumbprint()


def _seconds(entry: Mapping[str, Any], name: str) -> float | None:
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unusable(f"has an {name} that is not a number of seconds")
    return float(value)

"""The last line of defence in front of every log line: a secret that came this far, which none should, ends here."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import PurePath
from typing import Any
from urllib.parse import quote
from uuid import UUID

MASK = "**********"

_SECRET_WORDS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "cookie",
    "credential",
    "apikey",
)
_SECRET_NAMES = frozenset({"key", "keys", "pwd", "privatekey", "jwk", "jwe"})
_SHORTEST = 4
_DEEPEST = 6
_NOT_A_LETTER = re.compile(r"[^a-z0-9]")


class Mask:
    """Masks the values of a line by their name, and known secrets wherever they stand.

    Values of kinds that nobody thought of are replaced by the name of their kind: their text is anybody's guess.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.register(secrets)

    def register(self, secrets: Iterable[str]) -> None:
        """Mask these from now on, as they are and as they look in a URL. Shorter than four characters is ignored."""
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                self._known |= {secret, quote(secret, safe="")}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._name = lru_cache(maxsize=1024)(self._text)  # the same few stand in every line

    def __call__(self, line: Mapping[str, object]) -> dict[str, Any]:
        """Mask one line."""
        return {self._name(name): self._named(name, value, 0) for name, value in line.items()}

    def _named(self, name: str, value: object, depth: int) -> object:
        return MASK if _is_secret(name) and value is not None else self._value(value, depth)

    def _value(self, value: object, depth: int) -> object:
        match value:
            case str():
                return self._text(value)
            case None | bool() | int() | float():
                return value
            case datetime() | UUID() | PurePath():
                return self._text(str(value))
            case Mapping() | list() | tuple() | set() | frozenset() if depth < _DEEPEST:
                return self._collection(value, depth + 1)
            case _:
                return f"<{type(value).__name__}>"

    def _collection(self, value: Mapping[object, object] | Iterable[object], depth: int) -> object:
        if isinstance(value, Mapping):
            return {self._text(str(key)): self._named(str(key), item, depth) for key, item in value.items()}
        return [self._value(item, depth) for item in value]

    def _text(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else str(text)


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    plain = _NOT_A_LETTER.sub("", name.lower())
    return plain in _SECRET_NAMES or any(word in plain for word in _SECRET_WORDS)

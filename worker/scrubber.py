"""Cleaning of foreign text, so that it can be stored and shown."""

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretStr

from worker.core.rules import Reading, Shape


@dataclass(frozen=True, slots=True)
class Scrubber:
    """Makes a provider's words fit to be stored and shown: short, printable, and without our secrets."""

    secrets: tuple[str, ...] = field(repr=False)

    def refusal(self, reading: Reading, error_id: object, message: object) -> Reading:
        """The reading of an error in the provider's own shape."""
        return replace(
            reading, shape=Shape.ERROR, error_id=self.error_id(error_id), message=self.text(message)
        )

    def text(self, value: object, limit: int = 300) -> str | None:
        """The text, cleaned, in at most `limit` characters; None when there is none."""
        if not isinstance(value, str):
            return None
        text = self._without_secrets(value)
        text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
        return (text if len(text) <= limit else f"{text[: limit - 1]}…") or None

    def error_id(self, value: object) -> str | None:
        """The error id, what is not a letter, digit or ``_.:/*-`` shown as ``?``; None when there is none."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        text = self.text(value, limit=100)
        return None if text is None else re.sub(r"[^A-Za-z0-9_.:/*-]", "?", text)

    def _without_secrets(self, text: str) -> str:
        forms = {form for secret in self.secrets if secret for form in _forms(secret)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, "***")
        return text


def _forms(secret: str) -> Iterator[str]:
    """The spellings in which an error text may echo a secret."""
    yield from (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(secret.encode()).decode()
        yield from (encoded, encoded.rstrip("="))


_LEAST_TELLING = 8
"""Characters."""


def with_parts(secret: str) -> Iterator[str]:
    """The secret and its parts: the second half of a pair ``code:secret``, the pieces of a token with dots.

    An error may name one part alone, and a part in Base64 may have lost its padding. A client's code is no secret.
    """
    yield secret
    for part in secret.rpartition(":")[2].split("."):
        if is_telling(part):
            yield from (part, part.rstrip("=") or part)


def is_telling(part: str) -> bool:
    """Whether a part of a secret is long enough not to be a word that any text may hold."""
    return len(part) >= _LEAST_TELLING


def secrets_of(*models: BaseModel) -> Iterator[str]:
    """Every secret in the models, nested ones included, IN CLEAR; for a `Scrubber` alone."""
    for model in models:
        for name in type(model).model_fields:
            yield from _secrets_in(getattr(model, name))


def _secrets_in(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            yield from secrets_of(value)
        case Mapping():
            for item in value.values():
                yield from _secrets_in(item)
        case list() | tuple():
            for item in value:
                yield from _secrets_in(item)
        case _:
            return


def texts_in(value: object) -> Iterator[str]:
    """Every text in JSON data, however deep."""
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from texts_in(item)
        case list():
            for item in value:
                yield from texts_in(item)
        case _:
            return

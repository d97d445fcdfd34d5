r"""The kinds of text that fields of the wire hold.

Every pattern is written in the subset that ECMA 262, RE2, Rust's `regex`, Java and Python read alike, so that
the exported JSON Schema says what the models do; and none has two ways to match the same text, so that
matching takes linear time. What is read differently is avoided (`\s`, which is ASCII in one engine and Unicode in
another) or, where there is no other word for it, told in the README: `$` lets a last line break pass in some.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue

# Control characters, line separators, marks that reverse the direction of text, and invisible spaces.
# They would let a name look like another one on an operator's screen.
# Beyond Latin-1 the characters stand for themselves, because not every engine knows the same escape.
_UNSEEN = r"\x00-\x1f\x7f-\x9f" + "\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff"

# All white space of Unicode that is not unseen, written out.
_SPACE = r" \xa0" + "\u1680\u2000-\u200a\u202f\u205f\u3000"


@dataclass(frozen=True, slots=True)
class Shape:
    """The form a text must have: a regular expression for machines and a sentence for people.

    Put it behind the bounds of the length, so that only a text of sane length is searched. The sentence,
    never the pattern or the text, is what a publisher is told; the pattern goes into the JSON Schema.
    """

    pattern: str
    sentence: str

    def check(self, text: str) -> str:
        """Give `text` back.

        Raises:
            ValueError: with the sentence, when the text has another form.
        """
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(self.sentence)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return AfterValidator(self.check).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(core_schema) | {"pattern": self.pattern}


_EMAIL_MARKS = rf'{_SPACE}@<>(),;:"\[\]\\{_UNSEEN}'
_PROVIDER_NAME = r"^[a-z][a-z0-9_]*$"
_UUID = r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"

Line = Annotated[
    str,
    Field(min_length=1, max_length=200),
    Shape(
        rf"^[^{_SPACE}{_UNSEEN}]([^{_UNSEEN}]*[^{_SPACE}{_UNSEEN}])?$",
        "must not be blank, must not begin or end with white space and must not hold control characters",
    ),
]
"""One line of text: 1 to 200 characters, not blank, no white space at either end, no control characters."""

Word = Annotated[
    str,
    Field(min_length=1, max_length=100),
    Shape(rf"^[^{_SPACE}{_UNSEEN}]+$", "must not hold white space or control characters"),
]
"""A log-in name: 1 to 100 characters without white space."""

Email = Annotated[
    str,
    Field(min_length=3, max_length=254, json_schema_extra={"format": "email"}),
    Shape(
        rf"^[^{_EMAIL_MARKS}]+@[^.{_EMAIL_MARKS}]+(\.[^.{_EMAIL_MARKS}]+)+$",
        "must be one e-mail address, such as name@example.org",
    ),
]
"""One e-mail address, checked loosely: one @, a dot in the domain. Only delivery proves an address."""

Phone = Annotated[
    str,
    Field(min_length=3, max_length=40),
    Shape(
        r"^[+(]?[0-9][0-9 ().\-]*[0-9]$",
        "must be a telephone number, best in the form +18585550100",
    ),
]
"""A telephone or fax number; E.164 (`+18585550100`) is recommended, usual punctuation is let through."""

WebAddress = Annotated[
    str,
    Field(min_length=8, max_length=500),
    Shape(
        rf'^https?://[^{_SPACE}/?#<>"\\{_UNSEEN}]+([/?#][^{_SPACE}<>"\\{_UNSEEN}]*)?$',
        "must be a web address that begins with http:// or https://",
    ),
]
"""An http or https address."""

UriReference = Annotated[
    str,
    Field(min_length=1, max_length=500, json_schema_extra={"format": "uri-reference"}),
    Shape(
        r"^[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%\-]+$",
        "must be a URI reference of printable ASCII characters",
    ),
]
"""A URI or relative reference (RFC 3986) of 1 to 500 ASCII characters."""

UuidText = Annotated[
    str,
    Field(min_length=36, max_length=36, json_schema_extra={"format": "uuid"}),
    Shape(
        _UUID,
        "must be a UUID of 8-4-4-4-12 hexadecimal digits",
    ),
]
"""A UUID as text."""

ProviderName = Annotated[
    str,
    Field(min_length=1, max_length=50),
    Shape(_PROVIDER_NAME, "must be lower-case letters, digits and underscores, beginning with a letter"),
]
"""A provider's name on the wire; safe as one word of a routing key."""


def usual_uuid(text: str) -> str | None:
    """Give the UUID that `text` spells, in lower case and with hyphens as usual; None where it is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def is_number(text: str) -> bool:
    """Tell whether `text` is a whole number as ids are: in decimal, above 0, without leading zeros."""
    return re.fullmatch(r"[1-9][0-9]{0,19}", text) is not None


def is_provider_name(text: str) -> bool:
    """Tell whether `text` could name a provider, and so may stand in a routing key."""
    return len(text) <= 50 and re.fullmatch(_PROVIDER_NAME, text) is not None


def _timestamp(value: object) -> object:
    if isinstance(value, str):
        return _read_timestamp(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return _in_utc(value)
    raise ValueError(_NO_TIMESTAMP)


def _read_timestamp(text: str) -> datetime:
    if re.fullmatch(_RFC3339, text) is None:
        raise ValueError(_NO_TIMESTAMP)
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("must be a date and time that exists") from None
    return _in_utc(moment)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


_NO_TIMESTAMP = "must be a date and time with seconds and a zone, such as 2026-11-21T18:35:00Z"
_RFC3339 = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[+\-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)

Timestamp = Annotated[
    AwareDatetime,
    BeforeValidator(_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _RFC3339}),
]
"""An RFC 3339 date and time with seconds and a zone, held in UTC to the microsecond; no leap second.

A number is refused: nobody knows its unit.
"""


def _printable(value: SecretStr) -> SecretStr:
    if re.fullmatch(_PRINTABLE, value.get_secret_value()) is None:
        raise ValueError("must not hold control characters")
    return value


_PRINTABLE = rf"^[^{_UNSEEN}]*$"

Password = Annotated[
    SecretStr,
    Field(min_length=8, max_length=128, json_schema_extra={"pattern": _PRINTABLE}),
    AfterValidator(_printable),
]
"""A password chosen by the requester: 8 to 128 characters (our bound; no vendor states one)."""

IssuedSecret = Annotated[SecretStr, WithJsonSchema({"type": "string"})]
"""A secret as a provider issued it; taken as it came, because refusing one would lose it."""

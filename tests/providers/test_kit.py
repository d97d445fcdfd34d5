"""What the provider modules share, piece by piece."""

import base64
import html
import string
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, quote_plus

import pytest
from pydantic import BaseModel, SecretStr

from worker import provider_kit as kit
from worker.core.verdict import Moment
from worker.exchange import Exchange
from worker.scrubber import Scrubber, secrets_of

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def answer(**headers: str) -> Exchange:
    """A 429 with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(Moment.ANSWER_READ, 429, named)


@pytest.mark.parametrize(
    ("text", "wait", "reason"),
    [
        ("7", 7.0, "seconds"),
        (" 7 ", 7.0, "blanks around"),
        ("1.5", 1.5, "a fraction, which nobody should send"),
        ("0", 0.0, "at once"),
        ("-5", 0.0, "never negative"),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60.0, "a date"),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0, "a date that is past"),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60.0, "a date without a zone is UTC"),
        ("9" * 400, kit.LONGEST_WAIT, "beyond any number"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", kit.LONGEST_WAIT, "never longer than a day"),
        ("Sun, 01 Mar 99999999999999999999 12:01:00 GMT", None, "a year that no calendar has"),
        ("Sun, 01 Mar 2147483648 12:01:00 GMT", None, "a year that no machine number has"),
        ("Sun, 01 Mar 2026 12:01:00 +99999999999999", None, "a zone that no clock has"),
        ("Sun, 01 Mar 2026 99999999999999999999:01:00 GMT", None, "an hour that no day has"),
        ("Sun, 01 Mar 2026 12:01:00 -2400", None, "a zone of a whole day"),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0, "before the first day"),
        ("Fri, 31 Dec 9999 23:59:59 -2359", kit.LONGEST_WAIT, "after the last day"),
        ("\udcff \x00 (", None, "bytes that are no text"),
        ("soon", None, "words"),
        ("", None, "nothing"),
        ("nan", None, "not a number"),
        ("1_0", None, "not as Python writes it"),
    ],
)
def test_retry_after(text: str, wait: float | None, reason: str) -> None:
    """The header is read as RFC 9110 has it, and bounded."""
    assert kit.retry_after(answer(Retry_After=text), NOW) == wait, reason


def test_no_header_is_no_wait() -> None:
    """Without the header the provider has asked for nothing."""
    assert kit.retry_after(answer(), NOW) is None


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        (7, "7", None),
        (3414456543, "3414456543", None),
        (2**63, str(2**63), None),
        (2**64, None, None),
        (0, None, None),
        (-1, None, None),
        (True, None, None),
        (7.0, None, None),
        ("7", None, "7"),
        ("", None, None),
        (" a", None, None),
        ("a\n", None, None),
        ("a\u200bb", None, None),
        ("x" * 201, None, None),
        (None, None, None),
    ],
)
def test_ids(value: object, number: str | None, text: str | None) -> None:
    """An id is a positive 64-bit number or a printable line; anything else is none."""
    assert (kit.number_as_id(value), kit.text_as_id(value)) == (number, text)


def test_passwords_have_every_class() -> None:
    """Each password is long, has lower, upper, digit and symbol, and nothing that needs quoting."""
    safe = set(string.ascii_letters + string.digits + "-_.~")
    for _ in range(200):
        password = kit.generate_password().get_secret_value()
        assert len(password) >= 20
        assert set(password) <= safe
        for alphabet in (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.~"):
            assert set(password) & set(alphabet)


def test_json_is_strict_ascii() -> None:
    """Bodies are compact ASCII, and what JSON cannot say is refused."""
    assert kit.json_bytes({"a": "é", "b": True, "c": [1]}) == b'{"a":"\\u00e9","b":true,"c":[1]}'
    with pytest.raises(ValueError, match="Out of range float"):
        kit.json_bytes({"a": float("nan")})


def test_unmarked_field_is_not_sent_by_accident() -> None:
    """A field of a contract that does not say under which name it is sent is a mistake, found at once."""

    class Unmarked(BaseModel):
        name: str = "x"

    with pytest.raises(TypeError, match="name does not say"):
        kit.as_sent(Unmarked())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Alex@Example.org", "alex@example.ORG", True),
        ("Stra\u00dfe  1", " strasse 1", True),
        ("e\u0301", "é", True),
        ("a", "b", False),
        ("", "", True),
        (None, None, False),
        (1, "1", False),
    ],
)
def test_same_text(one: object, other: object, same: bool) -> None:
    """Providers may change case, blanks and Unicode form; nothing else passes as equal."""
    assert kit.same_text(one, other) is same


class Inner(BaseModel):
    """A nested secret."""

    pin: SecretStr = SecretStr("inner-secret")


class Outer(BaseModel):
    """Secrets wherever a model may hold them."""

    name: str = "public"
    password: SecretStr = SecretStr("outer-secret")
    nothing: SecretStr | None = None
    inner: Inner = Inner()
    many: tuple[SecretStr, ...] = (SecretStr("listed-secret"),)
    named: dict[str, SecretStr] = {"a": SecretStr("mapped-secret")}


def test_every_secret_is_found() -> None:
    """Nested, listed and mapped secrets are secrets, too; a name is none."""
    assert set(secrets_of(Outer())) == {"outer-secret", "inner-secret", "listed-secret", "mapped-secret"}


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("pass-word is wrong", "*** is wrong"),
        ("a\x00b\r\nc\u2028d\u202ee", "a b c d e"),
        ("  ", None),
        ("x" * 301, "x" * 299 + "…"),
        ("pass-word" + "x" * 400, "***" + "x" * 296 + "…"),
        ("😀 é", "😀 é"),
        (None, None),
        (7, None),
        ({"a": 1}, None),
    ],
)
def test_text_is_cleaned(text: object, cleaned: str | None) -> None:
    """Foreign words become one short printable line without our secrets."""
    assert Scrubber(("pass-word", "")).text(text) == cleaned


@pytest.mark.parametrize(
    "echo",
    [
        "p w/<1>",
        quote("p w/<1>"),
        quote("p w/<1>", safe=""),
        quote_plus("p w/<1>"),
        html.escape("p w/<1>"),
        base64.b64encode(b"p w/<1>").decode(),
        base64.b64encode(b"p w/<1>").decode().rstrip("="),
    ],
)
def test_secret_is_masked_in_any_spelling(echo: str) -> None:
    """A secret quoted for a URL, for HTML or in Base64 is the same secret."""
    assert Scrubber(("p w/<1>",)).text(f"[{echo}]") == "[***]"


def test_longer_secret_is_masked_first() -> None:
    """A secret that contains another leaves no rest of itself."""
    assert Scrubber(("abc", "abc-def")).text("abc-def") == "***"


@pytest.mark.parametrize(
    ("error_id", "cleaned"),
    [
        ("INVALID_NAME", "INVALID_NAME"),
        ("React_Controller\\Invalid", "React_Controller?Invalid"),
        ("a b<c>", "a?b?c?"),
        (404, "404"),
        (True, None),
        (None, None),
        ("x" * 150, "x" * 99 + "?"),
        ("pass-word", "***"),
    ],
)
def test_error_ids_are_cleaned(error_id: object, cleaned: str | None) -> None:
    """An error id is made of a safe alphabet, short, and without our secrets."""
    assert Scrubber(("pass-word",)).error_id(error_id) == cleaned


def test_waits_of_a_body_are_numbers() -> None:
    """Numbers and numbers as text are seconds; booleans and words are not."""
    values: list[object] = [7, 7.5, "7", True, "x", None, []]
    assert [kit.number(value) for value in values] == [
        7,
        7.5,
        7,
        None,
        None,
        None,
        None,
    ]


def test_what_nests_too_deep_is_neither_seconds_nor_digits() -> None:
    """A list may be read that Python cannot write out; it says nothing, and raises nothing."""
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert (kit.number(deep), kit.digits(deep), kit.plain(deep)) == (None, "", "")


def test_reset_in_the_past_is_no_wait() -> None:
    """A wait is never negative and never longer than a day."""
    assert [kit.bounded_wait(wait) for wait in (-1.0, 5.0, 1e9)] == [
        0.0,
        5.0,
        timedelta(days=1).total_seconds(),
    ]

"""What the provider modules share: settings, bodies, passwords, ids, waits, and rules they have in common."""

import json
import re
import secrets
import string
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Annotated

from pydantic import AfterValidator, BaseModel, JsonValue, SecretStr
from pydantic.fields import FieldInfo

from contracts.model import reveal
from contracts.reason import ReasonCode
from worker.core.provider import Order, Prepared, Probe, ProviderSettings, Unclear
from worker.core.rules import Reading, Rule, Shape
from worker.core.verdict import Created, Effect, Moment, Verdict
from worker.exchange import Exchange, Limits

LONGEST_WAIT = 86_400.0
"""Seconds that are believed at most when a provider asks us to wait."""

CREATED_STATUSES = frozenset({200, 201})
"""With these a create's answer is believed; any other 2xx leaves it in doubt (providers.md 1.3 #5)."""

LIST_BYTES = 32 * 1024 * 1024
"""Bytes of a list of accounts that are read at most."""

_SYMBOLS = "-_.~"
_ALPHABETS = (string.ascii_lowercase, string.ascii_uppercase, string.digits, _SYMBOLS)

DRY_RUN_PASSED = Rule(
    id="dry_run_passed",
    verdict=Verdict.NOT_DONE,
    reason=ReasonCode.DRY_RUN_PASSED,
    source="design 3: a dry run uses the test mode where there is one and otherwise validates only",
    shapes=frozenset({Shape.SUCCESS}),
    moments=frozenset({Moment.PREPARING}),
)
"""Matches `VALIDATED`, and the good answer of a test mode, which sends no create either."""

VALIDATED = Reading(moment=Moment.PREPARING, shape=Shape.SUCCESS)
"""A dry run at a provider without test mode: the contract has checked the parameters, nothing is sent."""


def created(provider: str) -> Rule:
    """The row of the good answer."""
    return Rule(
        id=f"{provider}.created",
        verdict=Verdict.DONE,
        reason=ReasonCode.CREATED,
        source="seed: the answer; 200 there, 201 in other documents",
        shapes=frozenset({Shape.SUCCESS}),
        statuses=CREATED_STATUSES,
    )


def credentials_lost(provider: str) -> Rule:
    """The row of an answer that names the account and lacks a credential which is shown only once."""
    return replace(
        created(provider),
        id=f"{provider}.credentials_lost",
        reason=ReasonCode.CREDENTIALS_LOST,
        source="reliability.md b.2, moment 11: the id is known, so the account exists",
        shapes=frozenset({Shape.INCOMPLETE}),
    )


def of_another(provider: str) -> Rule:
    """The row of a good answer about another account: something was done, so an empty look-up is a contradiction.

    A provider that renames what it opens would else be sent another create after each proof of absence.
    """
    return Rule(
        id=f"{provider}.of_another",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.CONFLICT_AT_PROVIDER,
        source="seed: the answer is about the account that was asked for; of ours this one says nothing",
        shapes=frozenset({Shape.ANOTHER}),
        statuses=CREATED_STATUSES,
    )


def refusal(
    rule_id: str, reason: ReasonCode, source: str, statuses: Iterable[int], effect: Effect = Effect.NONE
) -> Rule:
    """A row for a no in the provider's own shape; with an effect it is not the request's fault, which waits."""
    return Rule(
        id=rule_id,
        verdict=Verdict.NOT_DONE,
        reason=reason,
        source=source,
        shapes=frozenset({Shape.ERROR}),
        statuses=frozenset(statuses),
        retry=effect is not Effect.NONE,
        effect=effect,
    )


def conflict(rule_id: str, source: str, statuses: Iterable[int]) -> Rule:
    """A row for "such an account exists" in the provider's own shape: perhaps ours."""
    return Rule(
        id=rule_id,
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.CONFLICT_AT_PROVIDER,
        source=source,
        shapes=frozenset({Shape.ERROR}),
        statuses=frozenset(statuses),
    )


def echo(refused: Rule) -> Rule:
    """The row of a refusal after an earlier attempt, which may have opened what is now in the way.

    It is looked up first. Where nothing of ours is there, the request ends by the refusal's own reason.
    """
    return replace(refused, id=f"{refused.id}_after_attempt", verdict=Verdict.IN_DOUBT, sent_before=True)


def _checked_credential(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
        raise ValueError("must be printable ASCII without blanks, and not empty")
    return value


Credential = Annotated[SecretStr, AfterValidator(_checked_credential)]
"""A key, secret or token of ours. It travels in a header, where a line break would be another header."""


def _checked_base_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+/?", url):
        raise ValueError("must be http:// or https:// and a host, without user, path or query")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_checked_base_url)]
"""Root of an API, without a slash at its end."""


def create_limits(settings: ProviderSettings, prepared: Prepared) -> Limits:
    """A create leaves in time or not at all, and is listened for as long as the settings allow: every early give-up
    makes a doubt.
    """
    return Limits(settings.connect_timeout, settings.listen_for, in_time=prepared.in_time)


def read_limits(settings: ProviderSettings) -> Limits:
    """A read may be given up and repeated."""
    return Limits(settings.connect_timeout, settings.answer_within, max_bytes=LIST_BYTES)


def as_sent(model: BaseModel) -> dict[str, JsonValue]:
    """The fields of `model` under the vendor's own names, secrets IN CLEAR, without those that are null.

    The names are those that the contract publishes (`contracts.model.sent_as`).

    Raises:
        TypeError: a field bears no such name.
    """
    plain = reveal(model)
    sent: dict[str, JsonValue] = {}
    for name, vendor_name in _vendor_names(type(model)).items():
        value = getattr(model, name)
        if value is not None:
            sent[vendor_name] = as_sent(value) if isinstance(value, BaseModel) else plain[name]
    return sent


@cache
def _vendor_names(model: type[BaseModel]) -> Mapping[str, str]:
    return {name: _vendor_name(name, info) for name, info in model.model_fields.items()}


def _vendor_name(name: str, info: FieldInfo) -> str:
    extra = info.json_schema_extra
    vendor_name = extra.get("x-sent-as") if isinstance(extra, dict) else None
    if not isinstance(vendor_name, str):
        raise TypeError(f"the field {name} does not say under which name it is sent")
    return vendor_name


def json_bytes(value: JsonValue) -> bytes:
    """Strict JSON in plain ASCII, so that no server can guess the wrong charset."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def generate_password(length: int = 24) -> SecretStr:
    """A password with all four classes of characters; none of them needs quoting in JSON, a URL or HTML."""
    chosen = [secrets.choice(alphabet) for alphabet in _ALPHABETS]
    chosen += [secrets.choice("".join(_ALPHABETS)) for _ in range(length - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return SecretStr("".join(chosen))


def with_password(parameters: BaseModel) -> tuple[BaseModel, frozenset[str]]:
    """The parameters with a generated `password` when they have none, and the names of what was generated."""
    if getattr(parameters, "password", None) is not None:
        return parameters, frozenset()
    return parameters.model_copy(update={"password": generate_password()}), frozenset({"password"})


def with_account(reading: Reading, account: Created) -> Reading:
    """The reading of the promised answer; incomplete when a credential is missing in it."""
    shape = Shape.INCOMPLETE if account.missing else Shape.SUCCESS
    return replace(reading, shape=shape, created=account)


def number_as_id(value: object) -> str | None:
    """A positive whole number of at most 64 bits as decimal text, or None."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**64:
        return None
    return str(value)


def text_as_id(value: object) -> str | None:
    """Text that can be stored and shown as an id, or None."""
    if not isinstance(value, str) or not 0 < len(value) <= 200 or value != value.strip():
        return None
    return value if value.isprintable() else None


def same_text(one: object, other: object) -> bool:
    """Whether two texts are equal but for case, blanks and Unicode form, which providers may change."""
    return isinstance(one, str) and isinstance(other, str) and _folded(one) == _folded(other)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def plain(value: object) -> str:
    """A text or a number as text, and of an object the first such value in it; all else is empty, as what is read may
    nest too deep to be written.
    """
    if isinstance(value, dict):
        value = next((one for one in value.values() if isinstance(one, str | int | float)), "")
    return str(value) if isinstance(value, str | int | float) else ""


def digits(value: object) -> str:
    """The digits of a telephone number."""
    return "".join(letter for letter in plain(value) if letter.isdecimal())


def retry_after(exchange: Exchange, now: datetime) -> float | None:
    """Seconds of the header Retry-After (RFC 9110 10.2.3), a number or a date; None when it is neither."""
    text = exchange.headers.get("Retry-After", "").strip()
    wait = number(text)
    if wait is not None:
        return bounded_wait(wait)
    try:
        when = parsedate_to_datetime(text)
        return bounded_wait((when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())
    except Exception:  # noqa: BLE001 - what the parser raises is not documented; no header may cost an answer
        return None


def number(value: object) -> float | None:
    """A number, such as one of seconds, also one written as text; None when it is none."""
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", plain(value)):
        return None
    return float(plain(value))


def bounded_wait(wait: float) -> float:
    """The wait in seconds, neither negative nor beyond `LONGEST_WAIT`."""
    return max(0.0, min(wait, LONGEST_WAIT))


def has_words(value: object) -> bool:
    """Whether it is a text that says something, as a provider promises with each refusal, and a stranger does not."""
    return isinstance(value, str) and bool(value.strip())


def bare_reading(exchange: Exchange, now: datetime) -> Reading:
    """What any exchange says before its body is understood."""
    return Reading(
        moment=exchange.moment,
        shape=Shape.NOTHING if exchange.status is None else Shape.FOREIGN,
        status=exchange.status,
        failure=exchange.failure,
        wait=retry_after(exchange, now),
    )


def reading_of_create(exchange: Exchange, now: datetime, order: Order) -> Reading:
    """The same of a create's exchange, with what went before it."""
    reading = bare_reading(exchange, now)
    return replace(reading, sent_before=order.sent_before, after_doubt=order.after_doubt)


def unclear(asked: str, exchange: Exchange, **more: JsonValue) -> Unclear:
    """A look-up that proves nothing."""
    return Unclear({"asked": asked, "status": exchange.status, "failure": exchange.failure, **more})


def probe_of(asked: str, exchange: Exchange, *, healthy: bool) -> Probe:
    """What a harmless read says about the provider."""
    seen = f"failed: {exchange.failure}" if exchange.status is None else f"answered {exchange.status}"
    return Probe(healthy, f"{asked} {seen}")

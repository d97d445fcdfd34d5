"""Phone.com: a sub-account of the configured master account (API v4).

What is sent and what comes back follows phone_com_create_subaccount.txt; the shape of errors, the limits and the
list follow the vendor's newer documents as collected in providers.md 2.
"""

import html
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, Field, JsonValue

from contracts.providers import phone_com as contract
from contracts.reason import ReasonCode
from worker import provider_kit as kit
from worker.core.clock import Clock
from worker.core.provider import (
    Absent,
    Doubt,
    Finding,
    Found,
    Order,
    Prepared,
    Probe,
    ProviderSettings,
    Several,
    Taken,
    Unclear,
)
from worker.core.rules import COMMON, Reading, Rule, Shape, judge
from worker.core.verdict import Created, Effect, Outcome
from worker.exchange import Exchange, Http, Request
from worker.scrubber import Scrubber, is_telling, secrets_of, texts_in

_Item: TypeAlias = Mapping[str, JsonValue]

_FACTS: Final = "providers.md 2.2"
_PAGE: Final = 500
_MOST_PAGES: Final = 25
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,49}")
_FOR_PEOPLE: Final = {
    "verification_email": re.compile("verif", re.IGNORECASE),
    "tos_accept_date": re.compile(r"terms of|tos_accept", re.IGNORECASE),
    "cc_token": re.compile("credit card|cc_token", re.IGNORECASE),
}
"""Fields that stand for a step that only people can take, and words by which an error without fields names it."""
_NAME: Final = re.compile("user.?name", re.IGNORECASE)
_ANOTHERS: Final = [False, False]
"""Name and e-mail address, both shown and both others: one alone may be ours in another form ("Example, Alex").

The price is that an entry without a user name that shows one other field alone leaves a doubt unclear, and after a day
to a person; the vendor's own sample shows both (phone_com_create_subaccount.txt).
"""

_UNPROCESSABLE: Final = (
    replace(
        kit.refusal(
            "phone_com.422_for_people", ReasonCode.VERIFICATION_REQUIRED, "providers.md 2.3 #8", {422}
        ),
        error_ids=frozenset(_FOR_PEOPLE),
    ),
    replace(
        kit.refusal("phone_com.422_username", ReasonCode.NAME_TAKEN, f"{_FACTS}: 422", {422}),
        error_ids=frozenset({"username"}),
    ),
    kit.refusal("phone_com.422", ReasonCode.PROVIDER_VALIDATION, f"{_FACTS}: 422", {422}),
)

_SHORTEST_CUT: Final = 30
"""Characters of a user name below which it is not taken for a cut one: order-100 is not order-1001, cut."""

_REFUSALS: Final = (
    replace(
        kit.conflict("phone_com.422_after_doubt", f"{_FACTS}: 422 after doubt, perhaps taken by us", {422}),
        after_doubt=True,
    ),
    *(replace(kit.echo(refused), about_name=True) for refused in _UNPROCESSABLE),
    *_UNPROCESSABLE,
    *(
        kit.refusal(f"phone_com.{status}", reason, f"{_FACTS}: {status}", {status}, effect)
        for status, reason, effect in (
            (400, ReasonCode.PROVIDER_VALIDATION, Effect.NONE),
            (401, ReasonCode.CREDENTIALS_REFUSED, Effect.PAUSE),
            (403, ReasonCode.PERMISSION_REFUSED, Effect.PAUSE),
            (404, ReasonCode.ENDPOINT_MISSING, Effect.PAUSE),
            (429, ReasonCode.RATE_LIMITED, Effect.LIMIT),
        )
    ),
    kit.conflict("phone_com.409", f"{_FACTS}: 409", {409}),
)


def _checked_extra_fields(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    taken = sorted(fields.keys() & contract.Parameters.model_fields.keys())
    if taken:
        raise ValueError(f"{', '.join(taken)} can only be given by a request")
    return fields


class PhoneComSettings(ProviderSettings):
    """How Phone.com is reached."""

    PLACED_BY: ClassVar[Sequence[str]] = ("base_url", "account_id")
    PARENT: ClassVar[str | None] = "account_id"

    base_url: kit.BaseUrl = Field(default="https://api.phone.com", description="Root of the API.")
    rate: float = Field(
        default=0.9,
        gt=0,
        description="Creates started per second, at most, over all workers that share the ledger. The vendor takes 30 "
        "requests per endpoint in 30 seconds.",
    )
    token: kit.Credential = Field(description="Permanent access token with the scope account-owner.")
    account_id: int = Field(gt=0, lt=2**63, description="Number of the master account (also called voip_id).")
    extra_fields: Annotated[dict[str, JsonValue], AfterValidator(_checked_extra_fields)] = Field(
        default_factory=dict,
        repr=False,
        json_schema_extra={"secret": True},
        examples=['{"billing_day": 5}'],
        description="Further fields of every create, for what the vendor demands beyond its first document, "
        "such as billing_day; tos_accept_date may be given as now and is then the moment of sending.",
    )


class Handler:
    """Opens sub-accounts; one in doubt is looked up by its user name."""

    name: ClassVar[str] = contract.NAME
    Parameters: ClassVar[type[BaseModel]] = contract.Parameters
    Settings: ClassVar[type[ProviderSettings]] = PhoneComSettings
    RULES: ClassVar[Sequence[Rule]] = (
        kit.DRY_RUN_PASSED,
        kit.created("phone_com"),
        kit.of_another("phone_com"),
        *_REFUSALS,
        *COMMON,
    )
    CAN_LOOK_UP: ClassVar[bool] = True
    HAS_TEST_MODE: ClassVar[bool] = False

    def __init__(self, settings: PhoneComSettings, http: Http, clock: Clock) -> None:
        self.settings: ProviderSettings = settings
        self._own = settings
        self._http = http
        self._clock = clock
        self._path = f"/v4/accounts/{settings.account_id}"

    def complete(self, parameters: BaseModel) -> tuple[BaseModel, frozenset[str]]:
        """The vendor demands a password and never shows it again."""
        return kit.with_password(contract.Parameters.model_validate(parameters))

    def hands_over_credentials(self, parameters: BaseModel) -> bool:
        """Only a generated password is news to the requester."""
        return contract.Parameters.model_validate(parameters).password is None

    async def prepare(self, order: Order) -> Prepared | Outcome:
        """The body; there is nothing to ask before."""
        if order.dry_run:
            return judge(self.RULES, kit.VALIDATED)
        body = {**kit.as_sent(order.parameters), **self._own.extra_fields}
        if body.get("tos_accept_date") == "now":
            body["tos_accept_date"] = int(self._clock.time_of_day().timestamp())
        url = f"{self._own.base_url}{self._path}/subaccounts"
        headers = {**self._headers(), "Content-Type": "application/json"}
        return Prepared(Request("POST", url, headers, kit.json_bytes(body)))

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        """Send the create and judge what was seen."""
        exchange = await self._http.exchange(prepared.payload, kit.create_limits(self.settings, prepared))
        return judge(self.RULES, self._read(exchange, order))

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        """List by user name, newest first; whether the list is filtered is not trusted (providers.md 2.4)."""
        parameters = contract.Parameters.model_validate(order.parameters)
        filters = _filters(parameters.username)
        asked = " ".join((f"GET {self._path}/subaccounts", *("=".join(one) for one in filters.items())))
        seen: list[_Item] = []
        for _ in range(_MOST_PAGES):
            exchange = await self._list(filters, offset=len(seen))
            page = _page(exchange)
            if page is None:
                return kit.unclear(asked, exchange)
            items = page.items
            is_new = bool(_ids(items) - _ids(seen))
            seen += items
            if page.ends(len(_ids(seen))) or any(_is_named(one, parameters) for one in items):
                evidence: dict[str, JsonValue] = {"asked": asked, "status": 200, "count": len(seen)}
                return self._find(seen, evidence, order)
            if not is_new:
                break
        return Unclear({"asked": asked, "status": 200, "count": len(seen), "why": "the list has no end"})

    async def probe(self) -> Probe:
        """The master account."""
        request = Request("GET", f"{self._own.base_url}{self._path}", self._headers())
        exchange = await self._http.exchange(request, kit.read_limits(self.settings))
        healthy = exchange.status == 200 and isinstance(exchange.json(), dict)
        return kit.probe_of(f"GET {self._path}", exchange, healthy=healthy)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._own.token.get_secret_value()}"}

    async def _list(self, filters: Mapping[str, str], offset: int) -> Exchange:
        # Newest first: what is created meanwhile then shows an entry twice, and hides none.
        query = {
            **filters,
            "sort[id]": "desc",
            "limit": str(_PAGE),
            "offset": str(offset),
        }
        url = f"{self._own.base_url}{self._path}/subaccounts"
        request = Request("GET", url, self._headers(), query=query)
        return await self._http.exchange(request, kit.read_limits(self.settings))

    def _read(self, exchange: Exchange, order: Order) -> Reading:
        reading = kit.reading_of_create(exchange, self._clock.time_of_day(), order)
        match exchange.json():
            case dict() as view if exchange.status in kit.CREATED_STATUSES:
                return self._read_good(reading, view, order)
            case {"@error": dict() as error} if _is_own(error, exchange.status):
                scrubber = Scrubber((*secrets_of(self._own, order.parameters), *self._extra_secrets()))
                wait = _wait(error.get("@rateLimit"), reading.wait, self._clock.time_of_day().timestamp())
                reading = replace(reading, wait=wait, about_name=_may_be_about_name(error))
                return scrubber.refusal(reading, _subject(exchange.status or 0, error), _words(error))
            case _:
                return reading

    def _read_good(self, reading: Reading, view: _Item, order: Order) -> Reading:
        account_id = kit.number_as_id(view.get("id"))
        if account_id is None or "@error" in view:
            return reading
        parameters = contract.Parameters.model_validate(order.parameters)
        if account_id == self._own.parent or not _may_bear(view.get("username"), parameters.username):
            return replace(reading, shape=Shape.ANOTHER)
        return kit.with_account(reading, _created(account_id, view, order))

    def _extra_secrets(self) -> tuple[str, ...]:
        """All texts of the first level, as ever; of deeper ones those that are too long to be a common word."""
        own = self._own.extra_fields
        plain = {value for value in own.values() if isinstance(value, str)}
        return tuple(text for text in texts_in(own) if text != "now" and (text in plain or is_telling(text)))

    def _find(self, seen: Sequence[_Item], evidence: Mapping[str, JsonValue], order: Order) -> Finding:
        parameters = contract.Parameters.model_validate(order.parameters)
        named = [one for one in seen if _is_named(one, parameters)]
        unsure = [one for one in seen if _may_be_ours(one, parameters)]
        ids = tuple(account_id for one in named or unsure if (account_id := kit.number_as_id(one.get("id"))))
        shown = {**evidence, "matching": list[JsonValue](ids)}
        if len(named) == len(ids) == 1:
            return _judge_named(named[0], ids[0], shown, order)
        if named or any(True in _agreement(one, parameters) for one in unsure):
            return Several(ids, shown)
        return Unclear({**shown, "why": "entries without a user name"}) if unsure else Absent(shown)


def _judge_named(item: _Item, account_id: str, evidence: Mapping[str, JsonValue], order: Order) -> Finding:
    """Ours is who shows our contact; the name alone may be somebody's older account, which a person must tell."""
    agreement = _agreement(item, contract.Parameters.model_validate(order.parameters))
    if agreement == _ANOTHERS:
        return Taken({**evidence, "username_taken_by_other": account_id}, only_one=True)
    if agreement and all(agreement):
        return Found(_created(account_id, item, order), evidence)
    return Several((account_id,), {**evidence, "contact": "in part another" if agreement else "not shown"})


def _filters(username: str) -> Mapping[str, str]:
    """The filter that finds the user name; none, which lists everybody, where it may be read as more than a name.

    Older filters know operators such as `ne:` and `starts-with:` (providers.md 2.1). Whether this one does is not
    documented: a bare name means the same either way, while `eq:` before every name might be taken for a part of it.
    Nor is it documented how much of a name is kept: by the whole of a long one a filter would not find it cut.
    """
    return {"filters[username]": username} if _PLAIN_NAME.fullmatch(username) else {}


@dataclass(frozen=True, slots=True)
class _Page:
    """The entries of one page, how many there are in all as far as that is said, and how many a page holds."""

    items: list[_Item]
    total: float | None
    limit: float

    def ends(self, count: int) -> bool:
        """Whether the list, of which `count` entries were seen with it, ends with this page.

        After a full one it does not, whatever is said: `total` may count the page alone.
        """
        is_full = bool(self.items) and len(self.items) >= self.limit
        return not is_full and (not self.items if self.total is None else count >= self.total)


def _page(exchange: Exchange) -> _Page | None:
    body = exchange.json()
    items = body.get("items") if isinstance(body, dict) and exchange.status == 200 else None
    if not isinstance(body, dict) or not isinstance(items, list):
        return None
    shown = body.get("total")
    total = (
        None if shown is None else _whole_number(shown, math.inf)
    )  # one that cannot be read is never reached
    limit = min(_PAGE, _whole_number(body.get("limit"), _PAGE))
    return _Page([one if isinstance(one, dict) else {} for one in items], total, limit)


def _whole_number(value: JsonValue, otherwise: float) -> float:
    """The number, not negative; to Python true and false are numbers, too, and in a list's frame they are none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return otherwise
    return value


def _ids(items: Sequence[_Item]) -> set[str]:
    return {kit.plain(one.get("id")) for one in items}


def _is_named(item: _Item, parameters: contract.Parameters) -> bool:
    return kit.same_text(item.get("username"), parameters.username)


def _may_bear(shown: JsonValue, asked: str) -> bool:
    """Whether an account may bear the name that was asked for; the seed's sample shows none (providers.md 2.3 #5)."""
    return not kit.has_words(shown) or kit.same_text(shown, asked) or _is_changed(str(shown), asked)


def _is_changed(shown: str, asked: str) -> bool:
    """Whether it is the name as a vendor's store may keep it: cut, quoted for HTML, or without accents."""
    kept = shown.strip()
    is_cut = len(kept) >= _SHORTEST_CUT and asked.casefold().startswith(kept.casefold())
    is_unquoted = kit.same_text(html.unescape(shown), asked)
    return is_cut or is_unquoted or kit.same_text(_plain_letters(shown), _plain_letters(asked))


def _plain_letters(text: str) -> str:
    """The text without accents and the like."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)
    )


def _may_be_ours(item: _Item, parameters: contract.Parameters) -> bool:
    """Whether an entry without our user name may be ours: it shows none, or ours as it may have been changed.

    A changed name counts only with our whole contact; that alone does not, as one customer may order many accounts.
    """
    shown, agreement = item.get("username"), _agreement(item, parameters)
    if not kit.has_words(shown):
        return agreement != _ANOTHERS
    return agreement == [True, True] and _is_changed(str(shown), parameters.username)


def _agreement(item: _Item, parameters: contract.Parameters) -> list[bool]:
    """What the name and the e-mail address say, as far as they are shown; either spelling (providers.md 2.3 #2)."""
    contact = item.get("contact")
    shown = contact if isinstance(contact, dict) else {}
    pairs = (
        (shown.get("name"), parameters.contact.name),
        (shown.get("primary_email") or shown.get("email_1"), parameters.contact.primary_email),
    )
    return [kit.same_text(seen, sent) for seen, sent in pairs if kit.has_words(seen)]


_LONGEST_NAME: Final = 200
"""Characters; a longer one is not told, as a list of accounts may be larger than RabbitMQ takes."""


def _created(account_id: str, view: _Item, order: Order) -> Created:
    parameters = contract.Parameters.model_validate(order.parameters)
    name, master = view.get("name"), view.get("master_account")
    account = contract.Account(
        subaccount_id=account_id,
        username=parameters.username,
        name=name if isinstance(name, str) and len(name) <= _LONGEST_NAME else None,
        master_account_id=kit.number_as_id(master.get("id")) if isinstance(master, dict) else None,
    )
    secrets = {"password": parameters.password} if parameters.password and order.generated else {}
    return Created(account_id, account.model_dump(mode="json"), secrets)


def _is_own(error: _Item, status: int | None) -> bool:
    """Whether the vendor itself refuses: with words, and the status that it says (providers.md 2.1: error envelope).

    A proxy before it may hand on its envelope under another status: a 504 in a 404 proves nothing.
    """
    said = error.get("@httpStatusCode")
    return kit.has_words(error.get("@message")) and (said is None or kit.number(said) == status)


def _refused_fields(error: _Item) -> dict[str, str]:
    """The refused fields and what is said of each, in any of the forms that a list of fields may have."""
    match error.get("fields"):
        case dict() as fields:
            return {
                name: " ".join(map(kit.plain, words)) if isinstance(words, list) else kit.plain(words)
                for name, words in fields.items()
            }
        case list() as fields:
            named = [
                (one.get("name") or one.get("field"), one.get("message"))
                for one in fields
                if isinstance(one, dict)
            ]
            return {kit.plain(name): kit.plain(words) for name, words in named if kit.plain(name)}
        case _:
            return {}


def _may_be_about_name(error: _Item) -> bool:
    """Whether it speaks of the user name, or of nothing in particular: neither of fields nor of a step for people."""
    fields, sentence = _refused_fields(error), kit.plain(error.get("@message"))
    if fields:
        return any(_NAME.search(name) for name in fields)
    is_for_people = any(words.search(sentence) for words in _FOR_PEOPLE.values())
    return not is_for_people or _NAME.search(sentence) is not None


def _subject(status: int, error: _Item) -> object:
    """The refused field, one that stands for a step of people first; else the vendor's own code."""
    fields = list(_refused_fields(error))
    if status == 422 and not fields:
        fields = [
            name for name, words in _FOR_PEOPLE.items() if words.search(kit.plain(error.get("@message")))
        ]
    by_people = [name for name in fields if name in _FOR_PEOPLE]
    return next(iter((*by_people, *fields)), None) or error.get("@code") or error.get("@id")


def _words(error: _Item) -> str:
    """The vendor's sentence, and what it says of each field."""
    sentence = kit.plain(error.get("@message"))
    fields = "; ".join(f"{name} {words}" for name, words in _refused_fields(error).items())
    return f"{sentence} [{fields}]" if fields else sentence


def _wait(limit: JsonValue, header: float | None, now: float) -> float | None:
    """Seconds to wait: by the body, else by the header, which is not promised, else until the reset."""
    told = limit if isinstance(limit, dict) else {}
    wait, reset = kit.number(told.get("Retry-After")), kit.number(told.get("RateLimit-Reset"))
    if wait is not None:
        return kit.bounded_wait(wait)
    return header if header is not None or reset is None else kit.bounded_wait(reset - now)

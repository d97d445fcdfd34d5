"""Canary Speech: an associate client below a client (REST v3).

What is sent and what comes back follows canary_speech_create_associate.txt; tokens, the list and the scopes
follow the vendor's pages as collected in providers.md 1. The vendor documents no error body, so any JSON object
that tells an error in words, under an error status, counts as its own.
"""

import html
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from pydantic import BaseModel, Field, JsonValue

from contracts.providers import canary_speech as contract
from contracts.reason import ReasonCode
from contracts.text import UuidText, usual_uuid
from worker import provider_kit as kit
from worker.bearer import Asked, Bearer, Token, read_token
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
from worker.core.rules import COMMON, SENT, Reading, Rule, Shape, judge
from worker.core.verdict import Created, Effect, Moment, Outcome, Verdict
from worker.exchange import Exchange, Http, Request
from worker.scrubber import Scrubber, secrets_of, with_parts

_log = logging.getLogger(__name__)

_CREATE: Final = "/v3/reseller/client/create-associate"
_LIST: Final = "/v3/reseller/client/list-associates"
_SCOPES: Final = "the API key needs scope:reseller and scope:reseller.createassociate"
_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_PAGE_SIZES: Final = frozenset({10, 20, 25, 50, 100, 200, 250, 500, 1000})
"""Lengths at which lists are usually cut; the vendor documents no pages, so it may be silent (providers.md 1.4 #5)."""
_SHORTEST_CUT: Final = 30
"""Characters of a name below which it is not taken for a cut one: order 100 is not order 1001, cut."""

_NEXT: Final = re.compile(
    r"next|more|cursor|continu|truncat|page|paging|pagination|limit|offset", re.IGNORECASE
)
_TOTAL: Final = re.compile(r"total|(?<!c)count(?!r)|size", re.IGNORECASE)
_NEXT_LINK: Final = re.compile(r"""rel\s*=\s*["']?[^"',;]*\bnext\b""", re.IGNORECASE)

_TELLING: Final = re.compile(r"message|error|detail|description|reason|title|^msg$", re.IGNORECASE)
"""Names under which errors are told; none is documented (providers.md 1.1), so all that are usual."""

_PREPARING: Final = frozenset({Moment.PREPARING})
_TOKEN_RULES: Final = (
    *(
        replace(kit.refusal(rule_id, reason, "providers.md 1.2: token", statuses, effect), moments=_PREPARING)
        for rule_id, reason, statuses, effect in (
            ("canary_speech.token_refused", ReasonCode.TOKEN_REFUSED, {400, 401, 403, 404}, Effect.PAUSE),
            ("canary_speech.token_limited", ReasonCode.RATE_LIMITED, {429}, Effect.LIMIT),
        )
    ),
    Rule(
        id="canary_speech.token_unavailable",
        verdict=Verdict.NOT_DONE,
        reason=ReasonCode.TOKEN_UNAVAILABLE,
        source="providers.md 1.2: token",
        moments=_PREPARING,
        retry=True,
        effect=Effect.OUTAGE,
    ),
)
_PARENT_OF_REQUEST: Final = kit.refusal(
    "canary_speech.404_parent", ReasonCode.PROVIDER_VALIDATION, "providers.md 1.2: unknown parentId", {404}
)
_REFUSALS: Final = (
    _PARENT_OF_REQUEST,
    *(
        kit.refusal(f"canary_speech.{min(statuses)}", reason, "providers.md 1.2", statuses, effect)
        for statuses, reason, effect in (
            ({400, 422}, ReasonCode.PROVIDER_VALIDATION, Effect.NONE),
            ({401}, ReasonCode.CREDENTIALS_REFUSED, Effect.PAUSE),
            ({403}, ReasonCode.PERMISSION_REFUSED, Effect.PAUSE),
            ({404}, ReasonCode.ENDPOINT_MISSING, Effect.PAUSE),
            ({429}, ReasonCode.RATE_LIMITED, Effect.LIMIT),
        )
    ),
)
_NO_BASELINE: Final = Rule(
    id="canary_speech.no_baseline",
    verdict=Verdict.NOT_DONE,
    reason=ReasonCode.PROVIDER_BUSY,
    source="providers.md 1.4 #1: without the list a create in doubt could not be told from others",
    moments=_PREPARING,
    retry=True,
    effect=Effect.OUTAGE,
)
_TOKEN_WAS_GOOD: Final = Rule(
    id="canary_speech.401_to_a_create",
    verdict=Verdict.IN_DOUBT,
    reason=ReasonCode.UNEXPECTED_STATUS,
    source="not providers.md 1.2: the list was read just before, so this is as likely a gateway's, on the answer's way",
    shapes=frozenset({Shape.ERROR}),
    statuses=frozenset({401}),
    moments=SENT,
    effect=Effect.OUTAGE,
)
_CREATE_RULES: Final = (
    kit.created("canary_speech"),
    _TOKEN_WAS_GOOD,
    *_REFUSALS,
    kit.conflict("canary_speech.409", "providers.md 1.2: 409", {409}),
    *COMMON,
)


class CanarySpeechSettings(ProviderSettings):
    """How Canary Speech is reached."""

    PLACED_BY: ClassVar[Sequence[str]] = ("base_url", "api_key")  # the parent is kept with each attempt
    PARENT: ClassVar[str | None] = "parent_id"

    base_url: kit.BaseUrl = Field(
        default="https://rest.eus.canaryspeech.com",
        description="Root of the API in the region of your project: rest.eus, rest.ne or rest.jpe.",
    )
    api_key: kit.Credential = Field(description="API key from which access tokens are got.")
    parent_id: UuidText | None = Field(
        default=None,
        description="Client under which associates are made when a request names none; left out, the vendor "
        "takes the client that the API key belongs to.",
    )


@dataclass(frozen=True, slots=True)
class _Associate:
    """One entry of the list; what could not be read is None."""

    id: str | None
    name: str | None = None
    contact: Mapping[str, JsonValue] = field(default_factory=dict)
    since: datetime | None = None


class Handler:
    """Opens associates; one in doubt is looked up by its name among those that were not there before."""

    name: ClassVar[str] = contract.NAME
    Parameters: ClassVar[type[BaseModel]] = contract.Parameters
    Settings: ClassVar[type[ProviderSettings]] = CanarySpeechSettings
    RULES: ClassVar[Sequence[Rule]] = (kit.DRY_RUN_PASSED, *_TOKEN_RULES, _NO_BASELINE, *_CREATE_RULES)
    CAN_LOOK_UP: ClassVar[bool] = True
    HAS_TEST_MODE: ClassVar[bool] = False

    def __init__(self, settings: CanarySpeechSettings, http: Http, clock: Clock) -> None:
        self.settings: ProviderSettings = settings
        self._own = settings
        self._http = http
        self._clock = clock
        self._bearer = Bearer(http, clock, self._fetch_token)

    def complete(self, parameters: BaseModel) -> tuple[BaseModel, frozenset[str]]:
        """Nothing can be missing: an associate has no password."""
        return parameters, frozenset()

    def hands_over_credentials(self, parameters: BaseModel) -> bool:
        """Never: the create returns no secret."""
        return False

    async def prepare(self, order: Order) -> Prepared | Outcome | Several:
        """A token, and which associates bear the name already (providers.md 1.4 #1)."""
        if order.dry_run:
            return judge((kit.DRY_RUN_PASSED,), kit.VALIDATED)
        parameters = contract.Parameters.model_validate(order.parameters)
        parent_id = self._parent(parameters)
        asked = await self._list(parent_id)
        if isinstance(asked, Outcome):
            return asked
        listed = _associates(asked.exchange)
        if listed is None:
            return judge((*_for(parameters, _REFUSALS), _NO_BASELINE), self._refused_list(asked))
        same_name = [one for one in listed if _may_be_named(one, parameters.name)]
        came = _came_since(order, same_name, parameters.name)
        has_more = _says_that_it_is_cut(asked.exchange, len(listed))
        if came or (has_more and _may_have_opened(order)):
            return Several(came, _seen_since(came, len(listed), maybe_cut=has_more))
        body = kit.as_sent(parameters) | ({} if parent_id is None else {"parentId": parent_id})
        headers = {"Content-Type": "application/json"}
        request = Request("POST", f"{self._own.base_url}{_CREATE}", headers, kit.json_bytes(body))
        baseline: dict[str, JsonValue] = {"parent_id": parent_id, "same_name": [one.id for one in same_name]}
        # By the calendar, as the vendor dates its associates; the ledger's own time may be off after a clock was set.
        baseline |= {"prepared_at": self._clock.time_of_day().isoformat(), "sent_before": order.sent_before}
        return Prepared(request, baseline)

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        """Send the create, once."""
        parameters = contract.Parameters.model_validate(order.parameters)
        asked = await self._bearer.ask(prepared.payload, kit.create_limits(self.settings, prepared))
        if isinstance(asked, Outcome):
            return asked
        reading = replace(self._read(asked, parameters), sent_before=order.sent_before)
        return judge(_for(parameters, _CREATE_RULES), reading)

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        """List the parent's associates: ours bears the name, was not there before and is not older."""
        parameters = contract.Parameters.model_validate(order.parameters)
        parent_id = doubt.baseline.get("parent_id", self._parent(parameters))
        has_settled = self._has_settled(
            doubt
        )  # as of the question: a frozen worker's list is old when it is read
        asked = await self._list(parent_id if isinstance(parent_id, str) else None)
        if isinstance(asked, Outcome):
            return Unclear({"asked": f"GET {_LIST}", "reason": asked.reason, "status": asked.status})
        listed = _associates(asked.exchange)
        if listed is None:
            return kit.unclear(f"GET {_LIST}", asked.exchange)
        may_be_cut = _may_be_cut(asked.exchange, len(listed))
        return self._find(listed, parameters, doubt, may_be_cut=may_be_cut, has_settled=has_settled)

    async def probe(self) -> Probe:
        """A token and the list."""
        asked = await self._list(self._own.parent_id)
        if isinstance(asked, Outcome):
            return Probe(healthy=False, detail=f"no token: {asked.reason}")
        healthy = _associates(asked.exchange) is not None
        return kit.probe_of(f"GET {_LIST}", asked.exchange, healthy=healthy)

    def _find(
        self,
        listed: Sequence[_Associate],
        parameters: contract.Parameters,
        doubt: Doubt,
        *,
        may_be_cut: bool,
        has_settled: bool,
    ) -> Finding:
        before = _known_before(doubt.baseline) or []
        new = [one for one in listed if one.id not in before]
        named = [one for one in new if one.id and kit.same_text(one.name, parameters.name)]
        alike = [one.id for one in new if one.id and _looks_like_ours(one, parameters, doubt)]
        ours = [one.id for one in named if one.id and _is_ours(one, parameters, doubt)]
        unreadable = sum(one.id is None or one.name is None for one in new)
        ids: list[JsonValue] = [one.id for one in named]
        evidence: dict[str, JsonValue] = {"asked": f"GET {_LIST}", "status": 200, "count": len(listed)}
        evidence |= {
            "known_before": len(before),
            "unreadable": unreadable,
            "matching": ids,
            "alike": [*alike],
        }
        if len(ours) == 1:
            return Found(self._created(ours[0], parameters), evidence)
        if named:
            return Several(tuple(one.id for one in named if one.id), evidence)
        if alike:
            return Several(tuple(alike), evidence) if has_settled else Unclear(evidence)
        if unreadable or may_be_cut:
            return Unclear({**evidence, "maybe_cut": may_be_cut})
        # Names may repeat, so this alone does not prove that ours cannot come.
        return Taken(evidence, only_one=False) if _was_taken(listed, parameters, doubt) else Absent(evidence)

    def _has_settled(self, doubt: Doubt) -> bool:
        """Whether ours would be listed by now: an associate that is only like it must not end the look-ups before."""
        return (self._clock.now() - doubt.sent_at).total_seconds() >= self.settings.settle

    def _read(self, asked: Asked, parameters: contract.Parameters) -> Reading:
        exchange, body = asked.exchange, asked.exchange.json()
        reading = kit.bare_reading(exchange, self._clock.time_of_day())
        if exchange.status is None or not isinstance(body, dict):
            return reading
        associate_id = self._told_id(body, parameters)
        if exchange.status in kit.CREATED_STATUSES and associate_id:
            return replace(reading, shape=Shape.SUCCESS, created=self._created(associate_id, parameters))
        return self._refusal(reading, asked) if _tells_an_error(exchange) else reading

    def _told_id(self, body: Mapping[str, JsonValue], parameters: contract.Parameters) -> str | None:
        """The new associate's id; none where the answer also tells an error, or names the parent instead."""
        associate_id = _id(body.get("id"))
        is_parent = associate_id in {_id(self._parent(parameters)), _id(self._own.parent_id)}
        tells_an_error = any(value for name, value in body.items() if "error" in name.casefold())
        return None if is_parent or tells_an_error else associate_id

    def _refused_list(self, asked: Asked) -> Reading:
        """Before a create nothing can have been done, so that any JSON object is believed."""
        reading = replace(
            kit.bare_reading(asked.exchange, self._clock.time_of_day()), moment=Moment.PREPARING
        )
        return self._refusal(reading, asked) if isinstance(asked.exchange.json(), dict) else reading

    def _refusal(self, reading: Reading, asked: Asked) -> Reading:
        words = _words(asked.exchange.status, asked.exchange.json())
        return self._scrubber(asked.token.text).refusal(reading, None, words)

    def _created(self, associate_id: str, parameters: contract.Parameters) -> Created:
        if usual_uuid(associate_id) is None:
            _log.warning("Canary Speech gave an associate an id that is not a UUID; it is kept as it is")
        account = contract.Account(
            associate_id=associate_id, name=parameters.name, parent_id=self._parent(parameters)
        )
        return Created(associate_id, account.model_dump(mode="json"))

    def _parent(self, parameters: contract.Parameters) -> str | None:
        return parameters.parent_id or self._own.parent_id

    async def _list(self, parent_id: str | None) -> Asked | Outcome:
        query = {} if parent_id is None else {"parentId": parent_id}
        request = Request("GET", f"{self._own.base_url}{_LIST}", query=query)
        return await self._bearer.ask(request, kit.read_limits(self.settings))

    async def _fetch_token(self) -> Token | Outcome:
        headers = {"Csc-Api-Key": self._own.api_key.get_secret_value(), "Content-Type": "application/json"}
        request = Request("POST", f"{self._own.base_url}/v3/auth/tokens/get", headers, b"{}")
        exchange = await self._http.exchange(request, kit.read_limits(self.settings))
        now, body = self._clock.time_of_day(), exchange.json()
        reading = replace(kit.bare_reading(exchange, now), moment=Moment.PREPARING)
        if exchange.status is None or not isinstance(body, dict):
            return judge(_TOKEN_RULES, reading)
        if exchange.status in kit.CREATED_STATUSES and (token := read_token(body.get("accessToken"), now)):
            return token
        return judge(_TOKEN_RULES, self._scrubber().refusal(reading, None, _words(exchange.status, body)))

    def _scrubber(self, *tokens: str) -> Scrubber:
        """Knows each half of the API key, a short code, a colon and a secret (providers.md 1.1), and of a token."""
        known = (*tokens, *secrets_of(self._own))
        return Scrubber(tuple(part for secret in known for part in with_parts(secret)))


def _for(parameters: contract.Parameters, rules: Sequence[Rule]) -> Sequence[Rule]:
    """The rules without the row on a parent that the request named, when it named none."""
    return rules if parameters.parent_id else [rule for rule in rules if rule is not _PARENT_OF_REQUEST]


def _words(status: int | None, body: JsonValue) -> str:
    first = _told(body)
    return f"{_SCOPES}: {first}" if status == 403 else first


def _tells_an_error(exchange: Exchange) -> bool:
    """Whether an error status comes with words: an object without any may be a gateway's, or anybody's."""
    return exchange.status is not None and exchange.status >= 400 and bool(_told(exchange.json()))


def _told(body: JsonValue) -> str:
    """The words in which a body tells an error, the longest of several; empty when it tells none."""
    fields = body if isinstance(body, dict) else {}
    return max((_text(value) for name, value in fields.items() if _TELLING.search(name)), key=len, default="")


def _text(value: JsonValue, depth: int = 2) -> str:
    """The first text that is not blank, also in an object or list within, as deep as errors usually nest."""
    if isinstance(value, str):
        return value.strip()
    inner = [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next(filter(None, (_text(one, depth - 1) for one in inner)), "") if depth else ""


def _associates(exchange: Exchange) -> list[_Associate] | None:
    match exchange.status, exchange.json():
        case 200, {"associates": list() as items}:
            return [_associate(item) for item in items]
        case _:
            return None


def _may_be_cut(exchange: Exchange, count: int) -> bool:
    """Whether anything about the list looks like a page of a longer one, so that who is not on it may exist."""
    return count in _PAGE_SIZES or _says_that_it_is_cut(exchange, count)


def _says_that_it_is_cut(exchange: Exchange, count: int) -> bool:
    """Whether a field or a header beside the list speaks of more, whatever its length."""
    body = exchange.json()
    fields = body if isinstance(body, dict) else {}
    says_more = any(_says_more(name, fields[name], count) for name in fields.keys() - {"associates"})
    links = any(
        name.lower() == "link" and _NEXT_LINK.search(value) for name, value in exchange.headers.items()
    )
    return says_more or links


def _says_more(name: str, value: JsonValue, count: int) -> bool:
    """Whether a field beside the list speaks of pages, or of a number that is larger or cannot be compared."""
    if not value:
        return False
    is_listed = 0 < (kit.number(value) or 0) <= count
    return bool(_NEXT.search(name)) or (bool(_TOTAL.search(name)) and not is_listed)


def _id(value: JsonValue) -> str | None:
    """An id, a UUID in its usual spelling: one account told in two spellings would be given to two requests."""
    text = kit.text_as_id(value)
    return text and (usual_uuid(text) or text)


def _known_before(baseline: Mapping[str, JsonValue]) -> list[str | None] | None:
    """The ids that were noted, as older workers spelled them or not; None where nobody noted any."""
    noted = baseline.get("same_name")
    return [_id(one) for one in noted] if isinstance(noted, list) else None


def _associate(item: JsonValue) -> _Associate:
    """The list is called one of ids and typed as one of objects, so either is read (providers.md 1.3 #8)."""
    if not isinstance(item, dict):
        return _Associate(_id(item))
    name, contact = item.get("name"), item.get("contact")
    return _Associate(
        _id(item.get("id")),
        name if isinstance(name, str) else None,
        contact if isinstance(contact, dict) else {},
        _moment(item.get("dateCreated")),
    )


def _moment(value: JsonValue) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment and moment.replace(tzinfo=moment.tzinfo or UTC)


def _may_be_named(one: _Associate, name: str) -> bool:
    return one.id is not None and (
        one.name is None or kit.same_text(one.name, name) or _may_be_shown_as(name, one.name)
    )


def _may_have_opened(order: Order) -> bool:
    """Whether an earlier attempt may have left an associate, and nobody has said since that it did not."""
    return order.sent_before and _known_before(order.baseline) is not None


def _came_since(order: Order, same_name: Sequence[_Associate], name: str) -> tuple[str, ...]:
    """Associates of that name which were not there before the last attempt: one may be ours, late or denied."""
    if not _may_have_opened(order):
        return ()
    passed_over = {*(_known_before(order.baseline) or []), *order.not_ours}
    came = [one for one in same_name if not _went_unnoted(one, order.baseline, name)]
    return tuple(one.id for one in came if one.id and one.id not in passed_over)


def _went_unnoted(one: _Associate, baseline: Mapping[str, JsonValue], name: str) -> bool:
    """Whether it was there before an attempt of an older worker, which noted exact names (and none) alone.

    No other is passed over by its date: the baseline is the newest attempt's, and an earlier one may have opened it.
    """
    noted_no_others = baseline.get("after_doubt") is False  # where true, an earlier attempt was in doubt
    begun = _moment(baseline.get("prepared_at"))
    is_older = one.since is not None and begun is not None and one.since < begun - _CLOCKS_DIFFER
    is_only_like_it = one.name is not None and not kit.same_text(one.name, name)
    return noted_no_others and is_older and is_only_like_it


def _seen_since(came: Sequence[str], count: int, *, maybe_cut: bool) -> Mapping[str, JsonValue]:
    """What tells a person why nothing more is sent: who came, or that whoever came may not be listed."""
    seen: dict[str, JsonValue] = {"asked": f"GET {_LIST}", "status": 200, "count": count}
    return {**seen, "came_since_the_attempt": list(came), "maybe_cut": maybe_cut}


def _was_taken(listed: Sequence[_Associate], parameters: contract.Parameters, doubt: Doubt) -> bool:
    """Whether an associate bore the name before the request's first create: after an earlier one it may be ours."""
    if doubt.baseline.get("sent_before") is not False:
        return False
    return any(kit.same_text(one.name, parameters.name) for one in listed)


def _is_ours(one: _Associate, parameters: contract.Parameters, doubt: Doubt) -> bool:
    """Whether nothing speaks against it; what is alike and not ours for certain is left to a person."""
    new = "same_name" in doubt.baseline if one.since is None else one.since >= _begun(doubt) - _CLOCKS_DIFFER
    return new and one.name == parameters.name and _agrees(one.contact, parameters.contact)


def _looks_like_ours(one: _Associate, parameters: contract.Parameters, doubt: Doubt) -> bool:
    """Whether a new one may be ours under a name that was changed on its way: a person must look.

    The contact is no clue: a reseller's orders share one, and others of them are opened all the time.
    """
    if one.since is not None and one.since < _begun(doubt) - _CLOCKS_DIFFER:
        return False
    return one.name is not None and _may_be_shown_as(parameters.name, one.name)


def _may_be_shown_as(sent: str, shown: str) -> bool:
    """Whether a vendor that escapes, cuts, or cannot write every letter may show the one name as the other."""
    ours, theirs = _letters(sent), _letters(html.unescape(shown))
    was_cut = len(shown) >= _SHORTEST_CUT and ours.startswith(theirs)
    plain = _plain_letters(sent) if _may_be_misread(sent, html.unescape(shown)) else ""
    return ours == theirs or was_cut or not theirs or bool(plain and plain == _plain_letters(shown))


def _letters(name: str) -> str:
    """Letters and digits of any script, without accents and case."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name))).casefold()


def _may_be_misread(sent: str, shown: str) -> bool:
    """Whether every letter of another script was sent: what is lost becomes `?`, U+FFFD or Latin, or is left out."""
    ours = set(_letters(sent))
    return all(ours.issuperset(_letters(letter)) for letter in shown if _is_of_another_script(letter))


def _is_of_another_script(letter: str) -> bool:
    """Whether it is no letter that bytes read in a Western charset turn into."""
    is_western = letter <= "\xff" or unicodedata.name(letter, "").startswith(("LATIN ", "MODIFIER "))
    return letter.isalpha() and not is_western


def _plain_letters(name: str) -> str:
    """What of a name survives any misreading of its bytes: the letters and digits that are ASCII."""
    return "".join(letter for letter in name if letter.isascii() and letter.isalnum()).casefold()


def _begun(doubt: Doubt) -> datetime:
    """When the attempt was prepared, by the calendar; for one of an older worker, when it was sent."""
    noted = doubt.baseline.get("prepared_at")
    return datetime.fromisoformat(noted) if isinstance(noted, str) else doubt.sent_at


def _agrees(seen: Mapping[str, JsonValue], sent: contract.Contact | None) -> bool:
    """Whether no field of the contact says something else; how a telephone number is written says nothing."""
    email, phone = seen.get("email"), seen.get("phoneNumber")
    return sent is None or not (
        (email and sent.email and not kit.same_text(email, sent.email))
        or (phone and sent.phone_number and kit.digits(phone) != kit.digits(sent.phone_number))
    )

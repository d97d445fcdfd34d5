"""Gateway360: a sub-account of the account whose API key is configured (API 3.0, every call a POST).

What is sent and what comes back follows gateway360_create_subaccount.txt. The reads `get-info` and `get-balance`
are known from other pages and a third party (providers.md 3.1), so their answers are believed with care.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field, JsonValue, SecretStr

from contracts.providers import gateway360 as contract
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
    Unclear,
)
from worker.core.rules import COMMON, Reading, Rule, Shape, judge
from worker.core.verdict import Created, Effect, Outcome, Verdict
from worker.exchange import Exchange, Http, Request
from worker.scrubber import Scrubber, secrets_of

_ROOT: Final = "/api/3.0/subaccount"
_GET_INFO: Final = f"POST {_ROOT}/get-info"
_NOBODY: Final = "provisioner-probe"
_SEED: Final = "gateway360_create_subaccount.txt"

_OUR_MISTAKES: Final = frozenset({"INVALID_CONTENT_TYPE", "JSON_PARSE_ERROR", "MISSING_PARAMS"})
_CLIENT_ERRORS: Final = frozenset(range(400, 500)) - {408, 409, 425}
_BY_ERROR_ID: Final = _CLIENT_ERRORS | {200}
"""The body wins over these statuses (providers.md 3.2); after any other one a create is in doubt."""
_ABOUT_THE_USER: Final = _BY_ERROR_ID - {401, 403, 429}
"""After the others the provider refused us, and looked at no user, whatever its body says."""


def _said(
    error_ids: frozenset[str], reason: ReasonCode, source: str = _SEED, effect: Effect = Effect.NONE
) -> Rule:
    rule_id = f"gateway360.{min(error_ids).lower()}"
    return replace(kit.refusal(rule_id, reason, source, _BY_ERROR_ID, effect), error_ids=error_ids)


_INVALID_NAME: Final = _said(frozenset({"INVALID_NAME"}), ReasonCode.NAME_TAKEN)
_OTHER: Final = kit.refusal(
    "gateway360.other", ReasonCode.PROVIDER_VALIDATION, "providers.md 3.2: unknown id", _CLIENT_ERRORS
)
"""An id that the vendor does not document may say of a name what INVALID_NAME says."""

_REFUSALS: Final = (
    _said(frozenset({"UNAUTHORIZED"}), ReasonCode.CREDENTIALS_REFUSED, effect=Effect.PAUSE),
    replace(
        kit.conflict(
            "gateway360.invalid_name_after_doubt", "providers.md 3.2: by us, probably", _BY_ERROR_ID
        ),
        error_ids=frozenset({"INVALID_NAME"}),
        after_doubt=True,
    ),
    kit.echo(_INVALID_NAME),
    _INVALID_NAME,
    _said(frozenset({"INVALID_EMAIL", "INVALID_LANGUAGE"}), ReasonCode.PROVIDER_VALIDATION),
    _said(_OUR_MISTAKES, ReasonCode.PROVIDER_VALIDATION),
    *(
        kit.refusal(f"gateway360.{status}", reason, "providers.md 3.2 and b.2, moment 16", {status}, effect)
        for status, reason, effect in (
            (401, ReasonCode.CREDENTIALS_REFUSED, Effect.PAUSE),
            (403, ReasonCode.PERMISSION_REFUSED, Effect.PAUSE),
            (404, ReasonCode.ENDPOINT_MISSING, Effect.PAUSE),
            (429, ReasonCode.RATE_LIMITED, Effect.LIMIT),
        )
    ),
    kit.conflict("gateway360.409", "providers.md 0: 409, and b.2, moment 17", {409}),
    replace(
        kit.conflict("gateway360.other_after_doubt", "as invalid_name_after_doubt", _CLIENT_ERRORS),
        after_doubt=True,
    ),
    kit.echo(_OTHER),
    _OTHER,
    Rule(
        id="gateway360.other_with_200",
        verdict=Verdict.IN_DOUBT,
        reason=ReasonCode.UNEXPECTED_STATUS,
        source="providers.md 3.2: 200 with status error and an unknown id",
        shapes=frozenset({Shape.ERROR}),
        statuses=frozenset({200}),
    ),
)

_MEANS_ABSENT: Final = "INVALID_NAME"
_DOCUMENTED: Final = frozenset[str]().union(*(rule.error_ids or () for rule in _REFUSALS))


def _checked_absent_error_id(error_id: str) -> str:
    """A constant refusal would otherwise prove that no account exists, and the next create would open another."""
    if error_id.strip().upper() in _DOCUMENTED - {_MEANS_ABSENT}:
        raise ValueError("is documented by the vendor with another meaning, so it proves no absence")
    return error_id


class Gateway360Settings(ProviderSettings):
    """How Gateway360 is reached."""

    PLACED_BY: ClassVar[Sequence[str]] = ("base_url", "api_key")  # the key stands for the parent account

    base_url: kit.BaseUrl = Field(default="https://api.gateway360.com", description="Root of the API.")
    api_key: kit.Credential = Field(
        description="API key of the parent account; the panel may bind it to IP addresses."
    )
    # The vendor documents no answer for this (providers.md 3.1); of those documented this is the only one about the
    # name itself. Any other, such as a lack of credit, proves nothing, and stands in the evidence of the look-up.
    absent_error_id: Annotated[str, AfterValidator(_checked_absent_error_id)] = Field(
        default=_MEANS_ABSENT,
        min_length=1,
        description="Error id by which get-info says that nobody bears a user name; any other one proves nothing.",
    )


class Handler:
    """Opens sub-accounts; the user name is the only id, and the only mark by which one is found again."""

    name: ClassVar[str] = contract.NAME
    Parameters: ClassVar[type[BaseModel]] = contract.Parameters
    Settings: ClassVar[type[ProviderSettings]] = Gateway360Settings
    RULES: ClassVar[Sequence[Rule]] = (
        kit.DRY_RUN_PASSED,
        kit.created("gateway360"),
        kit.credentials_lost("gateway360"),
        kit.of_another("gateway360"),
        *_REFUSALS,
        *COMMON,
    )
    CAN_LOOK_UP: ClassVar[bool] = True
    HAS_TEST_MODE: ClassVar[bool] = False

    def __init__(self, settings: Gateway360Settings, http: Http, clock: Clock) -> None:
        self.settings: ProviderSettings = settings
        self._own = settings
        self._http = http
        self._clock = clock

    def complete(self, parameters: BaseModel) -> tuple[BaseModel, frozenset[str]]:
        """The password is never left to the vendor, so that a lost answer cannot lose it."""
        return kit.with_password(contract.Parameters.model_validate(parameters))

    def hands_over_credentials(self, parameters: BaseModel) -> bool:
        """Always: the answer brings an API key."""
        return True

    async def prepare(self, order: Order) -> Prepared | Outcome:
        """The body; there is nothing to ask before."""
        if order.dry_run:
            return judge(self.RULES, kit.VALIDATED)
        sent = kit.as_sent(order.parameters)
        if "enable_shortener" in sent:
            sent["enable_shortener"] = 1 if sent["enable_shortener"] else 0
        return Prepared(self._request("create", sent))

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        """Send the create and judge what was seen."""
        exchange = await self._http.exchange(prepared.payload, kit.create_limits(self.settings, prepared))
        return judge(self.RULES, self._read(exchange, order))

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        """Ask for the user name: ours bears our e-mail address. The API key stays lost (providers.md 3.4)."""
        parameters = contract.Parameters.model_validate(order.parameters)
        asked = f"{_GET_INFO} user_name={parameters.user_name}"
        request = self._request("get-info", {"user_name": parameters.user_name})
        exchange = await self._http.exchange(request, kit.read_limits(self.settings))
        match exchange.status, exchange.json():
            case 200, {"status": "ok", "result": dict() as result}:
                return self._compare(asked, result, parameters)
            case int(status), {"status": "error", "error_id": str(error_id)}:
                shown = Scrubber(tuple(secrets_of(self._own, parameters))).error_id(error_id)
                if status in _ABOUT_THE_USER and error_id == self._own.absent_error_id:
                    return Absent({"asked": asked, "status": status, "error_id": shown})
                return kit.unclear(asked, exchange, error_id=shown)
            case _:
                return kit.unclear(asked, exchange)

    async def probe(self) -> Probe:
        """The balance of a user who does not exist: what matters is that our key is not refused."""
        request = self._request("get-balance", {"user_name": _NOBODY})
        exchange = await self._http.exchange(request, kit.read_limits(self.settings))
        match exchange.status, exchange.json():
            case 200, {"status": "ok"}:
                healthy = True
            case int(status), {"status": "error", "error_id": str(error_id)}:
                healthy = status in _ABOUT_THE_USER and error_id != "UNAUTHORIZED"
            case _:
                healthy = False
        return kit.probe_of(f"POST {_ROOT}/get-balance", exchange, healthy=healthy)

    def _request(self, function: str, fields: Mapping[str, JsonValue]) -> Request:
        body = kit.json_bytes({"api_key": self._own.api_key.get_secret_value(), **fields})
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return Request("POST", f"{self._own.base_url}{_ROOT}/{function}", headers, body)

    def _read(self, exchange: Exchange, order: Order) -> Reading:
        reading = kit.reading_of_create(exchange, self._clock.time_of_day(), order)
        parameters = contract.Parameters.model_validate(order.parameters)
        match exchange.json():
            case {"status": "ok", "result": dict() as result} if exchange.status in kit.CREATED_STATUSES:
                return _read_good(reading, result, parameters)
            case {"status": "error", "error_id": error_id, **error} if kit.has_words(error_id):
                # The seed gives an id with each error; without one it is a gateway's or a firewall's (JSend).
                scrubber = Scrubber(tuple(secrets_of(self._own, parameters)))
                return scrubber.refusal(reading, error_id, error.get("error_msg"))
            case _:
                return reading

    def _compare(
        self, asked: str, result: Mapping[str, JsonValue], parameters: contract.Parameters
    ) -> Finding:
        user_name, email = result.get("user_name"), result.get("email")
        evidence: dict[str, JsonValue] = {"asked": asked, "status": 200}
        if not kit.same_text(user_name, parameters.user_name) or not isinstance(user_name, str):
            return Unclear({**evidence, "why": "it shows another user name, or none"})
        if not isinstance(email, str):
            return Several((user_name,), {**evidence, "matching": [user_name], "email": "not shown"})
        if not kit.same_text(email, parameters.email):
            # Known from a third party alone (providers.md 3.1), this field does not prove that ours is not there.
            return Several((user_name,), {**evidence, "matching": [user_name], "email": "another"})
        found = _created({}, parameters)
        return Found(found, {**evidence, "matching": [user_name]})


def _read_good(reading: Reading, result: Mapping[str, JsonValue], parameters: contract.Parameters) -> Reading:
    user_name = result.get("user_name")
    if not kit.has_words(user_name):
        return reading
    if not kit.same_text(user_name, parameters.user_name):
        return replace(reading, shape=Shape.ANOTHER)
    return kit.with_account(reading, _created(result, parameters))


def _created(result: Mapping[str, JsonValue], parameters: contract.Parameters) -> Created:
    """The account with what the answer shows of its credentials; the password is known without it.

    Its id is the name that was asked for, however the vendor spells it here or there: one account is known by one id.
    """
    user_name = parameters.user_name
    password, api_key = result.get("password"), result.get("api_key")
    secrets = {} if parameters.password is None else {"password": parameters.password}
    if isinstance(password, str) and password:
        secrets["password"] = SecretStr(password)
    if isinstance(api_key, str) and api_key:
        secrets["api_key"] = SecretStr(api_key)
    account = contract.Account(user_name=user_name).model_dump(mode="json")
    missing = tuple(name for name in ("password", "api_key") if name not in secrets)
    return Created(user_name, account, secrets, missing)

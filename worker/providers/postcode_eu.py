"""Postcode.eu: a client account linked to the configured reseller (`Reseller.createClientAccount`).

What is sent and what comes back follows postcode_eu_create_client_account.txt; the shape of errors is that of the
vendor's sister APIs (providers.md 4.1). No list, search or read of clients exists, so a doubt needs a person.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from pydantic import BaseModel, Field, JsonValue, SecretStr

from contracts.providers import postcode_eu as contract
from contracts.reason import ReasonCode
from worker import provider_kit as kit
from worker.core.clock import Clock
from worker.core.provider import Doubt, Finding, Order, Prepared, Probe, ProviderSettings, Unclear
from worker.core.rules import COMMON, Reading, Rule, Shape, judge
from worker.core.verdict import Created, Effect, Moment, Outcome, Verdict
from worker.exchange import Exchange, Http, Request
from worker.scrubber import Scrubber, secrets_of

_FACTS: Final = "providers.md 4.2"
_CREDENTIALS: Final = ("key", "secret")
_TEXTS: Final = ("vatNumber", "invoiceReference", "invoiceAddressLine2", "invoiceAddressRegion")
"""What may be left unsaid is sent empty, never left out (providers.md 4.3 #4 and #5)."""

_DRY_RUN_UNANSWERED: Final = Rule(
    id="postcode_eu.dry_run_unanswered",
    verdict=Verdict.NOT_DONE,
    reason=ReasonCode.PROVIDER_BUSY,
    source=f"{_FACTS}: whatever is answered when isTest was true, there is no account",
    moments=frozenset({Moment.PREPARING}),
    retry=True,
    effect=Effect.OUTAGE,
)


class PostcodeEuSettings(ProviderSettings):
    """How Postcode.eu is reached."""

    base_url: kit.BaseUrl = Field(default="https://api.postcode.eu", description="Root of the API.")
    key: kit.Credential = Field(description="Key of the reseller account.")
    secret: kit.Credential = Field(description="Secret that goes with the key.")


class Handler:
    """Opens client accounts; what is in doubt is found by a person, by the reference on the invoice."""

    name: ClassVar[str] = contract.NAME
    Parameters: ClassVar[type[BaseModel]] = contract.Parameters
    Settings: ClassVar[type[ProviderSettings]] = PostcodeEuSettings
    RULES: ClassVar[Sequence[Rule]] = (
        kit.DRY_RUN_PASSED,
        kit.created("postcode_eu"),
        kit.credentials_lost("postcode_eu"),
        *(
            kit.refusal(f"postcode_eu.{status}", reason, f"{_FACTS}: {status}", {status}, effect)
            for status, reason, effect in (
                (400, ReasonCode.PROVIDER_VALIDATION, Effect.NONE),
                (401, ReasonCode.CREDENTIALS_REFUSED, Effect.PAUSE),
                (403, ReasonCode.PERMISSION_REFUSED, Effect.PAUSE),
                (404, ReasonCode.ENDPOINT_MISSING, Effect.PAUSE),
                (429, ReasonCode.RATE_LIMITED, Effect.LIMIT),
            )
        ),
        _DRY_RUN_UNANSWERED,
        *COMMON,
    )
    CAN_LOOK_UP: ClassVar[bool] = False
    HAS_TEST_MODE: ClassVar[bool] = True

    def __init__(self, settings: PostcodeEuSettings, http: Http, clock: Clock) -> None:
        self.settings: ProviderSettings = settings
        self._own = settings
        self._http = http
        self._clock = clock

    def complete(self, parameters: BaseModel) -> tuple[BaseModel, frozenset[str]]:
        """Nothing can be missing: the vendor issues the credentials."""
        return parameters, frozenset()

    def hands_over_credentials(self, parameters: BaseModel) -> bool:
        """Always: the answer brings a key and a secret."""
        return True

    async def prepare(self, order: Order) -> Prepared | Outcome:
        """The body; there is nothing to ask before."""
        body: dict[str, JsonValue] = {**dict.fromkeys(_TEXTS, ""), **kit.as_sent(order.parameters)}
        body["invoiceReference"] = body["invoiceReference"] or contract.reference_of(order.request_id)
        if order.dry_run:
            body["isTest"] = True
        headers = {"Authorization": f"Basic {self._basic()}", "Content-Type": "application/json"}
        url = f"{self._own.base_url}/reseller/v1/client"
        return Prepared(Request("POST", url, headers, kit.json_bytes(body)))

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        """Send the create and judge what was seen; of a dry run nothing is kept but that it passed."""
        exchange = await self._http.exchange(prepared.payload, kit.create_limits(self.settings, prepared))
        reading = self._read_dry_run(exchange) if order.dry_run else self._read(exchange)
        return judge(self.RULES, reading)

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        """Never clear: the vendor has no read for it (providers.md 4.4)."""
        return Unclear({"asked": "nothing", "why": "Postcode.eu lets nobody list or read client accounts"})

    async def probe(self) -> Probe:
        """The reseller's own account."""
        headers = {"Authorization": f"Basic {self._basic()}"}
        request = Request("GET", f"{self._own.base_url}/account/v1/info", headers)
        exchange = await self._http.exchange(request, kit.read_limits(self.settings))
        healthy = exchange.status == 200 and isinstance(exchange.json(), dict)
        return kit.probe_of("GET /account/v1/info", exchange, healthy=healthy)

    def _basic(self) -> str:
        return base64.b64encode(self._pair().encode()).decode()

    def _pair(self) -> str:
        return f"{self._own.key.get_secret_value()}:{self._own.secret.get_secret_value()}"

    def _read(self, exchange: Exchange) -> Reading:
        reading = kit.bare_reading(exchange, self._clock.time_of_day())
        match exchange.json():
            case {"exception": message, **error} if (
                kit.has_words(message) and exchange.status not in kit.CREATED_STATUSES
            ):
                scrubber = Scrubber((self._basic(), self._pair(), *secrets_of(self._own)))
                return scrubber.refusal(reading, error.get("exceptionId"), message)
            case dict() as answer if exchange.status in kit.CREATED_STATUSES:
                account_id = _account_id(answer.get("accountId"))
                return kit.with_account(reading, _created(account_id, answer)) if account_id else reading
            case _:
                return reading

    def _read_dry_run(self, exchange: Exchange) -> Reading:
        """The vendor does not describe the dummy answer of its test mode, so any good JSON object passes."""
        reading = replace(self._read(exchange), moment=Moment.PREPARING, created=None)
        if exchange.status in kit.CREATED_STATUSES and isinstance(exchange.json(), dict):
            return replace(reading, shape=Shape.SUCCESS)
        return reading


def _account_id(value: JsonValue) -> str | None:
    """An int by the table, text in the sample (providers.md 4.3 #1); 0 is the dummy of a test."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,20}", value):
        value = int(value)
    return kit.number_as_id(value) or kit.text_as_id(value)


def _created(account_id: str, answer: Mapping[str, JsonValue]) -> Created:
    shown = {name: value for name in _CREDENTIALS if isinstance(value := answer.get(name), str) and value}
    return Created(
        account_id,
        contract.Account(account_id=account_id).model_dump(mode="json"),
        {name: SecretStr(value) for name, value in shown.items()},
        tuple(name for name in _CREDENTIALS if name not in shown),
    )

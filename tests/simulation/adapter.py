"""One process's way to a vendor: stands for a provider module and its HTTP client, moment by moment."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

from pydantic import BaseModel, SecretStr

from contracts.reason import ReasonCode
from tests.fakes import AcmeParameters
from tests.simulation.life import Life
from tests.simulation.vendors import Account, HandedOver, Seen, Vendor
from tests.simulation.weather import ANSWER_WITHIN, LISTEN_FOR, LOOK_UPS, SETTLE, Fault
from worker import provider_kit as kit
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
from worker.core.verdict import Created, Effect, Moment, Outcome

_HERE: Final = "tests/simulation/vendors.py"

_TAKEN: Final = kit.refusal("simulated.taken", ReasonCode.NAME_TAKEN, _HERE, {409})

RULES: Final[Sequence[Rule]] = (
    kit.created("simulated"),
    kit.credentials_lost("simulated"),
    replace(kit.conflict("simulated.taken_after_doubt", _HERE, {409}), after_doubt=True),
    kit.echo(_TAKEN),
    _TAKEN,
    kit.refusal("simulated.credentials", ReasonCode.CREDENTIALS_REFUSED, _HERE, {401}, Effect.PAUSE),
    kit.refusal("simulated.limit", ReasonCode.RATE_LIMITED, _HERE, {429}, Effect.LIMIT),
    kit.refusal("simulated.busy", ReasonCode.PROVIDER_BUSY, _HERE, {503}, Effect.OUTAGE),
    *COMMON,
)

_NO_ANSWER: Final = Seen(Moment.REQUEST_SENT, failure="timeout")


class Adapter:
    """Implements `worker.core.provider.Provider`."""

    Parameters = AcmeParameters
    Settings = ProviderSettings
    RULES = RULES

    def __init__(self, vendor: Vendor, life: Life, settings: ProviderSettings) -> None:
        self.name = vendor.kind.name
        self.CAN_LOOK_UP = vendor.kind.can_look_up
        self.HAS_TEST_MODE = vendor.kind.test_mode
        self.settings = settings
        self._vendor = vendor
        self._life = life
        self._scene = vendor.scene
        self._limits_hold = vendor.scene.weather.limits_hold

    def complete(self, parameters: BaseModel) -> tuple[BaseModel, frozenset[str]]:
        """A password where the vendor wants one; here it follows from the name."""
        company = AcmeParameters.model_validate(parameters).company
        if not self._vendor.kind.generates:
            return parameters, frozenset()
        password = SecretStr(f"password of {company}")
        return parameters.model_copy(update={"password": password}), frozenset({"password"})

    def hands_over_credentials(self, parameters: BaseModel) -> bool:
        """Whether the answer brings a key."""
        return self._vendor.kind.issues_key

    async def prepare(self, order: Order) -> Prepared | Outcome:
        """A token, which cannot be had while the vendor is out of order."""
        await self._life.cross("prepare")
        await self._life.pass_time(self._scene.between(0.001, 0.05))
        await self._life.cross("prepared")
        if self._vendor.trouble in ("error", "unreachable") and self._scene.dice.random() < 0.5:
            return judge(RULES, Reading(Moment.PREPARING, Shape.NOTHING, failure="refused"))
        return Prepared(_company(order), {"asked": "token"})

    async def create(self, order: Order, prepared: Prepared) -> Outcome:
        """Connect, make sure that it is not too late, send, and listen."""
        await self._life.cross("create")
        await self._life.pass_time(self._scene.between(0.001, 0.05))
        await self._life.cross("connected")
        seen = await self._exchange(order, prepared)
        await self._life.cross("answered")
        self._scene.trace.tell(self._life.name, f"sees {_company(order)} {seen.moment.name} {seen.status}")
        outcome = judge(RULES, self._read(order, seen))
        if outcome.created is not None and "api_key" in outcome.created.secrets:
            self._vendor.handed_over[_company(order)] = HandedOver(self._life, self._life.loop.now)
        return outcome

    async def look_up(self, order: Order, doubt: Doubt) -> Finding:
        """Ask for the accounts of this name; what is read may be old by the time it is known here."""
        await self._life.cross("look_up")
        await self._life.pass_time(self._scene.between(0.01, 0.3))
        company, asked = _company(order), {"asked": "list"}
        out_of_order = self._vendor.trouble is not None or self._scene.strikes(Fault.LOOK_UP)
        shown = self._vendor.shown(company)
        await self._life.pass_time(self._scene.between(0.01, 0.3))
        await self._life.cross("looked up")
        if out_of_order:
            return Unclear(asked)
        if len(shown) > 1:
            return Several(tuple(account.account_id for account in shown), asked)
        return Found(self._created(order, shown[0], key=False), asked) if shown else Absent(asked)

    async def probe(self) -> Probe:
        """A harmless read."""
        await self._life.cross("probe")
        await self._life.pass_time(self._scene.between(0.01, 0.3))
        await self._life.cross("probed")
        return Probe(healthy=self._vendor.trouble in (None, "limit"), detail=str(self._vendor.trouble))

    async def _exchange(self, order: Order, prepared: Prepared) -> Seen:
        if not prepared.in_time():
            return Seen(Moment.CONNECTING, failure="too_late")
        if self._vendor.trouble == "unreachable":
            return Seen(Moment.CONNECTING, failure="refused")
        answer = self._vendor.send(_company(order), dry_run=order.dry_run)
        patience = self._life.loop.after(self.settings.listen_for, _give_up, answer)
        self._count(1)
        try:
            return await answer
        finally:
            patience.cancel()
            self._count(-1)

    def _count(self, one: int) -> None:
        """More creates than the limit are too many, however many workers there are."""
        vendor, weather = self._vendor, self._scene.weather
        vendor.listened_for += one
        if vendor.listened_for > weather.concurrency and self._limits_hold:
            words = (
                f"{vendor.kind.name} has {vendor.listened_for} creates under way, not {weather.concurrency}"
            )
            self._scene.trace.fail("limits hold over all workers", words)

    def _read(self, order: Order, seen: Seen) -> Reading:
        reading = Reading(
            moment=seen.moment,
            shape=Shape.NOTHING if seen.status is None else Shape.FOREIGN,
            status=seen.status,
            error_id=seen.error_id,
            failure=seen.failure,
            wait=seen.wait,
            sent_before=order.sent_before,
            after_doubt=order.after_doubt,
        )
        if not seen.readable or seen.status is None:
            return reading
        if seen.error_id is not None:
            return replace(reading, shape=Shape.ERROR)
        if seen.status != 201:
            return reading
        if seen.account is None:
            return replace(reading, shape=Shape.SUCCESS, created=Created("tried only", {}))
        created = self._created(order, seen.account, key=seen.failure is None)
        return kit.with_account(replace(reading, failure=None), created)

    def _created(self, order: Order, account: Account, *, key: bool) -> Created:
        """The account with the secrets that are known; the key is shown once, in the answer."""
        parameters = AcmeParameters.model_validate(order.parameters)
        secrets = {"password": parameters.password} if parameters.password and order.generated else {}
        if self._vendor.kind.issues_key and key:
            secrets["api_key"] = SecretStr(account.api_key)
        missing = ("api_key",) if self._vendor.kind.issues_key and not key else ()
        return Created(account.account_id, {"company": account.company}, secrets, missing)


def settings_of(agreeing: int, give_up: float) -> ProviderSettings:
    """As a deployment would set them for these vendors; the settle time is longer than anything may take."""
    return ProviderSettings(
        base_url="http://simulated.test",
        answer_within=ANSWER_WITHIN,
        listen_for=LISTEN_FOR,
        look_up_schedule=LOOK_UPS,
        settle=SETTLE,
        agreeing_look_ups=agreeing,
        give_up_look_ups_after=give_up,
    )


def _company(order: Order) -> str:
    return cast("AcmeParameters", order.parameters).company


def _give_up(answer: "asyncio.Future[Seen]") -> None:
    if not answer.done():
        answer.set_result(_NO_ANSWER)

"""What the tests of the providers share: a clock that is set, a sandbox, and handlers that talk to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.core.provider import Doubt, Order, Prepared
from worker.core.verdict import Outcome
from worker.http_client import HttpClient
from worker.providers import Handler, discover
from worker.sandbox import Fault, Operation, Rule, Sandbox

CANARY = "canary_speech"
GATEWAY = "gateway360"
PHONE = "phone_com"
POSTCODE = "postcode_eu"
PROVIDERS = tuple(discover())

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REQUEST_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@dataclass
class SetClock:
    """A clock that stands still until a test moves it."""

    era = "bench"
    time: datetime = START

    def now(self) -> datetime:
        return self.time

    def time_of_day(self) -> datetime:
        return self.time

    def agree(self, reference: datetime, as_of: float) -> float:
        return 0.0

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def advance(self, **duration: float) -> None:
        self.time += timedelta(**duration)


def example_of(provider: str) -> dict[str, Any]:
    """The contract's own example of the parameters."""
    extra = discover()[provider].Parameters.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    examples = extra["examples"]
    assert isinstance(examples, list)
    example = examples[0]
    assert isinstance(example, dict)
    # The example names a parent that only the vendor's documents know.
    return {name: value for name, value in example.items() if name != "parent_id"}


@dataclass
class Bench:
    """One sandbox, one client, one clock."""

    sandbox: Sandbox
    http: HttpClient
    clock: SetClock
    base_url: str = field(default="")

    def credentials_of(self, provider: str) -> dict[str, Any]:
        """The settings by which the sandbox takes our calls: its credentials bear their names."""
        accepted = self.sandbox.credentials_of(provider)
        given = {name: getattr(accepted, name, None) for name in discover()[provider].Settings.model_fields}
        return {name: value for name, value in given.items() if value is not None}

    def handler(self, provider: str, **settings: Any) -> Handler:
        """A handler that talks to the sandbox."""
        kind = discover()[provider]
        values = {
            "base_url": self.base_url or self.sandbox.base_url,
            **self.credentials_of(provider),
        }
        return kind(kind.Settings.model_validate({**values, **settings}), self.http, self.clock)

    def order(self, handler: Handler, parameters: Mapping[str, Any] | None = None, **more: Any) -> Order:
        """An order for the contract's example with these changes."""
        return self.order_for(handler, {**example_of(handler.name), **(parameters or {})}, **more)

    def order_for(self, handler: Handler, parameters: Mapping[str, Any], **more: Any) -> Order:
        """An order for these parameters, completed as intake completes it."""
        asked = handler.Parameters.model_validate(parameters)
        completed, generated = handler.complete(asked)
        return Order(REQUEST_ID, completed, generated=generated, **more)

    async def run(
        self, handler: Handler, order: Order, *, vanishes: bool = False, too_late: bool = False
    ) -> Outcome:
        """Prepare and create, as execution does; in between the provider may vanish or the worker be frozen."""
        prepared = await handler.prepare(order)
        if isinstance(prepared, Outcome):
            return prepared
        assert isinstance(prepared, Prepared)
        if vanishes:
            await self.sandbox.close_listener()
        return await handler.create(order, replace(prepared, in_time=lambda: not too_late))

    async def run_with_baseline(self, handler: Handler, order: Order) -> tuple[Outcome, Doubt]:
        """Prepare and create, and what a later look-up may lean on."""
        prepared = await handler.prepare(order)
        assert isinstance(prepared, Prepared)
        doubt = Doubt(self.clock.now(), prepared.baseline)
        return await handler.create(order, prepared), doubt

    def break_creates(self, fault: Fault, provider: str | None = None, **options: Any) -> None:
        """Let every create go wrong in this way."""
        self.sandbox.faults.add(Rule(fault=fault, provider=provider, **options))

    def break_reads(self, fault: Fault, operation: Operation = Operation.LOOK_UP, **options: Any) -> None:
        """Let every read go wrong in this way."""
        self.sandbox.faults.add(Rule(fault=fault, operation=operation, **options))

    def body_sent(self, provider: str) -> Any:
        """The body of the last create that the sandbox received."""
        creates = [one for one in self.sandbox.requests(provider) if one.operation == Operation.CREATE]
        return creates[-1].body

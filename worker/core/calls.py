"""Calls of providers: each is timed and told, and none raises."""

from dataclasses import replace

from worker.core.desk import Desk
from worker.core.entry import Entry
from worker.core.observer import Called, Surprised
from worker.core.provider import Doubt, Finding, Order, Prepared, Probe, Provider, Several, Unclear
from worker.core.seen import surprise
from worker.core.verdict import Outcome, Verdict


class Calls:
    """What a provider is asked. A handler that breaks has an answer as well: the one that is honest then."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def prepare(self, provider: Provider, order: Order) -> Prepared | Outcome | Several:
        """All that can be done before the intent. Nothing was sent, so nothing can be in doubt or done, whatever a
        handler says.
        """
        began = self._desk.clock.monotonic()
        try:
            prepared = await provider.prepare(order)
        except Exception as error:  # noqa: BLE001 - nothing was sent, whatever broke
            self._desk.observer.tell(Surprised("prepare", error, order.request_id))
            prepared = surprise(Verdict.NOT_DONE)
        if not isinstance(prepared, Outcome):
            return prepared
        self._tell(provider, "prepare", prepared.reason, began, order.request_id, prepared)
        if prepared.verdict is Verdict.NOT_DONE:
            return prepared
        return replace(prepared, verdict=Verdict.NOT_DONE, retry=True)

    async def create(self, provider: Provider, order: Order, prepared: Prepared) -> Outcome:
        """The create itself."""
        began = self._desk.clock.monotonic()
        try:
            outcome = await provider.create(order, prepared)
        except Exception as error:  # noqa: BLE001 - the create may be out; only in doubt is honest
            self._desk.observer.tell(Surprised("create", error, order.request_id))
            outcome = surprise(Verdict.IN_DOUBT)
        self._tell(provider, "create", outcome.reason, began, order.request_id, outcome)
        return outcome

    async def look_up(self, provider: Provider, entry: Entry) -> Finding:
        """Whether the account of a request in doubt exists."""
        began = self._desk.clock.monotonic()
        doubt = Doubt(sent_at=entry.attempt_sent_at or entry.changed_at, baseline=entry.baseline)
        finding: Finding
        try:
            finding = await provider.look_up(self._desk.orders.order(entry), doubt)
        except Exception as error:  # noqa: BLE001 - a look-up that breaks proves nothing
            self._desk.observer.tell(Surprised("look_up", error, entry.request_id))
            finding = Unclear({"failure": type(error).__name__})
        self._tell(provider, "look_up", finding.word, began, entry.request_id)
        return finding

    async def probe(self, provider: Provider) -> Probe:
        """One harmless read."""
        began = self._desk.clock.monotonic()
        try:
            probe = await provider.probe()
        except Exception as error:  # noqa: BLE001 - a probe that breaks says nothing good
            self._desk.observer.tell(Surprised("probe", error))
            probe = Probe(healthy=False, detail=f"the probe failed with {type(error).__name__}")
        self._tell(provider, "probe", "healthy" if probe.healthy else "unhealthy", began)
        return probe

    def _tell(
        self,
        provider: Provider,
        operation: str,
        result: str,
        began: float,
        request_id: str | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        seconds = self._desk.clock.monotonic() - began
        self._desk.observer.tell(Called(provider.name, operation, result, seconds, request_id, outcome))

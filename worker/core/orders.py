"""Between the wire's request, the ledger's sealed row and the provider's order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, JsonValue, SecretStr

from contracts.model import reveal
from contracts.request import effective_deadline
from worker.core.decode import Decoded
from worker.core.entry import Arrival, Entry
from worker.core.provider import Order, Provider
from worker.core.sealing import Sealer

_KEPT_CONTEXT = ("id", "subject", "correlationid", "traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class Orders:
    """Seals arriving requests and opens them again as orders.

    Attributes:
        providers: Those that are configured.
        known: Names of all that exist, configured or not.
    """

    sealer: Sealer
    providers: Mapping[str, Provider]
    known: frozenset[str]

    def arrival(self, request: Decoded, parameters: BaseModel, now: datetime) -> Arrival:
        """A new row for the ledger; missing passwords are generated here, before anything is stored."""
        request_id = str(uuid4())
        completed, generated = self.providers[request.data.provider].complete(parameters)
        sealed = json.dumps({"parameters": reveal(completed), "generated": sorted(generated)}).encode()
        content = canonical(request, parameters)
        return Arrival(
            request_id=request_id,
            source=request.context.source,
            idempotency_key=request.data.idempotency_key,
            provider=request.data.provider,
            fingerprint=self.sealer.fingerprint(content),
            same=lambda stored: self.sealer.same(stored, content),
            sealed_request=self.sealer.seal(sealed, f"request:{request_id}"),
            context={
                name: value for name in _KEPT_CONTEXT if (value := getattr(request.context, name)) is not None
            },
            content_mode=request.mode,
            dry_run=request.data.dry_run,
            deadline=effective_deadline(request.context, request.data),
            received_at=now,
        )

    def order(self, entry: Entry) -> Order:
        """What the provider is asked to open.

        Raises:
            SealBroken: the key that sealed the row is not in the keyring.
        """
        stored = _stored(self.sealer, entry)
        return Order(
            request_id=entry.request_id,
            parameters=self.providers[entry.provider].Parameters.model_validate(stored["parameters"]),
            generated=frozenset(stored["generated"]),
            dry_run=entry.dry_run,
            sent_before=entry.attempt_sent_at is not None,
            after_doubt=entry.doubted,
            baseline=entry.baseline,
        )


def canonical(request: Decoded, parameters: BaseModel) -> bytes:
    """The meaning of a request, however it was spelled: what is opened where.

    Absent and null are the same, so a contract may gain optional fields without old requests becoming conflicts.
    The deadline is left out: asking again with more time is asking for the same account.
    """
    meaning = {
        "provider": request.data.provider,
        "parameters": _without_nulls(reveal(parameters)),
        "dry_run": request.data.dry_run,
    }
    return json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _without_nulls(value: object) -> object:
    match value:
        case dict():
            return {key: _without_nulls(item) for key, item in value.items() if item is not None}
        case list():
            return [_without_nulls(item) for item in value]
        case _:
            return value


def generated_secrets(sealer: Sealer, entry: Entry) -> Mapping[str, SecretStr]:
    """The secrets that were generated for a request, by name.

    Raises:
        SealBroken: the key that sealed the row is not in the keyring.
    """
    stored = _stored(sealer, entry)
    return {name: SecretStr(stored["parameters"][name]) for name in stored["generated"]}


def asked_for(sealer: Sealer, entry: Entry) -> frozenset[str]:
    """Names of the parameters that have a value, given or generated.

    Raises:
        SealBroken: the key that sealed the row is not in the keyring.
    """
    parameters = _stored(sealer, entry)["parameters"]
    return frozenset(name for name, value in parameters.items() if value is not None)


def parameters_in_clear(sealer: Sealer, entry: Entry) -> Mapping[str, JsonValue]:
    """The parameters as JSON data, given or generated; a secret among them is IN CLEAR, so nothing shows this.

    Raises:
        SealBroken: the key that sealed the row is not in the keyring.
    """
    parameters: dict[str, JsonValue] = _stored(sealer, entry)["parameters"]
    return parameters


def _stored(sealer: Sealer, entry: Entry) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(sealer.open(entry.sealed_request, f"request:{entry.request_id}"))
    return stored

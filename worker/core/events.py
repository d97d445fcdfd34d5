"""Result events: from what the ledger records to the bytes that are published."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from pydantic import JsonValue

from contracts.reason import CATALOGUE, ReasonCode
from contracts.result import (
    EVENT_MODELS,
    TYPE_OF_OUTCOME,
    Evidence,
    Problem,
    as_wire,
    routing_key,
    schema_urn,
)
from contracts.result import Outcome as ResultOutcome
from worker.core.change import Event
from worker.core.decode import Refusal
from worker.core.entry import Entry
from worker.core.sealing import Sealer
from worker.core.verdict import Outcome

_NAMESPACE = UUID("6b0f6b0e-5a0c-5d57-9b7c-3d1f7c1a9e55")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an event is about: a request's row, or a dead letter of which something could be read.

    Attributes:
        occasion: What makes two events of the same outcome two: how often an operator put the request back, or of
            what the letter died.
    """

    request_id: str
    occasion: int | str
    source: str | None
    idempotency_key: str | None
    provider: str | None
    dry_run: bool
    context: Mapping[str, JsonValue]


def subject_of(entry: Entry) -> Subject:
    """The subject of a request's events."""
    return Subject(
        request_id=entry.request_id,
        occasion=entry.generation,
        source=entry.source,
        idempotency_key=entry.idempotency_key,
        provider=entry.provider,
        dry_run=entry.dry_run,
        context=entry.context,
    )


def subject_of_refusal(dead_letter_id: str, refusal: Refusal) -> Subject:
    """The subject of the rejection of a message that became no request."""
    readable = refusal.readable
    context = {"id": readable.event_id, "subject": readable.subject, "correlationid": readable.correlationid}
    return Subject(
        request_id=dead_letter_id,
        occasion=_why(refusal),
        source=readable.source,
        idempotency_key=readable.idempotency_key,
        provider=readable.provider,
        dry_run=readable.dry_run,
        context=context,
    )


def _why(refusal: Refusal) -> str:
    problems = [problem.model_dump(mode="json") for problem in refusal.problems]
    return f"{refusal.reason}:{json.dumps(problems)}"


def event_id(request_id: str, outcome: ResultOutcome, occasion: int | str) -> str:
    """The same row, outcome and occasion always give the same event id."""
    return str(uuid5(_NAMESPACE, f"{request_id}:{outcome}:{occasion}"))


class EventWriter:
    """Builds events of one deployment and seals their bodies."""

    def __init__(self, source: str, sealer: Sealer) -> None:
        self._source = source
        self._sealer = sealer

    def provisioned(
        self,
        subject: Subject,
        at: datetime,
        *,
        account_id: str,
        account: Mapping[str, JsonValue],
        credentials: str | None,
        missing: tuple[str, ...],
        evidence: Evidence,
    ) -> Event:
        """The account exists."""
        details: dict[str, object] = {
            "account_id": account_id,
            "account": dict(account),
            "credentials": credentials,
            "credentials_missing": missing,
            "evidence": evidence,
        }
        return self._event(subject, ResultOutcome.PROVISIONED, at, details)

    def rejected(
        self,
        subject: Subject,
        at: datetime,
        reason: ReasonCode,
        *,
        problems: tuple[Problem, ...] = (),
        outcome: Outcome | None = None,
    ) -> Event:
        """Refused for good, nothing was created."""
        asked = outcome is not None and outcome.status is not None
        error = (
            {"status": outcome.status, "id": outcome.error_id, "message": outcome.message}
            if asked and outcome
            else None
        )
        details = {"reason": _reason(reason), "problems": problems, "provider_error": error}
        return self._event(subject, ResultOutcome.REJECTED, at, details)

    def held(
        self, subject: Subject, at: datetime, reason: ReasonCode, account_id: str | None = None
    ) -> Event:
        """A person must look."""
        details = {"reason": _reason(reason), "since": at, "account_id": account_id}
        return self._event(subject, ResultOutcome.HELD, at, details)

    def abandoned(
        self,
        subject: Subject,
        at: datetime,
        reason: ReasonCode,
        note: str | None,
        *,
        account_id: str | None,
        account_may_exist: bool,
    ) -> Event:
        """A person closed it, whatever it leaves at the provider."""
        details = {
            "reason": _reason(reason),
            "account_id": account_id,
            "account_may_exist": account_may_exist,
            "note": note,
        }
        return self._event(subject, ResultOutcome.ABANDONED, at, details)

    def body_of(self, event: Event) -> bytes:
        """The bytes to publish.

        Raises:
            SealBroken: the key that sealed it is not in the keyring.
        """
        return self._sealer.open(event.sealed_body, f"event:{event.event_id}")

    def _event(
        self, subject: Subject, outcome: ResultOutcome, at: datetime, details: Mapping[str, object]
    ) -> Event:
        identifier = event_id(subject.request_id, outcome, subject.occasion)
        event_type = TYPE_OF_OUTCOME[outcome]
        model = EVENT_MODELS[event_type].model_validate(
            {
                **self._envelope(subject, identifier, event_type, at),
                **({"dataclassification": "confidential"} if details.get("credentials") else {}),
                "data": {**_common(subject, outcome, at), **details},
            }
        )
        body = json.dumps(as_wire(model), ensure_ascii=False, separators=(",", ":")).encode()
        sealed = self._sealer.seal(body, f"event:{identifier}")
        return Event(identifier, event_type, routing_key(subject.provider, outcome), sealed, at)

    def _envelope(
        self, subject: Subject, identifier: str, event_type: str, at: datetime
    ) -> dict[str, object]:
        context = subject.context
        return {
            "specversion": "1.0",
            "id": identifier,
            "source": self._source,
            "type": event_type,
            "subject": context.get("subject") or subject.idempotency_key,
            "time": at,
            "datacontenttype": "application/json",
            "dataschema": schema_urn(event_type),
            "correlationid": context.get("correlationid") or context.get("id"),
            "causationid": context.get("id"),
            "traceparent": context.get("traceparent"),
            "tracestate": context.get("tracestate"),
        }


def _common(subject: Subject, outcome: ResultOutcome, at: datetime) -> dict[str, object]:
    return {
        "request_id": subject.request_id,
        "request_source": subject.source,
        "idempotency_key": subject.idempotency_key,
        "provider": subject.provider,
        "dry_run": subject.dry_run,
        "outcome": outcome,
        "recorded_at": at,
    }


def _reason(code: ReasonCode) -> dict[str, object]:
    return {"code": code, "message": CATALOGUE[code].meaning}

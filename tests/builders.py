"""Builders with sane defaults: a test names only what matters to it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from contracts.reason import ReasonCode
from worker.core.broker import Message
from worker.core.entry import Entry
from worker.core.sealing import Sealed
from worker.core.states import State
from worker.core.verdict import Created, Moment, Outcome, Verdict

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

_ENTRY = Entry(
    request_id="00000000-0000-4000-8000-000000000001",
    source="urn:test",
    idempotency_key="key-1",
    provider="phone_com",
    state=State.ACCEPTED,
    reason=None,
    sealed_request=Sealed("sealed"),
    context={"id": "e-1"},
    dry_run=False,
    deadline=None,
    received_at=LONG_AGO,
    since=LONG_AGO,
    changed_at=LONG_AGO,
    due_at=None,
    fence=1,
    attempts=0,
    deferrals=0,
    look_ups=0,
    absences=0,
    generation=0,
    doubted=False,
    attempt_sent_at=None,
    baseline={},
    account_id=None,
    event_id=None,
)


def make_entry(**changes: Any) -> Entry:
    """A row of the ledger, accepted and untouched unless said otherwise."""
    return replace(_ENTRY, **changes)


def make_outcome(verdict: Verdict, **changes: Any) -> Outcome:
    """An outcome with this verdict."""
    plain = Outcome(verdict, ReasonCode.SERVER_ERROR, "test.rule", Moment.STATUS_READ)
    return replace(plain, **changes)


def make_done(account_id: str = "A-1", **created: Any) -> Outcome:
    """The good answer of a provider."""
    account = Created(account_id, {"company": "Example"}, **created)
    return make_outcome(Verdict.DONE, reason=ReasonCode.CREATED, status=201, created=account)


def make_request(key: str = "order-1", **changes: Any) -> dict[str, Any]:
    """A request to the pretended provider `acme`, in structured form; `changes` go into its data."""
    data = {"idempotency_key": key, "provider": "acme", "parameters": {"company": "Example"}, **changes}
    return {
        "specversion": "1.0",
        "id": f"event-of-{key}",
        "source": "urn:shop",
        "type": "account.requested.v1",
        "data": data,
    }


def make_message(body: dict[str, Any] | bytes | None = None, **properties: Any) -> Message:
    """A message in structured form; a good request unless a body is given."""
    content = body if isinstance(body, bytes) else json.dumps(body or make_request()).encode()
    plain = Message(
        content, "provisioning.requests.acme", "request.acme", content_type="application/cloudevents+json"
    )
    return replace(plain, **properties)

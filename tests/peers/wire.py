"""The queues and messages, as a team reads them in `contracts/README.md`: structured CloudEvents in and out."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

RESULTS = "provisioning.results"
CONTENT_TYPE = "application/cloudevents+json"


def request_queue(provider: str) -> str:
    """Where the requests for a provider wait."""
    return f"provisioning.requests.{provider}"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as far as a peer looks at it."""

    id: str
    source: str
    key: str
    provider: str
    parameters: dict[str, Any] = field(repr=False)


def read_request(body: bytes | str) -> Request:
    """Decode a message.

    Raises:
        ValueError: it is not JSON.
        KeyError: something is missing.
    """
    event = json.loads(body)
    data = event["data"]
    return Request(
        event["id"], event["source"], data["idempotency_key"], data["provider"], data["parameters"]
    )


@dataclass(frozen=True, slots=True)
class Result:
    """A result event, ready to be published."""

    routing_key: str
    body: bytes = field(repr=False)


def provisioned(request: Request, account_id: str) -> Result:
    """The account was opened."""
    return _result(request, "provisioned", account_id=account_id)


def rejected(request: Request, why: str) -> Result:
    """The provider refused."""
    return _result(request, "rejected", reason={"code": "provider_validation", "message": why})


def _result(request: Request, outcome: str, **more: Any) -> Result:
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "urn:peer",
        "type": f"account.{outcome}.v1",
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "correlationid": request.id,
        "data": {
            "request_source": request.source,
            "idempotency_key": request.key,
            "provider": request.provider,
            "outcome": outcome,
            **more,
        },
    }
    return Result(f"result.{request.provider}.{outcome}", json.dumps(event).encode())

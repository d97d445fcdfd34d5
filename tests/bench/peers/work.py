"""The work that every other worker of the bench does, in plain Python: the request, the call, the result.

Nothing here knows a library, so that all sides do exactly the same around theirs.
"""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

IN_FLIGHT = 100
"""Requests in the works at once, unless the environment says otherwise."""

READY = "ready"
"""The word with which a side says that it is, before the name of the event loop or pool it runs on."""

RESULTS = "provisioning.results"
CONTENT_TYPE = "application/cloudevents+json"

_SENT_AS = {
    "company_name": "companyName",
    "country_iso": "countryIso",
    "contact_email": "contactEmail",
    "subscription_amount": "subscriptionAmount",
    "site_urls": "siteUrls",
    "invoice_email": "invoiceEmail",
    "invoice_address_line1": "invoiceAddressLine1",
    "invoice_address_postal_code": "invoiceAddressPostalCode",
    "invoice_address_locality": "invoiceAddressLocality",
    "invoice_address_country_iso": "invoiceAddressCountryIso",
}
_SENT_EMPTY = ("vatNumber", "invoiceReference", "invoiceAddressLine2", "invoiceAddressRegion")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where everything is.

    Attributes:
        url: Where the create is posted to.
        headers: What goes with every create.
        queue: Where this side's requests wait.
    """

    broker_url: str
    url: str
    headers: Mapping[str, str]
    queue: str
    in_flight: int


def surroundings(environment: Mapping[str, str] = os.environ) -> Surroundings:
    """What the bench put into the environment.

    Raises:
        KeyError: it was not started by the bench.
    """
    pair = f"{environment['BENCH_KEY']}:{environment['BENCH_SECRET']}"
    return Surroundings(
        broker_url=environment["BENCH_BROKER_URL"],
        url=f"{environment['BENCH_PROVIDER_URL']}/reseller/v1/client",
        headers={"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"},
        queue=environment["BENCH_QUEUE"],
        in_flight=int(environment.get("BENCH_IN_FLIGHT", IN_FLIGHT)),
    )


def new_request(provider: str, key: str | None = None) -> bytes:
    """A request as an upstream system publishes it, under a key of its own if none is given."""
    key = key or uuid4().hex
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "urn:bench",
        "type": "account.requested.v1",
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "idempotency_key": key,
            "provider": provider,
            "parameters": {
                "company_name": f"Company {key}",
                "country_iso": "NLD",
                "contact_email": "contact@example.org",
                "subscription_amount": 100,
                "site_urls": ["https://www.example.org"],
                "invoice_email": "invoice@example.org",
                "invoice_address_line1": "Julianastraat 30",
                "invoice_address_postal_code": "2012ES",
                "invoice_address_locality": "Haarlem",
                "invoice_address_country_iso": "NLD",
            },
        },
    }
    return json.dumps(event).encode()


def body_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What is posted to the provider."""
    parameters = request["data"]["parameters"]
    return dict.fromkeys(_SENT_EMPTY, "") | {_SENT_AS[name]: parameters[name] for name in parameters}


@dataclass(frozen=True, slots=True)
class Result:
    """A result event, ready to be published."""

    routing_key: str
    body: bytes
    message_id: str
    correlation_id: str
    at: datetime


def result_of(request: Mapping[str, Any], account: Mapping[str, Any], side: str) -> Result:
    """The event that tells of an account."""
    now = datetime.now(UTC)
    data = {
        "request_id": str(uuid4()),
        "request_source": request["source"],
        "idempotency_key": request["data"]["idempotency_key"],
        "provider": request["data"]["provider"],
        "outcome": "provisioned",
        "account_id": account["accountId"],
        "account": {"account_id": account["accountId"]},
        "credentials": {"key": account["key"], "secret": account["secret"]},
    }
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": f"urn:{side}",
        "type": "account.provisioned.v1",
        "time": now.isoformat(),
        "correlationid": request["id"],
        "data": data,
    }
    return Result(f"result.{side}.provisioned", json.dumps(event).encode(), uuid4().hex, request["id"], now)


def say_ready(runs_on: str) -> None:
    """Tell the bench that this side takes requests, and what it runs on.

    Not by `sys.stdout`, which some put a log in the place of.
    """
    os.write(1, f"{READY} {runs_on}\n".encode())


def loop_name(loop: object) -> str:
    """The library that an event loop is of."""
    return type(loop).__module__.partition(".")[0]

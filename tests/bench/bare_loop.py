"""The yardstick: the loop that any team would write straight on aio-pika and aiohttp.

It takes a request, calls the provider, publishes the result with a confirmation and acknowledges. No ledger, no
validation, no encryption, no logs, one pool of kept-alive connections: it loses and duplicates accounts, and is fast.
"""

import asyncio
import base64
import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import aiohttp
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

IN_FLIGHT = 100
READY = "ready"

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
class Loop:
    """One request after the other, up to `IN_FLIGHT` at once."""

    session: aiohttp.ClientSession
    url: str
    results: AbstractExchange

    async def handle(self, message: AbstractIncomingMessage) -> None:
        """From the delivery to the acknowledgement."""
        async with message.process(requeue=True):
            request = json.loads(message.body)
            parameters = request["data"]["parameters"]
            body = dict.fromkeys(_SENT_EMPTY, "") | {_SENT_AS[name]: parameters[name] for name in parameters}
            async with self.session.post(self.url, json=body) as answer:
                answer.raise_for_status()
                account = await answer.json()
            await self.results.publish(_result(request, account), "result.bare.provisioned")


def _result(request: dict[str, Any], account: dict[str, Any]) -> aio_pika.Message:
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
        "source": "urn:bare",
        "type": "account.provisioned.v1",
        "time": now.isoformat(),
        "correlationid": request["id"],
        "data": data,
    }
    return aio_pika.Message(
        json.dumps(event).encode(),
        content_type="application/cloudevents+json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=uuid4().hex,
        correlation_id=request["id"],
        timestamp=now,
    )


async def main() -> None:
    """Run until killed. Where everything is stands in the environment."""
    pair = f"{os.environ['BENCH_KEY']}:{os.environ['BENCH_SECRET']}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    connection = await aio_pika.connect(os.environ["BENCH_BROKER_URL"])
    async with connection, aiohttp.ClientSession(headers=headers) as session:
        publishing = await connection.channel(publisher_confirms=True)
        consuming = await connection.channel()
        await consuming.set_qos(prefetch_count=IN_FLIGHT)
        results = await publishing.get_exchange("provisioning.results")
        queue = await consuming.get_queue("provisioning.requests.bare")
        await queue.consume(
            Loop(session, f"{os.environ['BENCH_PROVIDER_URL']}/reseller/v1/client", results).handle
        )
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

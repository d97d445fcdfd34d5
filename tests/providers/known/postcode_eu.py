"""What the tests know of Postcode.eu."""

import base64

from hypothesis import strategies as st

from contracts.providers.postcode_eu import SUBSCRIPTION_AMOUNTS
from contracts.reason import ReasonCode as Code
from tests.contracts.strategies import (
    COUNTRIES,
    EMAILS,
    LINES,
    fields,
)
from tests.providers.cases import (
    CREDENTIALS,
    DRY_RUN,
    IMPATIENT,
    IN_DOUBT,
    LIMITED,
    LOST,
    MADE,
    MISSING,
    NONE,
    PERMISSION,
    REFUSED,
    UNANSWERED,
    Case,
    fault,
    says,
)
from tests.providers.known._form import Known, Sent
from worker.core.provider import Provider
from worker.providers.postcode_eu import Handler
from worker.sandbox import Fault


def fits(it: Handler) -> Provider:
    """The type checker says here what the handler lacks."""
    return it


_PAIR = base64.b64encode(
    b"sandboxPostcodeEuKeyOfNobody000000000000000:sandboxPostcodeEuSecretOfNobody0000000000000000000"
).decode()
ASKED = {
    "company_name": "Klant B.V.",
    "country_iso": "NLD",
    "vat_number": "NL123456789B01",
    "contact_email": "contact@example.org",
    "subscription_amount": 100,
    "site_urls": ["https://www.example.org"],
    "invoice_email": "invoice@example.org",
    "invoice_reference": "PO 1234",
    "invoice_address_line1": "Julianastraat 30",
    "invoice_address_postal_code": "2012ES",
    "invoice_address_locality": "Haarlem",
    "invoice_address_country_iso": "NLD",
}
# The page's sample without the comma after its last field, which no JSON parser takes.
BODY = {
    "companyName": "Klant B.V.",
    "countryIso": "NLD",
    "vatNumber": "NL123456789B01",
    "contactEmail": "contact@example.org",
    "subscriptionAmount": 100,
    "siteUrls": ["https://www.example.org"],
    "invoiceEmail": "invoice@example.org",
    "invoiceReference": "PO 1234",
    "invoiceAddressLine1": "Julianastraat 30",
    "invoiceAddressLine2": "",
    "invoiceAddressPostalCode": "2012ES",
    "invoiceAddressLocality": "Haarlem",
    "invoiceAddressRegion": "",
    "invoiceAddressCountryIso": "NLD",
}

KNOWN = Known(
    base_url="https://api.postcode.eu",
    path="/reseller/v1/client",
    headers={"Authorization": f"Basic {_PAIR}", "Accept": "*/*"},
    good={"accountId": 7, "key": "k", "secret": "s"},
    own_shape={"exception": "no", "exceptionId": "Teapot"},
    sent=(
        Sent(ASKED, BODY, {}, "the sample, every text present"),
        Sent(
            {
                **ASKED,
                "subscription_amount": 0,
                "site_urls": [],
                "invoice_address_line2": "achter",
                "invoice_address_region": "NH",
                "invoice_contact_name": "J. Jansen",
            },
            {
                **BODY,
                "subscriptionAmount": 0,
                "siteUrls": [],
                "invoiceAddressLine2": "achter",
                "invoiceAddressRegion": "NH",
                "invoiceContactName": "J. Jansen",
            },
            {},
            "an amount of 0 is sent as it is",
        ),
    ),
    elsewhere={},
    another={"company_name": "Another B.V."},
    namesake={"contact_email": "other@example.org"},
    secrets_issued=frozenset({"key", "secret"}),
    account_ids=("3000000001", "7"),
    no_account_ids=(
        "Order 1004",
        "0",
        "Voorbeeld B.V.",
        "3.000.000.001",
        "03000000001",
        "+3000000001",
        "3000000001 ",
        "\uff17",
    ),
    parameters=fields(
        {
            "company_name": LINES,
            "country_iso": COUNTRIES,
            "vat_number": st.from_regex(r"[A-Z]{2}[0-9A-Z]{2,12}", fullmatch=True),
            "contact_email": EMAILS,
            "subscription_amount": st.sampled_from(SUBSCRIPTION_AMOUNTS),
            "invoice_email": EMAILS,
            "invoice_address_line1": LINES,
            "invoice_address_postal_code": LINES,
            "invoice_address_locality": LINES,
            "invoice_address_country_iso": COUNTRIES,
        },
        {
            "invoice_reference": LINES,
            "invoice_address_line2": LINES,
            "invoice_address_region": LINES,
            "invoice_contact_name": LINES,
        },
    ),
    cases=(
        Case("postcode_eu.created", MADE, says(200, {"accountId": 3414456543, "key": "k", "secret": "s"})),
        Case("postcode_eu.credentials_lost", LOST, fault(Fault.WRONG_JSON, drop=("secret",))),
        Case("postcode_eu.400", REFUSED, says(400, {"exception": "no"})),
        Case("postcode_eu.401", CREDENTIALS, settings={"secret": "wrong"}),
        Case("postcode_eu.403", PERMISSION, fault(Fault.FORBIDDEN)),
        Case("postcode_eu.404", MISSING, says(404, {"exception": "no"})),
        Case("postcode_eu.429", LIMITED, fault(Fault.RATE_LIMITED, seconds=5)),
        *(
            Case("postcode_eu.dry_run_unanswered", UNANSWERED, arrange, IMPATIENT, order=DRY_RUN)
            for arrange in (
                fault(Fault.CUT_AFTER_CREATE),
                fault(Fault.SERVER_ERROR_BEFORE_CREATE),
                fault(Fault.LATE_ANSWER, until="never"),
                fault(Fault.HTML_WITH_200),
            )
        ),
        Case(
            "postcode_eu.400",
            REFUSED,
            says(400, {"exception": "no"}),
            order=DRY_RUN,
            reason="a dry run tells",
        ),
        Case(
            "common.success_unreadable",
            (IN_DOUBT, Code.UNREADABLE_ANSWER, False, NONE),
            says(200, {"accountId": "0", "key": "k", "secret": "s"}),
            reason="the dummy of a test mode nobody asked for",
        ),
    ),
)

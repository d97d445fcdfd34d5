"""Postcode.eu: a client account linked to the configured reseller (`Reseller.createClientAccount`).

Source: postcode_eu_create_client_account.txt, and for the one newer field the vendor's page,
https://developer.postcode.eu/documentation/reseller/v1/Reseller/createClientAccount

The vendor's `isTest` is no parameter: it is the request's `dry_run`. An amount of 0 is something else, a
real account on trial.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.config import JsonDict

from contracts.country import ALPHA_3, ALPHA_3_OF_ALPHA_2, EU_MEMBERS
from contracts.model import AlsoSent, ClosedModel, Misfit, OpenModel, given, sent_as
from contracts.text import Email, IssuedSecret, Line, Shape, WebAddress, is_number

NAME: Final = "postcode_eu"

_SEED: Final = "Source: postcode_eu_create_client_account.txt."
_COUNTRY: Final = "ISO 3166-1 alpha-3 code in upper case; alpha-2 is taken too and converted."

SUBSCRIPTION_AMOUNTS: Final = (0, 50, 100, 250, 500, 1000)

VAT_NUMBER_REQUIRED: Final = EU_MEMBERS - {"NLD"}
"""Countries of companies that must give a VAT number, as alpha-3."""


_NO_COUNTRY: Final = "must be a country code of ISO 3166-1 in upper case, alpha-3 (NLD) or alpha-2 (NL)"


def _to_alpha_3(code: str) -> str:
    alpha_3 = ALPHA_3_OF_ALPHA_2.get(code, code)
    if alpha_3 not in ALPHA_3:
        raise ValueError(_NO_COUNTRY)
    return alpha_3


def _whole(amount: object) -> object:
    """JSON knows no integers: 100, 100.0 and 1e2 are one number, and serialisers write any of them."""
    return int(amount) if isinstance(amount, float) and amount.is_integer() else amount


def _one_of_the_amounts(amount: int) -> int:
    if amount not in SUBSCRIPTION_AMOUNTS:
        raise ValueError("must be one of 0, 50, 100, 250, 500, 1000")
    return amount


# Not a Literal: that would take false for 0, and so open an account on trial.
Amount = Annotated[
    int,
    BeforeValidator(_whole),
    AfterValidator(_one_of_the_amounts),
    WithJsonSchema({"type": "integer", "enum": [*SUBSCRIPTION_AMOUNTS]}),
]
Country = Annotated[
    str,
    Field(min_length=2, max_length=3),
    Shape("^[A-Z]{2,3}$", _NO_COUNTRY),
    AfterValidator(_to_alpha_3),
]
VatNumber = Annotated[
    str,
    Field(min_length=2, max_length=30),
    Shape(
        r"^[A-Za-z0-9][A-Za-z0-9 .+*/\-]*$",
        "must be a VAT number, such as NL000000000B00",
    ),
]
PostalCode = Annotated[Line, Field(max_length=20)]
SiteUrls = Annotated[tuple[WebAddress, ...], Field(strict=False, max_length=50)]

_VAT_COUNTRIES_AS_SENT: Final = sorted(
    VAT_NUMBER_REQUIRED | {two for two, three in ALPHA_3_OF_ALPHA_2.items() if three in VAT_NUMBER_REQUIRED}
)
_VAT_NUMBER_RULE: Final[JsonDict] = {
    "if": {"properties": {"country_iso": {"enum": [*_VAT_COUNTRIES_AS_SENT]}}, "required": ["country_iso"]},
    "then": {"properties": {"vat_number": {"type": "string"}}, "required": ["vat_number"]},
}
_EXAMPLE: Final[JsonDict] = {
    "company_name": "Voorbeeld B.V.",
    "country_iso": "NLD",
    "vat_number": "NL000000000B00",
    "contact_email": "contact@example.org",
    "subscription_amount": 100,
    "site_urls": ["https://www.example.org"],
    "invoice_email": "invoice@example.org",
    "invoice_reference": "Order 1004",
    "invoice_address_line1": "Voorbeeldstraat 1",
    "invoice_address_postal_code": "1000AA",
    "invoice_address_locality": "Amsterdam",
    "invoice_address_country_iso": "NLD",
}


class Parameters(ClosedModel):
    """What is asked of Postcode.eu."""

    model_config = ConfigDict(json_schema_extra={**_VAT_NUMBER_RULE, "examples": [_EXAMPLE]})

    company_name: Line = Field(
        description=f"Name of the client's company. {_SEED}", json_schema_extra=sent_as("companyName")
    )
    country_iso: Country = Field(
        description=f"Country of the company. {_COUNTRY} {_SEED}", json_schema_extra=sent_as("countryIso")
    )
    vat_number: VatNumber | None = Field(
        default=None,
        validate_default=True,
        description=(
            "VAT number; required when `country_iso` is a member of the EU other than the "
            f"Netherlands. Only its shape is checked. Left out: sent empty. {_SEED}"
        ),
        json_schema_extra=sent_as("vatNumber", required_when="`country_iso` is in the EU, but not NLD"),
    )
    contact_email: Email = Field(
        description=f"Primary contact e-mail. {_SEED}", json_schema_extra=sent_as("contactEmail")
    )
    subscription_amount: Amount = Field(
        description=(
            "Subscription: 0, 50, 100, 250, 500 or 1000. 0 opens a real account without a "
            f"subscription, for trial; it is never assumed. {_SEED}"
        ),
        json_schema_extra=sent_as("subscriptionAmount"),
    )
    site_urls: SiteUrls = Field(
        default=(),
        description=(
            f"Web sites of the client where the API will be used. Left out: sent as an empty list. {_SEED}"
        ),
        json_schema_extra=sent_as("siteUrls"),
    )
    invoice_email: Email = Field(
        description=f"Where invoices are sent. {_SEED}", json_schema_extra=sent_as("invoiceEmail")
    )
    invoice_reference: Line | None = Field(
        default=None,
        description=(
            "Printed on the invoice. Put the order number here: it is the only mark by which a "
            "person can find the account in the vendor's portal after a lost answer. Left out: the "
            f"beginning of the worker's own request id is sent. {_SEED}"
        ),
        json_schema_extra=sent_as("invoiceReference"),
    )
    invoice_address_line1: Line = Field(
        description=f"Invoice address, line 1. {_SEED}", json_schema_extra=sent_as("invoiceAddressLine1")
    )
    invoice_address_line2: Line | None = Field(
        default=None,
        description=f"Invoice address, line 2. Left out: sent empty. {_SEED}",
        json_schema_extra=sent_as("invoiceAddressLine2"),
    )
    invoice_address_postal_code: PostalCode = Field(
        description=f"Invoice address, postal code. {_SEED}",
        json_schema_extra=sent_as("invoiceAddressPostalCode"),
    )
    invoice_address_locality: Line = Field(
        description=f"Invoice address, city. {_SEED}", json_schema_extra=sent_as("invoiceAddressLocality")
    )
    invoice_address_region: Line | None = Field(
        default=None,
        description=f"Invoice address, region. Left out: sent empty. {_SEED}",
        json_schema_extra=sent_as("invoiceAddressRegion"),
    )
    invoice_address_country_iso: Country = Field(
        description=f"Invoice address, country. {_COUNTRY} {_SEED}",
        json_schema_extra=sent_as("invoiceAddressCountryIso"),
    )
    invoice_contact_name: Line | None = Field(
        default=None,
        description=(
            "Who the invoice is addressed to; sent only when given. Source: the vendor's "
            "createClientAccount page, newer than postcode_eu_create_client_account.txt."
        ),
        json_schema_extra=sent_as("invoiceContactName"),
    )

    @field_validator("vat_number")
    @classmethod
    def _given_where_the_vendor_asks(cls, vat_number: str | None, info: ValidationInfo) -> str | None:
        if vat_number is None and info.data.get("country_iso") in VAT_NUMBER_REQUIRED:
            raise ValueError("is required when country_iso is a member of the EU other than the Netherlands")
        return vat_number


ALSO_SENT: Final = (
    AlsoSent("header Authorization", "settings", "HTTP Basic, the reseller's key and secret"),
    AlsoSent("body isTest", "request", "true when the request's `dry_run` is true; left out otherwise"),
)


class Account(OpenModel):
    """What is told about the new client account."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"account_id": "3000000001"}]})

    account_id: str = Field(
        description=(
            f"Number of the account as decimal text (it exceeds 32 bits); vendor's `accountId`. {_SEED}"
        )
    )


def reference_of(request_id: str) -> str:
    """What stands on the invoice when the requester gave no reference: the beginning of the request's id."""
    return f"Request {request_id[:13]}"


def recognised_by(asked: Mapping[str, JsonValue], request_id: str) -> Mapping[str, JsonValue]:
    """Give the reference as it was sent, the company and the contact's e-mail address."""
    sent = {"invoice_reference": reference_of(request_id)}
    return sent | given(asked, "invoice_reference", "company_name", "contact_email")


def misfit(account_id: str, _asked: Mapping[str, JsonValue]) -> Misfit | None:
    """Refuse what is no number."""
    return None if is_number(account_id) else Misfit("the account's number, such as 3000000001")


def known_account(account_id: str, _asked: Mapping[str, JsonValue]) -> Account:
    """Give what is known of an account of which a person found the number: just that."""
    return Account(account_id=account_id)


class Credentials(OpenModel):
    """What is handed over, sealed; the vendor shows both only once."""

    key: IssuedSecret | None = Field(
        default=None, description=f"The client's key for the API. Null when it is lost. {_SEED}"
    )
    secret: IssuedSecret | None = Field(
        default=None, description=f"The secret that goes with the key. Null when it is lost. {_SEED}"
    )

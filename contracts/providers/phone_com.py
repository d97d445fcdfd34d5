"""Phone.com: a sub-account of the configured master account (API v4, `Create Subaccount`).

Source: phone_com_create_subaccount.txt; where it is silent, the vendor's Swagger document in
github.com/phonedotcom/API-Swagger, named at the field.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, ValidationInfo, field_validator
from pydantic.config import JsonDict

from contracts.country import ALPHA_2
from contracts.model import AlsoSent, ClosedModel, Misfit, OpenModel, given, sent_as
from contracts.text import Email, IssuedSecret, Line, Password, Phone, Shape, Word, is_number

NAME: Final = "phone_com"

_SEED: Final = "Source: phone_com_create_subaccount.txt."
_SWAGGER: Final = "Source: phone_com_create_subaccount.txt; vendor's Swagger, `Address`."


_NO_COUNTRY: Final = "must be a two-letter country code of ISO 3166-1 in upper case, such as US"


def _real_alpha_2(code: str) -> str:
    if code not in ALPHA_2:
        raise ValueError(_NO_COUNTRY)
    return code


Country = Annotated[
    str,
    Field(min_length=2, max_length=2),
    Shape("^[A-Z]{2}$", _NO_COUNTRY),
    AfterValidator(_real_alpha_2),
]

_PROVINCE_FOR_US: Final[JsonDict] = {
    "if": {"properties": {"country": {"const": "US"}}, "required": ["country"]},
    "then": {"properties": {"province": {"type": "string"}}, "required": ["province"]},
}

_EXAMPLE_CONTACT: Final[JsonDict] = {
    "name": "Alex Example",
    "company": "Example Inc.",
    "address": {
        "line_1": "100 Example Street",
        "line_2": "Suite 2",
        "city": "San Diego",
        "province": "CA",
        "postal_code": "92101",
        "country": "US",
    },
    "phone": "+18585550100",
    "primary_email": "alex@example.org",
}


class Address(ClosedModel):
    """A postal address."""

    model_config = ConfigDict(json_schema_extra=_PROVINCE_FOR_US)

    line_1: Line = Field(description=f"Street and number. {_SEED}", json_schema_extra=sent_as("line_1"))
    line_2: Line | None = Field(
        default=None, description=f"Second line of the address. {_SEED}", json_schema_extra=sent_as("line_2")
    )
    city: Line = Field(description=f"City. {_SEED}", json_schema_extra=sent_as("city"))
    postal_code: Annotated[Line, Field(max_length=20)] = Field(
        description=f"Postal code. {_SEED}", json_schema_extra=sent_as("postal_code")
    )
    country: Country = Field(
        description=f"ISO 3166-1 alpha-2 code in upper case. {_SWAGGER}", json_schema_extra=sent_as("country")
    )
    province: Line | None = Field(
        default=None,
        validate_default=True,
        description=f"State or province; required when `country` is US. {_SWAGGER}",
        json_schema_extra=sent_as("province", required_when="`country` is US"),
    )

    @field_validator("province")
    @classmethod
    def _given_for_the_us(cls, province: str | None, info: ValidationInfo) -> str | None:
        if province is None and info.data.get("country") == "US":
            raise ValueError("is required when country is US")
        return province


class Contact(ClosedModel):
    """A person and how to reach them."""

    name: Line = Field(description=f"Name of the person. {_SEED}", json_schema_extra=sent_as("name"))
    address: Address = Field(description=f"Postal address. {_SEED}", json_schema_extra=sent_as("address"))
    primary_email: Email = Field(
        description=(
            "E-mail address; the vendor's samples say `email_1`, its parameter list, which is "
            f"followed, `primary_email`. {_SEED}"
        ),
        json_schema_extra=sent_as("primary_email"),
    )
    alternate_email: Email | None = Field(
        default=None,
        description=f"Second e-mail address. {_SEED}",
        json_schema_extra=sent_as("alternate_email"),
    )
    company: Line | None = Field(
        default=None, description=f"Company. {_SEED}", json_schema_extra=sent_as("company")
    )
    phone: Phone = Field(
        description=f"Telephone number, best as E.164 like the samples. {_SEED}",
        json_schema_extra=sent_as("phone"),
    )
    fax: Phone | None = Field(
        default=None, description=f"Fax number. {_SEED}", json_schema_extra=sent_as("fax")
    )


class Parameters(ClosedModel):
    """What is asked of Phone.com."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "username": "example-order-1002",
                    "contact": _EXAMPLE_CONTACT,
                    "billing_contact": _EXAMPLE_CONTACT,
                }
            ]
        }
    )

    username: Word = Field(
        description=(
            "Log-in name. Put the order number in it: after a lost answer it is what the "
            f"sub-account is found by. {_SEED}"
        ),
        json_schema_extra=sent_as("username"),
    )
    password: Password | None = Field(
        default=None,
        description=f"Password. Left out: a strong one is generated and handed over sealed. {_SEED}",
        json_schema_extra=sent_as("password"),
    )
    contact: Contact = Field(
        description=f"The account's contact. {_SEED}", json_schema_extra=sent_as("contact")
    )
    billing_contact: Contact = Field(
        description=f"Who is billed. {_SEED}", json_schema_extra=sent_as("billing_contact")
    )


ALSO_SENT: Final = (
    AlsoSent("header Authorization", "settings", "Bearer token"),
    AlsoSent("path account_id", "settings", "the master account; newer documents call it voip_id"),
    AlsoSent("body password", "generated", "when `password` is left out"),
)


class Account(OpenModel):
    """What is told about the new sub-account."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subaccount_id": "883",
                    "username": "example-order-1002",
                    "name": "Alex Example",
                    "master_account_id": "100001",
                }
            ]
        }
    )

    subaccount_id: str = Field(description=f"Number of the sub-account, as text; vendor's `id`. {_SEED}")
    username: str = Field(description=f"Log-in name, as sent. {_SEED}")
    name: str | None = Field(
        description=f"Name of the sub-account, null when the vendor did not say. {_SEED}"
    )
    master_account_id: str | None = Field(
        description=f"Number of the master account, as text; vendor's `master_account.id`. Null when not known. {_SEED}"
    )


def recognised_by(asked: Mapping[str, JsonValue], _request_id: str) -> Mapping[str, JsonValue]:
    """Give the log-in name, and the contact's name and e-mail address."""
    return given(asked, "username", "contact.name", "contact.primary_email")


def misfit(account_id: str, _asked: Mapping[str, JsonValue]) -> Misfit | None:
    """Refuse what is no number."""
    if is_number(account_id):
        return None
    return Misfit("the sub-account's number, such as 883, not its log-in name")


def known_account(account_id: str, asked: Mapping[str, JsonValue]) -> Account:
    """Give what is known of a sub-account of which a person found the number: the log-in name that was sent."""
    facts = {"username": asked["username"], "name": None, "master_account_id": None}
    return Account.model_validate({"subaccount_id": account_id, **facts})


class Credentials(OpenModel):
    """What is handed over, sealed."""

    password: IssuedSecret | None = Field(
        default=None,
        description=f"Password, as sent; the vendor never shows it again. Null when it is lost. {_SEED}",
    )

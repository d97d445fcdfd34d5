"""Gateway360: a sub-account of the account whose API key is configured (API 3.0, `subaccount/create`).

Source: gateway360_create_subaccount.txt, and the vendor's newer page of the same call,
https://app.smsup.es/api/3.0/docs/subaccount/create
"""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import ConfigDict, Field, JsonValue

from contracts.model import AlsoSent, ClosedModel, Misfit, OpenModel, given, sent_as
from contracts.text import Email, IssuedSecret, Line, Password, Shape

NAME: Final = "gateway360"

_SEED: Final = "Source: gateway360_create_subaccount.txt."

UserName = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Shape(r"^[A-Za-z0-9_.\-]+$", "must be ASCII letters, digits, underscores, hyphens and dots"),
]
Language = Annotated[
    str,
    Field(min_length=2, max_length=5),
    Shape(r"^[a-z]{2}([_\-][A-Za-z]{2})?$", "must be a language code such as es or pt_BR"),
]


class Parameters(ClosedModel):
    """What is asked of Gateway360."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_name": "example_order_1003",
                    "email": "alex@example.org",
                    "name": "Alex",
                    "surname": "Example",
                    "language": "es",
                }
            ]
        }
    )

    user_name: UserName = Field(
        description=(
            "Log-in name, and the account's only id: 1 to 64 ASCII letters, digits, `_`, `-` and "
            "`.` (our careful reading: the vendor answers INVALID_NAME both for a malformed and "
            f"for a taken name). Put the order number in it. {_SEED}"
        ),
        json_schema_extra=sent_as("user_name"),
    )
    email: Email = Field(
        description=f"E-mail address of the user. {_SEED}", json_schema_extra=sent_as("email")
    )
    name: Line = Field(description=f"First name of the user. {_SEED}", json_schema_extra=sent_as("name"))
    surname: Line = Field(
        description=f"Family name of the user. {_SEED}", json_schema_extra=sent_as("surname")
    )
    password: Password | None = Field(
        default=None,
        description=(
            "Password. Left out: the worker generates a strong one and hands it over sealed; it "
            f"is never left to the vendor, so that a lost answer cannot lose it. {_SEED}"
        ),
        json_schema_extra=sent_as("password"),
    )
    language: Language = Field(
        description=(
            "Language of the sub-account, such as es; the vendor does not list the allowed ones "
            f"and answers INVALID_LANGUAGE to others. {_SEED}"
        ),
        json_schema_extra=sent_as("language"),
    )
    enable_shortener: bool | None = Field(
        default=None,
        description=(
            "Switch the link shortener on; sent only when given, as 1 or 0. Source: "
            "https://app.smsup.es/api/3.0/docs/subaccount/create."
        ),
        json_schema_extra=sent_as("enable_shortener"),
    )


ALSO_SENT: Final = (
    AlsoSent("body api_key", "settings", "API key of the parent account"),
    AlsoSent("body password", "generated", "when `password` is left out"),
)


class Account(OpenModel):
    """What is told about the new sub-account."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_name": "example_order_1003"}]})

    user_name: str = Field(description=f"Log-in name; the vendor gives no other id. {_SEED}")


def recognised_by(asked: Mapping[str, JsonValue], _request_id: str) -> Mapping[str, JsonValue]:
    """Give the log-in name and the e-mail address."""
    return given(asked, "user_name", "email")


def misfit(account_id: str, asked: Mapping[str, JsonValue]) -> Misfit | None:
    """Refuse all but the log-in name that was asked for: an account of another name is another account."""
    name = asked["user_name"]
    return None if account_id == name else Misfit(f"the log-in name that was asked for, {name}")


def known_account(account_id: str, _asked: Mapping[str, JsonValue]) -> Account:
    """Give what is known of a sub-account of which a person found the log-in name: just that."""
    return Account(user_name=account_id)


class Credentials(OpenModel):
    """What is handed over, sealed."""

    password: IssuedSecret | None = Field(
        default=None, description=f"Password, as sent. Null when it is lost. {_SEED}"
    )
    api_key: IssuedSecret | None = Field(
        default=None,
        description=(
            f"API key of the sub-account, shown only in the answer to the create. Null when lost. {_SEED}"
        ),
    )

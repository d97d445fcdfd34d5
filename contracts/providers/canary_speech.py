"""Canary Speech: an associate client below a client (v3 reseller API, `create-associate`).

Source: canary_speech_create_associate.txt, and the vendor's page of the same call,
https://docs.canaryspeech.com/rest/v3/reseller/client/create-associate/post
"""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from contracts.model import AlsoSent, ClosedModel, Misfit, OpenModel, given, sent_as
from contracts.text import Email, Line, Phone, UuidText, usual_uuid

NAME: Final = "canary_speech"

_SEED: Final = "Source: canary_speech_create_associate.txt."


class Contact(ClosedModel):
    """Whom to reach about the associate."""

    email: Email | None = Field(
        default=None,
        description=(
            "E-mail address. Source: the vendor's create-associate page (the name is lost in "
            "canary_speech_create_associate.txt)."
        ),
        json_schema_extra=sent_as("email"),
    )
    phone_number: Phone | None = Field(
        default=None,
        description=f"Telephone number; the vendor gives no format. {_SEED}",
        json_schema_extra=sent_as("phoneNumber"),
    )


class Parameters(ClosedModel):
    """What is asked of Canary Speech."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "parent_id": "00000000-0000-4000-8000-000000000001",
                    "name": "Example Clinic (order 1001)",
                    "contact": {"email": "clinic@example.org", "phone_number": "+18585550100"},
                }
            ]
        }
    )

    parent_id: Annotated[UuidText, AfterValidator(str.lower)] | None = Field(
        default=None,
        description=(
            "The client under which the associate is made. Left out: the configured one, else "
            "the client of the access token. Starred as required and yet described as omissible "
            f"by the vendor. {_SEED}"
        ),
        json_schema_extra=sent_as("parentId"),
    )
    name: Line = Field(
        description=(
            "Name of the associate. Whether names must differ is not documented, so put the order "
            f"number in it: after a lost answer it is what the associate is found by. {_SEED}"
        ),
        json_schema_extra=sent_as("name"),
    )
    contact: Contact | None = Field(
        default=None, description=f"Whom to reach. {_SEED}", json_schema_extra=sent_as("contact")
    )


ALSO_SENT: Final = (
    AlsoSent(
        "header Authorization",
        "settings",
        "Bearer token, got from /v3/auth/tokens/get with the configured API key",
    ),
)


class Account(OpenModel):
    """What is told about the new associate."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "associate_id": "00000000-0000-4000-8000-0000000000a1",
                    "name": "Example Clinic (order 1001)",
                    "parent_id": "00000000-0000-4000-8000-000000000001",
                }
            ]
        }
    )

    associate_id: str = Field(description=f"Id of the associate, a UUID as a rule; vendor's `id`. {_SEED}")
    name: str = Field(description=f"Name of the associate, as sent. {_SEED}")
    parent_id: str | None = Field(
        description=f"The client it was made under; null when that was left to the vendor or is not known. {_SEED}"
    )


def recognised_by(asked: Mapping[str, JsonValue], _request_id: str) -> Mapping[str, JsonValue]:
    """Give the name, and the client where it is not the configured one. Names may repeat: the time counts as well."""
    return given(asked, "name", "parent_id")


_ID: Final = (
    "the associate's own, a UUID as a rule: neither its name nor the id of the client that it was made under"
)


def misfit(account_id: str, asked: Mapping[str, JsonValue]) -> Misfit | None:
    """Refuse what was sent, what is no plain word, and a UUID in another spelling, which would pass for another id.

    Whatever else is no UUID only looks odd: the vendor's sample of another id is none either.
    """
    usual = usual_uuid(account_id)
    sent = {str(value).casefold() for value in given(asked, "name", "parent_id").values()}
    if {account_id.casefold(), usual} & sent or account_id.split() != [account_id]:
        return Misfit(_ID)
    if usual is None:
        return Misfit(_ID, is_certain=not account_id.isascii())
    return None if account_id == usual else Misfit(f"spelled {usual}")


def known_account(account_id: str, asked: Mapping[str, JsonValue]) -> Account:
    """Give what is known of an associate of which a person found the id: what was sent."""
    facts = {"name": asked["name"], "parent_id": asked.get("parent_id")}
    return Account.model_validate({"associate_id": account_id, **facts})


class Credentials(OpenModel):
    """Nothing: the create returns no secret, and no call that issues one is documented."""

"""What the tests know of Phone.com."""

from contracts.reason import ReasonCode as Code
from tests.contracts.strategies import CONTACTS, PASSWORDS, WORDS, fields
from tests.providers.cases import (
    AFTER_DOUBT,
    CONFLICT,
    CREDENTIALS,
    IN_DOUBT,
    LIMITED,
    MADE,
    MISSING,
    NONE,
    NOT_DONE,
    PERMISSION,
    REFUSED,
    REFUSED_ONCE_MORE,
    SENT_BEFORE,
    TAKEN_ONCE_MORE,
    Case,
    fault,
    says,
)
from tests.providers.known._form import Known, Sent
from worker.core.provider import Provider
from worker.providers.phone_com import Handler
from worker.sandbox import Fault


def fits(it: Handler) -> Provider:
    """The type checker says here what the handler lacks."""
    return it


def _fields(*names: str) -> dict[str, object]:
    fields = [{"name": name, "message": "is wrong"} for name in names]
    return {"@error": {"@message": "Validation failed", "fields": fields}}


# The page's sample, corrected. It is not PHP (colons in arrays), leaves out `username` and `password`, which the table
# beside it requires, and spells the e-mail fields `email_1` and `email_2`, where the table has `primary_email` and
# `alternate_email`.
_CONTACT = {
    "name": "Teddy",
    "company": "Acme, Inc.",
    "address": {
        "line_1": "14282 Danielson Street",
        "line_2": "box 2",
        "city": "Poway",
        "province": "CA",
        "postal_code": "92064",
        "country": "US",
    },
    "phone": "+18585551111",
    "fax": "+18585552222",
    "primary_email": "test@phone.com",
    "alternate_email": "test@gmail.com",
}
_BILLING = {
    "name": "Bobby",
    "company": "xyz co",
    "address": {
        "line_1": "100 Main St",
        "line_2": "#4",
        "city": "San Diego",
        "province": "CA",
        "postal_code": "92129",
        "country": "US",
    },
    "phone": "+18585553333",
    "fax": "+18585554444",
    "primary_email": "sample@phone.com",
    "alternate_email": "sample@gmail.com",
}

KNOWN = Known(
    base_url="https://api.phone.com",
    path="/v4/accounts/133532/subaccounts",
    headers={"Authorization": "Bearer sandbox-phone-com-token-of-nobody", "Accept": "*/*"},
    good={"id": 7},
    own_shape={"@error": {"@message": "no"}},
    sent=(
        Sent(
            {
                "username": "teddy",
                "password": "pass-word",
                "contact": _CONTACT,
                "billing_contact": _BILLING,
            },
            {
                "username": "teddy",
                "password": "pass-word",
                "contact": _CONTACT,
                "billing_contact": _BILLING,
            },
            {},
            "every field, nested",
        ),
    ),
    elsewhere={"account_id": 4711},
    another={"username": "other"},
    namesake={"contact": {**_CONTACT, "name": "Somebody Else"}},
    secrets_asked=frozenset({"password"}),
    secrets_issued=frozenset({"password"}),
    account_ids=("883", "18446744073709551615"),
    no_account_ids=(
        "example-order-1002",
        "0883",
        "883.0",
        "-883",
        "+883",
        " 883",
        "\u0668\u0668\u0663",
        "\uff18\uff18\uff13",
    ),
    parameters=fields(
        {"username": WORDS, "contact": CONTACTS, "billing_contact": CONTACTS}, {"password": PASSWORDS}
    ),
    cases=(
        Case("phone_com.of_another", CONFLICT, says(200, {"id": 7, "username": "other"})),
        Case("phone_com.created", MADE, says(201, {"id": 2**40}), reason="201 and a 64-bit id"),
        Case(
            "common.success_unreadable",
            (IN_DOUBT, Code.UNREADABLE_ANSWER, False, NONE),
            says(200, {"id": "7"}),
        ),
        Case("phone_com.400", REFUSED, says(400, {"@error": {"@message": "no"}})),
        Case("phone_com.401", CREDENTIALS, settings={"token": "wrong"}),
        Case("phone_com.403", PERMISSION, settings={"account_id": 7}),
        Case("phone_com.404", MISSING, says(404, {"@error": {"@message": "no"}})),
        Case("phone_com.409", CONFLICT, says(409, {"@error": {"@message": "no"}})),
        Case("phone_com.422", REFUSED, says(422, _fields("contact.phone", "username"))),
        Case(
            "phone_com.422_username", (NOT_DONE, Code.NAME_TAKEN, False, NONE), says(422, _fields("username"))
        ),
        Case(
            "phone_com.422_username_after_attempt",
            TAKEN_ONCE_MORE,
            says(422, _fields("username")),
            order=SENT_BEFORE,
        ),
        *(
            Case("phone_com.422_after_attempt", REFUSED_ONCE_MORE, says(422, body), order=SENT_BEFORE)
            for body in (
                {"@error": {"@message": "no"}},
                {"@error": {"@message": "no", "@code": "E1"}},
                _fields("contact.phone", "username"),
                _fields("contact.phone", "user_name"),
            )
        ),
        *(
            Case(
                "phone_com.422_for_people_after_attempt",
                (IN_DOUBT, Code.VERIFICATION_REQUIRED, False, NONE),
                says(422, body),
                order=SENT_BEFORE,
            )
            for body in (
                _fields("username", "verification_email"),
                {"@error": {"@message": "This user name could not be verified"}},
            )
        ),
        Case(
            "phone_com.422",
            REFUSED,
            says(422, _fields("contact.fax")),
            order=SENT_BEFORE,
            reason="it names a field, and not the user name",
        ),
        *(
            Case(
                "phone_com.422_for_people",
                (NOT_DONE, Code.VERIFICATION_REQUIRED, False, NONE),
                says(422, body),
                order=SENT_BEFORE,
                reason="a step for people says nothing of the name",
            )
            for body in (
                _fields("tos_accept_date"),
                {"@error": {"@message": "You must accept the terms of service"}},
            )
        ),
        *(
            Case("phone_com.422_after_doubt", CONFLICT, says(422, _fields(name)), order=AFTER_DOUBT)
            for name in ("username", "contact.fax", "tos_accept_date")
        ),
        *(
            Case(
                "phone_com.422_for_people",
                (NOT_DONE, Code.VERIFICATION_REQUIRED, False, NONE),
                says(422, body),
            )
            for body in (
                _fields("username", "verification_email"),
                {"@error": {"@message": "You must accept the terms of service"}},
                {"@error": {"@message": "A credit card is required", "fields": {"cc_token": ["missing"]}}},
            )
        ),
        Case("phone_com.429", LIMITED, fault(Fault.RATE_LIMITED, seconds=5)),
    ),
)

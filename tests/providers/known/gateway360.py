"""What the tests know of Gateway360."""

from hypothesis import strategies as st

from contracts.reason import ReasonCode as Code
from tests.contracts.strategies import EMAILS, LINES, PASSWORDS, fields
from tests.providers.cases import (
    AFTER_DOUBT,
    CONFLICT,
    CREDENTIALS,
    IN_DOUBT,
    LIMITED,
    LOST,
    MISSING,
    NONE,
    NOT_DONE,
    OUTAGE,
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
from worker.providers.gateway360 import Handler
from worker.sandbox import Fault


def fits(it: Handler) -> Provider:
    """The type checker says here what the handler lacks."""
    return it


def _said(error_id: str) -> dict[str, str]:
    return {"status": "error", "error_id": error_id, "error_msg": "no"}


# The page's sample as it stands; only the key of the body is the sandbox's.
_ASKED = {
    "user_name": "new_subaccount_user_name",
    "email": "me@email.com",
    "name": "John",
    "surname": "Doe",
    "password": "new_subaccount_password",
    "language": "es",
}

KNOWN = Known(
    base_url="https://api.gateway360.com",
    path="/api/3.0/subaccount/create",
    headers={"Accept": "application/json"},
    good={"status": "ok", "result": {"user_name": "example_order_1003", "password": "p", "api_key": "k"}},
    own_shape={"status": "error", "error_id": "TEAPOT", "error_msg": "no"},
    sent=(
        Sent(
            _ASKED,
            {"api_key": "5a4db0c55a4db0c55a4db0c55a4db0c5", **_ASKED},
            {},
            "every field of the sample",
        ),
        Sent(
            {**_ASKED, "enable_shortener": True},
            {"api_key": "5a4db0c55a4db0c55a4db0c55a4db0c5", **_ASKED, "enable_shortener": 1},
            {},
            "the newer field is 1, not true",
        ),
    ),
    elsewhere={"api_key": "another"},
    another={"user_name": "other"},
    namesake={"email": "other@example.org"},
    secrets_asked=frozenset({"password"}),
    secrets_issued=frozenset({"password", "api_key"}),
    account_ids=("example_order_1003",),
    no_account_ids=(
        "example_order_1004",
        "Example_Order_1003",
        "example_order_1003 ",
        "\uff45xample_order_1003",
        "34144",
    ),
    parameters=fields(
        {
            "user_name": st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True),
            "email": EMAILS,
            "name": LINES,
            "surname": LINES,
            "language": st.from_regex(r"[a-z]{2}", fullmatch=True),
        },
        {"password": PASSWORDS, "enable_shortener": st.booleans()},
    ),
    cases=(
        Case(
            "gateway360.of_another",
            CONFLICT,
            says(200, {"status": "ok", "result": {"user_name": "u", "password": "p", "api_key": "k"}}),
        ),
        Case("gateway360.credentials_lost", LOST, fault(Fault.WRONG_JSON, drop=("api_key",))),
        Case("gateway360.unauthorized", CREDENTIALS, settings={"api_key": "0" * 32}),
        Case(
            "gateway360.unauthorized", CREDENTIALS, says(200, _said("UNAUTHORIZED")), reason="the body wins"
        ),
        Case(
            "gateway360.invalid_name",
            (NOT_DONE, Code.NAME_TAKEN, False, NONE),
            says(400, _said("INVALID_NAME")),
        ),
        Case(
            "gateway360.invalid_name_after_attempt",
            TAKEN_ONCE_MORE,
            says(400, _said("INVALID_NAME")),
            order=SENT_BEFORE,
        ),
        Case(
            "gateway360.invalid_name_after_doubt",
            CONFLICT,
            says(400, _said("INVALID_NAME")),
            order=AFTER_DOUBT,
        ),
        *(
            Case(
                "gateway360.invalid_email",
                REFUSED,
                says(400, _said("INVALID_LANGUAGE")),
                order=order,
                reason="a documented id that is not about the name is what it is, whatever went before",
            )
            for order in (SENT_BEFORE, AFTER_DOUBT)
        ),
        Case("gateway360.invalid_email", REFUSED, parameters={"language": "xx"}),
        Case("gateway360.invalid_email", REFUSED, says(400, _said("INVALID_EMAIL"))),
        *(
            Case("gateway360.invalid_content_type", REFUSED, says(status, _said(error_id)))
            for status in (200, 400)
            for error_id in ("INVALID_CONTENT_TYPE", "JSON_PARSE_ERROR", "MISSING_PARAMS")
        ),
        Case("gateway360.401", CREDENTIALS, says(401, _said("KEY_EXPIRED"))),
        Case("gateway360.403", PERMISSION, fault(Fault.FORBIDDEN)),
        Case("gateway360.404", MISSING, says(404, _said("NOT_FOUND"))),
        Case("gateway360.429", LIMITED, fault(Fault.RATE_LIMITED, seconds=5)),
        Case("gateway360.other", REFUSED, says(400, _said("INVALID_SURNAME"))),
        Case("gateway360.409", CONFLICT, says(409, _said("INVALID_NAME"))),
        Case(
            "gateway360.other_after_attempt",
            REFUSED_ONCE_MORE,
            says(400, _said("USER_EXISTS")),
            order=SENT_BEFORE,
        ),
        Case("gateway360.other_after_doubt", CONFLICT, says(400, _said("USER_EXISTS")), order=AFTER_DOUBT),
        Case(
            "gateway360.other_with_200",
            (IN_DOUBT, Code.UNEXPECTED_STATUS, False, NONE),
            says(200, _said("INTERNAL_ERROR")),
        ),
        Case(
            "common.server_error",
            (IN_DOUBT, Code.SERVER_ERROR, False, OUTAGE),
            says(500, _said("INVALID_NAME")),
            reason="a known id does not win over a 5xx",
        ),
    ),
)

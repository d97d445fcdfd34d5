"""What the tests know of Canary Speech."""

from hypothesis import strategies as st

from contracts.reason import ReasonCode as Code
from tests.contracts.strategies import EMAILS, LINES, PHONES, fields
from tests.providers.bench import Bench
from tests.providers.cases import (
    CONFLICT,
    CREDENTIALS,
    IN_DOUBT,
    LIMITED,
    MADE,
    MISSING,
    NOT_DONE,
    OUTAGE,
    PAUSE,
    PERMISSION,
    REFUSED,
    UNANSWERED,
    Case,
    Expected,
    fault,
    says,
    unreachable,
)
from tests.providers.known._form import Known, Sent
from worker.core.provider import Provider
from worker.providers.canary_speech import Handler
from worker.sandbox import CanarySpeech, Fault, Operation


def fits(it: Handler) -> Provider:
    """The type checker says here what the handler lacks."""
    return it


def _no_scopes(bench: Bench) -> None:
    bench.sandbox.provider(CanarySpeech).scopes = ("scope:reseller",)


_TOKEN = Operation.TOKEN
_TOKEN_REFUSED: Expected = (NOT_DONE, Code.TOKEN_REFUSED, True, PAUSE)
_NO_TOKEN: Expected = (NOT_DONE, Code.TOKEN_UNAVAILABLE, True, OUTAGE)
_DOUBTED: Expected = (IN_DOUBT, Code.UNEXPECTED_STATUS, False, OUTAGE)
_UNKNOWN_PARENT = {"parent_id": "00000000-0000-4000-8000-00000000dead"}
# The sandbox's; that of the page's sample is cut short in its last group, and so no UUID.
_PARENT = "5a4db0c5-0000-4000-8000-000000000001"
_ANOTHER = "0b1f7c52-8a3d-4e6f-9c10-2d3e4f5a6b7c"

KNOWN = Known(
    base_url="https://rest.eus.canaryspeech.com",
    path="/v3/reseller/client/create-associate",
    headers={"Authorization": "Bearer token-1", "Accept": "*/*"},
    before={
        Operation.TOKEN: {"accessToken": "token-1"},
        Operation.LOOK_UP: {"associates": []},
    },
    good={"id": "00000000-0000-4000-8000-0000000000a1"},
    own_shape={"statusCode": 418, "message": "no"},
    sent=(
        Sent(
            {
                "parent_id": _PARENT,
                "name": "abc123",
                "contact": {"email": "a@example.org", "phone_number": "+18585550100"},
            },
            {
                "parentId": _PARENT,
                "name": "abc123",
                "contact": {"email": "a@example.org", "phoneNumber": "+18585550100"},
            },
            {},
            "every field",
        ),
        Sent(
            {"name": "abc123"},
            {"parentId": _PARENT, "name": "abc123"},
            {"parent_id": _PARENT},
            "the configured parent",
        ),
        Sent({"name": "é\u4e16"}, {"name": "é\u4e16"}, {}, "no parent at all, as documented"),
    ),
    elsewhere={"api_key": "another"},
    another={"name": "Another Clinic", "contact": {"email": "other@example.org"}},
    namesake={"contact": {"email": "other@example.org"}},
    account_ids=("00000000-0000-4000-8000-0000000000a1", _ANOTHER),
    unusual_ids=("34144",),
    no_account_ids=(
        "Example Clinic (order 1001)",
        "00000000-0000-4000-8000-000000000001",
        "an associate",
        " 34144",
        "\uff13\uff14\uff11\uff14\uff14",
    ),
    second_spellings={
        "0B1F7C52-8A3D-4E6F-9C10-2D3E4F5A6B7C": _ANOTHER,
        "0b1f7c528a3d4e6f9c102d3e4f5a6b7c": _ANOTHER,
        "{0b1f7c52-8a3d-4e6f-9c10-2d3e4f5a6b7c}": _ANOTHER,
        "\uff10b1f7c52-8a3d-4e6f-9c10-2d3e4f5a6b7c": _ANOTHER,
    },
    parameters=fields(
        {"name": LINES},
        {"parent_id": st.uuids().map(str), "contact": fields({}, {"email": EMAILS, "phone_number": PHONES})},
    ),
    cases=(
        Case("canary_speech.created", MADE, says(201, {"id": "a"}), reason="2xx in some samples"),
        Case("canary_speech.token_refused", _TOKEN_REFUSED, settings={"api_key": "SBX1:wrong"}),
        Case("canary_speech.token_refused", _TOKEN_REFUSED, fault(Fault.FORBIDDEN, _TOKEN)),
        Case("canary_speech.token_limited", LIMITED, fault(Fault.RATE_LIMITED, _TOKEN, seconds=5)),
        Case("canary_speech.token_unavailable", _NO_TOKEN, fault(Fault.UNAVAILABLE, _TOKEN)),
        Case("canary_speech.token_unavailable", _NO_TOKEN, fault(Fault.CUT_BEFORE_CREATE, _TOKEN)),
        Case("canary_speech.token_unavailable", _NO_TOKEN, unreachable),
        Case("canary_speech.token_unavailable", _NO_TOKEN, says(200, {"accessToken": "a b"}, _TOKEN)),
        Case("canary_speech.token_unavailable", _NO_TOKEN, says(200, {"accessToken": ""}, _TOKEN)),
        Case("canary_speech.no_baseline", UNANSWERED, fault(Fault.UNAVAILABLE, Operation.LOOK_UP)),
        Case("canary_speech.no_baseline", UNANSWERED, fault(Fault.HTML_WITH_200, Operation.LOOK_UP)),
        Case("canary_speech.400", REFUSED, says(400, {"message": "no"})),
        Case("canary_speech.400", REFUSED, says(422, {"message": "no"})),
        Case("canary_speech.401", CREDENTIALS, fault(Fault.UNAUTHORIZED, Operation.LOOK_UP)),
        Case("canary_speech.401_to_a_create", _DOUBTED, fault(Fault.UNAUTHORIZED)),
        Case("canary_speech.403", PERMISSION, _no_scopes),
        Case(
            "canary_speech.404_parent", REFUSED, parameters=_UNKNOWN_PARENT, reason="the publisher's mistake"
        ),
        Case("canary_speech.404", MISSING, settings=_UNKNOWN_PARENT, reason="the operator's mistake"),
        Case("canary_speech.404", MISSING, says(404, {"message": "no"})),
        Case("canary_speech.429", LIMITED, fault(Fault.RATE_LIMITED, seconds=5)),
        Case("canary_speech.409", CONFLICT, says(409, {"message": "no"})),
    ),
)

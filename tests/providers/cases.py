"""Every row of every provider's rules, with what makes the sandbox answer so and what must come of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.reason import ReasonCode as Code
from tests.providers.bench import CANARY, GATEWAY, PHONE, POSTCODE, Bench
from worker.core.verdict import Effect, Verdict
from worker.sandbox import CanarySpeech, Fault, Operation

Arrange = Callable[[Bench], None]
Expected = tuple[Verdict, Code, bool, Effect]

DONE, NOT_DONE, IN_DOUBT = Verdict.DONE, Verdict.NOT_DONE, Verdict.IN_DOUBT
NONE, LIMIT, OUTAGE, PAUSE = Effect.NONE, Effect.LIMIT, Effect.OUTAGE, Effect.PAUSE

REFUSED: Expected = (NOT_DONE, Code.PROVIDER_VALIDATION, False, NONE)
LIMITED: Expected = (NOT_DONE, Code.RATE_LIMITED, True, LIMIT)
CREDENTIALS: Expected = (NOT_DONE, Code.CREDENTIALS_REFUSED, True, PAUSE)
PERMISSION: Expected = (NOT_DONE, Code.PERMISSION_REFUSED, True, PAUSE)
MISSING: Expected = (NOT_DONE, Code.ENDPOINT_MISSING, True, PAUSE)
CONFLICT: Expected = (IN_DOUBT, Code.CONFLICT_AT_PROVIDER, False, NONE)
PASSED: Expected = (NOT_DONE, Code.DRY_RUN_PASSED, False, NONE)
MADE: Expected = (DONE, Code.CREATED, False, NONE)
LOST: Expected = (DONE, Code.CREDENTIALS_LOST, False, NONE)


@dataclass(frozen=True)
class Case:
    """One row: what is arranged, what happens between preparing and the create, and what must come of it."""

    rule_id: str
    expected: Expected
    arrange: Arrange = lambda _bench: None
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    order: Mapping[str, Any] = field(default_factory=dict)
    vanishes: bool = False
    too_late: bool = False
    reason: str = ""


def fault(kind: Fault, operation: Operation = Operation.CREATE, **options: Any) -> Arrange:
    """Let the operation go wrong in this way."""
    return lambda bench: bench.break_reads(kind, operation, **options)


def says(
    status: int,
    body: object,
    operation: Operation = Operation.CREATE,
    headers: Mapping[str, str] | None = None,
) -> Arrange:
    """Let the operation be answered with this JSON."""
    named = {"Content-Type": "application/json", **(headers or {})}
    return fault(Fault.STATUS, operation, status=status, body=json.dumps(body), headers=named)


def page(status: int) -> Arrange:
    """Let the create be answered with a page that is nobody's API."""
    return fault(Fault.STATUS, status=status, body="<h1>Blocked</h1>", headers={"Content-Type": "text/html"})


def unreachable(bench: Bench) -> None:
    """Nothing listens where the provider should be."""
    bench.base_url = "http://127.0.0.1:1"


def nowhere(status: int) -> Arrange:
    """Redirect the create to a place that nobody serves."""
    return fault(Fault.REDIRECT, status=status, location="http://127.0.0.1:1/")


DRY_RUN = {"dry_run": True}
AFTER_DOUBT = {"after_doubt": True}
IMPATIENT = {"listen_for": 2.0}
UNKNOWN_PARENT = {"parent_id": "00000000-0000-4000-8000-00000000dead"}

OWN_SHAPE: Mapping[str, object] = {
    CANARY: {"statusCode": 418, "message": "no"},
    GATEWAY: {"status": "error", "error_id": "TEAPOT", "error_msg": "no"},
    PHONE: {"@error": {"@message": "no"}},
    POSTCODE: {"exception": "no", "exceptionId": "Teapot"},
}


def common(provider: str) -> list[Case]:
    """The rows that close every provider's list."""
    lost: Expected = (IN_DOUBT, Code.CONNECTION_LOST, False, OUTAGE)
    unreadable: Expected = (IN_DOUBT, Code.UNREADABLE_ANSWER, False, NONE)
    return [
        Case("dry_run_passed", PASSED, order=DRY_RUN),
        Case("common.not_sent", (NOT_DONE, Code.UNREACHABLE, True, OUTAGE), vanishes=True),
        Case("common.too_late", (NOT_DONE, Code.UNREACHABLE, True, NONE), too_late=True),
        Case(f"{provider}.created", MADE),
        Case(f"{provider}.created", MADE, fault(Fault.SLOW, seconds=0.01), reason="slow is no failure"),
        Case(
            "common.no_answer",
            (IN_DOUBT, Code.NO_ANSWER, False, OUTAGE),
            fault(Fault.LATE_ANSWER, until="never"),
            IMPATIENT,
        ),
        Case(
            "common.garbled_status_line",
            (IN_DOUBT, Code.GARBLED_ANSWER, False, OUTAGE),
            fault(Fault.GARBLED_STATUS_LINE, creates=True),
        ),
        Case("common.connection_lost", lost, fault(Fault.CUT_AFTER_CREATE)),
        Case("common.connection_lost", lost, fault(Fault.RESET_AFTER_CREATE)),
        Case("common.connection_lost", lost, fault(Fault.CUT_BEFORE_CREATE), reason="nobody can tell"),
        Case("common.moved", (NOT_DONE, Code.REDIRECTED, True, PAUSE), nowhere(307)),
        Case("common.moved", (NOT_DONE, Code.REDIRECTED, True, PAUSE), nowhere(308)),
        Case("common.redirect", (IN_DOUBT, Code.REDIRECTED, False, PAUSE), nowhere(302)),
        Case(
            "common.answer_too_large",
            (IN_DOUBT, Code.ANSWER_TOO_LARGE, False, NONE),
            fault(Fault.HUGE_BODY, size=2_000_000),
        ),
        Case("common.success_unreadable", unreadable, fault(Fault.EMPTY_BODY)),
        Case("common.success_unreadable", unreadable, fault(Fault.HTML_WITH_200, creates=True)),
        Case("common.success_unreadable", unreadable, fault(Fault.WRONG_JSON)),
        Case("common.success_unreadable", unreadable, fault(Fault.TRUNCATED_BODY)),
        Case("common.success_unreadable", unreadable, says(202, {"id": "1"}), reason="202 is no promise"),
        Case(
            "common.server_error",
            (IN_DOUBT, Code.SERVER_ERROR, False, OUTAGE),
            fault(Fault.SERVER_ERROR_AFTER_CREATE),
        ),
        Case(
            "common.server_error",
            (IN_DOUBT, Code.SERVER_ERROR, False, OUTAGE),
            fault(Fault.UNAVAILABLE, seconds=3),
            reason="not even a 503 with Retry-After proves that nothing was done",
        ),
        Case("common.foreign_limit", (IN_DOUBT, Code.UNREADABLE_ANSWER, False, LIMIT), page(429)),
        *(
            Case("common.foreign", (IN_DOUBT, Code.UNREADABLE_ANSWER, False, OUTAGE), page(status))
            for status in (400, 401, 403, 404, 422)
        ),
        *(
            Case(
                "common.unlisted",
                (IN_DOUBT, Code.UNEXPECTED_STATUS, False, NONE),
                says(status, OWN_SHAPE[provider]),
            )
            for status in (408, 425)
        ),
    ]


_TOKEN = Operation.TOKEN
_TOKEN_REFUSED: Expected = (NOT_DONE, Code.TOKEN_REFUSED, True, PAUSE)
_NO_TOKEN: Expected = (NOT_DONE, Code.TOKEN_UNAVAILABLE, True, OUTAGE)
_NO_BASELINE: Expected = (NOT_DONE, Code.PROVIDER_BUSY, True, OUTAGE)


def _no_scopes(bench: Bench) -> None:
    bench.sandbox.provider(CanarySpeech).scopes = ("scope:reseller",)


def _said(error_id: str) -> dict[str, str]:
    return {"status": "error", "error_id": error_id, "error_msg": "no"}


def _fields(*names: str) -> dict[str, object]:
    fields = [{"name": name, "message": "is wrong"} for name in names]
    return {"@error": {"@message": "Validation failed", "fields": fields}}


CASES: Mapping[str, list[Case]] = {
    CANARY: [
        *common(CANARY),
        Case("canary_speech.created", MADE, says(201, {"id": "a"}), reason="2xx in some samples"),
        Case("canary_speech.token_refused", _TOKEN_REFUSED, settings={"api_key": "SBX1:wrong"}),
        Case("canary_speech.token_refused", _TOKEN_REFUSED, fault(Fault.FORBIDDEN, _TOKEN)),
        Case("canary_speech.token_limited", LIMITED, fault(Fault.RATE_LIMITED, _TOKEN, seconds=5)),
        Case("canary_speech.token_unavailable", _NO_TOKEN, fault(Fault.UNAVAILABLE, _TOKEN)),
        Case("canary_speech.token_unavailable", _NO_TOKEN, fault(Fault.CUT_BEFORE_CREATE, _TOKEN)),
        Case("canary_speech.token_unavailable", _NO_TOKEN, unreachable),
        Case("canary_speech.token_unavailable", _NO_TOKEN, says(200, {"accessToken": "a b"}, _TOKEN)),
        Case("canary_speech.token_unavailable", _NO_TOKEN, says(200, {"accessToken": ""}, _TOKEN)),
        Case("canary_speech.no_baseline", _NO_BASELINE, fault(Fault.UNAVAILABLE, Operation.LOOK_UP)),
        Case("canary_speech.no_baseline", _NO_BASELINE, fault(Fault.HTML_WITH_200, Operation.LOOK_UP)),
        Case("canary_speech.400", REFUSED, says(400, {"message": "no"})),
        Case("canary_speech.400", REFUSED, says(422, {"message": "no"})),
        Case("canary_speech.401", CREDENTIALS, fault(Fault.UNAUTHORIZED), reason="the second 401, too"),
        Case("canary_speech.403", PERMISSION, _no_scopes),
        Case(
            "canary_speech.404_parent", REFUSED, parameters=UNKNOWN_PARENT, reason="the publisher's mistake"
        ),
        Case("canary_speech.404", MISSING, settings=UNKNOWN_PARENT, reason="the operator's mistake"),
        Case("canary_speech.404", MISSING, says(404, {"message": "no"})),
        Case("canary_speech.429", LIMITED, fault(Fault.RATE_LIMITED, seconds=5)),
        Case("canary_speech.409", CONFLICT, says(409, {"message": "no"})),
    ],
    GATEWAY: [
        *common(GATEWAY),
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
            "gateway360.invalid_name_after_doubt",
            CONFLICT,
            says(400, _said("INVALID_NAME")),
            order=AFTER_DOUBT,
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
    ],
    PHONE: [
        *common(PHONE),
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
        Case("phone_com.422_after_doubt", CONFLICT, says(422, _fields("username")), order=AFTER_DOUBT),
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
    ],
    POSTCODE: [
        *common(POSTCODE),
        Case("postcode_eu.created", MADE, says(200, {"accountId": 3414456543, "key": "k", "secret": "s"})),
        Case("postcode_eu.credentials_lost", LOST, fault(Fault.WRONG_JSON, drop=("secret",))),
        Case("postcode_eu.400", REFUSED, says(400, {"exception": "no"})),
        Case("postcode_eu.401", CREDENTIALS, settings={"secret": "wrong"}),
        Case("postcode_eu.403", PERMISSION, fault(Fault.FORBIDDEN)),
        Case("postcode_eu.404", MISSING, says(404, {"exception": "no"})),
        Case("postcode_eu.429", LIMITED, fault(Fault.RATE_LIMITED, seconds=5)),
        *(
            Case("postcode_eu.dry_run_unanswered", _NO_BASELINE, arrange, IMPATIENT, order=DRY_RUN)
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
    ],
}

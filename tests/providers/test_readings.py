"""What is read out of the providers' answers, where their documents disagree or say little."""

from typing import Any

import pytest

from contracts.reason import ReasonCode
from tests.providers.bench import CANARY, GATEWAY, PHONE, POSTCODE, START, Bench, example_of
from tests.providers.cases import fault, says
from worker.core.provider import Absent, Doubt, Found
from worker.core.verdict import Outcome, Verdict
from worker.sandbox import CanarySpeech, Fault, Operation, PhoneCom, PostcodeEu

CANARY_PARENT = CanarySpeech.credentials.client_id


async def answered(bench: Bench, provider: str, status: int, body: object, **settings: Any) -> Outcome:
    """The outcome of a create that is answered so."""
    says(status, body)(bench)
    handler = bench.handler(provider, **settings)
    return await bench.run(handler, bench.order(handler))


NOT_QUITE_THEIRS: list[tuple[str, object, str]] = [
    (GATEWAY, {"status": "error", "message": "Request blocked"}, "a gateway's, no id"),
    (GATEWAY, {"status": "error", "error_id": " ", "error_msg": "no"}, "an empty id"),
    (GATEWAY, {"status": "error", "error_id": 1020, "error_msg": "no"}, "a number of somebody else's"),
    (PHONE, {"@error": {}}, "no words"),
    (PHONE, {"@error": {"@message": "", "@code": "x"}}, "empty words"),
    (PHONE, {"@error": {"@message": "upstream timed out", "@httpStatusCode": 504}}, "another status"),
    (PHONE, {"@error": {"@message": "no", "@httpStatusCode": True}}, "no status"),
    (POSTCODE, {"exception": ""}, "no words"),
    (POSTCODE, {"exception": "  ", "exceptionId": "x"}, "only blanks"),
]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 422, 429])
@pytest.mark.parametrize(("provider", "body", "reason"), NOT_QUITE_THEIRS)
async def test_error_that_lacks_what_the_vendor_promises_proves_nothing(
    bench: Bench, provider: str, body: object, reason: str, status: int
) -> None:
    """It may be that of something in between, behind which the create went on: it is in doubt."""
    outcome = await answered(bench, provider, status, body)
    assert (outcome.verdict, outcome.reason) == (Verdict.IN_DOUBT, ReasonCode.UNREADABLE_ANSWER), reason


@pytest.mark.parametrize("said", [None, 400, "400"])
async def test_phone_error_that_says_its_own_status_is_believed(bench: Bench, said: object) -> None:
    """The vendor names the status in its envelope, or leaves it out; either way it has refused."""
    outcome = await answered(bench, PHONE, 400, {"@error": {"@message": "no", "@httpStatusCode": said}})
    assert (outcome.verdict, outcome.retry) == (Verdict.NOT_DONE, False)


MASTER = 133532


@pytest.mark.parametrize(
    ("provider", "body", "code"),
    [
        (
            GATEWAY,
            {"status": "ok", "result": {"user_name": "somebody_else", "password": "p", "api_key": "k"}},
            ReasonCode.CONFLICT_AT_PROVIDER,
        ),
        (PHONE, {"id": MASTER, "name": "Sandbox Master"}, ReasonCode.CONFLICT_AT_PROVIDER),
        (PHONE, {"id": 77, "username": "somebody-else"}, ReasonCode.CONFLICT_AT_PROVIDER),
        (PHONE, {"id": 77, "@error": {"@message": "no"}}, ReasonCode.UNREADABLE_ANSWER),
    ],
)
async def test_good_answer_about_another_account_is_in_doubt(
    bench: Bench, provider: str, body: object, code: ReasonCode
) -> None:
    """An account that is not the one asked for, or our own above them all, is given to no request."""
    outcome = await answered(bench, provider, 200, body)
    assert (outcome.verdict, outcome.reason, outcome.created) == (Verdict.IN_DOUBT, code, None)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("Example-Order", "example-order"),
        ("Example-Order", None),
        ("Example-Order", ""),
        ("u" * 90, "u" * 64),
        ("smith&sons", "smith&amp;sons"),
        ("m\u00fcller", "muller"),
    ],
)
async def test_phone_name_that_the_vendor_changed_puts_nothing_in_doubt(
    bench: Bench, asked: str, shown: str | None
) -> None:
    """In the answer to our own create the name in another form, or none, is ours."""
    says(200, {"id": 77, "username": shown})(bench)
    handler = bench.handler(PHONE)
    outcome = await bench.run(handler, bench.order(handler, {"username": asked}))
    assert outcome.created is not None
    assert (outcome.created.account_id, outcome.created.account["username"]) == ("77", asked)


@pytest.mark.parametrize("shown", ["order-100", "o"])
async def test_phone_name_that_is_only_the_beginning_of_ours_is_anothers(bench: Bench, shown: str) -> None:
    """A short name is whole: order 100 is not order 1001, cut, and an account is told for good."""
    contact = {"name": "Somebody Else", "primary_email": "else@example.org"}
    says(201, {"id": 77, "username": shown, "contact": contact})(bench)
    handler = bench.handler(PHONE)
    outcome = await bench.run(handler, bench.order(handler, {"username": "order-1001"}))
    assert (outcome.rule_id, outcome.created) == ("phone_com.of_another", None)


@pytest.mark.parametrize("is_text", [True, False])
async def test_postcode_id_is_decimal_text(bench: Bench, is_text: bool) -> None:
    """The table says int, the sample has text, and neither is cut to 32 bits."""
    bench.sandbox.provider(PostcodeEu).account_id_is_text = is_text
    handler = bench.handler(POSTCODE)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.created is not None
    assert outcome.created.account_id == bench.sandbox.accounts(POSTCODE)[0].id
    assert outcome.created.account == {"account_id": outcome.created.account_id}


@pytest.mark.parametrize(
    ("value", "account_id"),
    [
        (3414456543, "3414456543"),
        ("3414456543", "3414456543"),
        ("007", "7"),
        ("K-7", "K-7"),
        (2**63, str(2**63)),
    ],
)
async def test_postcode_ids(bench: Bench, value: object, account_id: str) -> None:
    """Either type is read as the same decimal text; other text is kept, as the account does exist."""
    outcome = await answered(bench, POSTCODE, 200, {"accountId": value, "key": "k", "secret": "s", "new": 1})
    assert outcome.created is not None
    assert outcome.created.account_id == account_id


async def test_postcode_lost_credentials_are_named(bench: Bench) -> None:
    """An account without its secret is done, and what nobody has is named."""
    outcome = await answered(bench, POSTCODE, 200, {"accountId": 7, "key": "k", "secret": ""})
    assert outcome.created is not None
    assert (outcome.verdict, outcome.reason) == (Verdict.DONE, ReasonCode.CREDENTIALS_LOST)
    assert (set(outcome.created.secrets), outcome.created.missing) == ({"key"}, ("secret",))


async def test_postcode_error_is_kept(bench: Bench) -> None:
    """The vendor's own clients throw the words of a 400 away; here they name the field."""
    handler = bench.handler(POSTCODE)
    outcome = await answered(
        bench, POSTCODE, 400, {"exception": "bad `vatNumber`", "exceptionId": "A_B_Exception"}
    )
    assert (outcome.message, outcome.error_id, outcome.status) == ("bad `vatNumber`", "A_B_Exception", 400)
    assert handler.HAS_TEST_MODE


async def test_postcode_dry_run_gives_no_account(bench: Bench) -> None:
    """The dummy answer of the test mode is never an account, and its credentials are not kept."""
    handler = bench.handler(POSTCODE)
    outcome = await bench.run(handler, bench.order(handler, dry_run=True))
    assert (outcome.verdict, outcome.reason) == (Verdict.NOT_DONE, ReasonCode.DRY_RUN_PASSED)
    assert (outcome.created, outcome.retry) == (None, False)
    assert bench.sandbox.creates(POSTCODE).attempted == 1


async def test_postcode_dry_run_keeps_nothing_that_looks_real(bench: Bench) -> None:
    """Even a dummy with a plausible id and credentials becomes no account: it opens nothing."""
    says(200, {"accountId": 3414456543, "key": "k", "secret": "s"})(bench)
    handler = bench.handler(POSTCODE)
    outcome = await bench.run(handler, bench.order(handler, dry_run=True))
    assert (outcome.verdict, outcome.reason) == (Verdict.NOT_DONE, ReasonCode.DRY_RUN_PASSED)
    assert outcome.created is None


@pytest.mark.parametrize("status", [200, 201])
async def test_phone_statuses(bench: Bench, status: int) -> None:
    """200 is the seed's, 201 the Swagger file's, and the name is optional in either."""
    phone = bench.sandbox.provider(PhoneCom)
    phone.created_status, phone.shows_username = status, False
    handler = bench.handler(PHONE)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.created is not None
    assert outcome.created.account == {
        "subaccount_id": bench.sandbox.accounts(PHONE)[0].id,
        "username": "example-order-1002",
        "name": "Alex Example",
        "master_account_id": "133532",
    }


NOW = int(START.timestamp())


@pytest.mark.parametrize(
    ("limit", "header", "wait", "reason"),
    [
        ({"Retry-After": 12, "RateLimit-Reset": NOW + 99}, None, 12.0, "the body's own wait"),
        ({"Retry-After": "12"}, "40", 12.0, "the body before the header"),
        ({"RateLimit-Reset": NOW + 99}, "40", 40.0, "the header before the reset"),
        ({"RateLimit-Reset": NOW + 25}, None, 25.0, "until the reset"),
        ({"RateLimit-Reset": NOW - 25}, None, 0.0, "a reset that is past"),
        ({"Retry-After": -3}, None, 0.0, "never negative"),
        (None, None, None, "nothing said"),
    ],
)
async def test_phone_waits(
    bench: Bench, limit: object, header: str | None, wait: float | None, reason: str
) -> None:
    """The wait of a 429 stands in the body, the vendor promises no header (providers.md 2.1)."""
    body = {"@error": {"@message": "Too many requests", "@rateLimit": limit}}
    headers = {} if header is None else {"Retry-After": header}
    bench.sandbox.faults.clear()
    says(429, body, headers=headers)(bench)
    handler = bench.handler(PHONE)
    outcome = await bench.run(handler, bench.order(handler))
    assert (outcome.reason, outcome.wait) == (ReasonCode.RATE_LIMITED, wait), reason


async def test_phone_names_the_refused_field(bench: Bench) -> None:
    """The first field of a 422 stands as the error's id, so that the requester sees what to mend."""
    handler = bench.handler(PHONE)
    await bench.run(handler, bench.order(handler))
    again = await bench.run(handler, bench.order(handler))
    assert (again.reason, again.error_id) == (ReasonCode.NAME_TAKEN, "username")
    assert again.message == "Validation failed: username is already taken [username is already taken]"


async def test_phone_extra_fields_are_not_shown(bench: Bench) -> None:
    """A payment token among the extra fields is a secret like any other."""
    body = {"@error": {"@message": "cc_token tok_123456 is no good"}}
    outcome = await answered(bench, PHONE, 400, body, extra_fields={"cc_token": "tok_123456"})
    assert outcome.message == "cc_token *** is no good"
    assert "tok_123456" not in repr(bench.handler(PHONE, extra_fields={"cc_token": "tok_123456"}).settings)


async def test_phone_extra_fields_are_not_shown_however_deep(bench: Bench) -> None:
    """A payment token inside a further field is as secret as one beside it."""
    extra = {"payment": {"methods": [{"cc_token": "tok_123456"}], "billing_day": 1}}
    body = {"@error": {"@message": "tok_123456 is no good"}}
    outcome = await answered(bench, PHONE, 400, body, extra_fields=extra)
    assert outcome.message == "*** is no good"


async def test_phone_extra_fields_cannot_replace_the_request(bench: Bench) -> None:
    """Fields that a request gives cannot be set by the operator for everybody."""
    with pytest.raises(ValueError, match="contact can only be given by a request"):
        bench.handler(PHONE, extra_fields={"contact": {}})


async def test_gateway_password_is_the_answer_s(bench: Bench) -> None:
    """Should the provider have set another password, that one opens the account and is handed over."""
    result = {"user_name": example_of(GATEWAY)["user_name"], "password": "another", "api_key": "k"}
    outcome = await answered(bench, GATEWAY, 200, {"status": "ok", "result": result})
    assert outcome.created is not None
    secrets = {name: value.get_secret_value() for name, value in outcome.created.secrets.items()}
    assert secrets == {"password": "another", "api_key": "k"}


async def test_gateway_password_survives_its_absence(bench: Bench) -> None:
    """A password that the answer leaves out is the one that was sent."""
    fault(Fault.WRONG_JSON, drop=("password",))(bench)
    handler = bench.handler(GATEWAY)
    order = bench.order(handler)
    outcome = await bench.run(handler, order)
    assert outcome.created is not None
    assert outcome.created.secrets["password"].get_secret_value() == bench.body_sent(GATEWAY)["password"]
    assert outcome.created.missing == ()


async def test_canary_error_words(bench: Bench) -> None:
    """The body of errors is not documented; what reads like a message is kept."""
    outcome = await answered(bench, CANARY, 422, {"detail": "name\u2028is too long", "error": {"a": 1}})
    assert (outcome.reason, outcome.message) == (ReasonCode.PROVIDER_VALIDATION, "name is too long")


_UUID = "0b1f7c52-8a3d-4e6f-9c10-2d3e4f5a6b7c"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"id": "err-7f3", "error": "internal"}, "an error's number"),
        ({"id": _UUID, "errors": ["internal"]}, "an error, whatever the id"),
        ({"id": CANARY_PARENT}, "the configured parent's"),
        ({"id": CANARY_PARENT.upper()}, "the same in other letters"),
    ],
)
async def test_canary_answer_that_tells_no_associate_is_in_doubt(
    bench: Bench, body: dict[str, Any], reason: str
) -> None:
    """An id that cannot be the new associate's is told to nobody."""
    outcome = await answered(bench, CANARY, 200, body, parent_id=CANARY_PARENT)
    assert (outcome.verdict, outcome.created) == (Verdict.IN_DOUBT, None), reason


async def test_canary_associate_has_one_id_however_it_is_spelled(bench: Bench) -> None:
    """A create that tells it in capitals and a list that does not speak of one account, which two cannot claim."""
    made = await answered(bench, CANARY, 200, {"id": _UUID.upper(), "errors": []})
    assert made.created is not None
    assert made.created.account_id == _UUID
    handler = bench.handler(CANARY)
    order = bench.order(handler)
    listed = {"associates": [{"id": _UUID.upper(), "name": example_of(CANARY)["name"]}]}
    says(200, listed, Operation.LOOK_UP)(bench)
    found = await handler.look_up(order, Doubt(START, {"same_name": []}))
    known = await handler.look_up(order, Doubt(START, {"same_name": [_UUID.upper()]}))
    assert isinstance(found, Found)
    assert found.created.account_id == _UUID
    assert isinstance(known, Absent)

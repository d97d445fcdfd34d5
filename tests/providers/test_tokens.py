"""Canary Speech's access tokens: shared, renewed in time, replaced once when refused."""

import asyncio
import base64
import json
from datetime import timedelta

import pytest
from pydantic import JsonValue

from contracts.reason import ReasonCode
from tests.providers.bench import CANARY, START, Bench
from tests.providers.cases import says
from worker.bearer import BLIND, read_token
from worker.core.provider import Absent, Prepared
from worker.core.verdict import Effect, Outcome, Verdict
from worker.sandbox import CanarySpeech, Fault, Operation


def fetches(bench: Bench) -> int:
    """How many tokens the sandbox was asked for."""
    return sum(one.operation == Operation.TOKEN for one in bench.sandbox.requests(CANARY))


async def test_concurrent_requests_share_one_fetch(bench: Bench) -> None:
    """Ten requests at once ask for one token."""
    handler = bench.handler(CANARY)
    prepared = await asyncio.gather(*(handler.prepare(bench.order(handler)) for _ in range(10)))
    assert all(isinstance(one, Prepared) for one in prepared)
    assert fetches(bench) == 1


async def test_concurrent_requests_share_one_failure(bench: Bench) -> None:
    """Who waits for a token hears that there is none, without each asking again; the next one does ask."""
    bench.break_reads(Fault.UNAVAILABLE, Operation.TOKEN, times=1)
    handler = bench.handler(CANARY)
    seen = await asyncio.gather(*(handler.prepare(bench.order(handler)) for _ in range(5)))
    assert {one.reason for one in seen if isinstance(one, Outcome)} == {ReasonCode.TOKEN_UNAVAILABLE}
    assert fetches(bench) == 1
    assert isinstance(await handler.prepare(bench.order(handler)), Prepared)


async def test_token_is_renewed_before_it_ends(bench: Bench) -> None:
    """A token of an hour is used for 59 minutes, not one second longer."""
    handler = bench.handler(CANARY)
    await handler.probe()
    bench.clock.advance(minutes=58, seconds=59)
    await handler.probe()
    assert fetches(bench) == 1
    bench.clock.advance(seconds=1)
    await handler.probe()
    assert fetches(bench) == 2


async def test_short_token_is_used_all_the_same(bench: Bench) -> None:
    """A token that ends within the minute is fetched anew for each call, and works."""
    bench.sandbox.provider(CanarySpeech).token_lifetime = timedelta(seconds=30)
    handler = bench.handler(CANARY)
    outcome = await bench.run(handler, bench.order(handler))
    assert (outcome.verdict, fetches(bench)) == (Verdict.DONE, 2)


async def test_revoked_token_is_replaced_for_a_read(bench: Bench) -> None:
    """A read that is refused with an old token is repeated with a new one; a create is in doubt, and sent once."""
    handler = bench.handler(CANARY)
    order = bench.order(handler)
    prepared = await handler.prepare(order)
    assert isinstance(prepared, Prepared)
    bench.sandbox.provider(CanarySpeech).revoke_tokens()
    outcome = await handler.create(order, prepared)
    assert (outcome.verdict, bench.sandbox.creates(CANARY).attempted) == (Verdict.IN_DOUBT, 1)
    assert (await handler.probe()).healthy
    bench.sandbox.provider(CanarySpeech).revoke_tokens()
    assert (await handler.probe()).healthy
    assert fetches(bench) == 3


async def test_second_refusal_of_a_read_pauses(bench: Bench) -> None:
    """Two 401s in a row are the key's fault: nobody asks a third time, and no create is sent."""
    bench.break_reads(Fault.UNAUTHORIZED)
    handler = bench.handler(CANARY)
    outcome = await handler.prepare(bench.order(handler))
    assert isinstance(outcome, Outcome)
    assert (outcome.verdict, outcome.retry, outcome.effect) == (Verdict.NOT_DONE, True, Effect.PAUSE)
    assert sum(one.operation == Operation.LOOK_UP for one in bench.sandbox.requests(CANARY)) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Unauthorized"},
        {"error": {"message": "The token has expired."}},
        {},
        {"message": " "},
        {"error": None},
        {"statusCode": 401},
        {"errors": [{}]},
        "<h1>Blocked</h1>",
    ],
)
async def test_create_is_not_sent_again_after_a_401(bench: Bench, body: JsonValue) -> None:
    """Anybody may have said it, also after the provider had acted: sent again at once, it made two accounts."""
    headers = {"Content-Type": "application/json"}
    bench.break_creates(Fault.STATUS, status=401, body=json.dumps(body), headers=headers, creates=True)
    handler = bench.handler(CANARY)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.verdict is Verdict.IN_DOUBT
    assert len(bench.sandbox.accounts(CANARY)) == 1


async def test_look_up_after_a_401_asks_under_a_fresh_token(bench: Bench) -> None:
    """It may have been the token all the same: a read is repeated, and the doubt does not last as long as the token."""
    handler = bench.handler(CANARY)
    order = bench.order(handler)
    says(401, {})(bench)
    _, doubt = await bench.run_with_baseline(handler, order)
    assert isinstance(await handler.look_up(order, doubt), Absent)
    bench.sandbox.provider(CanarySpeech).revoke_tokens()
    bench.break_reads(Fault.STATUS, status=401, body="{}", times=1)
    assert isinstance(await handler.look_up(order, doubt), Absent)
    assert fetches(bench) == 3
    bench.break_reads(Fault.FORBIDDEN, Operation.TOKEN)
    bench.break_reads(Fault.STATUS, status=401, body="{}")
    refused = await handler.prepare(order)
    assert isinstance(refused, Outcome)
    assert (refused.reason, refused.effect) == (ReasonCode.TOKEN_REFUSED, Effect.PAUSE)


async def test_token_that_a_request_had_dropped_meanwhile(bench: Bench) -> None:
    """Requests refused together fetch one new token, not one each."""
    handler = bench.handler(CANARY)
    await handler.probe()
    bench.sandbox.provider(CanarySpeech).revoke_tokens()
    prepared = await asyncio.gather(*(handler.prepare(bench.order(handler)) for _ in range(5)))
    assert all(isinstance(one, Prepared) for one in prepared)
    assert fetches(bench) == 2


async def test_late_refusal_leaves_the_newer_token(bench: Bench) -> None:
    """Who is told late that the old token is refused does not throw away the one that came meanwhile."""
    bench.break_creates(Fault.SLOW, match="slow one", until="later", times=1)
    handler = bench.handler(CANARY)
    slow = bench.order(handler, {"name": "slow one"})
    prepared = await handler.prepare(slow)
    assert isinstance(prepared, Prepared)
    bench.sandbox.provider(CanarySpeech).revoke_tokens()
    waiting = asyncio.create_task(handler.create(slow, prepared))
    assert (await handler.probe()).healthy
    bench.sandbox.gate("later").set()
    assert (await waiting).status == 401
    assert (await handler.probe()).healthy
    assert fetches(bench) == 2


async def test_missing_scope_is_named(bench: Bench) -> None:
    """Who reads the 403 learns which scopes the key needs, and keeps the provider's own words."""
    bench.sandbox.provider(CanarySpeech).scopes = ("scope:reseller",)
    handler = bench.handler(CANARY)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.message is not None
    assert "needs scope:reseller and scope:reseller.createassociate" in outcome.message
    assert "The token lacks" in outcome.message


async def test_id_that_is_no_uuid_is_kept(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected form of id is worth a warning, and still the id."""
    says(200, {"id": "associate-7"})(bench)
    handler = bench.handler(CANARY)
    outcome = await bench.run(handler, bench.order(handler))
    assert outcome.created is not None
    assert outcome.created.account_id == "associate-7"
    assert "not a UUID" in caplog.text


def jwt(claims: object) -> str:
    """A token with these claims."""
    return f"h.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.s"


def test_expiry_is_read_from_the_token() -> None:
    """`exp` counts seconds since 1970, and a minute is kept in hand."""
    token = read_token(jwt({"exp": START.timestamp() + 600}), START)
    assert token is not None
    assert token.until == START + timedelta(minutes=9)


@pytest.mark.parametrize(
    "text",
    [
        "opaque",
        "a.b.c",
        "a.%%%.c",
        jwt([]),
        jwt({}),
        jwt({"exp": "x"}),
        jwt({"exp": None}),
        jwt({"exp": 1e300}),
    ],
)
def test_token_without_readable_expiry_is_used_for_a_while(text: str) -> None:
    """What does not say when it ends is used for five minutes."""
    token = read_token(text, START)
    assert token is not None
    assert token.until == START + BLIND


@pytest.mark.parametrize("text", [None, 7, "", "a b", "a\r\nX: y", "é"])
def test_what_cannot_stand_in_a_header_is_no_token(text: object) -> None:
    """A token goes into a header, so nothing that could end the header is one."""
    assert read_token(text, START) is None


def test_repr_hides_the_token() -> None:
    """A token is never shown."""
    assert "opaque" not in repr(read_token("opaque", START))

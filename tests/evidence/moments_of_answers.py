"""The moments at which an answer was seen that is no plain yes or no (9 to 11 and 18 to 23)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.reason import ReasonCode as Code
from tests.evidence.moments import (
    Act,
    Letter,
    Moment,
    faulty,
    in_doubt,
    network,
    unchanged,
    unpaused,
)
from tests.evidence.moments_world import LOOK_UP_EVERY, Stage
from tests.evidence.proxy import Direction, Kind, Trouble
from tests.providers.bench import CANARY, GATEWAY, PHONE, POSTCODE, PROVIDERS
from tests.providers.known import KNOWN
from worker.core.states import State
from worker.core.verdict import Verdict
from worker.sandbox import Fault, Operation, PhoneCom

READ = "answer_read"
IMPATIENT = {"listen_for": 2.5}
"""For answers that never end; in true seconds."""
IN_THE_BODY = 300
"""Bytes of an answer of Phone.com after which its head is over and its body is not."""


def says(status: int, body: object, *, creates: bool = False, **more: Any) -> Act:
    """The provider answers the create with this JSON; `creates`: having opened the account."""
    return faulty(Fault.STATUS, status=status, body=json.dumps(body), creates=creates, **more)


def page(status: int, *, creates: bool = False) -> Act:
    """Something in between answers with a page."""
    html = {"Content-Type": "text/html"}
    return faulty(Fault.STATUS, status=status, body="<h1>Blocked</h1>", headers=html, creates=creates)


def busy(provider: str) -> Act:
    """The provider opens the account and says that it is busy and should be asked again."""
    headers = {"Content-Type": "application/json", "Retry-After": "3"}
    return says(503, own(provider), creates=True, headers=headers)


def own(provider: str) -> Mapping[str, object]:
    """An error in the provider's own shape."""
    return KNOWN[provider].own_shape


def our_fault(number: int, how: str, provider: str, bring: Act, reason: Code, **more: Any) -> Moment:
    """The provider says no to us, not to the request: everything waits for a person or a healthy probe."""
    plain: dict[str, Any] = {"table": "N", "then": unpaused, "creates": 2}
    return Moment(
        number=number,
        how=how,
        provider=provider,
        bring=bring,
        verdict=Verdict.NOT_DONE,
        reason=reason,
        seen=READ,
        state=State.WAITING,
        **{**plain, **more},
    )


# 9 to 11: an answer that cannot be read

TRUNCATED: tuple[tuple[str, Act, Sequence[str]], ...] = (
    ("body cut", faulty(Fault.TRUNCATED_BODY), PROVIDERS),
    ("body stalled", faulty(Fault.TRUNCATED_BODY, until="never"), (PHONE, POSTCODE)),
    *(
        (how, network(Trouble(kind=kind, direction=Direction.DOWN, after_bytes=IN_THE_BODY)), (PHONE,))
        for how, kind in (
            ("body cut by the network", Kind.CUT),
            ("body reset by the network", Kind.RESET),
            ("body stalled by the network", Kind.STALL),
        )
    ),
)
ID_UNKNOWN = (
    "an account without its id cannot be adopted: it is looked up like any doubt, and never sent again"
)
UNREADABLE: tuple[tuple[str, Act, bool, Letter, Sequence[str]], ...] = (
    ("empty body", faulty(Fault.EMPTY_BODY), True, "D", PROVIDERS),
    ("id missing", faulty(Fault.WRONG_JSON), True, "D", PROVIDERS),
    ("no JSON", faulty(Fault.STATUS, status=200, body="OK", creates=True), True, "D", (CANARY, POSTCODE)),
    ("a list", says(200, [], creates=True), True, "D", (PHONE, GATEWAY)),
    ("wrong types", says(200, {"id": 1.5, "accountId": [], "status": 1}, creates=True), True, "D", PROVIDERS),
    ("login page", faulty(Fault.HTML_WITH_200, creates=False), False, "U", PROVIDERS),
)

SPOILT: Sequence[Moment] = (
    *(
        in_doubt(
            9,
            f"account opened: {creates}",
            faulty(Fault.GARBLED_STATUS_LINE, creates=creates),
            Code.GARBLED_ANSWER,
            provider=provider,
            happened=creates,
        )
        for creates, provider in (
            *((True, provider) for provider in PROVIDERS),
            (False, PHONE),
            (False, CANARY),
        )
    ),
    *(
        in_doubt(
            10,
            how,
            bring,
            Code.UNREADABLE_ANSWER,
            "status_read",
            provider=provider,
            table="D",
            settings=IMPATIENT if "stalled" in how else {},
            why=ID_UNKNOWN,
        )
        for how, bring, providers in TRUNCATED
        for provider in providers
    ),
    *(
        in_doubt(
            11,
            how,
            bring,
            Code.UNREADABLE_ANSWER,
            READ,
            provider=provider,
            happened=happened,
            table=table,
            why=ID_UNKNOWN if table == "D" else "",
        )
        for how, bring, happened, table, providers in UNREADABLE
        for provider in providers
    ),
    in_doubt(
        11,
        "endless body",
        faulty(Fault.HUGE_BODY, size=2_000_000),
        Code.ANSWER_TOO_LARGE,
        "status_read",
        table="D",
        why=ID_UNKNOWN,
    ),
    *(
        Moment(
            number=11,
            how=f"{name} missing",
            provider=provider,
            table="D",
            bring=faulty(Fault.WRONG_JSON, drop=(name,)),
            verdict=Verdict.DONE,
            reason=Code.CREDENTIALS_LOST,
            seen=READ,
            state=State.HELD,
            then=unchanged,
            end=State.HELD,
        )
        for provider, name in ((GATEWAY, "api_key"), (POSTCODE, "secret"))
    ),
)

# 18 to 23: other statuses


async def limited(stage: Stage) -> None:
    """The provider asks for a wait."""
    stage.let_go_wrong(Fault.RATE_LIMITED, seconds=5)
    await stage.ask()


async def waited(stage: Stage) -> None:
    """Nothing is sent before the wait is over; no attempt is used up by it."""
    assert ((await stage.entry()).attempts, (await stage.entry()).deferrals) == (0, 1)
    await stage.later(4.9)
    assert stage.received == 1
    await stage.later(5.0)
    assert (await stage.entry()).attempts == 1


def redirected(status: int) -> Act:
    """The provider sends the create elsewhere, to where it would be carried out or answered with JSON."""

    async def bring(stage: Stage) -> None:
        account = stage.sandbox.provider(PhoneCom).credentials.account_id
        elsewhere = f"{stage.sandbox.base_url}/v4/accounts/{account}/subaccounts"
        stage.let_go_wrong(Fault.REDIRECT, status=status, location=elsewhere)
        await stage.ask()
        assert [one.operation for one in stage.sandbox.requests(PHONE)] == [Operation.CREATE]

    return bring


async def unpaused_and_absent(stage: Stage) -> None:
    """The provider is paused, so nobody looks; after a healthy probe absence is confirmed, and it is sent again."""
    await unpaused(stage)
    for _ in range(3):
        await stage.later(LOOK_UP_EVERY)
    assert [one.verdict for one in await stage.attempts()] == [Verdict.IN_DOUBT, Verdict.DONE]


STATUSES: Sequence[Moment] = (
    *(
        in_doubt(
            18,
            f"in its own shape, account opened: {creates}",
            says(408, own(provider), creates=creates),
            Code.UNEXPECTED_STATUS,
            READ,
            provider=provider,
            happened=creates,
        )
        for creates, provider in (*((True, provider) for provider in PROVIDERS), (False, PHONE))
    ),
    in_doubt(18, "bare page", page(408, creates=True), Code.UNREADABLE_ANSWER, READ),
    *(
        Moment(
            number=19,
            how="in its own shape",
            provider=provider,
            table="N",
            bring=limited,
            verdict=Verdict.NOT_DONE,
            reason=Code.RATE_LIMITED,
            seen=READ,
            state=State.WAITING,
            then=waited,
            creates=2,
        )
        for provider in PROVIDERS
    ),
    *(
        in_doubt(
            19,
            f"bare page, account opened: {creates}",
            page(429, creates=creates),
            Code.UNREADABLE_ANSWER,
            READ,
            happened=creates,
            table="N",
            why="a limiter that is not the provider's own may stand behind it, as the table itself says",
        )
        for creates in (True, False)
    ),
    *(
        in_doubt(
            20,
            f"{status}, account opened: {happened}",
            faulty(fault, status=status),
            Code.SERVER_ERROR,
            READ,
            provider=provider,
            happened=happened,
        )
        for status, provider, fault, happened in (
            (500, PHONE, Fault.SERVER_ERROR_BEFORE_CREATE, False),
            (500, POSTCODE, Fault.SERVER_ERROR_AFTER_CREATE, True),
            (500, CANARY, Fault.SERVER_ERROR_AFTER_CREATE, True),
            (502, GATEWAY, Fault.SERVER_ERROR_AFTER_CREATE, True),
            (504, PHONE, Fault.SERVER_ERROR_AFTER_CREATE, True),
            (520, CANARY, Fault.SERVER_ERROR_BEFORE_CREATE, False),
            (524, POSTCODE, Fault.SERVER_ERROR_BEFORE_CREATE, False),
        )
    ),
    *(
        in_doubt(
            21,
            f"in its own shape with Retry-After, account opened: {happened}",
            bring,
            Code.SERVER_ERROR,
            READ,
            provider=provider,
            happened=happened,
        )
        for provider, bring, happened in (
            (PHONE, faulty(Fault.UNAVAILABLE, seconds=3), False),
            (GATEWAY, faulty(Fault.UNAVAILABLE, seconds=3), False),
            (POSTCODE, faulty(Fault.UNAVAILABLE, seconds=3), False),
            (CANARY, busy(CANARY), True),
            (PHONE, busy(PHONE), True),
        )
    ),
    *(our_fault(22, f"{status}", PHONE, redirected(status), Code.REDIRECTED) for status in (301, 307, 308)),
    *(
        in_doubt(
            22,
            f"{status}",
            redirected(status),
            Code.REDIRECTED,
            READ,
            happened=False,
            then=unpaused_and_absent,
        )
        for status in (302, 303)
    ),
    *(
        in_doubt(
            23,
            how,
            says(status, body, creates=True),
            Code.UNREADABLE_ANSWER,
            READ,
            provider=provider,
            table="D",
            why="none of the four documents a pending answer or a reference to poll, so it is looked up",
        )
        for how, status, body in (
            ("202 with an id", 202, {"id": 7, "accountId": 7}),
            ("200 pending", 200, {"status": "pending"}),
        )
        for provider in PROVIDERS
    ),
)

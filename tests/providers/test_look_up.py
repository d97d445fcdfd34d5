"""What each provider's look-up makes of the vendor's answers; what all promise is in the conformance suite."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from multidict import CIMultiDict
from pydantic import JsonValue, ValidationError

from tests.providers.bench import CANARY, GATEWAY, PHONE, POSTCODE, START, Bench, example_of
from tests.providers.cases import says
from worker.core.provider import Absent, Doubt, Finding, Found, Order, Prepared, Several, Taken, Unclear
from worker.core.verdict import Moment, Verdict
from worker.exchange import Exchange, Http, Limits, Request
from worker.sandbox import CanarySpeech, Fault, Gateway360, Operation, PhoneCom

SETTLE = 300.0
"""Seconds after which a look-up that finds nothing is believed, as every provider is set."""

FRESH = Doubt(START, {"parent_id": None, "same_name": []})
READ = Operation.LOOK_UP


async def ask(bench: Bench, provider: str, doubt: Doubt = FRESH, **settings: Any) -> Finding:
    """Look up the contract's example."""
    handler = bench.handler(provider, **settings)
    return await handler.look_up(bench.order(handler), doubt)


async def test_postcode_eu_is_never_clear(bench: Bench) -> None:
    """There is nothing to ask at Postcode.eu, and the handler says so instead of guessing."""
    finding = await ask(bench, POSTCODE)
    assert isinstance(finding, Unclear)
    assert bench.sandbox.requests(POSTCODE) == ()


# Canary Speech: names repeat, so the baseline decides.


def associate(**changes: Any) -> dict[str, Any]:
    """An entry of the list that is ours."""
    whole = {
        "id": "a-1",
        "name": example_of(CANARY)["name"],
        "contact": {"email": "clinic@example.org", "phoneNumber": "+1 (858) 555-0100"},
        "dateCreated": (START + timedelta(seconds=1)).isoformat(),
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


CANARY_LISTS: list[tuple[list[Any], type[Finding], str]] = [
    ([associate()], Found, "everything agrees, however the number is written"),
    ([associate(contact=None, dateCreated=None)], Found, "what is not shown does not speak against it"),
    ([associate(dateCreated="not a date")], Found, "a date that cannot be read, and it was not there before"),
    ([associate(dateCreated=(START - timedelta(minutes=4)).isoformat())], Found, "clocks may differ"),
    ([associate(id="old"), associate()], Found, "the other one was there before"),
    ([associate(name="Another Clinic", contact=None)], Absent, "another name"),
    ([associate(name="Another Clinic")], Absent, "another name: orders share a contact"),
    ([associate(name="Example Clinic (order 100)", contact=None)], Absent, "another order, not ours cut"),
    ([], Absent, "nobody"),
    ([associate(), associate(id="a-2")], Several, "two of them"),
    ([associate(name=" example clinic (ORDER 1001)")], Several, "nearly the name"),
    ([associate(contact={"email": "other@example.org"})], Several, "another e-mail address"),
    ([associate(contact={"phoneNumber": "+18585550199"})], Several, "another telephone number"),
    ([associate(dateCreated=(START - timedelta(minutes=6)).isoformat())], Several, "older than the attempt"),
    (["old", "a-7"], Unclear, "an id without a name that was not there before"),
    (["old"], Absent, "an id without a name that was there before"),
    ([{"name": "no id"}], Unclear, "an entry without an id"),
    ([7], Unclear, "an entry that is none"),
]


@pytest.mark.parametrize(("listed", "expected", "reason"), CANARY_LISTS)
async def test_canary_list(bench: Bench, listed: list[Any], expected: type[Finding], reason: str) -> None:
    """Ours is the one that bears the name, was not there before, and that nothing speaks against."""
    says(200, {"associates": listed}, READ)(bench)
    bench.clock.advance(seconds=SETTLE)
    finding = await ask(bench, CANARY, Doubt(START, {"parent_id": None, "same_name": ["old"]}))
    assert isinstance(finding, expected), reason


async def test_canary_associate_that_is_only_like_ours_ends_no_doubt_before_ours_can_show(
    bench: Bench,
) -> None:
    """One of a like name is opened while ours is carried out slowly: ours is found when it shows."""
    like = associate(id="b-1", name="Example-Clinic (order 1001)")
    says(200, {"associates": [like]}, READ)(bench)
    bench.clock.advance(seconds=SETTLE - 1)
    early = await ask(bench, CANARY)
    assert isinstance(early, Unclear)
    assert early.evidence["alike"] == ["b-1"]
    bench.clock.advance(seconds=1)
    assert isinstance(await ask(bench, CANARY), Several)
    bench.sandbox.faults.clear()
    says(200, {"associates": [like, associate()]}, READ)(bench)
    assert isinstance(await ask(bench, CANARY), Found)


NAMES_CHANGED = [
    ("Smith & Sons", "Smith &amp; Sons", "escaped"),
    ("Dr. O'Hara clinic", "Dr. O&#39;Hara clinic", "escaped by number"),
    ("N" * 150, "N" * 128, "cut"),
    ("Klinik M\u00fcller", "Klinik Muller", "without accents"),
    ("Klinik M\u00fcller", "Klinik M?ller", "a letter that could not be written"),
    ("Klinik M\u00fcller", "Klinik M\u00c3\u00bcller", "its bytes read as Latin-1"),
    ("Caf\u00e9 \U0001f600", "Caf\u00e9 ?", "a picture that could not be written"),
    ("\u8a3a\u6240", "??", "nothing of it could be written"),
    ("\u8a3a\u6240 2", "?? 2", "only its number could be written"),
    ("\u8a3a\u6240 2", "\ufffd\ufffd 2", "the mark of letters that could not be read"),
    ("\u8a3a\u6240 2", "\u8a3a\u6240".encode().decode("latin-1") + " 2", "its bytes read as Latin-1"),
    (
        "\u041a\u043b\u0438\u043d\u0438\u043a 2",
        "\u041a\u043b\u0438\u043d\u0438\u043a".encode().decode("cp1252") + " 2",
        "as Windows-1252",
    ),
    ("\U00020bb7\u91ce\u5bb6 2", "?\u91ce\u5bb6 2", "one letter that could not be written, of several"),
    ("\U00020bb7\u91ce\u5bb6 2", "\u91ce\u5bb6 2", "one letter that was left out"),
]


def named(bench: Bench, sent: str, shown: str) -> Order:
    """An order of that name; its list has settled and shows one associate that came since, under the other name."""
    says(200, {"associates": [associate(name=shown, contact=None)]}, READ)(bench)
    bench.clock.advance(seconds=SETTLE)
    return bench.order(bench.handler(CANARY), {"name": sent})


@pytest.mark.parametrize(("sent", "shown", "reason"), NAMES_CHANGED)
async def test_canary_name_that_was_changed_goes_to_a_person(
    bench: Bench, sent: str, shown: str, reason: str
) -> None:
    """What came since and may be ours under a changed name is neither adopted nor taken for absent, nor sent again."""
    handler, order = bench.handler(CANARY), named(bench, sent, shown)
    assert isinstance(await handler.look_up(order, FRESH), Several), reason
    again = await handler.prepare(replace(order, sent_before=True, baseline=FRESH.baseline))
    assert isinstance(again, Several), reason
    known = await handler.prepare(order)
    assert isinstance(known, Prepared)
    assert isinstance(await handler.look_up(order, Doubt(START, known.baseline)), Absent), (
        "it was there before"
    )


NAMES_OF_OTHERS = [
    ("\u6771\u4eac 2", "\u5927\u962a 2", "one digit in common, in letters that were not lost"),
    (
        "\u041a\u043b\u0438\u043d\u0438\u043a\u0430 7",
        "\u0411\u043e\u043b\u044c\u043d\u0438\u0446\u0430 7",
        "the same in Cyrillic",
    ),
    ("Klinik 2", "Klinik 3", "another number"),
]


@pytest.mark.parametrize(("sent", "shown", "reason"), NAMES_OF_OTHERS)
async def test_canary_name_that_shares_a_few_letters_is_not_ours(
    bench: Bench, sent: str, shown: str, reason: str
) -> None:
    """What little of a name is ASCII says something only where the rest of it may have been lost on its way."""
    handler, order = bench.handler(CANARY), named(bench, sent, shown)
    assert isinstance(await handler.look_up(order, FRESH), Absent), reason
    again = await handler.prepare(replace(order, sent_before=True, baseline=FRESH.baseline))
    assert isinstance(again, Prepared), reason


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        *((length, Unclear) for length in (10, 20, 25, 50, 100, 200, 250, 500, 1000)),
        *((length, Absent) for length in (1, 9, 11, 49, 99, 101)),
    ],
)
async def test_canary_list_as_long_as_a_page(bench: Bench, length: int, expected: type[Finding]) -> None:
    """Who is not on a list whose length is that of a usual page is not absent."""
    others = [associate(id=f"b-{number}", name=f"Other {number}", contact=None) for number in range(length)]
    says(200, {"associates": others}, READ)(bench)
    assert isinstance(await ask(bench, CANARY), expected)


CANARY_PAGES: list[tuple[Mapping[str, Any], Mapping[str, str], type[Finding], str]] = [
    ({"next": "/v3/reseller/client/list-associates?page=2"}, {}, Unclear, "an address of the next page"),
    ({"nextPageToken": "abc"}, {}, Unclear, "a token for the next page"),
    ({"next_cursor": 7}, {}, Unclear, "a place to go on from"),
    ({"continuationToken": "abc"}, {}, Unclear, "the same by another name"),
    ({"hasMore": True}, {}, Unclear, "in words"),
    ({"isTruncated": True}, {}, Unclear, "in other words"),
    ({"total": 2}, {}, Unclear, "more in all than are listed"),
    ({"totalCount": "2"}, {}, Unclear, "a number as text"),
    ({"count": 2}, {}, Unclear, "another word for it"),
    ({"total": {"value": 2}}, {}, Unclear, "a total that cannot be compared"),
    ({"pagination": {"page": 1}}, {}, Unclear, "something about pages"),
    ({"limit": 10}, {}, Unclear, "a limit"),
    ({}, {"Link": '<https://x/?page=2>; rel="next"'}, Unclear, "the header for it (RFC 8288)"),
    (
        {},
        {"link": "<https://x/?page=1>; rel=prev, <https://x/?page=3>; rel=next"},
        Unclear,
        "its second link",
    ),
    ({}, {"Link": '<https://x/?page=3>; rel="last next"'}, Unclear, "one of several relations"),
    ({}, {}, Absent, "no sign"),
    ({"next": None, "nextPageToken": "", "hasMore": False}, {}, Absent, "the last page says so"),
    ({"total": 1, "count": 1}, {}, Absent, "as many as are listed"),
    ({"accountId": "abc", "country": "US"}, {}, Absent, "a field that is about something else"),
    ({}, {"Link": '<https://x/style.css>; rel="stylesheet"'}, Absent, "a link to something else"),
]


@pytest.mark.parametrize(("fields", "headers", "expected", "reason"), CANARY_PAGES)
async def test_canary_list_that_may_be_a_page(
    bench: Bench, fields: Mapping[str, Any], headers: Mapping[str, str], expected: type[Finding], reason: str
) -> None:
    """Who is not on a list that shows any sign of going on is not absent; who is on it is found all the same."""
    for listed, finding in (([associate(name="Another", contact=None)], expected), ([associate()], Found)):
        bench.sandbox.faults.clear()
        says(200, {"associates": listed, **fields}, READ, headers)(bench)
        assert isinstance(await ask(bench, CANARY), finding), reason


async def test_canary_second_link_header_is_read(bench: Bench) -> None:
    """Of several headers of one name each counts."""
    headers = CIMultiDict(
        [("Link", "<https://x/a.css>; rel=stylesheet"), ("Link", "<https://x/2>; rel=next")]
    )
    handler = bench.handler(CANARY)
    listing = Exchange(Moment.ANSWER_READ, 200, headers, b'{"associates": []}')
    order = bench.order(handler)
    finding = await type(handler)(handler.settings, Scripted(bench.http, listing), bench.clock).look_up(
        order, FRESH
    )
    assert isinstance(finding, Unclear)


@dataclass
class Scripted:
    """Passes requests on, but for reads, which get this answer."""

    http: Http
    listing: Exchange

    async def exchange(self, request: Request, limits: Limits) -> Exchange:
        return self.listing if request.method == "GET" else await self.http.exchange(request, limits)


async def test_canary_without_baseline_trusts_dates_alone(bench: Bench) -> None:
    """When nobody noted who was there before, an entry without a date is left to a person."""
    says(200, {"associates": [associate(dateCreated=None)]}, READ)(bench)
    assert isinstance(await ask(bench, CANARY, Doubt(START, {})), Several)


async def test_canary_baseline_names_those_who_were_there(bench: Bench) -> None:
    """An associate of the same name is noted before the attempt, and not taken for ours after it."""
    handler = bench.handler(CANARY)
    earlier = await bench.run(handler, bench.order(handler))
    assert earlier.created is not None
    bench.break_creates(Fault.CUT_AFTER_CREATE)
    order = bench.order(handler)
    _, doubt = await bench.run_with_baseline(handler, order)
    finding = await handler.look_up(order, doubt)
    assert doubt.baseline == {
        "parent_id": None,
        "same_name": [earlier.created.account_id],
        "prepared_at": bench.clock.time_of_day().isoformat(),
        "sent_before": False,
    }
    assert isinstance(finding, Found)
    assert finding.created.account_id == bench.sandbox.accounts(CANARY)[1].id


async def test_canary_account_that_came_since_an_attempt_stops_the_next_create(bench: Bench) -> None:
    """It may be ours, late or denied: nothing is sent. Before the first create, or on a person's word, names may
    repeat.
    """
    handler = bench.handler(CANARY)
    order = bench.order(handler)
    bench.break_creates(Fault.CUT_AFTER_CREATE)
    _, doubt = await bench.run_with_baseline(handler, order)
    (account,) = bench.sandbox.accounts(CANARY)
    again = await handler.prepare(replace(order, sent_before=True, baseline=doubt.baseline))
    assert isinstance(again, Several)
    assert again.account_ids == (account.id,)
    for other in (replace(order, baseline=doubt.baseline), replace(order, sent_before=True)):
        assert isinstance(await handler.prepare(other), Prepared)


async def test_canary_account_of_another_request_stops_no_create(bench: Bench) -> None:
    """Orders may share a name: what came since and belongs to another of ours was not left by this one."""
    handler = bench.handler(CANARY)
    says(200, {"associates": [associate(), associate(id="b-1")]}, READ)(bench)
    again = bench.order(handler, sent_before=True, baseline=FRESH.baseline)
    left = await handler.prepare(replace(again, not_ours=frozenset({"b-1"})))
    assert isinstance(left, Several)
    assert left.account_ids == ("a-1",)
    assert isinstance(await handler.prepare(replace(again, not_ours=frozenset({"a-1", "b-1"}))), Prepared)


async def test_canary_list_that_says_there_is_more_stops_the_next_create(bench: Bench) -> None:
    """Ours may stand on the part that is not shown. Nothing is held before the first create, on a person's word, or for
    a length alone.
    """
    handler = bench.handler(CANARY)
    others = [associate(id=f"b-{number}", name=f"Other {number}", contact=None) for number in range(50)]
    order, again = (
        bench.order(handler, sent_before=sent, baseline=FRESH.baseline if sent else {})
        for sent in (False, True)
    )
    says(200, {"associates": others}, READ)(bench)
    assert isinstance(await handler.prepare(again), Prepared)
    bench.sandbox.faults.clear()
    says(200, {"associates": others, "hasMore": True}, READ)(bench)
    held = await handler.prepare(again)
    assert isinstance(held, Several)
    assert (held.account_ids, held.evidence["maybe_cut"]) == ((), True)
    for free in (order, replace(again, baseline={})):
        assert isinstance(await handler.prepare(free), Prepared)


OLDER_WORKERS: list[tuple[dict[str, Any], dict[str, Any], type[Prepared | Several], str]] = [
    ({"after_doubt": False}, {}, Prepared, "an older worker did not note a name that is only like ours"),
    ({"after_doubt": False}, {"dateCreated": START.isoformat()}, Several, "opened since"),
    ({"after_doubt": False}, {"dateCreated": None}, Several, "nobody knows when"),
    ({"after_doubt": False}, {"name": "Example Clinic (order 1001)"}, Several, "the name itself was noted"),
    ({"after_doubt": False}, {"name": None}, Several, "as was one without a name"),
    ({"after_doubt": True}, {}, Several, "an earlier attempt may have opened it"),
    ({"sent_before": False}, {}, Several, "this worker would have noted it"),
]


@pytest.mark.parametrize(("noted", "shown", "expected", "reason"), OLDER_WORKERS)
async def test_canary_baseline_of_an_older_worker(
    bench: Bench,
    noted: dict[str, Any],
    shown: dict[str, Any],
    expected: type[Prepared | Several],
    reason: str,
) -> None:
    """Who was there long before an attempt that noted exact names alone has not come since."""
    handler = bench.handler(CANARY)
    long_ago = (START - timedelta(days=400)).isoformat()
    like = {"name": "Example-Clinic (order 1001)", "dateCreated": long_ago, "contact": None, **shown}
    says(200, {"associates": [associate(**like)]}, READ)(bench)
    baseline = {"same_name": [], "prepared_at": START.isoformat(), **noted}
    assert isinstance(
        await handler.prepare(bench.order(handler, sent_before=True, baseline=baseline)), expected
    ), reason


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429])
async def test_canary_account_behind_a_refusal_stops_the_next_create(bench: Bench, status: int) -> None:
    """Whoever says no after the provider has acted, a gateway on the answer's way, makes one account and no second."""
    handler = bench.handler(CANARY)
    order = bench.order(handler)
    words: dict[str, Any] = {
        "body": json.dumps({"message": "no"}),
        "headers": {"Content-Type": "application/json"},
    }
    bench.break_creates(Fault.STATUS, status=status, creates=True, **words)
    outcome, doubt = await bench.run_with_baseline(handler, order)
    assert outcome.verdict is Verdict.NOT_DONE
    again = await handler.prepare(replace(order, sent_before=True, baseline=doubt.baseline))
    assert isinstance(again, Several)
    assert again.account_ids == tuple(one.id for one in bench.sandbox.accounts(CANARY))


CANARY_TAKEN: list[tuple[list[Any], Mapping[str, Any], type[Finding], str]] = [
    ([associate(id="old")], {"sent_before": False}, Taken, "it was there before the first create"),
    ([associate(id="old")], {"sent_before": True}, Absent, "an earlier create of ours may have made it"),
    ([associate(id="old")], {}, Absent, "nobody noted whether there was an earlier create"),
    ([associate(id="old", name="Another Clinic")], {"sent_before": False}, Absent, "its name has changed"),
    ([associate(id="old"), associate()], {"sent_before": False}, Found, "ours is there beside it"),
    ([associate(id="old"), 7], {"sent_before": False}, Unclear, "ours may be the entry that is none"),
]


@pytest.mark.parametrize(("listed", "noted", "expected", "reason"), CANARY_TAKEN)
async def test_canary_tells_a_name_that_was_taken_before(
    bench: Bench, listed: list[Any], noted: Mapping[str, Any], expected: type[Finding], reason: str
) -> None:
    """Only who bore the name before this request's first create is somebody else for certain."""
    says(200, {"associates": listed}, READ)(bench)
    baseline = {"parent_id": None, "same_name": ["old"], **noted}
    finding = await ask(bench, CANARY, Doubt(START, baseline))
    assert isinstance(finding, expected), reason
    assert not isinstance(finding, Taken) or not finding.only_one


async def test_canary_compares_dates_by_the_calendar(bench: Bench) -> None:
    """The vendor dates by the calendar; when the ledger's time is off by hours, ours is found all the same."""
    says(200, {"associates": [associate()]}, READ)(bench)
    noted: dict[str, JsonValue] = {
        "same_name": [],
        "prepared_at": START.isoformat(),
        "sent_before": False,
    }
    finding = await ask(bench, CANARY, Doubt(START + timedelta(hours=3), noted))
    assert isinstance(finding, Found)


async def test_canary_asks_for_the_parent_of_the_attempt(bench: Bench) -> None:
    """When the operator has changed the parent since, the one that was sent is asked for."""
    parent = bench.sandbox.provider(CanarySpeech).credentials.client_id
    baseline: dict[str, Any] = {"parent_id": parent, "same_name": []}
    await ask(bench, CANARY, Doubt(START, baseline), parent_id="00000000-0000-4000-8000-000000000009")
    assert bench.sandbox.requests(CANARY)[-1].query == f"parentId={parent}"


async def test_canary_look_up_survives_revoked_tokens(bench: Bench) -> None:
    """A token that is refused is replaced once, also for a look-up."""
    handler = bench.handler(CANARY)
    order = bench.order(handler)
    _, doubt = await bench.run_with_baseline(handler, order)
    bench.sandbox.provider(CanarySpeech).revoke_tokens()
    assert isinstance(await handler.look_up(order, doubt), Found)


# Phone.com: the filter and the user name in the list are not certain.


def subaccount(**changes: Any) -> dict[str, Any]:
    """An entry of the list that is ours."""
    contact = example_of(PHONE)["contact"]
    shown = {"name": contact["name"], "email_1": contact["primary_email"]}
    return {"id": 7, "username": example_of(PHONE)["username"], "contact": shown, **changes}


def contact_of(name: str, email: str, key: str = "primary_email") -> dict[str, str]:
    """A contact with one spelling of the address."""
    return {"name": name, key: email}


PHONE_LISTS: list[tuple[Mapping[str, Any], type[Finding], str]] = [
    ({"items": [subaccount()], "total": 1}, Found, "everything agrees"),
    ({"items": [subaccount(contact=contact_of("ALEX EXAMPLE", "Alex@Example.org"))]}, Found, "but for case"),
    (
        {"items": [subaccount(contact=None)], "total": 1},
        Several,
        "nobody can tell whose: no contact is shown",
    ),
    ({"items": [subaccount(contact={})], "total": 1}, Several, "the contact is empty"),
    ({"items": [subaccount(contact={"name": "", "email_1": None})], "total": 1}, Several, "nothing in it"),
    (
        {"items": [subaccount(contact={"company": "Example"})], "total": 1},
        Several,
        "nothing to compare in it",
    ),
    (
        {
            "items": [subaccount(contact={"email_1": example_of(PHONE)["contact"]["primary_email"]})],
            "total": 1,
        },
        Found,
        "what is shown of the contact is ours",
    ),
    ({"items": [subaccount(id=1, username="other"), subaccount()], "total": 2}, Found, "an unfiltered list"),
    (
        {"items": [subaccount(contact=contact_of("B", "b@c.org", "email_1"))], "total": 1},
        Taken,
        "somebody else's",
    ),
    ({"items": [subaccount(username="other")], "total": 1}, Absent, "another user name"),
    ({"items": [], "total": 0}, Absent, "nobody"),
    ({"items": []}, Absent, "nobody, and no total"),
    ({"items": [subaccount(), subaccount(id=8)], "total": 2}, Several, "two of them"),
    (
        {"items": [subaccount(contact=contact_of("B", "alex@example.org"))], "total": 1},
        Several,
        "half agrees",
    ),
    ({"items": [subaccount(contact={"name": "Example, Alex"})], "total": 1}, Several, "perhaps our name"),
    ({"items": [subaccount(contact={"email_1": "b@c.org"})], "total": 1}, Several, "perhaps another of ours"),
    (
        {"items": [subaccount(contact={"name": "B", "email_1": 7})], "total": 1},
        Several,
        "no address to compare",
    ),
    ({"items": [subaccount(username=None)], "total": 1}, Several, "no user name, our contact"),
    (
        {"items": [subaccount(username=None, contact={"name": "Example, Alex"})], "total": 1},
        Unclear,
        "no user name, and perhaps our name",
    ),
    (
        {"items": [subaccount(username=" ", contact={"email_1": "b@c.org"})], "total": 1},
        Unclear,
        "an empty user name, and perhaps an address of ours",
    ),
    (
        {"items": [subaccount(username=None, contact=contact_of("B", "b@c.org"))], "total": 1},
        Absent,
        "neither",
    ),
    ({"items": [subaccount(username=None, contact=None)], "total": 1}, Unclear, "nothing to compare"),
    ({"items": [subaccount(id="x")], "total": 1}, Several, "ours, and its id cannot be read"),
    ({"items": ["x"], "total": 1}, Unclear, "an entry that is none"),
    ({"items": [subaccount(username="other")], "total": 9}, Unclear, "the same page again and again"),
    ({"items": [subaccount(username="other")]}, Unclear, "the same page again and again, and no total"),
    ({"total": 0}, Unclear, "no list"),
    ({"items": [], "total": False}, Unclear, "false is no number"),
    ({"items": [], "total": -1}, Unclear, "nobody counted"),
    ({"items": [], "total": "0"}, Unclear, "text is none either"),
    ({"items": [subaccount()], "total": True}, Found, "ours is there, whatever the total"),
    ({"items": [subaccount(username="other")], "total": True}, Unclear, "true is no number"),
    (
        {"items": [subaccount(username="other")], "total": 1, "limit": 1},
        Unclear,
        "a full page, by its own limit",
    ),
    ({"items": [subaccount(username="other")], "total": 1, "limit": 25}, Absent, "a page that is not full"),
    ({"items": [], "total": 0, "limit": 0}, Absent, "an empty page is not full"),
]


@pytest.mark.parametrize(("answer", "expected", "reason"), PHONE_LISTS)
async def test_phone_list(
    bench: Bench, answer: Mapping[str, Any], expected: type[Finding], reason: str
) -> None:
    """Ours bears the user name and shows our contact; the name alone is not enough."""
    says(200, answer, READ)(bench)
    assert isinstance(await ask(bench, PHONE), expected), reason


async def test_phone_names_who_holds_the_user_name(bench: Bench) -> None:
    """A user name that is somebody else's proves that ours does not exist, and the evidence says whose it is."""
    handler = bench.handler(PHONE)
    other = {**example_of(PHONE)["contact"], "name": "Somebody Else", "primary_email": "else@example.org"}
    outcome = await bench.run(handler, bench.order(handler, {"contact": other}))
    assert outcome.created is not None
    finding = await ask(bench, PHONE)
    assert finding == Taken(finding.evidence, only_one=True)
    assert finding.evidence["username_taken_by_other"] == outcome.created.account_id


async def test_phone_pages_through_an_unfiltered_list(bench: Bench) -> None:
    """When the filter is ignored every page is read, and absence is said only after the last."""
    others = [subaccount(id=number, username=f"other-{number}") for number in range(1, 702)]
    for page in (others[:500], others[500:]):
        body = json.dumps({"items": page, "total": 701})
        bench.break_reads(Fault.STATUS, status=200, body=body, headers={}, times=1)
    finding = await ask(bench, PHONE)
    assert isinstance(finding, Absent)
    assert finding.evidence["count"] == 701
    assert [parse_qs(one.query)["offset"] for one in bench.sandbox.requests(PHONE)] == [["0"], ["500"]]


PHONE_CHANGED_NAMES: list[tuple[str, Mapping[str, Any], type[Finding], str]] = [
    ("u" * 90, {"username": "u" * 64}, Several, "cut"),
    ("U" * 90, {"username": "u" * 30}, Several, "cut to what is still long, and in small letters"),
    ("u" * 90, {"username": "u" * 29}, Absent, "too short for a cut name"),
    ("acme-10", {"username": "acme-1"}, Absent, "another account of the same customer, by the first letters"),
    ("smith&sons", {"username": "smith&amp;sons"}, Several, "quoted for HTML"),
    ("m\u00fcller", {"username": "muller"}, Several, "without its accent"),
    ("order-1002", {"username": "order-1003"}, Absent, "another account of the same customer"),
    ("order-1002", {"username": "order-10021"}, Absent, "a longer name"),
    ("order-1002", {"username": "order-100", "contact": contact_of("B", "b@c.org")}, Absent, "another's"),
    ("order-1002", {"username": "order-100", "contact": None}, Absent, "another name, and no contact"),
    ("u" * 90, {"username": "u" * 64, "contact": {"name": "Alex Example"}}, Absent, "half a contact"),
]


@pytest.mark.parametrize(("asked", "shown", "expected", "reason"), PHONE_CHANGED_NAMES)
async def test_phone_name_that_the_vendor_changed_is_not_absent(
    bench: Bench, asked: str, shown: Mapping[str, Any], expected: type[Finding], reason: str
) -> None:
    """An entry with our contact and what a store may make of our user name is left to a person."""
    says(200, {"items": [subaccount(**shown)], "total": 1}, READ)(bench)
    handler = bench.handler(PHONE)
    finding = await handler.look_up(bench.order(handler, {"username": asked}), FRESH)
    assert isinstance(finding, expected), reason
    assert not isinstance(finding, Several) or finding.account_ids == ("7",)


@pytest.mark.parametrize(("length", "is_filtered"), [(50, True), (51, False)])
async def test_phone_long_name_is_looked_for_in_the_whole_list(
    bench: Bench, length: int, is_filtered: bool
) -> None:
    """A filter by the whole of a name that the vendor has cut would find nobody."""
    handler = bench.handler(PHONE)
    await handler.look_up(bench.order(handler, {"username": "u" * length}), FRESH)
    assert ("filters" in bench.sandbox.requests(PHONE)[-1].query) == is_filtered


async def test_phone_full_page_is_not_the_last(bench: Bench) -> None:
    """Where the total counts the page alone, ours on the second page is found all the same."""
    others = [subaccount(id=number, username=f"other-{number}") for number in range(8, 508)]
    for page in (others, [subaccount()]):
        body = json.dumps({"items": page, "total": len(page)})
        bench.break_reads(Fault.STATUS, status=200, body=body, headers={}, times=1)
    assert isinstance(await ask(bench, PHONE), Found)


@pytest.mark.parametrize("honours", [True, False])
async def test_phone_filter_may_be_ignored(bench: Bench, honours: bool) -> None:
    """Ours is found among others, whether or not the list is filtered."""
    bench.sandbox.provider(PhoneCom).honours_username_filter = honours
    handler = bench.handler(PHONE)
    for username in ("one", example_of(PHONE)["username"], "three"):
        await bench.run(handler, bench.order(handler, {"username": username}))
    finding = await ask(bench, PHONE)
    assert isinstance(finding, Found)
    assert finding.created.account_id == bench.sandbox.accounts(PHONE)[1].id


@pytest.mark.parametrize(
    "username",
    ["eq:ann", "ne:ann", "starts-with:ann", "gt:zed", "contains:ann", "in:ann,bob", "!ann", "ann*"],
)
async def test_phone_name_that_reads_as_an_operator(bench: Bench, username: str) -> None:
    """A user name that a filter might read as something else is found in the whole list, not lost by the filter."""
    handler = bench.handler(PHONE)
    contact = {**example_of(PHONE)["contact"], "name": "Ann Other"}
    for other in ("ann", "bob"):
        await bench.run(handler, bench.order(handler, {"username": other, "contact": contact}))
    order = bench.order(handler, {"username": username})
    absent = await handler.look_up(order, FRESH)
    made = await bench.run(handler, order)
    found = await handler.look_up(order, FRESH)
    assert made.created is not None
    assert isinstance(absent, Absent)
    assert isinstance(found, Found)
    assert found.created.account_id == made.created.account_id
    assert "filters" not in bench.sandbox.requests(PHONE)[-1].query


@pytest.mark.parametrize("username", ["example-order-1002", "ann@example.org", "ann+1@example.org"])
async def test_phone_plain_name_is_asked_for_as_it_is(bench: Bench, username: str) -> None:
    """A usual user name stands bare in the filter: an operator before it might be taken for a part of it."""
    handler = bench.handler(PHONE)
    await handler.look_up(bench.order(handler, {"username": username}), FRESH)
    assert parse_qs(bench.sandbox.requests(PHONE)[-1].query)["filters[username]"] == [username]


async def test_phone_hands_over_a_generated_password_after_a_look_up(bench: Bench) -> None:
    """The password is ours, so a lost answer loses nothing."""
    handler = bench.handler(PHONE)
    order = bench.order(handler)
    bench.break_creates(Fault.CUT_AFTER_CREATE)
    _, doubt = await bench.run_with_baseline(handler, order)
    finding = await handler.look_up(order, doubt)
    assert isinstance(finding, Found)
    sent = bench.body_sent(PHONE)["password"]
    assert finding.created.secrets["password"].get_secret_value() == sent
    assert finding.created.missing == ()


# Gateway360: the user name is the id; the API key is shown once.


def info(**changes: Any) -> dict[str, Any]:
    """A good answer of get-info."""
    asked = example_of(GATEWAY)
    return {"status": "ok", "result": {"user_name": asked["user_name"], "email": asked["email"], **changes}}


def error(error_id: str) -> dict[str, str]:
    """An error of get-info."""
    return {"status": "error", "error_id": error_id, "error_msg": "-"}


GATEWAY_ANSWERS: list[tuple[int, Mapping[str, Any], type[Finding], str]] = [
    (200, info(), Found, "our e-mail address"),
    (200, info(email="ALEX@example.org"), Found, "but for case"),
    (200, info(email="b@c.org"), Several, "somebody else's, or ours with an address of another account"),
    (200, info(email=None), Several, "nobody can tell whose"),
    (200, info(user_name="other"), Unclear, "an answer about somebody else"),
    (200, {"status": "ok"}, Unclear, "no result"),
    (400, error("INVALID_NAME"), Absent, "the only documented id about the name, with its status"),
    (200, error("INVALID_NAME"), Absent, "the body wins over the status"),
    (500, error("INVALID_NAME"), Unclear, "a server that is broken may say anything"),
    (400, error("USER_NOT_FOUND"), Unclear, "no documented id, however it reads"),
    (200, error("MAINTENANCE"), Unclear, "the provider is busy with itself"),
    (400, error("NO_CREDIT"), Unclear, "the parent's business"),
    (422, error("UNKNOWN_FUNCTION"), Unclear, "nobody looked"),
    (404, error("UNKNOWN_SUBACCOUNT"), Unclear, "404 about the account, perhaps"),
    (404, error("NOT_FOUND"), Unclear, "404 about the path, perhaps"),
    (401, error("UNAUTHORIZED"), Unclear, "our key"),
    (400, error("MISSING_PARAMS"), Unclear, "our request"),
    (500, error("USER_NOT_FOUND"), Unclear, "a broken server"),
]


@pytest.mark.parametrize(("status", "answer", "expected", "reason"), GATEWAY_ANSWERS)
async def test_gateway_info(
    bench: Bench, status: int, answer: Mapping[str, Any], expected: type[Finding], reason: str
) -> None:
    """Ours bears our e-mail address; of another one a person tells, and one error alone is believed as absence."""
    says(status, answer, READ)(bench)
    assert isinstance(await ask(bench, GATEWAY), expected), reason


@pytest.mark.parametrize(
    ("error_id", "expected"),
    [("INVALID_NAME", Absent), ("USER_NOT_FOUND", Unclear), ("NOT_EXISTS", Unclear)],
)
async def test_gateway_unknown_user(bench: Bench, error_id: str, expected: type[Finding]) -> None:
    """Whatever the provider calls an unknown user, the evidence keeps its word, so that a person can learn it."""
    bench.sandbox.provider(Gateway360).unknown_user_error = error_id
    finding = await ask(bench, GATEWAY)
    assert isinstance(finding, expected)
    assert finding.evidence["error_id"] == error_id


async def test_gateway_account_has_one_id_however_it_is_spelled(bench: Bench) -> None:
    """What a look-up shows in other letters and what a late answer names are one account, and the key belongs to it."""
    asked = str(example_of(GATEWAY)["user_name"])
    says(200, info(user_name=asked.upper()), READ)(bench)
    found = await ask(bench, GATEWAY)
    bench.sandbox.faults.clear()
    made = {"user_name": asked.capitalize(), "password": "p", "api_key": "k"}
    says(200, {"status": "ok", "result": made})(bench)
    handler = bench.handler(GATEWAY)
    outcome = await bench.run(handler, bench.order(handler))
    assert isinstance(found, Found)
    assert outcome.created is not None
    assert (found.created.account_id, outcome.created.account_id) == (asked, asked)


async def test_gateway_absence_by_the_id_that_a_person_learnt(bench: Bench) -> None:
    """Where the provider turns out to say it otherwise, that is a setting."""
    bench.sandbox.provider(Gateway360).unknown_user_error = "USER_NOT_FOUND"
    assert isinstance(await ask(bench, GATEWAY, absent_error_id="USER_NOT_FOUND"), Absent)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
@pytest.mark.parametrize("error_id", ["INVALID_NAME", "USER_NOT_FOUND"])
async def test_gateway_that_refuses_us_proves_no_absence(bench: Bench, status: int, error_id: str) -> None:
    """It has looked at no user, whatever id stands in its body and in the settings."""
    says(status, error(error_id), READ)(bench)
    assert isinstance(await ask(bench, GATEWAY, absent_error_id=error_id), Unclear)


DOCUMENTED = """
INVALID_CONTENT_TYPE JSON_PARSE_ERROR MISSING_PARAMS UNAUTHORIZED INVALID_EMAIL INVALID_LANGUAGE unauthorized
"""


@pytest.mark.parametrize("error_id", DOCUMENTED.split())
async def test_an_id_of_another_meaning_is_no_setting_for_absence(bench: Bench, error_id: str) -> None:
    """What the vendor says of our key or our request would, taken for absence, have every doubt sent again."""
    with pytest.raises(ValidationError, match="another meaning"):
        await ask(bench, GATEWAY, absent_error_id=error_id)


async def test_gateway_api_key_stays_lost(bench: Bench) -> None:
    """The password is ours and known; the API key was shown once and is named as missing."""
    handler = bench.handler(GATEWAY)
    order = bench.order(handler)
    bench.break_creates(Fault.CUT_AFTER_CREATE)
    _, doubt = await bench.run_with_baseline(handler, order)
    finding = await handler.look_up(order, doubt)
    assert isinstance(finding, Found)
    assert (set(finding.created.secrets), finding.created.missing) == ({"password"}, ("api_key",))

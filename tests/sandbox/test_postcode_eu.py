"""Postcode.eu as its page describes it."""

import base64
import json
from typing import Any

import pycountry
import pytest

from worker.sandbox import PostcodeEu, Sandbox
from worker.sandbox.countries import ALPHA_3, EU_MEMBERS
from worker.sandbox.postcode_eu import DUMMY

PATH = "/reseller/v1/client"
INFO = "/account/v1/info"
EU = sorted(EU_MEMBERS - {"NLD"})


async def test_the_example_creates_a_client_account(caller: Any, sandbox: Sandbox) -> None:
    """The page's example answers 200 with accountId, key and secret in the sample's shapes."""
    reply = await caller.create("postcode_eu")
    [account] = sandbox.accounts("postcode_eu")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.json == {"accountId": account.id, **account.issued}
    assert account.id.isdigit()
    assert int(account.id) >= 2**31
    assert (len(reply.json["key"]), len(reply.json["secret"])) == (43, 50)
    assert account.fields == caller.body("postcode_eu")


async def test_the_example_as_printed_is_refused(caller: Any) -> None:
    """With the page's comma after the last field the body is no JSON."""
    printed = json.dumps(caller.body("postcode_eu"))[:-1] + ",}"
    reply = await caller.create_raw("postcode_eu", printed.encode())
    assert reply.status == 400
    assert set(reply.json) == {"exception", "exceptionId"}


async def test_the_account_id_may_be_an_int(caller: Any, sandbox: Sandbox) -> None:
    """The page's table says int; the sandbox can say so too."""
    sandbox.provider(PostcodeEu).account_id_is_text = False
    reply = await caller.create("postcode_eu")
    assert reply.json["accountId"] == int(sandbox.accounts("postcode_eu")[0].id)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"companyName": ...}, "companyName is required"),
        ({"companyName": ""}, "companyName is not said to be empty ever"),
        ({"countryIso": "NL"}, "two letters"),
        ({"countryIso": "XXX"}, "no such country"),
        ({"countryIso": ["NLD"]}, "a list"),
        ({"vatNumber": ...}, "vatNumber may be empty but not absent"),
        ({"vatNumber": None}, "null is no string"),
        ({"contactEmail": "nobody"}, "no at sign"),
        ({"subscriptionAmount": 1}, "not one of the six"),
        ({"subscriptionAmount": "100"}, "a string"),
        ({"subscriptionAmount": 100.0}, "a float"),
        ({"subscriptionAmount": False}, "a boolean is no int"),
        ({"subscriptionAmount": ...}, "subscriptionAmount is required"),
        ({"siteUrls": "https://www.example.org"}, "not an array"),
        ({"siteUrls": [1]}, "not of strings"),
        ({"siteUrls": ...}, "siteUrls may be empty but not absent"),
        ({"invoiceEmail": ""}, "invoiceEmail is required"),
        ({"invoiceReference": 1234}, "a number"),
        ({"invoiceAddressLine1": ""}, "line 1 is required"),
        ({"invoiceAddressLine2": ...}, "line 2 may be empty but not absent"),
        ({"invoiceAddressPostalCode": ""}, "the postal code is required"),
        ({"invoiceAddressLocality": {}}, "an object"),
        ({"invoiceAddressRegion": None}, "null is no string"),
        ({"invoiceAddressCountryIso": "nld"}, "lower case"),
        ({"invoiceContactName": 1}, "a number"),
        ({"isTest": 1}, "a number"),
        ({"isTest": "true"}, "a string"),
    ],
)
async def test_create_validates(caller: Any, sandbox: Sandbox, changes: dict[str, Any], reason: str) -> None:
    """Each wrong body is 400, its exception names the parameter, and nothing is made."""
    reply = await caller.create("postcode_eu", **changes)
    assert reply.status == 400, reason
    assert f"`{next(iter(changes))}`" in reply.json["exception"], reason
    assert reply.json["exceptionId"] == "React_Controller_Action_InvalidParameterException"
    assert sandbox.creates("postcode_eu").made == 0


@pytest.mark.parametrize("amount", [0, 50, 100, 250, 500, 1000])
async def test_the_six_amounts(caller: Any, sandbox: Sandbox, amount: int) -> None:
    """All six amounts make a real account, 0 included."""
    assert (await caller.create("postcode_eu", subscriptionAmount=amount)).status == 200
    assert sandbox.creates("postcode_eu").made == 1


async def test_optional_fields(caller: Any) -> None:
    """The invoiceReference may be absent, siteUrls empty, and the newer invoiceContactName is taken."""
    changes = {"invoiceReference": ..., "siteUrls": [], "invoiceContactName": "J. Klant"}
    assert (await caller.create("postcode_eu", **changes)).status == 200


async def test_vat_numbers_of_eu_members(caller: Any) -> None:
    """26 members need a VAT number; the Netherlands and countries outside do not."""
    assert len(EU) == 26
    for country in EU:
        assert (await caller.create("postcode_eu", countryIso=country, vatNumber=" ")).status == 400
        assert (await caller.create("postcode_eu", countryIso=country, vatNumber="X1")).status == 200
    for country in ("NLD", "GBR", "CHE", "USA"):
        assert (await caller.create("postcode_eu", countryIso=country, vatNumber="")).status == 200


def test_the_countries_are_those_of_the_standard() -> None:
    """The table of alpha-3 codes is ISO 3166-1's, and every EU member is in it."""
    assert {country.alpha_3 for country in pycountry.countries} == ALPHA_3
    assert EU_MEMBERS < ALPHA_3


async def test_is_test_makes_nothing(caller: Any, sandbox: Sandbox) -> None:
    """With isTest the answer is a dummy, no account exists, and validation still holds."""
    reply = await caller.create("postcode_eu", isTest=True)
    assert (reply.status, reply.json) == (200, DUMMY)
    assert (await caller.create("postcode_eu", isTest=True, companyName="")).status == 400
    assert sandbox.accounts("postcode_eu") == ()
    assert (sandbox.creates("postcode_eu").attempted, sandbox.creates("postcode_eu").made) == (2, 0)


async def test_is_test_false_makes_one(caller: Any, sandbox: Sandbox) -> None:
    """An isTest of false is the same as none."""
    assert (await caller.create("postcode_eu", isTest=False)).status == 200
    assert sandbox.creates("postcode_eu").made == 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer x",
        "Basic",
        "Basic !!!",
        "Basic /w==",
        f"Basic {base64.b64encode(b'a:b').decode()}",
        "Basic Og==",
    ],
)
async def test_the_key_and_secret_are_checked(caller: Any, header: str) -> None:
    """Anything but a known key with its secret is 401, on both calls."""
    caller.authorisations["postcode_eu"] = {"Authorization": header}
    created = await caller.create("postcode_eu")
    assert created.status == 401
    assert set(created.json) == {"exception", "exceptionId"}
    assert (await caller.get("postcode_eu", INFO)).status == 401


async def test_a_client_is_no_reseller(caller: Any, sandbox: Sandbox) -> None:
    """A client's own key and secret cannot create, and a client's key with another secret is 401."""
    made = (await caller.create("postcode_eu")).json
    caller.authorisations["postcode_eu"] = _basic(made["key"], made["secret"])
    assert (await caller.create("postcode_eu")).status == 403
    caller.authorisations["postcode_eu"] = _basic(made["key"], "wrong")
    assert (await caller.create("postcode_eu")).status == 401
    assert sandbox.creates("postcode_eu").made == 1


async def test_account_info(caller: Any, sandbox: Sandbox) -> None:
    """Account info is of the account whose key is used: the client's, or the reseller's own."""
    own = await caller.get("postcode_eu", INFO)
    made = (await caller.create("postcode_eu")).json
    caller.authorisations["postcode_eu"] = _basic(made["key"], made["secret"])
    info = await caller.get("postcode_eu", INFO)
    assert own.json["name"] == sandbox.provider(PostcodeEu).credentials.company_name
    assert (info.json["name"], info.json["contactEmail"]) == ("Klant B.V.", "contact@example.org")
    assert info.json["subscription"] == {"startDate": "2024-05-17", "limit": 100, "usage": 0}


async def test_form_encoding_is_refused(caller: Any) -> None:
    """The page asks for JSON, so the form encoding of an official client is 400."""
    headers = await caller.authorisation("postcode_eu")
    assert (await caller.send("POST", PATH, headers=headers, data={"companyName": "x"})).status == 400


async def test_there_is_no_list(caller: Any) -> None:
    """Reading the create's path is 405: the vendor has no list and no search."""
    assert (await caller.get("postcode_eu", PATH)).status == 405
    assert (await caller.get("postcode_eu", f"{PATH}/3414456543")).status == 404


def _basic(key: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()}

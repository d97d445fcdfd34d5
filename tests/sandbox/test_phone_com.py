"""Phone.com as its pages describe it."""

from typing import Any

import pytest

from worker.sandbox import PhoneCom, Sandbox

REQUIRED_OF_CONTACT = (
    "name",
    "address__line_1",
    "address__city",
    "address__postal_code",
    "address__country",
    "primary_email",
    "phone",
)
OPTIONAL_OF_CONTACT = ("address__line_2", "alternate_email", "company", "fax")


async def test_the_example_creates_a_sub_account(caller: Any, sandbox: Sandbox) -> None:
    """The page's example, corrected, answers 200 with the page's fields, its e-mail spelling, and the
    username.
    """
    reply = await caller.create("phone_com")
    [account] = sandbox.accounts("phone_com")
    assert reply.status == 200
    assert reply.json["id"] == int(account.id)
    assert (reply.json["name"], reply.json["username"]) == ("Teddy", "teddy")
    assert reply.json["master_account"] == {
        "id": sandbox.provider(PhoneCom).credentials.account_id,
        "name": sandbox.provider(PhoneCom).credentials.account_name,
    }
    assert reply.json["contact"] == {
        "name": "Teddy",
        "company": "Acme, Inc.",
        "address": caller.body("phone_com")["contact"]["address"],
        "phone": "+18585551111",
        "fax": "+18585552222",
        "email_1": "test@phone.com",
        "email_2": "test@gmail.com",
    }
    assert account.fields == caller.body("phone_com")


async def test_the_example_as_printed_is_refused(caller: Any) -> None:
    """Without username and password, and with email_1 in place of primary_email, four things are missing."""
    body = caller.body("phone_com", username=..., password=...)
    for contact in (body["contact"], body["billing_contact"]):
        contact["email_1"] = contact.pop("primary_email")
    reply = await caller.send(
        "POST", caller.path("phone_com"), headers=caller.authorisations["phone_com"], json=body
    )
    names = [field["name"] for field in reply.json["@error"]["fields"]]
    assert reply.status == 422
    assert names == ["username", "password", "contact.primary_email", "billing_contact.primary_email"]


async def test_created_status_can_be_the_swagger_files(caller: Any, sandbox: Sandbox) -> None:
    """Set to 201, the answer is 201."""
    sandbox.provider(PhoneCom).created_status = 201
    assert (await caller.create("phone_com")).status == 201


@pytest.mark.parametrize("contact", ["contact", "billing_contact"])
@pytest.mark.parametrize("place", REQUIRED_OF_CONTACT)
async def test_required_fields_of_a_contact(caller: Any, sandbox: Sandbox, contact: str, place: str) -> None:
    """Each of the seven required fields of either contact is named in the 422 when it is missing."""
    reply = await caller.create("phone_com", **{f"{contact}__{place}": ...})
    assert reply.status == 422
    assert reply.json["@error"]["fields"][0] == {
        "name": f"{contact}.{place.replace('__', '.')}",
        "message": "is required",
    }
    assert sandbox.creates("phone_com").made == 0


@pytest.mark.parametrize("place", OPTIONAL_OF_CONTACT)
async def test_optional_fields_of_a_contact(caller: Any, place: str) -> None:
    """Each optional field may be left out of both contacts."""
    changes = {f"{contact}__{place}": ... for contact in ("contact", "billing_contact")}
    assert (await caller.create("phone_com", **changes)).status == 200


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"username": ...}, "username", "username is required"),
        ({"username": ""}, "username", "an empty username"),
        ({"username": 1}, "username", "a username that is a number"),
        ({"password": ...}, "password", "password is required"),
        ({"password": None}, "password", "null is no string"),
        ({"contact": ...}, "contact.name", "a contact is required"),
        ({"contact": None}, "contact.name", "the page does not allow null"),
        ({"contact__address": "Poway"}, "contact.address.line_1", "an address is an object"),
        ({"contact__address__country": "USA"}, "contact.address.country", "two letters"),
        ({"contact__address__country": "us"}, "contact.address.country", "upper case"),
        ({"contact__address__province": ...}, "contact.address.province", "US needs a province"),
        ({"contact__company": 3}, "contact.company", "a company that is a number"),
        ({"billing_contact__primary_email": "nobody"}, "billing_contact.primary_email", "no at sign"),
    ],
)
async def test_create_validates(
    caller: Any, sandbox: Sandbox, changes: dict[str, Any], field: str, reason: str
) -> None:
    """Each wrong body is 422, names the field, and makes nothing."""
    reply = await caller.create("phone_com", **changes)
    assert reply.status == 422, reason
    assert field in [problem["name"] for problem in reply.json["@error"]["fields"]], reason
    assert sandbox.creates("phone_com").made == 0


async def test_elsewhere_a_province_is_optional(caller: Any) -> None:
    """Only US addresses need a province."""
    changes = {"contact__address__country": "NL", "contact__address__province": ...}
    assert (await caller.create("phone_com", **changes)).status == 200


async def test_a_username_is_taken_once(caller: Any, sandbox: Sandbox) -> None:
    """The second create of one username is 422 and names it; nothing is made."""
    assert (await caller.create("phone_com")).status == 200
    second = await caller.create("phone_com")
    assert second.status == 422
    assert second.json["@error"]["fields"] == [{"name": "username", "message": "is already taken"}]
    assert (sandbox.creates("phone_com").attempted, sandbox.creates("phone_com").made) == (2, 1)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "sandbox"}])
async def test_the_token_is_checked(caller: Any, header: dict[str, str]) -> None:
    """A missing or wrong token is 401 in the envelope, with the time in ISO form."""
    reply = await caller.send("POST", caller.path("phone_com"), headers=header, json=caller.body("phone_com"))
    assert reply.status == 401
    assert reply.json == {
        "@error": {
            "@message": "Invalid or missing access token",
            "@httpStatusCode": 401,
            "@time": "2024-05-17T12:00:00.000Z",
        }
    }


@pytest.mark.parametrize(
    ("account_id", "status"), [("1", 403), ("me", 404), ("9" * 40, 403), ("\u0661", 404)]
)
async def test_the_account_is_checked(caller: Any, account_id: str, status: int) -> None:
    """A foreign account is 403, something that is no number 404."""
    path = f"/v4/accounts/{account_id}/subaccounts"
    headers = await caller.authorisation("phone_com")
    reply = await caller.send("POST", path, headers=headers, json=caller.body("phone_com"))
    assert reply.status == status
    assert (await caller.get("phone_com", path)).status == status


async def test_the_list_filters_by_username(caller: Any) -> None:
    """The filter finds exactly the username asked for, bare or with the operator of older filters."""
    for name in ("ann", "anna", "bob"):
        await caller.create("phone_com", username=name)
    for wanted in ("ann", "eq:ann"):
        found = (
            await caller.get("phone_com", caller.path("phone_com"), **{"filters[username]": wanted})
        ).json
        assert [item["username"] for item in found["items"]] == ["ann"]
        assert found["total"] == 1
    none = (await caller.get("phone_com", caller.path("phone_com"), **{"filters[username]": "carl"})).json
    assert (none["items"], none["total"]) == ([], 0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("ne:ann", ["anna", "bob"]),
        ("lt:anna", ["ann"]),
        ("gt:ann", ["anna", "bob"]),
        ("starts-with:ann", ["ann", "anna"]),
        ("contains:nn", ["ann", "anna"]),
        ("eq:eq:ann", []),
    ],
)
async def test_the_filter_knows_operators(caller: Any, wanted: str, found: list[str]) -> None:
    """The operators of older filters are read off the front of the value."""
    for name in ("ann", "anna", "bob"):
        await caller.create("phone_com", username=name)
    reply = await caller.get("phone_com", caller.path("phone_com"), **{"filters[username]": wanted})
    assert [item["username"] for item in reply.json["items"]] == found


async def test_the_list_may_ignore_filter_and_name(caller: Any, sandbox: Sandbox) -> None:
    """As neither is certain, both can be switched off: everything is listed, without usernames."""
    sandbox.provider(PhoneCom).honours_username_filter = False
    sandbox.provider(PhoneCom).shows_username = False
    for name in ("ann", "bob"):
        await caller.create("phone_com", username=name)
    found = (await caller.get("phone_com", caller.path("phone_com"), **{"filters[username]": "ann"})).json
    assert found["total"] == 2
    assert all("username" not in item for item in found["items"])


async def test_the_list_pages(caller: Any) -> None:
    """Limit and offset cut a page out, total counts all, and the default limit is 25."""
    for number in range(27):
        await caller.create("phone_com", username=f"user{number}")
    first = (await caller.get("phone_com", caller.path("phone_com"))).json
    rest = (await caller.get("phone_com", caller.path("phone_com"), limit="500", offset="25")).json
    assert (len(first["items"]), first["total"], first["limit"], first["offset"]) == (25, 27, 25, 0)
    assert [item["username"] for item in rest["items"]] == ["user25", "user26"]
    newest = (
        await caller.get("phone_com", caller.path("phone_com"), **{"sort[id]": "desc", "limit": "1"})
    ).json
    assert newest["items"][0]["username"] == "user26"


@pytest.mark.parametrize("params", [{"limit": "0"}, {"limit": "501"}, {"limit": "x"}, {"offset": "-1"}])
async def test_the_list_checks_its_page(caller: Any, params: dict[str, str]) -> None:
    """Limits outside 1 to 500 and offsets below 0 are 422."""
    assert (await caller.get("phone_com", caller.path("phone_com"), **params)).status == 422


async def test_one_account_can_be_read(caller: Any, sandbox: Sandbox) -> None:
    """The master account, a sub-account, and 404 for anything else."""
    created = (await caller.create("phone_com")).json
    master = sandbox.provider(PhoneCom).credentials.account_id
    assert (await caller.get("phone_com", f"/v4/accounts/{master}")).json["id"] == master
    assert (await caller.get("phone_com", f"/v4/accounts/{created['id']}")).json == created
    assert (await caller.get("phone_com", "/v4/accounts/1")).status == 404


async def test_the_token_can_be_read(caller: Any, sandbox: Sandbox) -> None:
    """The token's own end point names scope and owner, and is 401 without a token."""
    reply = await caller.get("phone_com", "/v4/oauth/access-token")
    assert reply.json["scope"] == "account-owner"
    assert reply.json["scope_details"][0]["voip_id"] == sandbox.provider(PhoneCom).credentials.account_id
    assert (await caller.send("GET", "/v4/oauth/access-token")).status == 401


async def test_malformed_json_is_400(caller: Any) -> None:
    """What is no JSON object is refused before its fields are."""
    assert (await caller.create_raw("phone_com", b"{")).status == 400
    assert (await caller.create_raw("phone_com", b"[]")).status == 400

"""Phone.com, API v4: create sub-account, the list that finds it again, and two harmless reads.

Path, required set and answer follow the vendor's create-subaccount page; the two-letter country, the province
for US and the error envelope follow its Swagger file, its rate-limit page
(apidocs.phone.com/docs/rate-limits) and its event examples (github.com/phonedotcom/events-integration-doc).
The shape of one entry of `@error.fields`, and that a user name is unique, are guesses.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from worker.sandbox import strict_json
from worker.sandbox.provider import Answer, Call, Operation, Provider, RefusedError, Route, World
from worker.sandbox.state import Account, Book

_FIRST_ACCOUNT_ID = 1_000_000
_LARGEST_PAGE = 500
_CONTACT = {
    "name": True,
    "address.line_1": True,
    "address.line_2": False,
    "address.city": True,
    "address.province": False,
    "address.postal_code": True,
    "address.country": True,
    "primary_email": True,
    "alternate_email": False,
    "company": False,
    "phone": True,
    "fax": False,
}
"""The twelve parameters of either contact and whether they are required (vendor's create-subaccount page)."""

_ADDRESS = ("line_1", "line_2", "city", "province", "postal_code", "country")
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "ne": lambda username, operand: username != operand,
    "lt": lambda username, operand: username < operand,
    "gt": lambda username, operand: username > operand,
    "starts-with": lambda username, operand: username.startswith(operand),
    "contains": lambda username, operand: operand in username,
}
"""Beside `eq:`, what may stand before the value of a filter (the older filters of the Swagger file, which knows
`filters[id]` alone; that `filters[username]` knows them, too, is a guess).
"""

_COUNTRY = re.compile(r"[A-Z]{2}")
_ABSENT = object()

_Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PhoneComCredentials:
    """A permanent access token and the master account (the path's `account_id`) that it owns."""

    token: str = field(default="sandbox-phone-com-token-of-nobody", repr=False)
    account_id: int = 133532
    account_name: str = "Sandbox Master"


class PhoneCom(Provider):
    """Tests may set `created_status` (the page says 200, the Swagger file 201), `honours_username_filter` and
    `shows_username` (neither the filter nor the name in the answer is certain).
    """

    name = "phone_com"
    prefixes = ("/v4/",)
    id_fields = frozenset({"id"})
    secret_fields = frozenset({"password", "cc_token"})
    credentials: PhoneComCredentials = PhoneComCredentials()

    def __init__(self, world: World, book: Book) -> None:
        super().__init__(world, book)
        self.created_status = 200
        self.honours_username_filter = True
        self.shows_username = True
        self._last_id = _FIRST_ACCOUNT_ID + world.numbers.randrange(10**9)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST", "/v4/accounts/{account_id}/subaccounts", Operation.CREATE, self._create),
            Route("GET", "/v4/accounts/{account_id}/subaccounts", Operation.LOOK_UP, self._list),
            Route("GET", "/v4/accounts/{account_id}", Operation.PROBE, self._read),
            Route("GET", "/v4/oauth/access-token", Operation.PROBE, self._read_token),
        )

    def error(self, status: int, message: str, **more: Any) -> Answer:
        time = self.world.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        envelope = {"@message": message, "@httpStatusCode": status, "@time": time, **more}
        return self.answer({"@error": envelope}, status)

    def rate_limited(self, seconds: float) -> Answer:
        """The wait stands in the body; the vendor promises no header (apidocs.phone.com/docs/rate-limits)."""
        limit = {
            "RateLimit-Limit": 30,
            "RateLimit-Remaining": 0,
            "RateLimit-Reset": ceil(self.world.now().timestamp() + seconds),
            "Retry-After": ceil(seconds),
        }
        return self.error(429, "Too many requests", **{"@rateLimit": limit})

    def _create(self, call: Call) -> Answer:
        self._authorise(call)
        self._check_owner(call)
        fields = self._object(call.body)
        self._refuse_problems(list(_problems(fields)))
        username = fields["username"]
        if self.book.taken(username):
            self._refuse_problems([("username", "is already taken")])
        self._last_id += 1
        made = self.keep(call, str(self._last_id), fields, {}, natural_key=username)
        return self.answer(self._view(made), self.created_status, made)

    def _list(self, call: Call) -> Answer:
        self._authorise(call)
        self._check_owner(call)
        limit = self._whole_number(call, "limit", default=25, least=1, most=_LARGEST_PAGE)
        offset = self._whole_number(call, "offset", default=0, least=0, most=2**31)
        wanted = call.query.get("filters[username]")
        accounts = self._matching(wanted)
        descending = call.query.get("sort[id]") == "desc"
        page = (accounts[::-1] if descending else accounts)[offset : offset + limit]
        return self.answer(
            {
                "filters": {} if wanted is None else {"username": wanted},
                "sort": {"id": "desc" if descending else "asc"},
                "total": len(accounts),
                "offset": offset,
                "limit": limit,
                "items": [self._view(account) for account in page],
            }
        )

    def _read(self, call: Call) -> Answer:
        self._authorise(call)
        account_id = call.arguments["account_id"]
        if account_id == str(self.credentials.account_id):
            return self.answer({"id": self.credentials.account_id, "name": self.credentials.account_name})
        account = self.book.find(account_id)
        if account is None:
            raise RefusedError(self.error(404, "Not found"))
        return self.answer(self._view(account))

    def _read_token(self, call: Call) -> Answer:
        self._authorise(call)
        detail = {"scope": "account-owner", "voip_id": self.credentials.account_id}
        return self.answer({"scope": "account-owner", "expires_at": None, "scope_details": [detail]})

    def _authorise(self, call: Call) -> None:
        if call.headers.get("Authorization") != f"Bearer {self.credentials.token}":
            raise RefusedError(self.error(401, "Invalid or missing access token"))

    def _check_owner(self, call: Call) -> None:
        account_id = call.arguments["account_id"]
        if not (account_id.isascii() and account_id.isdigit()):
            raise RefusedError(self.error(404, "Not found"))
        if int(account_id[:20]) != self.credentials.account_id:
            raise RefusedError(self.error(403, "The token has no access to this account"))

    def _object(self, body: bytes) -> dict[str, Any]:
        try:
            fields = strict_json.parse(body)
        except ValueError:
            raise RefusedError(self.error(400, "Malformed JSON")) from None
        if not isinstance(fields, dict):
            raise RefusedError(self.error(400, "The body must be a JSON object"))
        return fields

    def _refuse_problems(self, problems: list[_Problem]) -> None:
        if problems:
            fields = [{"name": name, "message": message} for name, message in problems]
            first = f"{problems[0][0]} {problems[0][1]}"
            raise RefusedError(self.error(422, f"Validation failed: {first}", fields=fields))

    def _whole_number(self, call: Call, name: str, *, default: int, least: int, most: int) -> int:
        text = call.query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and least <= int(text[:12]) <= most):
            self._refuse_problems([(name, f"must be a whole number from {least} to {most}")])
        return int(text)

    def _matching(self, wanted: str | None) -> list[Account]:
        if wanted is None or not self.honours_username_filter:
            return self.book.shown()
        operator, colon, operand = wanted.partition(":")
        if colon and operator in _OPERATORS:
            matches = _OPERATORS[operator]
            return [one for one in self.book.shown() if matches(one.fields["username"], operand)]
        account = self.book.find_by(wanted.removeprefix("eq:"))
        return [] if account is None else [account]

    def _view(self, account: Account) -> dict[str, Any]:
        """The answer's shape is the page's sample, e-mail spelling included; `username` is the Swagger
        file's.
        """
        fields = account.fields
        view = {
            "id": int(account.id),
            "name": fields["contact"]["name"],
            "username": fields["username"],
            "master_account": {"id": self.credentials.account_id, "name": self.credentials.account_name},
            "contact": _contact_view(fields["contact"]),
            "billing_contact": _contact_view(fields["billing_contact"]),
        }
        if not self.shows_username:
            del view["username"]
        return view


def _problems(fields: dict[str, Any]) -> Iterator[_Problem]:
    yield from _text_problems(fields, "username", required=True)
    yield from _text_problems(fields, "password", required=True)
    for contact in ("contact", "billing_contact"):
        yield from _contact_problems(fields, contact)


def _contact_problems(fields: dict[str, Any], contact: str) -> Iterator[_Problem]:
    for name, required in _CONTACT.items():
        yield from _text_problems(fields, f"{contact}.{name}", required=required)
    country = _text_at(fields, f"{contact}.address.country")
    if country and _COUNTRY.fullmatch(country) is None:
        yield f"{contact}.address.country", "must be a two-letter country code"
    if country == "US" and not _text_at(fields, f"{contact}.address.province"):
        yield f"{contact}.address.province", "is required for US"
    email = _text_at(fields, f"{contact}.primary_email")
    if email and not 0 < email.find("@") < len(email) - 1:
        yield f"{contact}.primary_email", "must be an e-mail address"


def _text_problems(fields: dict[str, Any], path: str, *, required: bool) -> Iterator[_Problem]:
    value = _at(fields, path)
    if value is _ABSENT:
        if required:
            yield path, "is required"
    elif not isinstance(value, str):
        yield path, "must be a string"
    elif required and not value.strip():
        yield path, "must not be empty"


def _text_at(fields: dict[str, Any], path: str) -> str:
    value = _at(fields, path)
    return value if isinstance(value, str) else ""


def _at(fields: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(fields, dict) or name not in fields:
            return _ABSENT
        fields = fields[name]
    return fields


def _contact_view(contact: dict[str, Any]) -> dict[str, Any]:
    address = contact["address"]
    return {
        "name": contact["name"],
        "company": contact.get("company"),
        "address": {name: address.get(name) for name in _ADDRESS},
        "phone": contact["phone"],
        "fax": contact.get("fax"),
        "email_1": contact["primary_email"],
        "email_2": contact.get("alternate_email"),
    }

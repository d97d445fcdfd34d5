"""Postcode.eu, reseller API v1: createClientAccount, and the one read that any account has, of itself.

Parameters, the VAT rule, the six amounts, `isTest` and the answer follow the vendor's createClientAccount
page; `invoiceContactName` its newer copy; account info its Account.getInfo page. Error bodies are those of
the vendor's sister APIs (`exception`, `exceptionId`); the ids for this call are not documented. There is no
list and no search, because the vendor has none.
"""

import base64
import binascii
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox import strict_json
from worker.sandbox.countries import ALPHA_3, EU_MEMBERS
from worker.sandbox.provider import Answer, Call, Operation, Provider, RefusedError, Route, World
from worker.sandbox.state import Account, Book

AMOUNTS = (0, 50, 100, 250, 500, 1000)
DUMMY = {"accountId": "0", "key": "test-key-of-no-account", "secret": "test-secret-of-no-account"}
"""What `isTest` answers; the vendor does not describe its dummy."""

_ALPHANUMERIC = string.ascii_letters + string.digits
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_FIRST_ACCOUNT_ID = 3_000_000_000
"""The sample's id, 3414456543, does not fit 31 bits; so none here does."""

_AUTHENTICATION_FAILED = "PostcodeNl_Controller_Plugin_HttpBasicAuthentication_PasswordNotCorrectException"
_NOT_AUTHORISED = "PostcodeNl_Controller_Plugin_HttpBasicAuthentication_NotAuthorizedException"
_INVALID_PARAMETER = "React_Controller_Action_InvalidParameterException"
_EXCEPTION_IDS = {400: _INVALID_PARAMETER, 401: _AUTHENTICATION_FAILED, 403: _NOT_AUTHORISED}


@dataclass(frozen=True, slots=True)
class PostcodeEuCredentials:
    """The reseller's key and secret, the two halves of HTTP Basic."""

    key: str = field(default="sandboxPostcodeEuKeyOfNobody000000000000000", repr=False)
    secret: str = field(default="sandboxPostcodeEuSecretOfNobody0000000000000000000", repr=False)
    company_name: str = "Sandbox Reseller B.V."


class PostcodeEu(Provider):
    """Tests may set `account_id_is_text`: the page's sample has a string, its table an int."""

    name = "postcode_eu"
    prefixes = ("/reseller/v1/", "/account/v1/")
    id_fields = frozenset({"accountId"})
    secret_fields = frozenset({"key", "secret"})
    credentials: PostcodeEuCredentials = PostcodeEuCredentials()
    content_type = "application/json; charset=utf-8"

    def __init__(self, world: World, book: Book) -> None:
        super().__init__(world, book)
        self.account_id_is_text = True
        self._last_id = _FIRST_ACCOUNT_ID + world.numbers.randrange(10**9)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST", "/reseller/v1/client", Operation.CREATE, self._create),
            Route("GET", "/account/v1/info", Operation.PROBE, self._info),
        )

    def error(self, status: int, message: str) -> Answer:
        exception_id = _EXCEPTION_IDS.get(status, f"Sandbox_Http{status}Exception")
        return self.answer({"exception": message, "exceptionId": exception_id}, status)

    def _create(self, call: Call) -> Answer:
        if self._account_of_key(call) is not None:
            raise RefusedError(self.error(403, "This method is only available to reseller accounts."))
        fields = self._parameters(call)
        for name, (is_valid, rule) in _RULES.items():
            if not is_valid(fields.get(name, _ABSENT)):
                raise RefusedError(self.error(400, f"Invalid parameter `{name}`: {rule}."))
        self._check_vat_number(fields)
        if fields.get("isTest", False):
            return self.answer(DUMMY)
        made = self._new_account(call, fields)
        account_id = made.id if self.account_id_is_text else int(made.id)
        return self.answer({"accountId": account_id, **made.issued}, made=made)

    def _info(self, call: Call) -> Answer:
        account = self._account_of_key(call)
        if account is None:
            return self.answer(
                _info_view(self.credentials.company_name, "reseller@example.org", "2020-01-01", 0)
            )
        return self.answer(
            _info_view(
                account.fields["companyName"],
                account.fields["contactEmail"],
                account.created_at.date().isoformat(),
                account.fields["subscriptionAmount"],
            )
        )

    def _account_of_key(self, call: Call) -> Account | None:
        """The client account whose key and secret the call bears; None for the reseller's own."""
        key, secret = _basic(call.headers.get("Authorization", ""))
        if (key, secret) == (self.credentials.key, self.credentials.secret):
            return None
        account = self.book.find_by(key)
        if account is None or account.issued["secret"] != secret:
            raise RefusedError(self.error(401, "The key or the secret is not correct."))
        return account

    def _parameters(self, call: Call) -> dict[str, Any]:
        if call.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(self.error(400, "The Content-Type must be application/json."))
        try:
            fields = strict_json.parse(call.body)
        except ValueError:
            raise RefusedError(self.error(400, "The request body is not valid JSON.")) from None
        if not isinstance(fields, dict):
            raise RefusedError(self.error(400, "The request body is not a JSON object."))
        return fields

    def _check_vat_number(self, fields: Mapping[str, Any]) -> None:
        if fields["countryIso"] in EU_MEMBERS - {"NLD"} and not fields["vatNumber"].strip():
            raise RefusedError(self.error(400, "Invalid parameter `vatNumber`: required for this country."))

    def _new_account(self, call: Call, fields: dict[str, Any]) -> Account:
        issued = {"key": self._text(43), "secret": self._text(50)}
        self._last_id += 1
        return self.keep(call, str(self._last_id), fields, issued, natural_key=issued["key"])

    def _text(self, length: int) -> str:
        return "".join(self.world.numbers.choices(_ALPHANUMERIC, k=length))


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        key, _, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return key, secret


def _info_view(name: str, email: str, start_date: str, amount: int) -> dict[str, Any]:
    return {
        "name": name,
        "hasAccess": True,
        "countries": ["NLD"],
        "adminEmail": email,
        "contactEmail": email,
        "subscription": {"startDate": start_date, "limit": amount, "usage": 0},
    }


_ABSENT = object()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_email(value: Any) -> bool:
    return isinstance(value, str) and _EMAIL.fullmatch(value) is not None


def _is_country(value: Any) -> bool:
    return isinstance(value, str) and value in ALPHA_3


def _is_amount(value: Any) -> bool:
    return type(value) is int and value in AMOUNTS


def _is_list_of_urls(value: Any) -> bool:
    return isinstance(value, list) and all(_is_filled(url) for url in value)


def _is_optional_text(value: Any) -> bool:
    return value is _ABSENT or isinstance(value, str)


def _is_optional_boolean(value: Any) -> bool:
    return value is _ABSENT or isinstance(value, bool)


_FILLED = (_is_filled, "a string that is not empty")
_TEXT = (_is_text, "a string, which may be empty")
_COUNTRY = (_is_country, "an ISO 3166-1 alpha-3 code")
_ADDRESS = (_is_email, "an e-mail address")

_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "companyName": _FILLED,
    "countryIso": _COUNTRY,
    "vatNumber": _TEXT,
    "contactEmail": _ADDRESS,
    "subscriptionAmount": (_is_amount, "one of 0, 50, 100, 250, 500, 1000"),
    "siteUrls": (_is_list_of_urls, "an array of URLs, which may be empty"),
    "invoiceEmail": _ADDRESS,
    "invoiceReference": (_is_optional_text, "a string"),
    "invoiceAddressLine1": _FILLED,
    "invoiceAddressLine2": _TEXT,
    "invoiceAddressPostalCode": _FILLED,
    "invoiceAddressLocality": _FILLED,
    "invoiceAddressRegion": _TEXT,
    "invoiceAddressCountryIso": _COUNTRY,
    "invoiceContactName": (_is_optional_text, "a string"),
    "isTest": (_is_optional_boolean, "a boolean"),
}
"""Each parameter's rule. What the page calls optional may be absent; what "may be empty" must be there."""

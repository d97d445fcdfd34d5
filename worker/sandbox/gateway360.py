"""Gateway360, API 3.0: sub-accounts. Every call is a POST whose JSON body carries the parent's `api_key`.

Create, its answer and its seven error ids follow the vendor's create-subaccount page; get-balance and delete
follow the pages of the same back end at app.smsup.es and panel.smspubli.com; get-info is known by its name
and parameter only, so its answer and its error for an unknown user (`unknown_user_error`) are guesses. The
page lost its marks of what is optional; as an empty password is generated, `password` is taken to be the
optional one.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox import strict_json
from worker.sandbox.provider import Answer, Call, Operation, Provider, RefusedError, Route, World
from worker.sandbox.state import Account, Book

LANGUAGES = frozenset({"ca", "de", "en", "es", "fr", "it", "pt"})
"""The vendor lists none; only `es` stands in its sample."""

_ERRORS = {
    "INVALID_CONTENT_TYPE": (400, "The content type must be: Content-Type: application/json"),
    "JSON_PARSE_ERROR": (400, "Your JSON was formatted incorrectly."),
    "MISSING_PARAMS": (400, "Your request is incomplete and missing some mandatory parameters."),
    "UNAUTHORIZED": (401, "Your API key may be invalid or your IP is blocked."),
    "INVALID_NAME": (400, "You can't keep a sub-account with that username."),
    "INVALID_EMAIL": (400, "The new email has an incorrect format."),
    "INVALID_LANGUAGE": (400, "Language not supported."),
}
"""Error id to status and text. Statuses of the four ids that the page shows are its own, the others
presumed.
"""

_ERROR_ID_OF_STATUS = {401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 429: "TOO_MANY_REQUESTS"}
_MANDATORY = ("user_name", "email", "name", "surname", "language")
_USER_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,255}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class Gateway360Credentials:
    """The parent account's API key, 32 hexadecimal digits as in the vendor's sample."""

    api_key: str = field(default="5a4db0c55a4db0c55a4db0c55a4db0c5", repr=False)


class Gateway360(Provider):
    """Tests may set `unknown_user_error`, the id that get-info, get-balance and delete give for an unknown
    user.
    """

    name = "gateway360"
    prefixes = ("/api/3.0/",)
    id_fields = frozenset({"user_name"})
    secret_fields = frozenset({"password", "api_key"})
    credentials: Gateway360Credentials = Gateway360Credentials()

    def __init__(self, world: World, book: Book) -> None:
        super().__init__(world, book)
        self.unknown_user_error = "INVALID_NAME"

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST", "/api/3.0/subaccount/create", Operation.CREATE, self._create),
            Route("POST", "/api/3.0/subaccount/get-info", Operation.LOOK_UP, self._get_info),
            Route("POST", "/api/3.0/subaccount/get-balance", Operation.PROBE, self._get_balance),
            Route("POST", "/api/3.0/subaccount/delete", Operation.DELETE, self._delete),
        )

    def error(self, status: int, message: str) -> Answer:
        return self._failure(status, _ERROR_ID_OF_STATUS.get(status, "INTERNAL_ERROR"), message)

    def _create(self, call: Call) -> Answer:
        fields = self._parameters(call)
        self._check_present(fields)
        user_name = self._new_user_name(fields["user_name"])
        if not _matches(_EMAIL, fields["email"]):
            raise self._refused("INVALID_EMAIL")
        if not isinstance(fields["language"], str) or fields["language"] not in LANGUAGES:
            raise self._refused("INVALID_LANGUAGE")
        issued = {
            "user_name": user_name,
            "password": fields.get("password") or self._hexadecimal(64),
            "api_key": self._hexadecimal(128),
        }
        made = self.keep(call, user_name, fields, issued, natural_key=user_name.lower())
        return self.answer({"status": "ok", "result": issued}, made=made)

    def _get_info(self, call: Call) -> Answer:
        account = self._existing(self._parameters(call))
        info = {
            "user_name": account.id,
            "email": account.fields["email"],
            "balance": "0.00",
            "currency": "EUR",
        }
        return self.answer({"status": "ok", "result": info})

    def _get_balance(self, call: Call) -> Answer:
        self._existing(self._parameters(call))
        return self.answer({"status": "ok", "result": {"balance": "0.00", "currency": "EUR"}})

    def _delete(self, call: Call) -> Answer:
        account = self._existing(self._parameters(call))
        self.book.remove(account.id)
        return self.answer({"status": "ok", "result": {"user_name": account.id}})

    def _parameters(self, call: Call) -> dict[str, Any]:
        if call.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise self._refused("INVALID_CONTENT_TYPE")
        try:
            fields = strict_json.parse(call.body)
        except ValueError:
            raise self._refused("JSON_PARSE_ERROR") from None
        if not isinstance(fields, dict):
            raise self._refused("JSON_PARSE_ERROR")
        if "api_key" not in fields:
            raise self._refused("MISSING_PARAMS")
        if fields["api_key"] != self.credentials.api_key:
            raise self._refused("UNAUTHORIZED")
        return fields

    def _check_present(self, fields: dict[str, Any]) -> None:
        missing = [name for name in _MANDATORY if fields.get(name) in (None, "")]
        untyped = [name for name in ("name", "surname") if not isinstance(fields.get(name), str)]
        if missing or untyped or not isinstance(fields.get("password", ""), str):
            raise self._refused("MISSING_PARAMS")

    def _new_user_name(self, user_name: Any) -> str:
        """One error id stands for both malformed and taken, as on the page."""
        if not _matches(_USER_NAME, user_name) or self.book.taken(user_name.lower()):
            raise self._refused("INVALID_NAME")
        return str(user_name)

    def _existing(self, fields: dict[str, Any]) -> Account:
        if "user_name" not in fields:
            raise self._refused("MISSING_PARAMS")
        account = self.book.find_by(str(fields["user_name"]).lower())
        if account is None:
            raise self._refused(self.unknown_user_error)
        return account

    def _refused(self, error_id: str) -> RefusedError:
        status, message = _ERRORS.get(error_id, (400, "The request was not processed."))
        return RefusedError(self._failure(status, error_id, message))

    def _failure(self, status: int, error_id: str, message: str) -> Answer:
        return self.answer({"status": "error", "error_id": error_id, "error_msg": message}, status)

    def _hexadecimal(self, bits: int) -> str:
        return f"{self.world.numbers.getrandbits(bits):0{bits // 4}x}"


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None

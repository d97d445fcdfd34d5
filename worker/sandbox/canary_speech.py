"""Canary Speech, REST v3: tokens, create-associate, and the two reads beside it.

Create and its fields follow the vendor's create-associate page; tokens, scopes and reads follow
docs.canaryspeech.com (`/rest/v3/auth/tokens/...`, `/rest/v3/reseller/client/...`). The vendor documents no
error body: the shape here, and the status of each refusal beyond HTTP's own meaning, are guesses. Names are
not unique, as nothing says they are.
"""

import re
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import responses
from typing import Any

from worker.sandbox import json_web_token, strict_json
from worker.sandbox.provider import Answer, Call, Operation, Provider, RefusedError, Route, World
from worker.sandbox.state import Account, Book

RESELLER_SCOPE = "scope:reseller"
CREATE_SCOPE = "scope:reseller.createassociate"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CONTACT_FIELDS = ("email", "phoneNumber")


@dataclass(frozen=True, slots=True)
class CanarySpeechCredentials:
    """An API key (short client code, colon, base64-like secret: vendor's v3 overview) and the client it
    belongs to.
    """

    api_key: str = field(default="SBX1:c2FuZGJveC1rZXktb2Ytbm9ib2R5LWF0LWFsbA==", repr=False)
    client_id: str = "5a4db0c5-0000-4000-8000-000000000001"
    client_name: str = "Sandbox Reseller"


class CanarySpeech(Provider):
    """Tests may set `token_lifetime`, `refresh_lifetime` and `scopes`; the next tokens follow them."""

    name = "canary_speech"
    prefixes = ("/v3/",)
    id_fields = frozenset({"id"})
    secret_fields = frozenset[str]()
    credentials: CanarySpeechCredentials = CanarySpeechCredentials()

    def __init__(self, world: World, book: Book) -> None:
        super().__init__(world, book)
        self.token_lifetime = timedelta(hours=1)
        self.refresh_lifetime = timedelta(days=7)
        self.scopes: tuple[str, ...] = (RESELLER_SCOPE, CREATE_SCOPE)
        self._key = b""
        self.revoke_tokens()

    def revoke_tokens(self) -> None:
        """Makes every token issued so far worthless, refresh tokens included."""
        self._key = self.world.numbers.randbytes(32)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST", "/v3/auth/tokens/get", Operation.TOKEN, self._get_tokens),
            Route("POST", "/v3/auth/tokens/refresh", Operation.TOKEN, self._refresh_tokens),
            Route("POST", "/v3/reseller/client/create-associate", Operation.CREATE, self._create),
            Route("GET", "/v3/reseller/client/list-associates", Operation.LOOK_UP, self._list),
            Route("GET", "/v3/reseller/client", Operation.PROBE, self._read),
        )

    def error(self, status: int, message: str) -> Answer:
        phrase = responses.get(status, "Unknown")
        return self.answer({"statusCode": status, "error": phrase, "message": message}, status)

    def _get_tokens(self, call: Call) -> Answer:
        if call.headers.get("Csc-Api-Key") != self.credentials.api_key:
            raise RefusedError(self.error(401, "The API key is missing or unknown."))
        if call.body.strip():
            self._object(call.body)
        identities = {"clientId": self.credentials.client_id, "projectId": "*", "subjectId": "*"}
        return self.answer({**self._tokens(), "identityIds": identities})

    def _refresh_tokens(self, call: Call) -> Answer:
        self._claims(call.headers.get("Csc-Refresh-Token", ""), kind="refresh")
        return self.answer(self._tokens())

    def _create(self, call: Call) -> Answer:
        self._authorise(call, RESELLER_SCOPE, CREATE_SCOPE)
        fields = self._object(call.body)
        parent_id = self._parent_id(fields.get("parentId", self.credentials.client_id))
        self._check_name(fields.get("name"))
        self._check_contact(fields.get("contact", {}))
        associate_id = self._new_uuid()
        made = self.keep(call, associate_id, fields, {"parentId": parent_id})
        return self.answer({"id": associate_id}, made=made)

    def _list(self, call: Call) -> Answer:
        self._authorise(call, RESELLER_SCOPE)
        parent_id = self._parent_id(call.query.get("parentId", self.credentials.client_id))
        children = [account for account in self.book.shown() if account.issued["parentId"] == parent_id]
        return self.answer({"associates": [_associate(account) for account in children]})

    def _read(self, call: Call) -> Answer:
        self._authorise(call, RESELLER_SCOPE)
        client_id = call.query.get("clientId", self.credentials.client_id).lower()
        if client_id == self.credentials.client_id:
            return self.answer({"name": self.credentials.client_name, "contact": {}})
        account = self.book.find(client_id)
        if account is None:
            raise RefusedError(self.error(404, "There is no client with this id."))
        return self.answer({"name": account.fields["name"], "contact": account.fields.get("contact", {})})

    def _tokens(self) -> dict[str, str]:
        return {
            "accessToken": self._token("access", self.token_lifetime),
            "refreshToken": self._token("refresh", self.refresh_lifetime),
        }

    def _token(self, kind: str, lifetime: timedelta) -> str:
        issued = self.world.now()
        claims = {
            "sub": self.credentials.client_id,
            "iat": int(issued.timestamp()),
            "exp": int((issued + lifetime).timestamp()),
            "jti": self._new_uuid(),
            "kind": kind,
            "scopes": list(self.scopes),
        }
        return json_web_token.sign(claims, self._key)

    def _authorise(self, call: Call, *scopes: str) -> None:
        scheme, _, token = call.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise RefusedError(self.error(401, "A bearer token is required."))
        missing = set(scopes) - set(self._claims(token.strip(), kind="access")["scopes"])
        if missing:
            raise RefusedError(self.error(403, f"The token lacks {', '.join(sorted(missing))}."))

    def _claims(self, token: str, kind: str) -> dict[str, Any]:
        try:
            claims = json_web_token.verify(token, self._key)
        except ValueError:
            raise RefusedError(self.error(401, "The token is not valid.")) from None
        if claims["kind"] != kind:
            raise RefusedError(self.error(401, f"This is not a token for {kind}."))
        if claims["exp"] <= self.world.now().timestamp():
            raise RefusedError(self.error(401, "The token has expired."))
        return claims

    def _object(self, body: bytes) -> dict[str, Any]:
        try:
            fields = strict_json.parse(body)
        except ValueError:
            raise RefusedError(self.error(400, "The body is not JSON.")) from None
        if not isinstance(fields, dict):
            raise RefusedError(self.error(400, "The body is not a JSON object."))
        return fields

    def _parent_id(self, given: Any) -> str:
        if not isinstance(given, str) or _UUID.fullmatch(given) is None:
            raise RefusedError(self.error(400, "parentId is not a UUID."))
        parent_id = given.lower()
        if parent_id != self.credentials.client_id and self.book.find(parent_id) is None:
            raise RefusedError(self.error(404, "There is no client with the id given as parentId."))
        return parent_id

    def _check_name(self, name: Any) -> None:
        if not isinstance(name, str) or not name.strip():
            raise RefusedError(self.error(400, "name is required and is a string."))

    def _check_contact(self, contact: Any) -> None:
        if not isinstance(contact, dict):
            raise RefusedError(self.error(400, "contact is an object."))
        for name in _CONTACT_FIELDS:
            if not isinstance(contact.get(name, ""), str):
                raise RefusedError(self.error(400, f"contact.{name} is a string."))

    def _new_uuid(self) -> str:
        return str(uuid.UUID(int=self.world.numbers.getrandbits(128), version=4))


def _associate(account: Account) -> dict[str, Any]:
    contact = account.fields.get("contact", {})
    return {
        "id": account.id,
        "name": account.fields["name"],
        "isReseller": False,
        "contact": {field: contact[field] for field in _CONTACT_FIELDS if field in contact},
        "dateCreated": account.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }

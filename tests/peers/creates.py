"""The create of each provider, from the vendors' documents, for whatever HTTP client a peer sends it with.

Paths, fields and answers follow canary_speech_create_associate.txt, phone_com_create_subaccount.txt,
gateway360_create_subaccount.txt and postcode_eu_create_client_account.txt. None of the four pages names an idempotency
key, so none is sent.
"""

import base64
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.peers.settings import ProviderSettings

TOKEN_NEEDED = frozenset({"canary_speech"})
"""Providers whose create needs a token that is got by a call of its own, first."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST with a JSON body."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)


class ProviderBusy(Exception):
    """A status that everybody tries again: 408, 429, 5xx."""


class TokenStale(ProviderBusy):
    """401 where the token may have expired: worth another try with a new one."""


class ProviderRefused(Exception):
    """Any other 4xx: another try would be refused too."""


def create_request(
    provider: str, settings: ProviderSettings, parameters: Mapping[str, Any], token: str = ""
) -> HttpRequest:
    """What opens an account.

    Raises:
        KeyError: there is no such provider, or a credential is not set.
    """
    return _CREATES[provider](settings, parameters, token)


def token_request(settings: ProviderSettings) -> HttpRequest:
    """What gets a token of Canary Speech."""
    return HttpRequest(
        f"{settings.base_url}/v3/auth/tokens/get", {"Csc-Api-Key": settings.credentials["api_key"]}, {}
    )


def read_token(status: int, body: bytes) -> str:
    """The token in the answer.

    Raises:
        ProviderBusy: try again.
        ProviderRefused: the API key is refused.
    """
    _check(status)
    return str(json.loads(body)["accessToken"])


def read_account_id(provider: str, status: int, body: bytes) -> str:
    """The id of the account that was opened.

    Raises:
        ProviderBusy: try again.
        ProviderRefused: nothing was opened, the provider says.
        ValueError: the answer cannot be read.
        KeyError: the answer names no account.
    """
    if status == 401 and provider in TOKEN_NEEDED:
        raise TokenStale("status 401")
    _check(status)
    return str(_ACCOUNT_IDS[provider](json.loads(body)))


def _check(status: int) -> None:
    if status >= 500 or status in {408, 429}:
        raise ProviderBusy(f"status {status}")
    if status >= 400:
        raise ProviderRefused(f"status {status}")


def _canary_speech(settings: ProviderSettings, parameters: Mapping[str, Any], token: str) -> HttpRequest:
    return HttpRequest(
        f"{settings.base_url}/v3/reseller/client/create-associate",
        {"Authorization": f"Bearer {token}"},
        _camel_case(parameters),
    )


def _phone_com(settings: ProviderSettings, parameters: Mapping[str, Any], _token: str) -> HttpRequest:
    return HttpRequest(
        f"{settings.base_url}/v4/accounts/{settings.credentials['account_id']}/subaccounts",
        {"Authorization": f"Bearer {settings.credentials['token']}"},
        {"password": _password(), **parameters},
    )


def _gateway360(settings: ProviderSettings, parameters: Mapping[str, Any], _token: str) -> HttpRequest:
    return HttpRequest(
        f"{settings.base_url}/api/3.0/subaccount/create",
        {"Accept": "application/json"},
        {"api_key": settings.credentials["api_key"], "password": _password(), **parameters},
    )


def _postcode_eu(settings: ProviderSettings, parameters: Mapping[str, Any], _token: str) -> HttpRequest:
    pair = f"{settings.credentials['key']}:{settings.credentials['secret']}"
    return HttpRequest(
        f"{settings.base_url}/reseller/v1/client",
        {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"},
        {**_SENT_EMPTY, **_camel_case(parameters)},
    )


_CREATES: Mapping[str, Callable[[ProviderSettings, Mapping[str, Any], str], HttpRequest]] = {
    "canary_speech": _canary_speech,
    "phone_com": _phone_com,
    "gateway360": _gateway360,
    "postcode_eu": _postcode_eu,
}
_ACCOUNT_IDS: Mapping[str, Callable[[Any], Any]] = {
    "canary_speech": lambda answer: answer["id"],
    "phone_com": lambda answer: answer["id"],
    "gateway360": lambda answer: answer["result"]["user_name"],
    "postcode_eu": lambda answer: answer["accountId"],
}
_SENT_EMPTY = {
    "vatNumber": "",
    "invoiceReference": "",
    "invoiceAddressLine2": "",
    "invoiceAddressRegion": "",
    "siteUrls": [],
}


def _camel_case(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {
        re.sub(r"_(\w)", lambda found: found[1].upper(), name): _camel_case(inner)
        for name, inner in value.items()
    }


def _password() -> str:
    return secrets.token_urlsafe(24)

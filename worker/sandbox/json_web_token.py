"""JSON Web Tokens signed with HS256 (RFC 7519), the kind that Canary Speech's access tokens are."""

import base64
import hashlib
import hmac
from typing import Any

from worker.sandbox import strict_json

_HEADER = {"alg": "HS256", "typ": "JWT"}


def sign(claims: dict[str, Any], key: bytes) -> str:
    """Makes the compact form: header, claims, signature."""
    signed = f"{_encode(strict_json.render(_HEADER))}.{_encode(strict_json.render(claims))}"
    return f"{signed}.{_signature(signed, key)}"


def verify(token: str, key: bytes) -> dict[str, Any]:
    """Gives the claims of a token that this key signed. Whether it has expired is the caller's to ask.

    Raises:
        ValueError: The token is malformed, or another key or nobody signed it.
    """
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(signed, key).encode()):
        raise ValueError("the signature does not fit")
    claims: dict[str, Any] = strict_json.parse(_decode(signed.partition(".")[2]))
    return claims


def _signature(signed: str, key: bytes) -> str:
    return _encode(hmac.new(key, signed.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

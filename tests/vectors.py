"""Test vectors of credentials: `python -m tests.vectors` makes those that are missing or out of date.

Each is a throw-away private key, a JWE for it and what is inside, so that a consumer in any language can try its
decryption. A fresh key and JWE differ every time, so what still holds is left alone.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey, OKPKey, RSAKey

import contracts
from contracts.credentials import TEST_VECTOR_KID
from contracts.examples import sealed_content
from contracts.model import secret_paths
from contracts.providers import ProviderContract, discover

FOLDER = Path(contracts.__file__).parent / "examples/credentials"
WARNING = (
    "TEST VECTOR. The private key is published, so it protects nothing: never configure it and never encrypt anything "
    "real under it. The worker refuses keys whose kid begins so."
)
KINDS = ("P-256", "X25519", "RSA")
"""In turns, so that each of the algorithms is among the vectors."""

_BEGAN, _ENDED = (int(datetime(2026, 1, day, tzinfo=UTC).timestamp()) for day in (1, 2))


def make(provider: ProviderContract, kind: str) -> dict[str, Any]:
    """A vector under a new key, which ended long ago."""
    key, algorithm = _new_key(kind)
    kid = f"{TEST_VECTOR_KID}{kind.lower()}-{provider.NAME}"
    about = {"kid": kid, "use": "enc", "alg": algorithm, "iat": _BEGAN, "exp": _ENDED}
    content = sealed_content(provider)
    header = {"alg": algorithm, "enc": "A256GCM", "kid": kid}
    return {
        "warning": WARNING,
        "private_key": {**key.as_dict(private=True), **about},
        "jwe": jwe.encrypt_compact(
            header, json.dumps(content).encode(), key, algorithms=list(header.values())[:2]
        ),
        "plain_text": content,
    }


def _new_key(kind: str) -> tuple[ECKey | OKPKey | RSAKey, str]:
    match kind:
        case "P-256":
            return ECKey.generate_key("P-256"), "ECDH-ES+A256KW"
        case "X25519":
            return OKPKey.generate_key("X25519"), "ECDH-ES+A256KW"
        case _:
            return RSAKey.generate_key(2048), "RSA-OAEP-256"


def with_secrets() -> Mapping[str, ProviderContract]:
    """The providers that hand over credentials."""
    return {name: each for name, each in discover().items() if secret_paths(each.Credentials)}


def holds(provider: ProviderContract) -> bool:
    """Whether the provider's vector is there and about its golden event as it is now."""
    file = FOLDER / f"{provider.NAME}.json"
    return file.exists() and json.loads(file.read_text(encoding="utf-8"))["plain_text"] == sealed_content(
        provider
    )


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for place, each in enumerate(with_secrets().values()):
        if not holds(each):
            text = json.dumps(make(each, KINDS[place % len(KINDS)]), indent=2) + "\n"
            (FOLDER / f"{each.NAME}.json").write_text(text, encoding="utf-8")

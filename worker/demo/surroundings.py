"""Settings for a worker that works against the sandbox, as the environment of its process."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker.keyring import new_consumer_key
from worker.sandbox.credentials import Credentials

CREDENTIALS = Credentials()

HURRIED: Mapping[str, str] = {
    "CONNECT_TIMEOUT": "0.5",
    "ANSWER_WITHIN": "1",
    "LISTEN_FOR": "2",
    "SETTLE": "3",
    "LOOK_UP_SCHEDULE": "[0.4, 0.8, 0.8]",
    "RATE": "200",
}
"""Provider settings for a show: the same rules as in earnest, with waits that a spectator has time for."""


def provider_settings(base_url: str, pace: Mapping[str, str] | None = None) -> dict[str, str]:
    """The four providers at the sandbox, with its well-known credentials."""
    own: Mapping[str, Mapping[str, str]] = {
        "CANARY_SPEECH": {"API_KEY": CREDENTIALS.canary_speech.api_key},
        "PHONE_COM": {
            "TOKEN": CREDENTIALS.phone_com.token,
            "ACCOUNT_ID": str(CREDENTIALS.phone_com.account_id),
        },
        "GATEWAY360": {"API_KEY": CREDENTIALS.gateway360.api_key},
        "POSTCODE_EU": {"KEY": CREDENTIALS.postcode_eu.key, "SECRET": CREDENTIALS.postcode_eu.secret},
    }
    return {
        f"PROVISIONER_PROVIDERS__{provider}__{name}": value
        for provider, secrets in own.items()
        for name, value in {"BASE_URL": base_url, **secrets, **(pace or {})}.items()
    }


def consumer_keys(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A fresh key pair of a consumer: the file with its public key, and the private key."""
    private, public = new_consumer_key("demo-consumer", datetime.now(UTC))
    path = folder / "consumer.jwks.json"
    path.write_text(json.dumps(public), encoding="utf-8")
    return path, private

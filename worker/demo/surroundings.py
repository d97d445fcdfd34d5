"""Settings for a worker that works against the sandbox, as the environment of its process."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker import bootstrap
from worker.keyring import new_consumer_key
from worker.sandbox.provider import discover

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
    """Every provider that the sandbox plays, with its well-known credentials."""
    played = {provider.name: provider.credentials for provider in discover()}
    return {
        f"PROVISIONER_PROVIDERS__{name.upper()}__{setting}": value
        for name, kind in bootstrap.provider_settings().items()
        if name in played
        for setting, value in {"BASE_URL": base_url, **_accepted(played[name], kind), **(pace or {})}.items()
    }


def _accepted(credentials: object, kind: type[BaseModel]) -> dict[str, str]:
    """Those of the sandbox's credentials that the worker is configured with; they bear the settings' names."""
    given = {name: getattr(credentials, name, None) for name in kind.model_fields}
    return {name.upper(): str(value) for name, value in given.items() if value is not None}


def consumer_keys(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A fresh key pair of a consumer: the file with its public key, and the private key."""
    private, public = new_consumer_key("demo-consumer", datetime.now(UTC))
    path = folder / "consumer.jwks.json"
    path.write_text(json.dumps(public), encoding="utf-8")
    return path, private

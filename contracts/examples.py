"""Golden messages: one request and one result of each kind for every provider, the same on every day.

All names, numbers and addresses are made up. The credentials are test vectors, whose private keys lie beside them in
`examples/credentials`; encrypting is the business of `python -m tests.vectors`, not of this package.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, assert_never
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, JsonValue

from contracts.model import secret_paths
from contracts.providers import ProviderContract, discover
from contracts.reason import CATALOGUE, ReasonCode
from contracts.request import REQUEST_CONTENT_TYPE, REQUEST_TYPE
from contracts.result import (
    EVENT_MODELS,
    PROVISIONED_TYPE,
    TYPE_OF_OUTCOME,
    Evidence,
    Outcome,
    as_wire,
    schema_urn,
)

Message = Mapping[str, JsonValue]

_ASKED_AT: Final = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
_RECORDED_AT: Final = _ASKED_AT + timedelta(seconds=2)
_TRACEPARENT: Final = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def messages() -> Mapping[str, Message]:
    """Give every golden message in structured form, by `<event type>.<provider>`."""
    return dict(_messages())


def _messages() -> Iterator[tuple[str, Message]]:
    for provider in discover().values():
        yield f"{REQUEST_TYPE}.{provider.NAME}", request(provider)
        for outcome, event_type in TYPE_OF_OUTCOME.items():
            yield f"{event_type}.{provider.NAME}", _result(provider, outcome)


def request(provider: ProviderContract) -> Message:
    """Give the golden request to `provider` in structured form."""
    return {
        "specversion": "1.0",
        "id": _uuid(provider, REQUEST_TYPE),
        "source": "urn:example:shop",
        "type": REQUEST_TYPE,
        "subject": f"order/{provider.NAME}/1001",
        "time": _text(_ASKED_AT),
        "datacontenttype": "application/json",
        "correlationid": f"checkout-{provider.NAME}",
        "traceparent": _TRACEPARENT,
        "data": {
            "idempotency_key": f"order-1001-{provider.NAME}",
            "provider": provider.NAME,
            "parameters": _example_of(provider.Parameters),
            "dry_run": False,
            "deadline": _text(_ASKED_AT + timedelta(days=1)),
        },
    }


def forms(provider: ProviderContract) -> Mapping[str, Message]:
    """Give the golden request to `provider` in each form that is read: AMQP properties, headers and body."""
    structured = request(provider)
    attributes = {name: value for name, value in structured.items() if name != "data"}
    return {
        "structured": _form({"content_type": REQUEST_CONTENT_TYPE}, {}, structured),
        "binary_colon": _binary("cloudEvents:", attributes, structured["data"]),
        "binary_underscore": _binary("cloudEvents_", attributes, structured["data"]),
        "binary_ce": _binary("ce-", attributes, structured["data"]),
        "plain": _plain(attributes, structured["data"]),
    }


def _binary(prefix: str, attributes: Message, data: JsonValue) -> Message:
    """The content type of a binary event is the media type of its data, and so is no header."""
    headers = {f"{prefix}{name}": value for name, value in attributes.items() if name != "datacontenttype"}
    return _form({"content_type": attributes["datacontenttype"]}, headers, data)


def _plain(attributes: Message, data: JsonValue) -> Message:
    properties: dict[str, JsonValue] = {
        "content_type": attributes["datacontenttype"],
        "message_id": attributes["id"],
        "app_id": attributes["source"],
        "type": attributes["type"],
        "correlation_id": attributes["correlationid"],
        "timestamp": int(_ASKED_AT.timestamp()),
    }
    headers = {name: attributes[name] for name in ("subject", "traceparent")}
    return _form(properties, headers, data)


def _form(
    properties: dict[str, JsonValue], headers: dict[str, JsonValue], body: JsonValue | Message
) -> Message:
    durable: dict[str, JsonValue] = {**properties, "delivery_mode": 2}
    return {
        "properties": durable,
        "headers": headers,
        "body": body if not isinstance(body, Mapping) else dict(body),
    }


def _result(provider: ProviderContract, outcome: Outcome) -> Message:
    asked: Any = request(provider)
    event_type = TYPE_OF_OUTCOME[outcome]
    details = _details(provider, outcome)
    envelope = {
        "specversion": "1.0",
        "id": _uuid(provider, event_type),
        "source": "urn:example:provisioner",
        "type": event_type,
        "subject": asked["subject"],
        "time": _text(_RECORDED_AT),
        "datacontenttype": "application/json",
        "dataschema": schema_urn(event_type),
        "correlationid": asked["correlationid"],
        "causationid": asked["id"],
        "traceparent": asked["traceparent"],
        "dataclassification": "confidential" if details.get("credentials") else None,
        "data": {**_common(provider, outcome, asked), **details},
    }
    return as_wire(EVENT_MODELS[event_type].model_validate(envelope))


def _common(provider: ProviderContract, outcome: Outcome, asked: Any) -> dict[str, object]:
    return {
        "request_id": _uuid(provider, "request"),
        "request_source": asked["source"],
        "idempotency_key": asked["data"]["idempotency_key"],
        "provider": provider.NAME,
        "dry_run": False,
        "outcome": outcome,
        "recorded_at": _RECORDED_AT,
    }


def _details(provider: ProviderContract, outcome: Outcome) -> dict[str, object]:
    match outcome:
        case Outcome.PROVISIONED:
            return _provisioned(provider)
        case Outcome.REJECTED:
            return {
                "reason": _reason(ReasonCode.PROVIDER_VALIDATION),
                "problems": [],
                "provider_error": {"status": 400, "id": "EXAMPLE", "message": "An example of a refusal."},
            }
        case Outcome.HELD:
            return {"reason": _reason(ReasonCode.NO_ANSWER), "since": _RECORDED_AT, "account_id": None}
        case Outcome.ABANDONED:
            return {
                "reason": _reason(ReasonCode.ABANDONED_BY_OPERATOR),
                "account_id": None,
                "account_may_exist": False,
                "note": "The customer cancelled the order.",
            }
        case _:
            assert_never(outcome)


def vectors() -> Mapping[str, str]:
    """Give the text of the test vector of each provider that hands over credentials, by the provider's name.

    Raises:
        LookupError: one has not been made yet.
    """
    return {name: _vector(name) for name, each in discover().items() if secret_paths(each.Credentials)}


def _vector(name: str) -> str:
    file = _VECTORS / f"{name}.json"
    if not file.exists():
        raise LookupError(f"{file} is missing: run `python -m tests.vectors`")
    return file.read_text(encoding="utf-8")


_VECTORS: Final = Path(__file__).parent / "examples/credentials"


def sealed_content(provider: ProviderContract) -> dict[str, JsonValue]:
    """Give the plain text of the credentials in the golden `provisioned` event of `provider`."""
    return {
        "event_id": _uuid(provider, PROVISIONED_TYPE),
        "request_id": _uuid(provider, "request"),
        "provider": provider.NAME,
        "account_id": _account_id(provider),
        "credentials": {name: f"example-{name}" for name in provider.Credentials.model_fields},
    }


def _account_id(provider: ProviderContract) -> str:
    account: Any = _example_of(provider.Account)
    return str(next(iter(account.values())))


def _provisioned(provider: ProviderContract) -> dict[str, object]:
    has_secrets = bool(secret_paths(provider.Credentials))
    return {
        "account_id": _account_id(provider),
        "account": _example_of(provider.Account),
        "credentials": json.loads(_vector(provider.NAME))["jwe"] if has_secrets else None,
        "credentials_missing": [],
        "evidence": Evidence.ANSWER,
    }


def _reason(code: ReasonCode) -> dict[str, str]:
    return {"code": code, "message": CATALOGUE[code].meaning}


def _example_of(model: type[BaseModel]) -> JsonValue:
    """Give the first example that the model's config holds; a provider without one is told so."""
    extra = model.model_config.get("json_schema_extra")
    examples = extra.get("examples") if isinstance(extra, dict) else None
    if not isinstance(examples, list) or not examples:
        raise TypeError(f"{model.__module__}.{model.__name__} must hold an example in its json_schema_extra")
    example: JsonValue = json.loads(json.dumps(examples[0]))
    return example


def _uuid(provider: ProviderContract, what: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"urn:example:{provider.NAME}:{what}"))


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

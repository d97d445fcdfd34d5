"""Golden results beside the ordinary ones: the cases that a consumer meets rarely and must read all the same."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from pydantic import JsonValue

from contracts.examples import messages
from contracts.providers import discover
from contracts.reason import CATALOGUE, ReasonCode
from contracts.result import ABANDONED_TYPE, HELD_TYPE, PROVISIONED_TYPE, REJECTED_TYPE, as_wire, read_result

Message = Mapping[str, JsonValue]

_PROVIDER: Final = "gateway360"
_UNREAD: Final = {"request_source": None, "idempotency_key": None, "provider": None}


def cases() -> Mapping[str, Message]:
    """Give each case by `<event type>.<name of the case>`."""
    return {f"{event_type}.{name}": _event(event_type, name, data) for event_type, name, data in _cases()}


def _cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give event type, name, and what its data says otherwise than the ordinary event of that type."""
    yield REJECTED_TYPE, "not_json", {**_UNREAD, **_refused(ReasonCode.NOT_JSON, "", "the body is not JSON")}
    yield (
        REJECTED_TYPE,
        "invalid_parameters",
        _refused(
            ReasonCode.INVALID_PARAMETERS,
            "/data/parameters/email",
            "must be one e-mail address, such as name@example.org",
        ),
    )
    yield (
        REJECTED_TYPE,
        "idempotency_conflict",
        _refused(
            ReasonCode.IDEMPOTENCY_CONFLICT,
            "/data/idempotency_key",
            f"this key was used before with other content (request {_uuid('the request that has the key')})",
        ),
    )
    yield (
        REJECTED_TYPE,
        "dry_run_passed",
        {
            "dry_run": True,
            "reason": _reason(ReasonCode.DRY_RUN_PASSED),
            "provider_error": None,
        },
    )
    yield (
        HELD_TYPE,
        "account_known",
        {
            "reason": _reason(ReasonCode.CREDENTIALS_LOST),
            "account_id": "example_order_1003",
        },
    )
    yield (
        PROVISIONED_TYPE,
        "credentials_missing",
        {
            "account": discover()[_PROVIDER].known_account("example_order_1003", {}).model_dump(mode="json"),
            "credentials": None,
            "credentials_missing": ["api_key"],
            "evidence": "operator",
        },
    )
    yield (
        ABANDONED_TYPE,
        "in_doubt",
        {
            "account_may_exist": True,
            "note": "The provider does not answer our questions.",
        },
    )


def _event(event_type: str, name: str, data: Mapping[str, Any]) -> Message:
    ordinary: Any = messages()[f"{event_type}.{_PROVIDER}"]
    changed = {**ordinary, "id": _uuid(name), "data": {**ordinary["data"], **data}}
    if "problems" in data:  # it became no request, so its trace was not kept
        changed = {**changed, "traceparent": None}
    if "request_source" in data:  # nothing but its own id could be read
        changed = {**changed, "subject": None, "correlationid": ordinary["causationid"]}
    if not changed["data"].get("credentials"):
        changed = {**changed, "dataclassification": None}
    return as_wire(read_result(changed))


def _refused(code: ReasonCode, pointer: str, message: str) -> dict[str, Any]:
    """A message that became no request: it has a number of its own, and no provider was asked."""
    return {
        "request_id": _uuid(f"letter {code}"),
        "reason": _reason(code),
        "problems": [{"pointer": pointer, "message": message}],
        "provider_error": None,
    }


def _reason(code: ReasonCode) -> dict[str, str]:
    return {"code": code, "message": CATALOGUE[code].meaning}


def _uuid(what: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"urn:example:case:{what}"))

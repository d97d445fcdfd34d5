"""Writing and reading result events."""

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.examples import messages
from contracts.reason import ReasonCode
from contracts.result import (
    EVENT_MODELS,
    TYPE_OF_OUTCOME,
    AccountHeld,
    AccountRejected,
    Outcome,
    as_wire,
    read_result,
    routing_key,
    schema_urn,
)

MESSAGES: Any = messages()
REJECTED = MESSAGES["account.rejected.v1.gateway360"]
HELD = MESSAGES["account.held.v1.gateway360"]
PROVISIONED = MESSAGES["account.provisioned.v1.gateway360"]


@pytest.mark.parametrize(
    ("provider", "outcome", "expected", "reason"),
    [
        ("gateway360", Outcome.PROVISIONED, "result.gateway360.provisioned", "a provider's name is one word"),
        (None, Outcome.REJECTED, "result.unknown.rejected", "the provider could not be read"),
        ("", Outcome.REJECTED, "result.unknown.rejected", "an empty word would break bindings"),
        ("a.b", Outcome.REJECTED, "result.unknown.rejected", "a dot would forge a word"),
        ("#", Outcome.REJECTED, "result.unknown.rejected", "a wildcard is no name"),
        ("x" * 300, Outcome.REJECTED, "result.unknown.rejected", "a key has at most 255 bytes"),
    ],
)
def test_the_routing_key_is_three_words(
    provider: str | None, outcome: Outcome, expected: str, reason: str
) -> None:
    """Whatever the request held as its provider, bindings by word keep working."""
    assert routing_key(provider, outcome) == expected


def test_every_outcome_has_its_type_and_its_model() -> None:
    """Outcome, event type and model stand one to one."""
    assert set(TYPE_OF_OUTCOME) == set(Outcome)
    assert set(TYPE_OF_OUTCOME.values()) == set(EVENT_MODELS)


def test_a_reader_ignores_fields_and_attributes_that_it_does_not_know() -> None:
    """Events may gain fields within a major version."""
    later = REJECTED | {"newattribute": "x", "data": REJECTED["data"] | {"new_field": [1]}}
    assert read_result(later) == read_result(REJECTED)


def test_a_reader_keeps_a_reason_code_that_it_does_not_know() -> None:
    """The catalogue may grow; an unknown code is read as text and written again unchanged."""
    reason = {"code": "reason_of_tomorrow", "message": "m"}
    event = read_result(REJECTED | {"data": REJECTED["data"] | {"reason": reason}})
    assert isinstance(event, AccountRejected)
    assert event.data.reason.code == "reason_of_tomorrow"
    assert not isinstance(event.data.reason.code, ReasonCode)


def test_a_known_reason_code_is_read_as_a_member_of_the_catalogue() -> None:
    """Code that reads events may compare members."""
    event = read_result(HELD)
    assert isinstance(event, AccountHeld)
    assert event.data.reason.code is ReasonCode.NO_ANSWER


@pytest.mark.parametrize("event_type", ["account.requested.v1", "account.provisioned.v2", "", None, 3])
def test_an_event_of_another_type_is_told_apart_from_a_broken_one(event_type: object) -> None:
    """A reader passes by what it does not know instead of failing on it."""
    with pytest.raises(LookupError):
        read_result(REJECTED | {"type": event_type})


def test_unset_attributes_are_left_out_and_data_is_complete() -> None:
    """CloudEvents attributes without a value are absent; fields of data are there with null."""
    event = read_result(REJECTED | {"subject": None, "traceparent": None})
    wire: Any = as_wire(event)
    assert "subject" not in wire
    assert "traceparent" not in wire
    assert wire["data"]["provider_error"] is not None
    held: Any = as_wire(read_result(HELD))
    assert held["data"]["account_id"] is None


@pytest.mark.parametrize("name", MESSAGES["account.provisioned.v1.gateway360"]["data"])
def test_no_field_of_data_may_be_missing(name: str) -> None:
    """The worker cannot forget a field that readers rely on."""
    data = {key: value for key, value in PROVISIONED["data"].items() if key != name}
    with pytest.raises(ValidationError):
        read_result(PROVISIONED | {"data": data})


@pytest.mark.parametrize("name", ["request_source", "idempotency_key", "provider"])
def test_only_a_rejection_may_lack_the_identity_of_its_request(name: str) -> None:
    """What could not be read can be answered with a rejection and with nothing else."""
    rejected: Any = as_wire(read_result(REJECTED | {"data": REJECTED["data"] | {name: None}}))
    assert rejected["data"][name] is None
    with pytest.raises(ValidationError):
        read_result(HELD | {"data": HELD["data"] | {name: None}})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"account_id": ""}, "an empty id is no id"),
        ({"account_id": None}, "an account without an id is not provisioned"),
        ({"account_id": 883}, "ids are text, for all providers alike"),
        ({"outcome": "held"}, "the outcome must match the type"),
        ({"dry_run": 0}, "0 is not false"),
        ({"evidence": "hearsay"}, "the kinds of evidence are closed"),
        ({"recorded_at": "2026-01-15T09:30:02"}, "a time without a zone"),
    ],
)
def test_a_wrong_event_cannot_be_written(change: dict[str, object], reason: str) -> None:
    """The models of events hold the writer to the contract."""
    with pytest.raises(ValidationError):
        read_result(PROVISIONED | {"data": PROVISIONED["data"] | change})


def test_the_address_of_a_schema_ends_in_the_event_type() -> None:
    """The address is stable and can be made from the type alone."""
    assert schema_urn("account.held.v1") == "urn:provisioner:schema:account.held.v1" == HELD["dataschema"]

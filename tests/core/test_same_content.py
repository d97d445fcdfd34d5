"""Which repeats are the same request, and which are a conflict, as `contracts/README.md` says."""

import json
from copy import deepcopy
from typing import Any

import pytest

from contracts.examples import messages
from contracts.providers import discover
from contracts.request import REQUEST_TYPE
from worker.core.broker import Message
from worker.core.decode import Decoded, Limits, decode, read_parameters
from worker.core.decode import Refusal as Refused
from worker.core.orders import canonical

LEFT_OUT = object()
GOLDEN: Any = {name: messages()[f"{REQUEST_TYPE}.{name}"] for name in discover()}


def changed(provider: str, changes: dict[str, object]) -> dict[str, Any]:
    """The golden request with values put at dotted paths, or taken away there."""
    request: dict[str, Any] = deepcopy(GOLDEN[provider])
    for path, value in changes.items():
        *way, name = path.split(".")
        place = request
        for step in way:
            place = place[step]
        place.pop(name, None)
        if value is not LEFT_OUT:
            place[name] = value
    return request


def meaning(request: dict[str, Any]) -> bytes:
    """What the ledger compares."""
    message = Message(json.dumps(request).encode(), "q", content_type="application/cloudevents+json")
    decoded = decode(message, Limits())
    assert isinstance(decoded, Decoded)
    parameters = read_parameters(decoded, discover()[decoded.data.provider].Parameters)
    assert not isinstance(parameters, Refused)
    return canonical(decoded, parameters)


PARAMETERS = "data.parameters"
LATER = "2027-01-01T00:00:00Z"
Change = dict[str, object]
SAME: list[tuple[str, Change, Change, str]] = [
    ("gateway360", {}, {"id": "another", "time": LATER, "subject": "s"}, "another id, time and subject"),
    ("gateway360", {}, {"data.deadline": LATER, "expirytime": LATER}, "another deadline"),
    ("gateway360", {}, {f"{PARAMETERS}.password": None}, "null for what was left out"),
    ("gateway360", {"data.dry_run": False}, {"data.dry_run": LEFT_OUT}, "no dry run, in words or not"),
    ("postcode_eu", {f"{PARAMETERS}.site_urls": []}, {f"{PARAMETERS}.site_urls": LEFT_OUT}, "an empty list"),
    ("postcode_eu", {}, {f"{PARAMETERS}.country_iso": "NL"}, "the other code of a country"),
    ("postcode_eu", {}, {f"{PARAMETERS}.subscription_amount": 100.0}, "a number with a point"),
    (
        "canary_speech",
        {f"{PARAMETERS}.parent_id": "abcdef00-0000-4000-8000-00000000000a"},
        {f"{PARAMETERS}.parent_id": "ABCDEF00-0000-4000-8000-00000000000A"},
        "a UUID in capital letters",
    ),
]
TWO = ["https://a.example", "https://b.example"]
CONFLICT: list[tuple[str, Change, Change, str]] = [
    ("gateway360", {}, {"data.dry_run": True}, "a dry run"),
    ("gateway360", {}, {f"{PARAMETERS}.name": "alex"}, "other letters"),
    ("gateway360", {}, {f"{PARAMETERS}.password": "a good password"}, "a password that was left out before"),
    ("gateway360", {}, {f"{PARAMETERS}.enable_shortener": False}, "false for what was left out"),
    (
        "canary_speech",
        {f"{PARAMETERS}.contact": LEFT_OUT},
        {f"{PARAMETERS}.contact": {}},
        "an empty object for what was left out",
    ),
    (
        "postcode_eu",
        {f"{PARAMETERS}.site_urls": TWO},
        {f"{PARAMETERS}.site_urls": TWO[::-1]},
        "another order",
    ),
    ("postcode_eu", {f"{PARAMETERS}.site_urls": TWO}, {f"{PARAMETERS}.site_urls": []}, "an emptied list"),
]


@pytest.mark.parametrize(("provider", "first", "again", "reason"), SAME, ids=[reason for *_, reason in SAME])
def test_what_means_the_same_is_the_same_content(
    provider: str, first: Change, again: Change, reason: str
) -> None:
    """A repeat by another serialiser, or with more time, gets the same event again."""
    assert meaning(changed(provider, first)) == meaning(changed(provider, again)), reason


@pytest.mark.parametrize(
    ("provider", "first", "again", "reason"), CONFLICT, ids=[reason for *_, reason in CONFLICT]
)
def test_what_may_mean_something_else_is_a_conflict(
    provider: str, first: Change, again: Change, reason: str
) -> None:
    """A key is never used for two different wishes, however alike they look."""
    assert meaning(changed(provider, first)) != meaning(changed(provider, again)), reason

"""What the contracts document is what the worker reads."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.providers import discover
from worker.core.broker import Message
from worker.core.decode import Decoded, Limits, decode, read_parameters

FORMS = Path(__file__).parents[2] / "contracts" / "examples" / "forms"


def read(path: Path) -> Decoded:
    """One documented form, as the broker would hand it over."""
    form = json.loads(path.read_text(encoding="utf-8"))
    properties = {name: value for name, value in form["properties"].items() if name != "delivery_mode"}
    if "timestamp" in properties:
        properties["timestamp"] = datetime.fromtimestamp(properties["timestamp"], UTC)
    body = json.dumps(form["body"]).encode()
    found = decode(Message(body=body, queue="q", headers=form["headers"], **properties), Limits())
    assert isinstance(found, Decoded), found
    return found


@pytest.mark.parametrize("provider", sorted(discover()))
def test_every_documented_form_gives_the_same_request(provider: str) -> None:
    """The five example files of a provider decode to one context, one data and valid parameters."""
    requests = [read(path) for path in sorted(FORMS.glob(f"{provider}.*.json"))]
    assert len(requests) == 5
    first = requests[0]
    assert read_parameters(first, discover()[provider].Parameters) == read_parameters(
        requests[-1], discover()[provider].Parameters
    )
    assert {request.data.model_dump_json() for request in requests} == {first.data.model_dump_json()}
    contexts = {request.context.model_dump_json(exclude={"datacontenttype"}) for request in requests}
    assert len(contexts) == 1

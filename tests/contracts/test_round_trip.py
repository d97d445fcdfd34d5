"""Any valid parameters survive being revealed, written as JSON and read again."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.country import ALPHA_2, ALPHA_3, EU_MEMBERS
from contracts.model import reveal, secret_paths
from contracts.providers import discover
from tests.providers.known import KNOWN

PROVIDERS = discover()
PARAMETERS = {name: known.parameters for name, known in KNOWN.items()}


@settings(max_examples=300)
@given(st.sampled_from(sorted(PARAMETERS)).flatmap(lambda name: st.tuples(st.just(name), PARAMETERS[name])))
def test_valid_parameters_survive_reveal_and_reading_again(case: tuple[str, dict[str, Any]]) -> None:
    """Sealing what was revealed and reading it later gives the same request, secrets included."""
    name, parameters = case
    model = PROVIDERS[name].Parameters
    first = model.model_validate(parameters)
    again = model.model_validate(json.loads(json.dumps(reveal(first))))
    assert again == first
    assert reveal(again) == reveal(first)


@settings(max_examples=100)
@given(st.sampled_from(sorted(PARAMETERS)).flatmap(lambda name: st.tuples(st.just(name), PARAMETERS[name])))
def test_an_ordinary_dump_masks_every_secret(case: tuple[str, dict[str, Any]]) -> None:
    """Only reveal gives a secret in clear, whatever the other values are."""
    name, parameters = case
    model = PROVIDERS[name].Parameters.model_validate(parameters)
    dumped = json.loads(model.model_dump_json())
    for (field,) in secret_paths(type(model)):
        assert dumped[field] in (None, "**********")


@given(st.sampled_from(sorted(EU_MEMBERS - {"NLD"})))
def test_the_strategies_reach_the_conditional_rule(country: str) -> None:
    """The countries that need a VAT number are among those that are tried."""
    assert country in ALPHA_2 | ALPHA_3

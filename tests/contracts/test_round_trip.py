"""Any valid parameters survive being revealed, written as JSON and read again."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.country import ALPHA_2, ALPHA_3, EU_MEMBERS
from contracts.model import reveal, secret_paths
from contracts.providers import discover
from contracts.providers.postcode_eu import SUBSCRIPTION_AMOUNTS

PROVIDERS = discover()
INSIDE = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))
ENDS = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Zs"))
LINES = st.builds(
    lambda first, inside, last: first + inside + last, ENDS, st.text(INSIDE, max_size=15), ENDS
) | st.text(ENDS, min_size=1, max_size=1)
WORDS = st.text(ENDS, min_size=1, max_size=30)
EMAILS = st.from_regex(r"[a-z0-9.+_-]{1,20}@[a-z0-9-]{1,15}(\.[a-z]{2,5}){1,2}", fullmatch=True)
PHONES = st.from_regex(r"\+?[0-9]{3,15}", fullmatch=True)
PASSWORDS = st.text(INSIDE, min_size=8, max_size=40)


def fields(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Give objects with all required fields, and some of the optional ones, present, absent or null."""
    return st.fixed_dictionaries(
        required, optional={name: value | st.none() for name, value in optional.items()}
    )


ADDRESSES = fields(
    {
        "line_1": LINES,
        "city": LINES,
        "postal_code": LINES,
        "country": st.sampled_from(sorted(ALPHA_2)),
        "province": LINES,
    },
    {"line_2": LINES},
)
CONTACTS = fields(
    {"name": LINES, "address": ADDRESSES, "primary_email": EMAILS, "phone": PHONES},
    {"alternate_email": EMAILS, "company": LINES, "fax": PHONES},
)
COUNTRIES = st.sampled_from(sorted(ALPHA_2 | ALPHA_3))
PARAMETERS = {
    "canary_speech": fields(
        {"name": LINES},
        {"parent_id": st.uuids().map(str), "contact": fields({}, {"email": EMAILS, "phone_number": PHONES})},
    ),
    "gateway360": fields(
        {
            "user_name": st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True),
            "email": EMAILS,
            "name": LINES,
            "surname": LINES,
            "language": st.from_regex(r"[a-z]{2}", fullmatch=True),
        },
        {"password": PASSWORDS, "enable_shortener": st.booleans()},
    ),
    "phone_com": fields(
        {"username": WORDS, "contact": CONTACTS, "billing_contact": CONTACTS}, {"password": PASSWORDS}
    ),
    "postcode_eu": fields(
        {
            "company_name": LINES,
            "country_iso": COUNTRIES,
            "vat_number": st.from_regex(r"[A-Z]{2}[0-9A-Z]{2,12}", fullmatch=True),
            "contact_email": EMAILS,
            "subscription_amount": st.sampled_from(SUBSCRIPTION_AMOUNTS),
            "invoice_email": EMAILS,
            "invoice_address_line1": LINES,
            "invoice_address_postal_code": LINES,
            "invoice_address_locality": LINES,
            "invoice_address_country_iso": COUNTRIES,
        },
        {
            "invoice_reference": LINES,
            "invoice_address_line2": LINES,
            "invoice_address_region": LINES,
            "invoice_contact_name": LINES,
        },
    ),
}


def test_every_provider_takes_part() -> None:
    """A further provider must be given a strategy here."""
    assert set(PARAMETERS) == set(PROVIDERS)


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

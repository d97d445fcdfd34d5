"""What may be asked of each provider: required fields, conditions and shapes, by the models and the schemas."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from contracts.country import ALPHA_3_OF_ALPHA_2, EU_MEMBERS
from contracts.examples import messages
from contracts.model import reveal
from contracts.problems import problems
from contracts.providers import ProviderContract, discover
from contracts.request import REQUEST_TYPE
from contracts.schemas import schemas

PROVIDERS = discover()
GOLDEN: Any = {name: messages()[f"{REQUEST_TYPE}.{name}"] for name in PROVIDERS}
SCHEMAS = {name: Draft202012Validator(schemas()[f"{REQUEST_TYPE}.{name}"]) for name in PROVIDERS}
LEFT_OUT = object()


def changed(provider: str, change: Mapping[str, object]) -> dict[str, Any]:
    """Give the golden parameters with values put at dotted paths, or taken away there."""
    parameters: dict[str, Any] = deepcopy(GOLDEN[provider]["data"]["parameters"])
    for path, value in change.items():
        *way, name = path.split(".")
        place = parameters
        for step in way:
            place = place[step]
        place.pop(name, None)
        if value is not LEFT_OUT:
            place[name] = value
    return parameters


def read(provider: str, parameters: Mapping[str, object]) -> Any:
    """Read parameters by the provider's model."""
    return PROVIDERS[provider].Parameters.model_validate(parameters)


def schema_accepts(provider: str, parameters: Mapping[str, object]) -> bool:
    """Tell whether the exported schema accepts a request with these parameters."""
    request = GOLDEN[provider]
    return SCHEMAS[provider].is_valid(request | {"data": request["data"] | {"parameters": parameters}})


def pointers(provider: str, parameters: Mapping[str, object]) -> set[str]:
    """Give the places of all problems that the model finds."""
    with pytest.raises(ValidationError) as caught:
        read(provider, parameters)
    return {problem.pointer for problem in problems(caught.value)}


REQUIRED = {
    "canary_speech": ["name"],
    "gateway360": ["user_name", "email", "name", "surname", "language"],
    "phone_com": [
        "username",
        *(
            f"{who}.{name}"
            for who in ("contact", "billing_contact")
            for name in (
                "name",
                "address.line_1",
                "address.city",
                "address.postal_code",
                "address.country",
                "primary_email",
                "phone",
            )
        ),
        "contact.address",
        "contact",
        "billing_contact",
    ],
    "postcode_eu": [
        "company_name",
        "country_iso",
        "contact_email",
        "subscription_amount",
        "invoice_email",
        "invoice_address_line1",
        "invoice_address_postal_code",
        "invoice_address_locality",
        "invoice_address_country_iso",
    ],
}
OPTIONAL = {
    "canary_speech": ["parent_id", "contact", "contact.email", "contact.phone_number"],
    "gateway360": ["password", "enable_shortener"],
    "phone_com": [
        "password",
        *(
            f"{who}.{name}"
            for who in ("contact", "billing_contact")
            for name in ("address.line_2", "alternate_email", "company", "fax")
        ),
    ],
    "postcode_eu": [
        "vat_number",
        "site_urls",
        "invoice_reference",
        "invoice_address_line2",
        "invoice_address_region",
        "invoice_contact_name",
    ],
}


def every(table: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Give each pair of provider and field."""
    return [(provider, field) for provider, fields in table.items() for field in fields]


@pytest.mark.parametrize(("provider", "field"), every(REQUIRED))
def test_a_required_field_may_be_neither_missing_nor_null(provider: str, field: str) -> None:
    """Model and schema both say which field it is about."""
    for value in (LEFT_OUT, None):
        parameters = changed(provider, {field: value})
        assert pointers(provider, parameters) == {f"/{field.replace('.', '/')}"}
        assert not schema_accepts(provider, parameters)


@pytest.mark.parametrize(("provider", "field"), every(OPTIONAL))
def test_an_optional_field_may_be_left_out(provider: str, field: str) -> None:
    """Model and schema both do without it."""
    parameters = changed(provider, {field: LEFT_OUT})
    assert isinstance(read(provider, parameters), BaseModel)
    assert schema_accepts(provider, parameters)


@pytest.mark.parametrize(("provider", "field"), [pair for pair in every(OPTIONAL) if pair[1] != "site_urls"])
def test_null_means_the_same_as_leaving_an_optional_field_out(provider: str, field: str) -> None:
    """Writers that put null for every unset field ask for the same account."""
    with_null, without = changed(provider, {field: None}), changed(provider, {field: LEFT_OUT})
    assert read(provider, with_null) == read(provider, without)
    assert schema_accepts(provider, with_null)


def objects(provider: ProviderContract) -> list[str]:
    """Give the dotted path of every object in the golden parameters; the parameters themselves are empty."""

    def within(value: Mapping[str, Any], path: str) -> list[str]:
        deeper = (within(v, f"{path}{k}.") for k, v in value.items() if isinstance(v, dict))
        return [path, *(inner for group in deeper for inner in group)]

    return within(GOLDEN[provider.NAME]["data"]["parameters"], "")


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_an_unknown_field_is_refused_at_every_depth(provider: ProviderContract) -> None:
    """A mistyped optional field is loud, wherever it stands."""
    for path in objects(provider):
        parameters = changed(provider.NAME, {f"{path}mistyped": "x"})
        assert pointers(provider.NAME, parameters) == {f"/{path.replace('.', '/')}mistyped"}
        assert not schema_accepts(provider.NAME, parameters)


OF_ANOTHER_TYPE: dict[str, list[object]] = {
    "text": [1, True, ["x"], {}, ""],
    "object": [1, True, ["x"], "text"],
    "list": [1, True, {}, "text", [1], [[]], None],
    "switch": [1, 0, "true", [], {}],
    "number": [True, "100", 100.5, [], {}],
}
KIND_OF_FIELD = {
    "contact": "object",
    "billing_contact": "object",
    "address": "object",
    "site_urls": "list",
    "enable_shortener": "switch",
    "subscription_amount": "number",
}


@pytest.mark.parametrize(
    ("provider", "field", "value"),
    [
        (provider, field, value)
        for provider, field in every(REQUIRED) + every(OPTIONAL)
        for value in OF_ANOTHER_TYPE[KIND_OF_FIELD.get(field.rpartition(".")[2], "text")]
    ],
)
def test_no_field_takes_a_value_of_another_type(provider: str, field: str, value: object) -> None:
    """Nothing is converted: each field refuses what is not of its own JSON type, or is empty."""
    parameters = changed(provider, {field: value})
    place = f"/{field.replace('.', '/')}"
    assert {pointer[: len(place)] for pointer in pointers(provider, parameters)} == {place}
    assert not schema_accepts(provider, parameters)


US = {"contact.address.country": "US"}
CONDITIONS: list[tuple[str, dict[str, object], set[str], str]] = [
    (
        "phone_com",
        {**US, "contact.address.province": LEFT_OUT},
        {"/contact/address/province"},
        "the US needs it",
    ),
    (
        "phone_com",
        {**US, "contact.address.province": None},
        {"/contact/address/province"},
        "null is no province",
    ),
    (
        "phone_com",
        {"billing_contact.address.province": LEFT_OUT},
        {"/billing_contact/address/province"},
        "the rule holds for who is billed, too",
    ),
    (
        "phone_com",
        {"contact.address.country": "NL", "contact.address.province": LEFT_OUT},
        set(),
        "no province elsewhere",
    ),
    ("postcode_eu", {"country_iso": "BEL", "vat_number": LEFT_OUT}, {"/vat_number"}, "an EU member"),
    ("postcode_eu", {"country_iso": "BE", "vat_number": LEFT_OUT}, {"/vat_number"}, "the same as alpha-2"),
    ("postcode_eu", {"country_iso": "DEU", "vat_number": None}, {"/vat_number"}, "null is no number"),
    ("postcode_eu", {"country_iso": "GRC", "vat_number": "EL123456789"}, set(), "Greece writes EL, not GR"),
    ("postcode_eu", {"country_iso": "NLD", "vat_number": LEFT_OUT}, set(), "the Netherlands are excepted"),
    ("postcode_eu", {"country_iso": "NL", "vat_number": LEFT_OUT}, set(), "the exception as alpha-2"),
    ("postcode_eu", {"country_iso": "GBR", "vat_number": LEFT_OUT}, set(), "left the EU"),
    ("postcode_eu", {"country_iso": "CHE", "vat_number": "CHE-123.456.789 MWST"}, set(), "a loose shape"),
]


@pytest.mark.parametrize(
    ("provider", "change", "expected", "reason"), CONDITIONS, ids=[case[3] for case in CONDITIONS]
)
def test_a_condition_is_held_by_model_and_schema_alike(
    provider: str, change: dict[str, object], expected: set[str], reason: str
) -> None:
    """A field that is required under a condition is asked for exactly then, and the problem names it."""
    parameters = changed(provider, change)
    assert schema_accepts(provider, parameters) == (not expected)
    if expected:
        assert pointers(provider, parameters) == expected
    else:
        assert isinstance(read(provider, parameters), BaseModel)


@pytest.mark.parametrize("country", sorted(ALPHA_3_OF_ALPHA_2.values()))
def test_the_vat_number_is_required_in_the_eu_except_the_netherlands(country: str) -> None:
    """The rule holds for each country of the world, and the schema says the same."""
    parameters = changed("postcode_eu", {"country_iso": country, "vat_number": LEFT_OUT})
    required = country in EU_MEMBERS and country != "NLD"
    assert schema_accepts("postcode_eu", parameters) != required
    if required:
        assert pointers("postcode_eu", parameters) == {"/vat_number"}
    else:
        assert read("postcode_eu", parameters).country_iso == country


SHAPES: list[tuple[str, str, object, bool, str]] = [
    ("postcode_eu", "subscription_amount", 0, True, "an account on trial, when asked for in so many words"),
    ("postcode_eu", "subscription_amount", 1000, True, "the largest"),
    ("postcode_eu", "subscription_amount", 1, False, "the vendor's demo page uses it, but it is not allowed"),
    ("postcode_eu", "subscription_amount", False, False, "false is not 0: it would open an account on trial"),
    ("postcode_eu", "subscription_amount", 100.0, True, "the same number with a point"),
    ("postcode_eu", "subscription_amount", 1e3, True, "the same number with an exponent"),
    ("postcode_eu", "subscription_amount", 100.25, False, "no whole number"),
    ("postcode_eu", "subscription_amount", "100", False, "a text is no number"),
    ("postcode_eu", "subscription_amount", 99.5, False, "no whole number"),
    ("postcode_eu", "country_iso", "nld", False, "lower case"),
    ("postcode_eu", "country_iso", "N", False, "one letter"),
    ("postcode_eu", "site_urls", [], True, "may be empty"),
    ("postcode_eu", "site_urls", ["ftp://example.org"], False, "no web site"),
    ("postcode_eu", "site_urls", "https://example.org", False, "a text for a list"),
    ("postcode_eu", "site_urls", ["https://example.org"] * 51, False, "more than fifty"),
    ("postcode_eu", "vat_number", "??", False, "no shape of a VAT number"),
    ("postcode_eu", "contact_email", "two@example.org,one@example.org", False, "two addresses"),
    ("postcode_eu", "contact_email", "name@localhost", False, "no dot in the domain"),
    ("postcode_eu", "contact_email", "name+tag@sub.example.org", True, "tags and sub-domains are usual"),
    ("postcode_eu", "contact_email", "Name <name@example.org>", False, "a display name"),
    ("postcode_eu", "contact_email", "name@example..org", False, "an empty part of the domain"),
    ("postcode_eu", "company_name", "n" * 200, True, "the longest text"),
    ("postcode_eu", "company_name", "n" * 201, False, "one too long"),
    ("postcode_eu", "company_name", "   ", False, "blank"),
    ("postcode_eu", "company_name", "a\tb", False, "a control character"),
    ("postcode_eu", "company_name", "a\x85b", False, "a control character beyond ASCII"),
    ("postcode_eu", "company_name", "a\u202eb", False, "text turned around on the screen"),
    ("postcode_eu", "company_name", "\u200b", False, "nothing to be seen"),
    ("postcode_eu", "company_name", "Café Zürich, 北京", True, "letters of all the world"),
    ("postcode_eu", "company_name", "\u3000a", False, "an ideographic space at the beginning"),
    ("postcode_eu", "company_name", "a\xa0", False, "a space without a break at the end"),
    ("postcode_eu", "company_name", "a\xa0b", True, "a space without a break inside"),
    ("gateway360", "user_name", "a-b_c.1", True, "all the characters that are let through"),
    ("gateway360", "user_name", "a b", False, "a space"),
    ("gateway360", "user_name", "ñ", False, "a letter beyond ASCII"),
    ("gateway360", "user_name", "u" * 65, False, "too long"),
    ("gateway360", "language", "es", True, "the vendor's sample"),
    ("gateway360", "language", "pt_BR", True, "with a region"),
    ("gateway360", "language", "Spanish", False, "no code"),
    ("gateway360", "enable_shortener", 1, False, "1 is not true"),
    ("gateway360", "enable_shortener", False, True, "off, in so many words"),
    ("gateway360", "password", "short", False, "fewer than eight characters"),
    ("gateway360", "password", "with\ta tab", False, "a control character in a password"),
    ("gateway360", "password", "with a space", True, "a password of several words"),
    ("phone_com", "username", "name@example.org", True, "may be an e-mail address"),
    ("phone_com", "username", "two words", False, "white space in a log-in name"),
    ("phone_com", "username", "two\u2009words", False, "a thin space in a log-in name"),
    ("phone_com", "contact.phone", "+1 (858) 555-0100", True, "usual punctuation"),
    ("phone_com", "contact.phone", "call me", False, "no number"),
    ("phone_com", "contact.address.country", "us", False, "lower case"),
    ("phone_com", "contact.address.country", "USA", False, "three letters"),
    ("phone_com", "contact.address.postal_code", "9" * 21, False, "too long"),
    (
        "canary_speech",
        "parent_id",
        "12345678-1234-abcd-5678-12345678",
        False,
        "the vendor's sample is no UUID",
    ),
    ("canary_speech", "parent_id", "00000000-0000-4000-8000-00000000000A", True, "in capital letters"),
    ("canary_speech", "contact", {}, True, "an empty object says nothing"),
]


@pytest.mark.parametrize(
    ("provider", "field", "value", "valid", "reason"),
    SHAPES,
    ids=[f"{case[1]}: {case[4]}" for case in SHAPES],
)
def test_the_shape_of_a_field_is_held_by_model_and_schema_alike(
    provider: str, field: str, value: object, *, valid: bool, reason: str
) -> None:
    """Both accept the value, or both refuse it."""
    parameters = changed(provider, {field: value})
    assert schema_accepts(provider, parameters) == valid
    if valid:
        assert isinstance(read(provider, parameters), BaseModel)
    else:
        place = f"/{field.replace('.', '/')}"
        assert {pointer[: len(place)] for pointer in pointers(provider, parameters)} == {place}


@pytest.mark.parametrize(
    ("provider", "field", "value"),
    [
        ("postcode_eu", "country_iso", "XXX"),
        ("postcode_eu", "invoice_address_country_iso", "ZZ"),
        ("phone_com", "contact.address.country", "EU"),
    ],
)
def test_a_country_that_does_not_exist_is_refused(provider: str, field: str, value: str) -> None:
    """The code has the right shape, so only the model finds it."""
    assert pointers(provider, changed(provider, {field: value})) == {f"/{field.replace('.', '/')}"}


@pytest.mark.parametrize("alpha_2", sorted(ALPHA_3_OF_ALPHA_2))
def test_postcode_eu_converts_alpha_2_to_alpha_3(alpha_2: str) -> None:
    """The vendor is always sent three letters, whichever way the country was spelled."""
    change = {"country_iso": alpha_2, "invoice_address_country_iso": alpha_2, "vat_number": "XX123456789"}
    parameters = read("postcode_eu", changed("postcode_eu", change))
    assert parameters.country_iso == parameters.invoice_address_country_iso == ALPHA_3_OF_ALPHA_2[alpha_2]


def test_the_amount_of_a_subscription_has_no_default() -> None:
    """A missing amount is an error: 0 would be a real account, and any other costs money."""
    assert PROVIDERS["postcode_eu"].Parameters.model_fields["subscription_amount"].is_required()


def test_a_whole_number_is_the_same_however_it_is_written() -> None:
    """A repeat by another serialiser is the same content and no conflict."""
    one, other = (
        read("postcode_eu", changed("postcode_eu", {"subscription_amount": n})) for n in (100, 100.0)
    )
    assert reveal(one) == reveal(other)
    assert isinstance(other.subscription_amount, int)


def test_the_vendors_test_mode_is_no_parameter() -> None:
    """`isTest` follows from the request's dry_run and cannot be smuggled in."""
    for name in ("isTest", "is_test"):
        assert pointers("postcode_eu", changed("postcode_eu", {name: True})) == {f"/{name}"}


def test_a_parent_id_is_held_in_small_letters() -> None:
    """Two spellings of one UUID are one parent."""
    upper = read(
        "canary_speech", changed("canary_speech", {"parent_id": "ABCDEF00-0000-4000-8000-00000000000A"})
    )
    assert upper.parent_id == "abcdef00-0000-4000-8000-00000000000a"

"""What is generated from the models, and that the committed files have not drifted from it."""

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field, create_model

import contracts
from contracts import export
from contracts.model import ClosedModel, sent_as
from contracts.providers import ProviderContract, discover
from contracts.reason import ReasonCode
from contracts.schemas import schemas
from contracts.tables import sent_fields, with_generated_parts

COMMITTED = Path(contracts.__file__).parent


def test_the_committed_files_are_the_generated_ones() -> None:
    """Schemas, golden messages and the README's parts are what the models say today."""
    assert export.check(COMMITTED) == [], "run `provisioner contracts export`"


def test_generation_gives_the_same_text_every_time() -> None:
    """Nothing in the generated files depends on the moment or on chance."""
    assert export.generate() == export.generate()


def test_write_into_an_empty_folder_leaves_nothing_to_check(tmp_path: Path) -> None:
    """A fresh folder gets every JSON file, and then nothing has drifted."""
    export.write(tmp_path)
    assert {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.json")} == set(
        export.generate()
    )
    assert export.check(tmp_path) == []


def test_check_names_what_is_missing_changed_or_left_over(tmp_path: Path) -> None:
    """Each of the three kinds of drift is reported by its path."""
    export.write(tmp_path)
    (tmp_path / "schemas/envelope.v1.json").unlink()
    (tmp_path / "schemas/reasons.v1.json").write_text("{}", encoding="utf-8")
    (tmp_path / "examples/left_over.json").write_text("{}", encoding="utf-8")
    assert export.check(tmp_path) == [
        "examples/left_over.json",
        "schemas/envelope.v1.json",
        "schemas/reasons.v1.json",
    ]


def test_write_mends_every_drift(tmp_path: Path) -> None:
    """After writing again nothing is missing, changed or left over, the README's parts included."""
    export.write(tmp_path)
    (tmp_path / "examples/left_over.json").write_text("{}", encoding="utf-8")
    readme = (COMMITTED / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(readme.replace("`name_taken`", "`name_stolen`"), encoding="utf-8")
    assert export.check(tmp_path) == ["README.md", "examples/left_over.json"]
    export.write(tmp_path)
    assert export.check(tmp_path) == []
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == readme


def test_a_readme_without_the_comments_is_refused() -> None:
    """A generated part that has lost its place is an error and not silently left out."""
    with pytest.raises(ValueError, match="generated: forms"):
        with_generated_parts("# The wire\n")


def test_every_schema_has_a_stable_address_of_its_own() -> None:
    """The address ends in the file's name, and the dialect is 2020-12."""
    for path, text in export.generate().items():
        if path.startswith("schemas/"):
            schema = json.loads(text)
            assert schema["$id"] == f"urn:provisioner:schema:{Path(path).name.removesuffix('.json')}"
            assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_no_pattern_is_read_differently_by_another_engine() -> None:
    """What differs between engines, as the classes of white space, words and digits do, stands in no pattern."""
    patterns = [text for text in _patterns(schemas()) if re.search(r"\\[sSwWdDbBpPzZA]|\(\?", text)]
    assert patterns == []


def _patterns(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (one for name, one in value.items() if name == "pattern" and isinstance(one, str))
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _patterns(inner)


def test_no_two_definitions_bear_the_same_title() -> None:
    """Who makes classes of all the schemas gets a name of its own for each."""
    groups = [[schema, *schema.get("$defs", {}).values()] for schema in schemas().values()]
    titles = [one["title"] for group in groups for one in group if "title" in one]
    assert [title for title in set(titles) if titles.count(title) > 1] == []


def test_the_readme_tells_every_reason_code() -> None:
    """No code is missing from the table of the README."""
    readme = (COMMITTED / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{code}` |" in readme for code in ReasonCode)


@pytest.mark.parametrize(
    ("provider", "vendors"),
    [
        (
            "canary_speech",
            {"parentId", "name", "contact.email", "contact.phoneNumber", "header Authorization"},
        ),
        (
            "gateway360",
            {
                "user_name",
                "email",
                "name",
                "surname",
                "password",
                "language",
                "enable_shortener",
                "body api_key",
                "body password",
            },
        ),
        (
            "postcode_eu",
            {
                "companyName",
                "countryIso",
                "vatNumber",
                "contactEmail",
                "subscriptionAmount",
                "siteUrls",
                "invoiceEmail",
                "invoiceReference",
                "invoiceAddressLine1",
                "invoiceAddressLine2",
                "invoiceAddressPostalCode",
                "invoiceAddressLocality",
                "invoiceAddressRegion",
                "invoiceAddressCountryIso",
                "invoiceContactName",
                "header Authorization",
                "body isTest",
            },
        ),
    ],
)
def test_the_table_names_each_field_as_the_vendor_does(provider: str, vendors: set[str]) -> None:
    """The vendor's document and the table agree on the names of what is sent."""
    assert {row.vendors for row in sent_fields(discover()[provider])} == vendors


def test_the_table_lists_all_body_parameters_of_phone_com() -> None:
    """The twenty-six parameters of the vendor's list are there, spelled with its dots."""
    fields = ["name", "primary_email", "alternate_email", "company", "phone", "fax"]
    address = ["line_1", "line_2", "city", "province", "postal_code", "country"]
    each = [*fields, *(f"address.{name}" for name in address)]
    expected = {f"{who}.{name}" for who in ("contact", "billing_contact") for name in each}
    rows = {row.vendors for row in sent_fields(discover()["phone_com"]) if row.ours}
    assert rows == expected | {"username", "password"}


def test_the_table_says_when_a_conditional_field_is_required() -> None:
    """A field that is required under a condition is not shown as plainly optional."""
    rows = {row.ours: row.required for row in sent_fields(discover()["postcode_eu"])}
    assert rows["vat_number"].startswith("when `country_iso`")
    assert rows["company_name"] == "yes"
    assert rows["invoice_address_region"] == "no"


class Colour(StrEnum):
    """A kind that the table has no word for."""

    RED = "red"


def untold(annotation: Any, **marks: Any) -> Any:
    """A provider with one parameter."""
    parameters = create_model(
        "Parameters", __base__=ClosedModel, price=(annotation, Field(**{"description": "-", **marks}))
    )
    return SimpleNamespace(NAME="fifth", Parameters=parameters, ALSO_SENT=())


SENT_AS = {"json_schema_extra": sent_as("price")}


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (untold(str), "the parameter price lacks its vendor's name"),
        (untold(str, description=None, **SENT_AS), "the parameter price lacks a description"),
        *(
            (untold(annotation, **SENT_AS), "the parameter price is of a kind")
            for annotation in (float, Colour, dict[str, str], list[str], list[Any], Any, str | int)
        ),
    ],
)
def test_a_parameter_that_cannot_be_told_is_named(provider: Any, words: str) -> None:
    """What a contract lacks is said with the provider, the parameter and what to do."""
    with pytest.raises(TypeError, match=rf"contracts\.providers\.fifth: {words}"):
        sent_fields(provider)


@pytest.mark.parametrize("provider", discover().values(), ids=discover())
def test_every_field_of_a_provider_cites_its_source(provider: ProviderContract) -> None:
    """A description of what is asked, told or handed over names the document it was taken from."""
    models = (provider.Parameters, provider.Account, provider.Credentials)
    described = [text for model in models for text in _field_descriptions(model.model_json_schema())]
    assert described
    assert [text for text in described if "Source:" not in text] == []


def _field_descriptions(schema: dict[str, object]) -> list[str]:
    groups = [schema, *_dict(schema.get("$defs", {})).values()]
    fields = [field for group in groups for field in _dict(_dict(group).get("properties", {})).values()]
    return [str(_dict(field)["description"]) for field in fields]


def _dict(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value

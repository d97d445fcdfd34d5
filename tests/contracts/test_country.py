"""The frozen country tables."""

import pycountry

from contracts.country import ALPHA_2, ALPHA_3, ALPHA_3_OF_ALPHA_2, EU_MEMBERS


def test_the_tables_hold_exactly_the_countries_of_iso_3166() -> None:
    """Every pair of codes is the one that the standard's own data gives, and none is missing."""
    assert dict(ALPHA_3_OF_ALPHA_2) == {country.alpha_2: country.alpha_3 for country in pycountry.countries}


def test_the_code_sets_are_the_two_sides_of_the_table() -> None:
    """No two countries share a code, so both sets are as large as the table."""
    assert len(ALPHA_2) == len(ALPHA_3) == len(ALPHA_3_OF_ALPHA_2)


def test_the_european_union_has_twenty_seven_members_that_are_countries() -> None:
    """The list holds 27 real codes, the Netherlands among them and the United Kingdom not."""
    assert len(EU_MEMBERS) == 27
    assert EU_MEMBERS <= ALPHA_3
    assert "NLD" in EU_MEMBERS
    assert "GBR" not in EU_MEMBERS

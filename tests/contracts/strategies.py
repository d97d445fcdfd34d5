"""Values that the fields of a provider's parameters may have, made up by Hypothesis."""

from typing import Any

from hypothesis import strategies as st

from contracts.country import ALPHA_2, ALPHA_3

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

"""What an operator is told to type is what a shell reads back, whatever a key is made of."""

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.operations.shell import in_words, is_plainly_typed, typed

WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1)


@settings(max_examples=15)
@example(words=["a\xa0b", "a\\xa0b", "it's\u3000\\", "\xad1", "$'x'\u061c`!"])
@given(words=WORDS)
def test_a_shell_reads_what_was_meant(words: list[str]) -> None:
    """Also characters that no screen shows; their spelling is printable, and is not that of another word."""
    command = typed("printf", r"%s\0", *words)
    said = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert said.stdout.decode().split("\0")[:-1] == words
    assert command.isprintable()


@pytest.mark.parametrize(
    ("name", "plainly", "told", "reason"),
    [
        ("order 1", True, "order 1", "any shell can quote it"),
        ("-d", False, "-d", "it would be read as an option"),
        ("a\xa0b", False, r"$'a\xc2\xa0b'", "only some shells can spell it"),
        ("\udcff", False, r"$'\xed\xb3\xbf'", "no name at all, and no reason to fail"),
    ],
)
def test_a_name_that_cannot_be_typed_everywhere_is_known(
    name: str, plainly: bool, told: str, reason: str
) -> None:
    """Whoever has another name for it takes that one."""
    assert (is_plainly_typed(name), in_words(name)) == (plainly, told), reason

r"""Commands and names as they are typed: whatever an operator is told to type, a shell reads back to the letter.

Keys are their requesters' choice and may hold what no screen shows, such as a no-break space. Spelled out for the
screen, `a\xa0b`, it would be another valid key when it is typed, under which a second account is paid.
"""

import shlex


def typed(*words: str) -> str:
    """A command that bash, and what is like it, reads as these words. All of it can be printed."""
    return " ".join(map(_quoted, words))


def is_plainly_typed(word: str) -> bool:
    """Whether a name can be typed in any shell, and stand among options without being read as one."""
    return word.isprintable() and not word.startswith("-")


def in_words(name: str) -> str:
    """A name inside a sentence: as it is, or else as it is typed."""
    return name if name.isprintable() else typed(name)


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_spelled, word))}'"


def _spelled(character: str) -> str:
    """In bash's ANSI-C quoting, which takes bytes. Half a character is in no valid name, and must not fail here."""
    if character.isprintable() and character not in "\\'":
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))

"""One pitfall of queue workers that others have met, and what shows that this one does not fall into it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitfall:
    """One entry of the register.

    Attributes:
        number: As in section c of the reliability study.
        what: The pitfall, whole.
        tests: Node ids of the tests that would fail if we fell into it, or if `impossible` were no longer true.
        impossible: Why no way leads there, with the file that shows it in backticks; "" where a way leads there.
        remains: What no test here covers and no code prevents, said openly; "" where nothing is known.
    """

    number: int
    what: str
    tests: tuple[str, ...]
    impossible: str = ""
    remains: str = ""

"""JSON as RFC 8259 has it: Python's parser, minus what it lets through and minus its way of running out of
stack.
"""

import json
from typing import Any, NoReturn


def parse(text: bytes) -> Any:
    """Gives the value that the text stands for.

    Raises:
        ValueError: The text is not UTF-8, not JSON, holds NaN or an infinity, or nests deeper than the parser
            goes.
    """
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def render(value: Any) -> bytes:
    """Writes a value as compact ASCII JSON, so that even a lone surrogate survives the way back."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

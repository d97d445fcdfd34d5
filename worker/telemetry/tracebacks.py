"""Errors in logs: where and what, without the values they happened to hold.

Local variables are never shown. The text of an error is shown only where it cannot well quote a value: a
`ValueError` says what it could not read, a `KeyError` what it looked for, a validation error its whole input.
"""

import traceback
from collections.abc import Iterator

from pydantic import ValidationError

from worker.core.errors import WorkerError

_MOST_FRAMES = 30
_MOST_CAUSES = 8
_LONGEST_TEXT = 300
_QUOTING = (ValueError, LookupError, AssertionError, StopIteration, StopAsyncIteration)
WITHHELD = "(text withheld: it may quote a value)"


def describe(error: BaseException) -> str:
    """The error with its frames, its causes and the errors of a group, in the order of Python's own traceback."""
    return "\n".join(_lines(error, set()))


def summarize(error: BaseException) -> str:
    """Kind and text of one error in a line."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    text = _text(error)
    return f"{kind}: {text}" if text else kind


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen and len(seen) < _MOST_CAUSES:
        yield from _lines(cause, seen)
        yield "which led to:"
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), limit=-_MOST_FRAMES)
    yield from (line.rstrip("\n") for line in frames.format())
    yield summarize(error)
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions[:_MOST_CAUSES]:
            if id(part) not in seen:
                yield from (f"    {line}" for line in _lines(part, seen))


def _text(error: BaseException) -> str:
    match error:
        case ValidationError():
            return _validation(error)
        case WorkerError():
            return str(error)
        case _ if isinstance(error, _QUOTING):
            return WITHHELD if error.args else ""
        case _:
            # A database's error goes on with statement and parameters; the first line says what happened.
            return str(error).partition("\n")[0][:_LONGEST_TEXT]


def _validation(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return f"{error.title}: " + ", ".join(f"{_place(*detail['loc'])} {detail['type']}" for detail in details)


def _place(*steps: int | str) -> str:
    # Names of unknown fields and keys of mappings came from outside, and look like any other.
    return ".".join(str(step) if isinstance(step, int) else _name(step) for step in steps) or "the whole"


def _name(step: str) -> str:
    return step if step.replace("_", "").isalpha() and len(step) <= 40 else "?"

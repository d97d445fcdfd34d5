"""Generated parts of the documents: `python -m tests.documents` writes them, a test finds them stale."""

from collections.abc import Callable, Mapping
from pathlib import Path

from worker.core.states import TRANSITIONS, State, diagram

ROOT = Path(__file__).parent.parent


def states() -> str:
    """The table of states and the diagram, from the code."""
    rows = "\n".join(f"| `{state}` | {_ways_into(state)} | {_ways_out_of(state)} |" for state in State)
    table = f"| state | entered by | left by |\n|---|---|---|\n{rows}"
    return f"```mermaid\n{diagram()}\n```\n\n{table}"


def _ways_into(state: State) -> str:
    names = [way.name for way in TRANSITIONS if way.enters is state and way.leaves != {state}]
    return ", ".join(f"`{name}`" for name in (["accept"] if state is State.ACCEPTED else []) + names) or "-"


def _ways_out_of(state: State) -> str:
    names = [way.name for way in TRANSITIONS if state in way.leaves and way.enters is not state]
    return ", ".join(f"`{name}`" for name in names) or "nothing: it is final"


GENERATED: Mapping[tuple[str, str], Callable[[], str]] = {("worker/README.md", "states"): states}


def with_parts(document: str) -> str:
    """A document with its generated parts made anew.

    Raises:
        ValueError: a marker is missing.
    """
    text = (ROOT / document).read_text(encoding="utf-8")
    for (name, part), make in GENERATED.items():
        if name == document:
            begin, end = (
                f"<!-- {part}:begin (generated: python -m tests.documents) -->",
                f"<!-- {part}:end -->",
            )
            head, tail = text[: text.index(begin) + len(begin)], text[text.index(end) :]
            text = f"{head}\n{make()}\n{tail}"
    return text


if __name__ == "__main__":
    for changed in {name for name, _ in GENERATED}:
        (ROOT / changed).write_text(with_parts(changed), encoding="utf-8")

"""Everything that is generated from the models: schemas, golden messages and parts of the README.

The files are committed, so that other teams read them without running anything; `check` finds drift.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from contracts.asyncapi import document
from contracts.cases import cases
from contracts.examples import forms, messages, vectors
from contracts.providers import discover
from contracts.schemas import schemas
from contracts.tables import with_generated_parts

HOME: Final = Path(__file__).parent
"""The folder of this package, whose generated files are committed."""

_README: Final = "README.md"
_GENERATED_FOLDERS: Final = ("schemas", "examples")


def generate() -> Mapping[str, str]:
    """Give the text of every generated JSON file by its path relative to the folder `contracts`."""
    return dict(sorted(_files()))


def write(folder: Path) -> None:
    """Bring `folder` up to date: write what is generated, delete what no longer is, renew the README's parts.

    A folder without a README gets the JSON files only.

    Raises:
        OSError: the folder cannot be written.
        TypeError: a provider's contract lacks what is generated from it.
        ValueError: the README lacks the comments between which a generated part stands.
    """
    expected = generate()
    for path in _stale(folder, expected):
        (folder / path).unlink()
    for path, text in expected.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    readme = folder / _README
    if readme.exists():
        readme.write_text(with_generated_parts(readme.read_text(encoding="utf-8")), encoding="utf-8")


def check(folder: Path) -> list[str]:
    """Give the paths in `folder` that `write` would change; an empty list means that nothing has drifted.

    Raises:
        OSError: a file cannot be read.
        TypeError, ValueError: as `write`.
    """
    expected = generate()
    changed = [path for path, text in expected.items() if _text_of(folder / path) != text]
    readme = _text_of(folder / _README)
    if readme is not None and with_generated_parts(readme) != readme:
        changed.append(_README)
    return sorted([*changed, *_stale(folder, expected)])


def _files() -> Iterator[tuple[str, str]]:
    yield "asyncapi.json", _json(document())
    for name, schema in schemas().items():
        yield f"schemas/{name}.json", _json(schema)
    for name, message in messages().items():
        yield f"examples/{name}.json", _json(message)
    for provider in discover().values():
        for form, message in forms(provider).items():
            yield f"examples/forms/{provider.NAME}.{form}.json", _json(message)
    for name, message in cases().items():
        yield f"examples/cases/{name}.json", _json(message)
    for name, vector in vectors().items():
        yield f"examples/credentials/{name}.json", vector


def _json(value: Mapping[str, Any]) -> str:
    # In ASCII, because the patterns hold characters that no editor shows.
    return json.dumps(value, indent=2, ensure_ascii=True) + "\n"


def _stale(folder: Path, expected: Mapping[str, str]) -> list[str]:
    present = (path for name in _GENERATED_FOLDERS for path in (folder / name).rglob("*.json"))
    return [path for file in present if (path := file.relative_to(folder).as_posix()) not in expected]


def _text_of(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None

"""The sandbox reads the vendors' documents for itself, and a new provider needs no edit."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker.sandbox
from worker.providers import discover as handlers
from worker.sandbox.provider import discover

FOLDER = Path(worker.sandbox.__file__).parent
FILES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_imports_nothing_of_ours(file: Path) -> None:
    """Each file imports the standard library, aiohttp and the sandbox's own modules, nothing else."""
    allowed = {*sys.stdlib_module_names, "aiohttp"}
    for name in _imported(file):
        assert name.split(".")[0] in allowed or name.startswith("worker.sandbox"), name


def test_running_it_loads_nothing_of_ours() -> None:
    """A process that has loaded the sandbox has loaded no other module of the worker and no contract."""
    script = (
        "import sys, worker.sandbox; worker.sandbox.Sandbox();"
        "print([name for name in sys.modules if name.split('.')[0] in {'worker', 'contracts', 'pydantic'}"
        " and name != 'worker' and not name.startswith('worker.sandbox')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=FOLDER.parent.parent, capture_output=True, check=True
    )
    assert done.stdout == b"[]\n"


def test_providers_are_discovered() -> None:
    """The classes are found by their files, in order of their names, and there is one for each of the worker's."""
    names = [provider.name for provider in discover()]
    assert names == list(handlers())
    assert [provider.__module__ for provider in discover()] == [f"worker.sandbox.{name}" for name in names]


def test_a_fifth_provider_needs_no_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file laid beside the others is a provider; one that takes a name twice is refused."""
    monkeypatch.setattr(worker.sandbox, "__path__", [*worker.sandbox.__path__, str(tmp_path)])
    _write_provider(tmp_path / "fifth.py", "fifth")
    assert "fifth" in [provider.name for provider in discover()]
    _write_provider(tmp_path / "sixth.py", "phone_com")
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match="same name"):
        discover()


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    yield
    for name in ("worker.sandbox.fifth", "worker.sandbox.sixth"):
        sys.modules.pop(name, None)


def _write_provider(file: Path, name: str) -> None:
    file.write_text(
        f"from worker.sandbox.provider import Provider\nclass Another(Provider):\n    name = {name!r}\n"
    )


def _imported(file: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names

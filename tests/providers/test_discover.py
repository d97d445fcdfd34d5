"""Finding the providers: a further file is enough, and a half-made one is named."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import worker.providers
from contracts.providers import discover as contracts
from worker.core.errors import ConfigurationError
from worker.providers import discover

WHOLE = "from worker.providers.gateway360 import Handler\n"
Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Makes a package of these modules and gives its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"providers_of_{tmp_path.name.replace('-', '_')}"

    def make(**modules: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        importlib.invalidate_caches()
        return name

    yield make
    for module in [one for one in sys.modules if one.partition(".")[0] == name]:
        del sys.modules[module]


def test_every_contract_has_a_handler() -> None:
    """The providers of the wire and those of the worker are the same, under the same names."""
    assert list(discover()) == list(contracts())
    assert all(handler.Parameters is contracts()[name].Parameters for name, handler in discover().items())


def test_every_module_is_found_under_its_name() -> None:
    """Each module of the package is a provider, and who looks for one finds it in the file of its name."""
    files = {file.stem for file in Path(worker.providers.__file__).parent.glob("[!_]*.py")}
    assert set(discover()) == files
    assert all(handler.__module__ == f"worker.providers.{name}" for name, handler in discover().items())


def test_further_module_is_found(package: Package) -> None:
    """A module beside the others is found without an edit elsewhere; a private one is left alone."""
    assert list(discover(package(one=WHOLE, _private="raise RuntimeError"))) == ["gateway360"]


def test_two_of_one_name_are_refused(package: Package) -> None:
    """Two modules that claim one provider end the start, and the second is named."""
    with pytest.raises(ConfigurationError, match=r"two\.py: another module is named 'gateway360'"):
        discover(package(one=WHOLE, two=WHOLE))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "defines no class Handler"),
        ("Handler = 7\n", "defines no class Handler"),
        ("class Handler: pass\n", r"no Parameters.* no create\(\).* no name"),
        ("import nothing_of_this_name\n", r"\.py: cannot be imported: ModuleNotFoundError"),
        ("def broken(:\n", "cannot be imported: SyntaxError"),
        ("raise RuntimeError('half made')\n", "cannot be imported: RuntimeError: half made"),
        (f"{WHOLE}\nclass Handler(Handler):\n    RULES = ()\n", "RULES that do not end with COMMON"),
        (
            f"{WHOLE}\nclass Handler(Handler):\n    RULES = (*Handler.RULES, *Handler.RULES)\n",
            "two RULES of one id",
        ),
        (f"{WHOLE}\nclass Handler(Handler):\n    Settings = dict\n", "Settings that are no ProviderSettings"),
        (f"{WHOLE}\nclass Handler(Handler):\n    look_up = None\n", r"no look_up\(\)"),
        (
            (
                f"{WHOLE}\nclass Mine(Handler.Settings):\n    PLACED_BY = ('base_url', 'key_api')\n"
                "class Handler(Handler):\n    Settings = Mine\n"
            ),
            "PLACED_BY that names no setting",
        ),
        (
            (
                f"{WHOLE}\nclass Mine(Handler.Settings):\n    PARENT = 'account'\n"
                "class Handler(Handler):\n    Settings = Mine\n"
            ),
            "PARENT that names no setting",
        ),
        (
            f"{WHOLE}\nclass Handler(Handler):\n    name = 'gateway'\n",
            "the name 'gateway', which no contract bears",
        ),
        (
            (
                f"{WHOLE}\nfrom contracts.providers.phone_com import Parameters as Other\n"
                "class Handler(Handler):\n    Parameters = Other\n"
            ),
            "Parameters that are not those of its contract",
        ),
    ],
)
def test_half_made_module_is_named(package: Package, text: str, problem: str) -> None:
    """What a module lacks is said, with the file's name, before anything is consumed."""
    with pytest.raises(ConfigurationError, match=f"half_made.*{problem}"):
        discover(package(half_made=text))


def test_half_made_contract_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that lacks a piece ends the start, too, with the words of the contract's own check."""

    def discover_contracts() -> None:
        raise TypeError("contracts.providers.half must define Account")

    monkeypatch.setattr(worker.providers, "discover_contracts", discover_contracts)
    with pytest.raises(
        ConfigurationError, match=r"half made: .*contracts\.providers\.half must define Account"
    ):
        discover()

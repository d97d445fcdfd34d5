"""The providers: one module each, found by looking into this package; nothing else names them.

A module defines `Handler`, which implements `worker.core.provider.Provider`, and bears the name of its contract. A
further provider is one further file here, beside its contract and its sandbox.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

from contracts.providers import ProviderContract
from contracts.providers import discover as discover_contracts
from worker.core.clock import Clock
from worker.core.errors import ConfigurationError
from worker.core.provider import Provider, ProviderSettings
from worker.core.rules import COMMON
from worker.exchange import Http

_PIECES = ("Parameters", "Settings", "CAN_LOOK_UP", "HAS_TEST_MODE")
_VERBS = ("complete", "hands_over_credentials", "prepare", "create", "look_up", "probe")


class Handler(Provider, Protocol):
    """A provider, and how it is made."""

    def __init__(self, settings: Any, http: Http, clock: Clock) -> None:
        """`settings` is an instance of the class's own `Settings`."""
        ...


def discover(package: str = __name__) -> Mapping[str, type[Handler]]:
    """Import every public module of the package and give their handlers by provider name, in the names' order.

    Raises:
        ConfigurationError: a module cannot be imported, lacks a piece, bears another's name, or does not fit its
            contract; or a contract is half made.
    """
    found: dict[str, type[Handler]] = {}
    contracts = _contracts()
    for module in _modules(package):
        handler = _checked(module, contracts)
        if handler.name in found:
            raise ConfigurationError(f"{module.__file__}: another module is named {handler.name!r} already")
        found[handler.name] = handler
    return MappingProxyType({name: found[name] for name in sorted(found)})


def _contracts() -> Mapping[str, ProviderContract]:
    try:
        return discover_contracts()
    except Exception as problem:
        raise ConfigurationError(
            f"contracts: a provider's is half made: {type(problem).__name__}: {problem}"
        ) from problem


def _modules(package: str) -> list[ModuleType]:
    folder = importlib.import_module(package)
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    return [_imported(f"{package}.{name}", folder) for name in names if not name.startswith("_")]


def _imported(name: str, folder: ModuleType) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as problem:
        path = f"{folder.__path__[0]}/{name.rpartition('.')[2]}.py"
        raise ConfigurationError(
            f"{path}: cannot be imported: {type(problem).__name__}: {problem}"
        ) from problem


def _checked(module: ModuleType, contracts: Mapping[str, ProviderContract]) -> type[Handler]:
    handler = getattr(module, "Handler", None)
    if not isinstance(handler, type):
        raise ConfigurationError(f"{module.__file__}: defines no class Handler")
    problems = [f"no {piece}" for piece in _PIECES if not hasattr(handler, piece)]
    problems += [f"no {verb}()" for verb in _VERBS if not callable(getattr(handler, verb, None))]
    problems += _problems_of_values(handler) + _problems_with_contract(handler, contracts)
    if problems:
        raise ConfigurationError(f"{module.__file__}: Handler has {', '.join(problems)}")
    return handler


def _problems_of_values(handler: Any) -> list[str]:
    rules = tuple(getattr(handler, "RULES", ()))
    settings = getattr(handler, "Settings", None)
    problems = {
        "no name": not isinstance(getattr(handler, "name", None), str),
        "Settings that are no ProviderSettings": not _is_subclass(settings, ProviderSettings),
        "PLACED_BY that names no setting": not _names_of_place(settings) <= _names_of(settings),
        "PARENT that names no setting": getattr(settings, "PARENT", None) not in {None, *_names_of(settings)},
        "RULES that do not end with COMMON": rules[-len(COMMON) :] != COMMON,
        "two RULES of one id": len({rule.id for rule in rules}) < len(rules),
    }
    return [problem for problem, is_true in problems.items() if is_true]


def _problems_with_contract(handler: Any, contracts: Mapping[str, ProviderContract]) -> list[str]:
    name = getattr(handler, "name", None)
    if not isinstance(name, str):
        return []
    if name not in contracts:
        return [f"the name {name!r}, which no contract bears"]
    is_its_own = getattr(handler, "Parameters", None) is contracts[name].Parameters
    return [] if is_its_own else ["Parameters that are not those of its contract"]


def _names_of_place(settings: Any) -> set[str]:
    return set(getattr(settings, "PLACED_BY", ()))


def _names_of(settings: Any) -> set[str]:
    return set(getattr(settings, "model_fields", ()))


def _is_subclass(value: object, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)

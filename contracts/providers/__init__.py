"""The providers: one module each, found by looking into this package.

A further provider is one further file here. It defines `NAME`, `Parameters`, `Account`, `Credentials`, `ALSO_SENT`,
`recognised_by`, `misfit` and `known_account`; no other code of this package is edited, and `provisioner contracts
export` writes what is generated.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Final, Protocol, cast

from pydantic import JsonValue

from contracts.model import AlsoSent, ClosedModel, Misfit, OpenModel
from contracts.text import is_provider_name


class ProviderContract(Protocol):
    """What a module of this package offers."""

    NAME: str
    """The provider's name on the wire."""
    Parameters: type[ClosedModel]
    """What is asked; the config's `json_schema_extra` holds an example."""
    Account: type[OpenModel]
    """The facts given back, none of them secret; the first one is the account id. With an example, too."""
    Credentials: type[OpenModel]
    """The secrets that are handed over sealed: every field a `SecretStr`, null when it is lost."""
    ALSO_SENT: tuple[AlsoSent, ...]
    """What reaches the vendor besides the parameters."""

    def recognised_by(self, asked: Mapping[str, JsonValue], request_id: str, /) -> Mapping[str, JsonValue]:
        """Give what a person compares with the vendor's list in order to know the account, by the parameters' names.

        It is what was sent, and it is shown: nothing secret is in it, nor is it in `asked`.
        """
        ...

    def misfit(self, account_id: str, asked: Mapping[str, JsonValue], /) -> Misfit | None:
        """Say what speaks against this being the id of the account that was asked for; None where nothing does.

        For an id that a person names: once it is recorded nobody can correct it.
        """
        ...

    def known_account(self, account_id: str, asked: Mapping[str, JsonValue], /) -> OpenModel:
        """Give the `Account` as far as it is known from its id and the parameters that were asked for, as JSON data.

        For an account that a person found: no answer of the vendor is at hand.
        """
        ...


_FUNCTIONS: Final = {
    "recognised_by": "a mapping",
    "misfit": "a Misfit or None",
    "known_account": "an Account",
}


def discover() -> Mapping[str, ProviderContract]:
    """Import every public module of this package and give them by provider name, in the names' order.

    Raises:
        TypeError: a module lacks a piece or has it of a wrong kind.
        ValueError: two modules bear the same name, or a name cannot stand in a routing key.
    """
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )
    return collect(importlib.import_module(f"{__name__}.{name}") for name in names)


def collect(modules: Iterable[ModuleType]) -> Mapping[str, ProviderContract]:
    """Check each module and give them by provider name; raises as `discover` does."""
    found: dict[str, ModuleType] = {}
    for module in modules:
        name = _checked(module).NAME
        if name in found:
            raise ValueError(f"{module.__name__} and {found[name].__name__} are both named {name!r}")
        found[name] = module
    return MappingProxyType({name: cast("ProviderContract", found[name]) for name in sorted(found)})


def _checked(module: ModuleType) -> ProviderContract:
    for piece, base in (("Parameters", ClosedModel), ("Account", OpenModel), ("Credentials", OpenModel)):
        value = getattr(module, piece, None)
        if not (isinstance(value, type) and issubclass(value, base)):
            raise TypeError(f"{module.__name__} must define {piece}, a subclass of {base.__name__}")
    also_sent = getattr(module, "ALSO_SENT", None)
    if not isinstance(also_sent, tuple) or not all(isinstance(one, AlsoSent) for one in also_sent):
        raise TypeError(f"{module.__name__} must define ALSO_SENT, a tuple of AlsoSent")
    for function, gives in _FUNCTIONS.items():
        if not callable(getattr(module, function, None)):
            raise TypeError(f"{module.__name__} must define {function}, a function that gives {gives}")
    name = getattr(module, "NAME", None)
    if not isinstance(name, str):
        raise TypeError(f"{module.__name__} must define NAME, a text")
    if not is_provider_name(name):
        raise ValueError(
            f"{module.__name__}: the name {name!r} must be lower-case letters, digits and underscores"
        )
    return cast("ProviderContract", module)

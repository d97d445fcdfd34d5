"""What the tests know of each provider: one file each, found by looking into this package.

A file bears its provider's name and defines `KNOWN`, and beside it `fits`, where the type checker names what the
handler lacks.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from tests.providers.known._form import Known, Sent
from worker.providers import discover

__all__ = ["KNOWN", "Known", "Sent"]


def _of(provider: str) -> Known:
    module = f"{__name__}.{provider}"
    try:
        known = importlib.import_module(module).KNOWN
    except ModuleNotFoundError as missing:
        if missing.name != module:
            raise
        raise LookupError(
            f"{module.replace('.', '/')}.py must say what the tests know of {provider}"
        ) from None
    assert isinstance(known, Known), f"{module} must define KNOWN"
    return known


KNOWN: Mapping[str, Known] = MappingProxyType({name: _of(name) for name in discover()})

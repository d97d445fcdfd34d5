"""Modules that only a few verbs need: nobody waits for the sandbox in order to list requests."""

from importlib import import_module
from typing import Any


class Later:
    """Stands for a module, which is imported when something in it is first used.

    A verb's module imports the real one under `TYPE_CHECKING`, for the type checker and the reader.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module), name)

"""What a pretended provider is made of: routes, calls, answers, and errors in its own manner.

A provider is one module of this package with one subclass of `Provider`; `discover` finds it, nothing else
names it.
"""

import importlib
import pkgutil
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import ceil
from types import ModuleType
from typing import Any, ClassVar

from worker.sandbox import strict_json
from worker.sandbox.state import Account, Book


class Operation(StrEnum):
    """What a request is for, so that a fault can be aimed at it."""

    CREATE = "create"
    LOOK_UP = "look_up"
    TOKEN = "token"
    PROBE = "probe"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to a provider: its number there, and the placeholders of the route's path."""

    number: int
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    arguments: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider says to a call; `made` is the account that came of it."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    made: Account | None = None


class RefusedError(Exception):
    """Raised inside a provider to answer at once with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"refused with {answer.status}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Route:
    """`path` may hold placeholders such as `{account_id}`; each stands for one path segment."""

    method: str
    path: str
    operation: Operation
    handle: Callable[[Call], Answer] = field(repr=False)


@dataclass(frozen=True, slots=True)
class World:
    """What all providers share: the clock, the numbers that ids and secrets are made of, and the credentials
    of those that shall accept others than their own, by name.
    """

    now: Callable[[], datetime]
    numbers: random.Random
    credentials: Mapping[str, object] = field(default_factory=dict, repr=False)


class Provider(ABC):
    """One third-party API, played from its vendor's documents."""

    name: ClassVar[str]
    prefixes: ClassVar[tuple[str, ...]]
    """Where its paths begin; what is asked there and unknown gets its own 404."""
    id_fields: ClassVar[frozenset[str]]
    """The fields of a create's answer without which nobody knows the new account."""
    secret_fields: ClassVar[frozenset[str]]
    """The fields of a create and of its answer that are passwords, keys or secrets; nobody is shown their values."""
    credentials: Any
    """What a caller must present: a frozen dataclass that stands in the provider's own file. They belong to nobody,
    and say so where their shape allows. A field by which a caller is let in bears the name of the worker's setting.
    """
    content_type: ClassVar[str] = "application/json"

    def __init__(self, world: World, book: Book) -> None:
        self.world = world
        self.book = book
        self.credentials = world.credentials.get(self.name, self.credentials)

    @abstractmethod
    def routes(self) -> tuple[Route, ...]:
        """Every request that it understands."""

    @abstractmethod
    def error(self, status: int, message: str) -> Answer:
        """An error of that status in this provider's own shape."""

    def rate_limited(self, seconds: float) -> Answer:
        """A 429 that asks for a wait; by `Retry-After`, unless a provider has its own manner."""
        answer = self.error(429, "Too many requests.")
        return replace(answer, headers={**answer.headers, "Retry-After": str(ceil(seconds))})

    def keep(
        self,
        call: Call,
        account_id: str,
        fields: Mapping[str, Any],
        issued: Mapping[str, Any],
        natural_key: str | None = None,
    ) -> Account:
        """Makes an account, here and now; `natural_key` is what it is found by besides its id."""
        account = Account(self.name, account_id, fields, issued, self.world.now(), call.number)
        self.book.add(account, natural_key)
        return account

    def answer(self, payload: Any, status: int = 200, made: Account | None = None) -> Answer:
        return Answer(status, strict_json.render(payload), {"Content-Type": self.content_type}, made)


def discover() -> tuple[type[Provider], ...]:
    """The provider classes of this package, in order of their names.

    Raises:
        ValueError: Two of them bear the same name.
    """
    package = importlib.import_module(__package__ or "worker.sandbox")
    modules = [importlib.import_module(f"{package.__name__}.{found.name}") for found in _members(package)]
    classes = [provider for module in modules for provider in _providers_of(module)]
    if len({provider.name for provider in classes}) < len(classes):
        raise ValueError("two pretended providers bear the same name")
    return tuple(sorted(classes, key=lambda provider: provider.name))


def _members(package: ModuleType) -> list[pkgutil.ModuleInfo]:
    return list(pkgutil.iter_modules(package.__path__))


def _providers_of(module: ModuleType) -> list[type[Provider]]:
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return [
        value
        for value in classes
        if issubclass(value, Provider) and value is not Provider and value.__module__ == module.__name__
    ]

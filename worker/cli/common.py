"""What the verbs share: options with the same meaning everywhere, and the office in which operators' verbs run."""

import asyncio
import getpass
import os
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from worker import bootstrap
from worker.cli.output import Exit, complain
from worker.core.errors import (
    AccountClaimed,
    BrokerUnavailable,
    ConfigurationError,
    LedgerUnavailable,
    NotAllowed,
    SealBroken,
    UnknownRequest,
    WorkerError,
)
from worker.core.ledger import Ledger
from worker.operations.dead_letters import DeadLetterOperations, Republish
from worker.operations.providers import ProviderOperations
from worker.operations.requests import RequestOperations

if TYPE_CHECKING:
    from worker.bootstrap import OfficeParts
    from worker.settings import Settings

T = TypeVar("T")


class Misuse(WorkerError):
    """The command line, or a file that it names, is wrong; nothing was changed."""


def is_unicode(text: str) -> bool:
    """Whether it is whole characters. What was typed as anything but UTF-8 is not, and nobody could be told of it."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _in_words(reason: str) -> str:
    if not reason.strip() or not is_unicode(reason):
        raise typer.BadParameter("say why, in words, as UTF-8")
    return reason.strip()


Json = Annotated[bool, typer.Option("--json", metavar="", help="One JSON document instead of a table.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", metavar="", help="Say what would happen to which row; change nothing.")
]
Reason = Annotated[
    str,
    typer.Option("--reason", metavar="WHY", callback=_in_words, help="Why; kept in the history for good."),
]
Actor = Annotated[
    str | None,
    typer.Option(
        "--actor",
        metavar="NAME",
        envvar="PROVISIONER_ACTOR",
        help="Who does it; else your login name, also behind sudo, unless that is the service's or root.",
    ),
]

_SERVICE_UID = 10001
"""Of the image (Dockerfile)."""
_UNKNOWN = "unknown"
_NOBODY = frozenset({"provisioner", "root", _UNKNOWN})
"""Logins that say nothing about who it is: the service's, in the image or beside systemd, root's, and none."""

_EXITS: tuple[tuple[type[WorkerError], Exit], ...] = (
    (Misuse, Exit.USAGE),
    (ConfigurationError, Exit.CONFIGURATION),
    (SealBroken, Exit.CONFIGURATION),
    (BrokerUnavailable, Exit.UNAVAILABLE),
    (LedgerUnavailable, Exit.UNAVAILABLE),
    (UnknownRequest, Exit.NOT_FOUND),
    (NotAllowed, Exit.BLOCKED),
    (AccountClaimed, Exit.BLOCKED),
)

_HINTS: tuple[tuple[type[WorkerError], str], ...] = (
    (
        BrokerUnavailable,
        "PROVISIONER_BROKER__URL says where RabbitMQ is; `provisioner config check --online` tries it",
    ),
    (
        LedgerUnavailable,
        "PROVISIONER_LEDGER__URL says where the ledger is; `provisioner config check --online` tries it",
    ),
    (
        SealBroken,
        "PROVISIONER_SEALING__KEYS_FILE (or __KEYS) must hold every key that ever sealed this ledger",
    ),
)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the worker's own errors into one sentence and an exit code."""
    try:
        yield
    except WorkerError as error:
        complain(error, next((hint for kind, hint in _HINTS if isinstance(error, kind)), ""))
        code = next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILED)
        raise typer.Exit(code) from None


class Office:
    """The ledger and the operators' verbs on it, opened for one command."""

    def __init__(self, runner: asyncio.Runner, parts: "OfficeParts") -> None:
        self._runner = runner
        self._parts = parts

    @property
    def configured(self) -> "Settings":
        """The settings."""
        return self._parts.configured

    @property
    def ledger(self) -> Ledger:
        """The system of record."""
        return self._parts.ledger

    @property
    def requests(self) -> RequestOperations:
        """Verbs on requests."""
        return self._parts.requests

    @property
    def dead_letters(self) -> DeadLetterOperations:
        """Verbs on dead letters."""
        return self._parts.dead_letters

    @property
    def providers(self) -> ProviderOperations:
        """Verbs on providers."""
        return self._parts.providers

    @property
    def known_providers(self) -> frozenset[str]:
        """Names of all providers there are."""
        return self._parts.known_providers

    def now(self) -> datetime:
        """The ledger's time."""
        return self._parts.clock.now()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end."""
        return self._runner.run(work)

    @contextmanager
    def requests_exchange(self) -> Iterator[Republish]:
        """A connection to RabbitMQ on which messages can be published again as requests."""
        stack = AsyncExitStack()
        publish = self.run(stack.enter_async_context(bootstrap.requests_exchange(self._parts.configured)))
        try:
            yield publish
        finally:
            self.run(stack.aclose())


@contextmanager
def open_office(actor: str | None = None, *, acts: bool = False) -> Iterator[Office]:
    """Open the configured ledger beside the workers; close it again, whatever happens.

    Args:
        actor: Who does it; else the login name.
        acts: Whether something is to be changed, for which somebody must stand with a name.
    """
    with exit_codes(), asyncio.Runner() as runner:
        stack, name = AsyncExitStack(), _name(actor, acts=acts)
        parts = runner.run(stack.enter_async_context(bootstrap.open_office(bootstrap.settings(), name)))
        try:
            yield Office(runner, parts)
        finally:
            runner.run(stack.aclose())


def _name(actor: str | None, *, acts: bool) -> str:
    """Whose name is kept beside what is done.

    Raises:
        Misuse: it would be the worker's own, which a container gives to everybody, or root.
    """
    given, login = (actor or "").strip(), _login()
    if acts and not given and (login in _NOBODY or os.getuid() == _SERVICE_UID):
        raise Misuse(
            "your name is kept with what you do, and here nobody knows it: this is the account of the service, or "
            "root's without sudo. Give --actor NAME, or set PROVISIONER_ACTOR; nothing was changed"
        )
    if acts and not is_unicode(given):
        raise Misuse("--actor must be UTF-8; nothing was changed")
    return given or login


def _login() -> str:
    """The login, or where it says nothing the one that `sudo` was called from."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = _UNKNOWN
    return os.environ.get("SUDO_USER", login) if login in _NOBODY else login


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end."""
    return asyncio.run(work)

"""`provisioner submit`: publish one request as an upstream system would."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from pydantic import ValidationError

from contracts.problems import problems
from contracts.providers import discover
from contracts.reason import ReasonCode
from contracts.request import ProvisionRequest, request_routing_key
from worker import bootstrap
from worker.cli.common import Json, Misuse, exit_codes, is_unicode, run_async
from worker.cli.output import Exit, cell, complain, err, out, print_json, safe
from worker.core.errors import PublishUnconfirmed
from worker.operations.shell import in_words, typed

_SOURCE = "urn:provisioner:cli"


@dataclass(frozen=True, slots=True)
class _Arguments:
    """A request spelled out on the command line."""

    provider: str | None
    key: str | None
    parameters: Sequence[str]
    source: str | None


def submit(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="JSON: a whole CloudEvent, or its data alone. '-' reads standard input.",
            show_default=False,
        ),
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help="Where the account is opened.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Idempotency key; a random one if left out.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Repeatable; dots nest (contact.email=...), and a value that is JSON is read as JSON.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="URI",
            help=f"Who asks; {_SOURCE} if left out. With the key the identity: another source is another account.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Ask the worker to check everything and open nothing."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", metavar="", help="Wait for the result event and print it.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long to wait for the result.")
    ] = 120.0,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", metavar="", help="Validate by the contract before publishing."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Publish a request, from a file or from arguments, and optionally wait for its result."""
    with exit_codes():
        event = _event(file, _Arguments(provider, key, parameter or (), source), dry_run=dry_run)
        if check:
            _check(event, by_hand=bool(parameter))
        if file is None and key is None:
            _tell_key(event)
        seconds = timeout if wait else None
        with _repeatable(_repeating(file, event, source, dry_run=dry_run, check=check)):
            told = run_async(
                bootstrap.submit(
                    bootstrap.settings(),
                    event,
                    _routing_key(event),
                    seconds,
                    lambda: _published(event, seconds, as_json=as_json),
                )
            )
    if wait and told is None:
        complain(f"no result within {timeout:g} s", _later(event))
        raise typer.Exit(Exit.FAILED)
    if told is not None:
        if told.get("causationid") != event.get("id"):
            words = (
                f"this answers an earlier request with the same key (event {cell(told.get('causationid'))})"
            )
            err.print(words, markup=False, style="dim")
        _print_result(told, as_json=as_json)


def _event(file: Path | None, arguments: _Arguments, *, dry_run: bool) -> dict[str, Any]:
    """A whole CloudEvent as it is; data alone gets an envelope."""
    if file is None:
        data = _from_arguments(arguments)
        event = _enveloped(data, arguments.source)
    else:
        if arguments.provider is not None or arguments.key is not None or arguments.parameters:
            raise Misuse("give a file or arguments, not both")
        given = _read(file)
        is_whole = "specversion" in given
        if is_whole and arguments.source is not None:
            raise Misuse("--source goes with data alone; this file is a whole event and has its own")
        event = given if is_whole else _enveloped(given, arguments.source)
    return _as_dry_run(event) if dry_run else event


def _enveloped(data: dict[str, Any], source: str | None) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    envelope = {"specversion": "1.0", "id": str(uuid4()), "source": source or _SOURCE}
    return {
        **envelope,
        "type": "account.requested.v1",
        "time": now,
        "datacontenttype": "application/json",
        "data": data,
    }


def _as_dry_run(event: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(event.get("data"), dict):
        raise Misuse("--dry-run needs an event whose data is an object")
    return {**event, "data": {**event["data"], "dry_run": True}}


def _from_arguments(arguments: _Arguments) -> dict[str, Any]:
    if arguments.provider is None:
        raise Misuse("give a file, or --provider with its parameters")
    parameters: dict[str, Any] = {}
    for assignment in arguments.parameters:
        _assign(parameters, assignment)
    key = str(uuid4()) if arguments.key is None else arguments.key
    return {"idempotency_key": key, "provider": arguments.provider, "parameters": parameters}


def _read(file: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        given = json.loads(text)
    except OSError as error:
        raise Misuse(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise Misuse(f"{file} is not JSON{place}") from None
    if not isinstance(given, dict):
        raise Misuse(f"{file} must hold one JSON object")
    return given


def _assign(parameters: dict[str, Any], assignment: str) -> None:
    name, equals, text = assignment.partition("=")
    *path, last = name.split(".")
    if not equals or not all((*path, last)):
        raise Misuse(f"--parameter {name!r} must be NAME=VALUE")
    for step in path:
        parameters = parameters.setdefault(step, {})
        if not isinstance(parameters, dict):
            raise Misuse(f"--parameter {name!r}: {step!r} is a value already")
    if last in parameters:
        raise Misuse(f"--parameter {name!r} is given twice")
    try:
        parameters[last] = json.loads(text)
    except (ValueError, RecursionError):
        parameters[last] = text


def _check(event: Mapping[str, Any], *, by_hand: bool) -> None:
    """Refuse before publishing what the worker would refuse."""
    named = event["data"].get("provider") if isinstance(event.get("data"), dict) else None
    contract = discover().get(named) if isinstance(named, str) else None
    if contract is None:
        raise Misuse(f"/data/provider must be one of {', '.join(sorted(discover()))}")
    try:
        ProvisionRequest[contract.Parameters].model_validate(event)  # type: ignore[name-defined]  # chosen at run time
    except ValidationError as error:
        found = problems(error)
        lines = [f"  {problem.pointer or '/'}: {problem.message}" for problem in found]
        if by_hand and any("must be a string" in problem.message for problem in found):
            lines.append("  (a number that is meant as text needs quotes: -p 'postal_code=\"92064\"')")
        told = "\n".join(lines)
        raise Misuse(
            f"the request breaks its contract; --no-check publishes it all the same:\n{told}"
        ) from None


def _data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data = event.get("data")
    return data if isinstance(data, dict) else {}


def _routing_key(event: Mapping[str, Any]) -> str:
    provider = str(_data(event).get("provider") or "unknown")
    if not is_unicode(provider):
        raise Misuse(f"RabbitMQ takes no message for {provider!r}: that is no UTF-8")
    return request_routing_key(provider)


def _key(event: Mapping[str, Any]) -> str:
    key = _data(event).get("idempotency_key")
    return in_words(key) if isinstance(key, str) else cell(key)


def _follow(event: Mapping[str, Any]) -> str:
    """The command as it is typed. A key may hold what a shell reads, and begin like an option."""
    key = str(_data(event).get("idempotency_key"))
    return typed("provisioner", "explain", *(["--"] if key.startswith("-") else []), key)


def _later(event: Mapping[str, Any]) -> str:
    """What to do about a request that has no result yet; it need not even be in the ledger."""
    return (
        f"`{_follow(event)}` tells how it stands, or knows nothing of it while it waits in RabbitMQ, as where its "
        "provider is paused: `provisioner provider status`. To send it again is safe under the same key "
        f"({_key(event)}) from the same source ({cell(event.get('source'))}), under another key or from another source "
        "it is not"
    )


def _tell_key(event: Mapping[str, Any]) -> None:
    """Before publishing: whoever never hears of the confirmation must still know the key that was made up."""
    source = cell(event.get("source"))
    words = f"idempotency key {_key(event)}; the same key from the same source ({source}) never opens a second account"
    err.print(words, markup=False, style="dim")


@contextmanager
def _repeatable(repeating: str) -> Iterator[None]:
    """Say beside a publish that nobody confirmed how it is repeated.

    Raises:
        PublishUnconfirmed: the same, with these words.
    """
    try:
        yield
    except PublishUnconfirmed as error:
        words = f"the request may be queued all the same; {repeating} repeats it and opens no second account"
        raise PublishUnconfirmed(f"{error}; {words}") from None


def _repeating(
    file: Path | None, event: Mapping[str, Any], source: str | None, *, dry_run: bool, check: bool
) -> str:
    """The command with the same source, key and content. Parameters are left out: they may be secret."""
    data = _data(event)
    by_hand = ["--provider", str(data.get("provider")), "--key", str(data.get("idempotency_key"))]
    words = ["provisioner", "submit", *(by_hand if file is None else [str(file)])]
    words += ["--source", source] if source is not None else []
    words += ["--dry-run"] if dry_run else []
    words += [] if check else ["--no-check"]
    if file is None:
        return f"`{typed(*words)} ...` with the same parameters"
    same = "the same input and its" if str(file) == "-" else "its"
    return f"`{typed(*words)}` with {same} key {_key(event)}"


def _published(event: Mapping[str, Any], wait: float | None, *, as_json: bool) -> None:
    if wait is not None:
        words = f"published {cell(event.get('id'))}; waiting up to {wait:g} s (Ctrl-C ends only the waiting)"
        err.print(words, markup=False, style="dim")
    elif as_json:
        data = _data(event)
        names = ("idempotency_key", "provider")
        print_json({"published": event.get("id"), **{name: data.get(name) for name in names}})
    else:
        out.print(f"published {cell(event.get('id'))}; follow it with `{_follow(event)}`", markup=False)


def _print_result(told: Mapping[str, Any], *, as_json: bool) -> None:
    data = told["data"]
    outcome, reason = data["outcome"], data.get("reason") or {}
    passed = outcome == "provisioned" or reason.get("code") == ReasonCode.DRY_RUN_PASSED
    if as_json:
        print_json(told)
    elif outcome == "provisioned":
        out.print(
            f"[bold green]provisioned[/] account {safe(data.get('account_id'))} (event {safe(told['id'])})"
        )
        if data.get("credentials"):
            out.print("its credentials are in the event, encrypted to the consumer's key (--json prints it)")
    else:
        words = f"{safe(reason.get('code'))}: {safe(reason.get('message'))}"
        out.print(f"[bold {'green' if passed else 'yellow'}]{safe(outcome)}[/] {words}")
        for problem in data.get("problems") or ():
            out.print(f"  {safe(problem.get('pointer') or '/')}: {safe(problem.get('message'))}")
    if not passed:
        raise typer.Exit(Exit.FAILED)

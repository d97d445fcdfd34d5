"""`provisioner requests …`: look at requests, and decide what a machine cannot."""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from worker.cli import batch
from worker.cli.common import Actor, DryRun, Json, Misuse, Office, Reason, exit_codes, open_office
from worker.cli.output import age, as_data, print_json, print_table
from worker.cli.selection import (
    CodeOption,
    Ids,
    LimitOption,
    NewerOption,
    OlderOption,
    ProviderOption,
    Selection,
    SourceOption,
    StateOption,
    either,
)
from worker.operations.accounts import Account, issued_by
from worker.operations.verbs import Plan, Verb

app = typer.Typer(no_args_is_help=True, help="Look at requests, and decide what a machine cannot.")

_STANDARD_INPUT = Path("-")
_FORM = batch.Form(
    columns={"request": "request", "key": "idempotency_key", "state": "state"},
    empty="no request matches",
    folds={"key", "what"},
    spare=("key",),
)

Reference = Annotated[str, typer.Argument(metavar="ID", help="Request id or idempotency key.")]


@app.command("list", epilog="Example: provisioner requests list --state held --provider postcode_eu --json")
def list_requests(
    state: StateOption = None,
    provider: ProviderOption = None,
    code: CodeOption = None,
    source: SourceOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 50,
    as_json: Json = False,
) -> None:
    """List requests, newest first."""
    chosen = Selection(provider, code, source, older_than, newer_than, limit, state)
    with open_office() as office:
        entries = office.run(office.ledger.entries(chosen.wanted(office)))
        if as_json:
            print_json(entries)
            chosen.mention_limit(len(entries))
            return
        rows = (
            (
                it.request_id,
                it.provider,
                it.state,
                it.reason,
                age(it.received_at, office.now()),
                it.idempotency_key,
                it.account_id,
            )
            for it in entries
        )
        columns = ("request", "provider", "state", "reason", "age", "key", "account")
        print_table(
            columns, rows, empty="no request matches", folds={"key"}, spare=("account", "age", "provider")
        )
        chosen.mention_limit(len(entries))


@app.command(epilog="Example: provisioner requests show order-4711")
def show(reference: Reference, as_json: Json = False) -> None:
    """Show one request as the ledger has it; `explain` tells its story."""
    with open_office() as office:
        data = as_data(office.run(office.requests.find(reference)))
        if as_json or not isinstance(data, dict):
            print_json(data)
        else:
            print_table(("field", "value"), data.items(), empty="", folds={"value"})


@app.command(
    epilog="Example: provisioner requests replay --state held --code attempts_exhausted --reason 'outage over'"
)
def replay(
    reason: Reason,
    references: Ids = None,
    state: StateOption = None,
    provider: ProviderOption = None,
    code: CodeOption = None,
    source: SourceOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 100,
    dry_run: DryRun = False,
    as_json: Json = False,
    actor: Actor = None,
) -> None:
    """Run requests again that certainly created nothing. What may exist is blocked, and says what to do instead."""
    chosen = Selection(provider, code, source, older_than, newer_than, limit, state)
    _all(Verb.REPLAY, references, chosen, reason, actor, dry_run=dry_run, as_json=as_json)


@app.command(
    epilog="Example: provisioner requests resolve order-4711 --account-id 34144 --reason 'seen in portal'"
)
def resolve(
    reference: Reference,
    reason: Reason,
    account_id: Annotated[
        str | None,
        typer.Option(
            "--account-id",
            metavar="ID",
            help="The account exists and has this id. It is told and recorded for good: nobody can correct it.",
        ),
    ] = None,
    not_created: Annotated[
        bool, typer.Option("--not-created", metavar="", help="You are certain that no account exists.")
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option(
            "--attempt",
            metavar="NUMBER",
            min=1,
            help="With --not-created: the newest attempt, after which you looked. Needed where there were several.",
        ),
    ] = None,
    credentials_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON object of the account's credentials by name, to be encrypted to the consumer; - reads it from "
            "standard input, so that it lies in no file.",
        ),
    ] = None,
    without_credentials: Annotated[
        bool,
        typer.Option(
            "--without-credentials",
            metavar="",
            help="With --account-id: the requester does without those that nobody has. They cannot be added later.",
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    actor: Actor = None,
) -> None:
    """Settle a request by your word: the account exists, and nothing is sent any more; or it does not exist.

    An account that you name is final and cannot be corrected; look twice, and use --dry-run first.
    """
    with exit_codes():
        verb = _word(account_id, not_created=not_created)
        _check_company(verb, attempt, credentials_file, without_credentials=without_credentials)
    with open_office(actor, acts=not dry_run) as office:
        (planned,) = office.run(office.requests.plan(verb, [reference], None))
        if not_created:
            planned = office.run(office.requests.for_attempt(planned, attempt))
        account = None
        if account_id is not None:
            credentials = _credentials(credentials_file, issued_by(planned.entry.provider))
            account = Account(account_id.strip(), credentials, without_credentials)
            planned = office.run(office.requests.for_account(planned, account))
        row = _row(office, planned, reason, account, dry_run=dry_run)
        batch.carry_out([row], _FORM, None, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: provisioner requests abandon order-4711 --reason 'customer withdrew'")
def abandon(
    reason: Reason,
    references: Ids = None,
    state: StateOption = None,
    provider: ProviderOption = None,
    code: CodeOption = None,
    source: SourceOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 100,
    dry_run: DryRun = False,
    as_json: Json = False,
    actor: Actor = None,
) -> None:
    """Close requests. Each publishes `account.abandoned`, which says whether an account may be left."""
    chosen = Selection(provider, code, source, older_than, newer_than, limit, state)
    _all(Verb.ABANDON, references, chosen, reason, actor, dry_run=dry_run, as_json=as_json)


@app.command(
    epilog="Example: provisioner requests republish --newer-than 14400 --limit 10000 --reason 'consumer lost an hour'"
)
def republish(
    reason: Reason,
    references: Ids = None,
    state: StateOption = None,
    provider: ProviderOption = None,
    code: CodeOption = None,
    source: SourceOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 100,
    dry_run: DryRun = False,
    as_json: Json = False,
    actor: Actor = None,
) -> None:
    """Publish the newest result event again, with the same event id. The provider is never asked."""
    chosen = Selection(provider, code, source, older_than, newer_than, limit, state)
    _all(Verb.REPUBLISH, references, chosen, reason, actor, dry_run=dry_run, as_json=as_json)


def _word(account_id: str | None, *, not_created: bool) -> Verb:
    """Which of the two words is given. An empty id, from a variable that is not set, is neither."""
    if (account_id is None) == (not not_created):
        raise Misuse("give either --account-id or --not-created")
    if account_id is None:
        return Verb.RESOLVE_NOT_CREATED
    if not account_id.strip():
        raise Misuse("--account-id is empty")
    return Verb.RESOLVE_CREATED


def _check_company(
    verb: Verb, attempt: int | None, credentials_file: Path | None, *, without_credentials: bool
) -> None:
    """Each option goes with one of the two words."""
    if verb is Verb.RESOLVE_CREATED and attempt is not None:
        raise Misuse("--attempt goes with --not-created")
    if verb is Verb.RESOLVE_NOT_CREATED and credentials_file is not None:
        raise Misuse("--credentials-file goes with --account-id")
    if verb is Verb.RESOLVE_NOT_CREATED and without_credentials:
        raise Misuse("--without-credentials goes with --account-id")


def _credentials(path: Path | None, known: Collection[str]) -> Mapping[str, SecretStr]:
    if path is None:
        return {}
    try:
        is_stdin = path == _STANDARD_INPUT
        given = json.loads(sys.stdin.read() if is_stdin else path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Misuse(f"--credentials-file {path} cannot be read as JSON: {type(error).__name__}") from None
    if not isinstance(given, dict) or not all(isinstance(value, str) and value for value in given.values()):
        raise Misuse(f"--credentials-file {path} must hold one JSON object of texts")
    if given.keys() - set(known):
        names = ", ".join(sorted(known)) or "none"
        raise Misuse(
            f"--credentials-file {path} has names that this provider does not issue; it issues {names}"
        )
    return {name: SecretStr(value) for name, value in given.items()}


def _all(
    verb: Verb,
    references: Sequence[str] | None,
    chosen: Selection,
    reason: str,
    actor: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """One verb on the named requests, or on those that the filters find."""
    with open_office(actor, acts=not dry_run) as office:
        named = either(references, chosen)
        plans = office.run(
            office.requests.plan(verb, references or [], None if named else chosen.wanted(office))
        )
        rows = [_row(office, planned, reason, None, dry_run=dry_run) for planned in plans]
        batch.carry_out(rows, _FORM, None if named else chosen, dry_run=dry_run, as_json=as_json)


def _row(office: Office, planned: Plan, reason: str, account: Account | None, *, dry_run: bool) -> batch.Row:
    entry = planned.entry
    names = {
        "request": entry.request_id,
        "idempotency_key": entry.idempotency_key,
        "provider": entry.provider,
        "state": entry.state,
    }

    def act() -> str:
        return office.run(office.requests.carry_out(planned, reason, account))

    return batch.Row(names, planned.effect, planned.words, None if dry_run else act)

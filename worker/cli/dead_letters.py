"""`provisioner dead-letters …`: messages that could not become requests."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from worker.cli import batch, letter_story
from worker.cli.common import Actor, DryRun, Json, Office, Reason, open_office
from worker.cli.output import age, print_json, print_table
from worker.cli.selection import (
    CodeOption,
    KeyOption,
    LetterIds,
    LimitOption,
    NewerOption,
    OlderOption,
    ProviderOption,
    Selection,
    SourceOption,
    either,
)
from worker.core.dead_letter import DeadLetter, LetterState
from worker.operations.dead_letters import LetterPlan
from worker.operations.verbs import Effect

app = typer.Typer(no_args_is_help=True, help="Messages that could not become requests.")

_FORM = batch.Form(
    columns={"dead letter": "dead_letter", "reason": "reason"}, empty="no dead letter matches", folds={"what"}
)


class Listed(StrEnum):
    """Which dead letters to list."""

    OPEN = LetterState.OPEN
    REPLAYED = LetterState.REPLAYED
    DISCARDED = LetterState.DISCARDED
    ALL = "all"


@app.command("list", epilog="Example: provisioner dead-letters list --code not_json")
def list_letters(
    state: Annotated[Listed, typer.Option("--state", help="Only in this state.")] = Listed.OPEN,
    provider: ProviderOption = None,
    code: CodeOption = None,
    source: SourceOption = None,
    key: KeyOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""
    chosen = Selection(provider, code, source, older_than, newer_than, limit, key=key)
    with open_office() as office:
        letters = chosen.letters(office, None if state is Listed.ALL else LetterState(state))
        if as_json:
            print_json(letters)
            chosen.mention_limit(len(letters))
            return
        rows = (
            (
                it.dead_letter_id,
                it.state,
                it.reason,
                it.provider,
                age(it.received_at, office.now()),
                it.idempotency_key,
                it.size,
            )
            for it in letters
        )
        columns = ("dead letter", "state", "reason", "provider", "age", "key", "bytes")
        print_table(
            columns, rows, empty="no dead letter matches", folds={"key"}, spare=("bytes", "age", "provider")
        )
        chosen.mention_limit(len(letters))


@app.command(epilog="Example: provisioner dead-letters show 540b2bb1-5f94-54a5-9131-8a9957f6fddc --body")
def show(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID", help="Dead-letter id.")],
    body: Annotated[
        bool, typer.Option("--body", metavar="", help="Also show the message itself. It may hold secrets.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show one dead letter: why it died, and its history."""
    with open_office() as office:
        letter = office.run(office.dead_letters.find(dead_letter_id))
        letter_story.show(office, letter, body=body, as_json=as_json)


@app.command(
    epilog="Example: provisioner dead-letters replay --code provider_not_configured --reason 'configured now'"
)
def replay(
    reason: Reason,
    dead_letter_ids: LetterIds = None,
    provider: ProviderOption = None,
    code: CodeOption = None,
    source: SourceOption = None,
    key: KeyOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 100,
    dry_run: DryRun = False,
    as_json: Json = False,
    actor: Actor = None,
) -> None:
    """Publish dead letters again. Safe to repeat: the ledger knows each request by its key."""
    chosen = Selection(provider, code, source, older_than, newer_than, limit, key=key)
    with open_office(actor, acts=not dry_run) as office:
        letters, found_by = _wanted(office, dead_letter_ids, chosen)
        plans = [office.dead_letters.plan_replay(letter) for letter in letters]
        if dry_run or not any(planned.effect is Effect.WILL for planned in plans):
            # Nothing to publish, so no broker is needed.
            batch.carry_out(_rows(plans, None), _FORM, found_by, dry_run=dry_run, as_json=as_json)
            return
        with office.requests_exchange() as publish:
            rows = _rows(
                plans, lambda planned: office.run(office.dead_letters.replay(planned, reason, publish))
            )
            batch.carry_out(rows, _FORM, found_by, dry_run=False, as_json=as_json)


@app.command(epilog="Example: provisioner dead-letters discard --source urn:load-test --reason 'a load test'")
def discard(
    reason: Reason,
    dead_letter_ids: LetterIds = None,
    provider: ProviderOption = None,
    code: CodeOption = None,
    source: SourceOption = None,
    key: KeyOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: LimitOption = 100,
    dry_run: DryRun = False,
    as_json: Json = False,
    actor: Actor = None,
) -> None:
    """Close dead letters for good. The rows and their reasons stay."""
    chosen = Selection(provider, code, source, older_than, newer_than, limit, key=key)
    with open_office(actor, acts=not dry_run) as office:
        letters, found_by = _wanted(office, dead_letter_ids, chosen)
        plans = [office.dead_letters.plan_discard(letter) for letter in letters]
        rows = _rows(
            plans,
            None if dry_run else lambda planned: office.run(office.dead_letters.discard(planned, reason)),
        )
        batch.carry_out(rows, _FORM, found_by, dry_run=dry_run, as_json=as_json)


def _wanted(
    office: Office, ids: Sequence[str] | None, chosen: Selection
) -> tuple[list[DeadLetter], Selection | None]:
    """The letters that are named; or those that the filters find, with these."""
    if either(ids, chosen):
        named = dict.fromkeys(ids or ())
        return [office.run(office.dead_letters.find(dead_letter_id)) for dead_letter_id in named], None
    return chosen.letters(office, LetterState.OPEN), chosen


def _rows(plans: Sequence[LetterPlan], act: Callable[[LetterPlan], str] | None) -> list[batch.Row]:
    return [
        batch.Row(
            {"dead_letter": planned.letter.dead_letter_id, "reason": planned.letter.reason},
            planned.effect,
            planned.words,
            None if act is None else partial(act, planned),
        )
        for planned in plans
    ]

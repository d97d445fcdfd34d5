"""`provisioner explain`: one request's whole story, as a person reads it."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from worker.cli import letter_story
from worker.cli.common import Json, Office, open_office
from worker.cli.output import age, as_data, cell, out, print_json, print_table, safe
from worker.core.dead_letter import DeadLetter
from worker.core.entry import Entry
from worker.core.errors import AmbiguousKey, SealBroken, UnknownRequest
from worker.core.states import TRANSITIONS, State
from worker.core.story import HistoryLine
from worker.operations.accounts import issued_by
from worker.operations.shell import in_words, is_plainly_typed, typed
from worker.operations.story import Story, tell
from worker.operations.verbs import Effect, Verb, plan

_LOOK_UP_RULE = "look_up"
_MEANING: Mapping[str, str] = {
    **{each.name: each.meaning for each in TRANSITIONS},
    "accept": "the request came",
    "publish_again": "the newest result event is published again, with the same id",
    "answer_after_all": "an answer came when nobody could wait for it any more",
    "found_after_all": "a look-up found an account when somebody else had decided already",
}
_LABELS: Mapping[str, str] = {
    "baseline": "before it",
    "account_id": "account",
    "event": "told by",
    "dry_run": "dry run",
}
_DUE = frozenset({State.WAITING, State.IN_DOUBT})


def explain(
    reference: Annotated[str, typer.Argument(metavar="ID", help="Request id or idempotency key.")],
    as_json: Json = False,
) -> None:
    """Tell one request's whole story: what came, what was seen, which rule decided, who did what and why."""
    with open_office() as office:
        try:
            entry = office.run(office.requests.find(reference))
        except AmbiguousKey:
            raise
        except UnknownRequest:
            letter = _dead_letter(office, reference)
            if letter is None:
                raise
            alike = letter_story.bearing(office, letter.idempotency_key)
            others = [it for it in alike if it.dead_letter_id != letter.dead_letter_id]
            letter_story.show(office, letter, body=False, as_json=as_json, others=others)
            return
        story = office.run(tell(office.ledger, office.requests.accounts, entry))
        attempts = office.run(office.ledger.attempts(entry.request_id))
        letters = letter_story.bearing(office, entry.idempotency_key)
        if as_json:
            told, more = as_data(story), {"attempts": attempts, "dead_letters": letters}
            print_json({**told, **more} if isinstance(told, dict) else told)
        else:
            _print_story(office, story, reference, attempts[-1].number if attempts else 0)
            # Whoever sent it was told that it was rejected, and asks about this very key.
            letter_story.mention(letters, entry.idempotency_key, entry.source)


def _dead_letter(office: Office, reference: str) -> DeadLetter | None:
    """What could not become a request has a story as well, also under the key that its sender knows."""
    letter = office.run(office.ledger.dead_letter(reference))
    if letter is not None:
        return letter
    return next(iter(letter_story.bearing(office, reference)), None)


def _print_story(office: Office, story: Story, reference: str, attempts: int) -> None:
    entry = story.entry
    out.print(f"[bold]request {safe(entry.request_id)}[/]")
    out.print(
        f"key {safe(in_words(entry.idempotency_key))} from {safe(entry.source)}, provider {entry.provider}"
    )
    out.print(f"received {cell(entry.received_at)} UTC, {age(entry.received_at, office.now())} ago")
    if entry.dry_run:
        out.print("a dry run: nothing is opened")
    if entry.deadline is not None:
        out.print(f"nothing is sent after {cell(entry.deadline)} UTC")
    out.print(f"[bold]now {safe(story.verdict)}[/]")
    if story.credentials_missing:
        missing = safe(", ".join(story.credentials_missing))
        out.print(
            f"credentials missing: {missing}; {entry.provider} hands them over once, and nobody has them"
        )
    out.print(f"next: {safe(story.next_step)}")
    _print_recognised_by(story)
    _print_choices(entry, reference, attempts, _missing(office, entry))
    out.print()
    for line in story.history:
        _print_line(line)
    if not story.history:
        out.print("the history was erased after the retention time")
    out.print()
    events = (
        (
            it.event.event_type,
            it.event.event_id,
            it.event.recorded_at,
            it.published_at or "not yet",
            it.publishes,
        )
        for it in story.events
    )
    columns = ("result event", "id", "recorded", "confirmed by RabbitMQ", "times published")
    # That it is not confirmed yet, `next:` says as well.
    spare = ("times published", "recorded", "confirmed by RabbitMQ")
    none = (
        "no result event yet"
        if entry.event_id is None
        else "its result event was erased after the retention time"
    )
    print_table(columns, events, empty=none, spare=spare)


def _print_recognised_by(story: Story) -> None:
    """What to look for at the provider, as it was sent."""
    if story.recognised_by or story.unreadable:
        out.print(f"an account of it at {safe(story.entry.provider)} is known by:")
    if story.unreadable is not None:
        out.print(f"    {safe(story.unreadable)}")
    width = max(map(len, story.recognised_by), default=0)
    for name, value in story.recognised_by.items():
        out.print(f"    {name:<{width}} {safe(value)}")


def _missing(office: Office, entry: Entry) -> Collection[str]:
    """The credentials that whoever names the account should bring; all of them where nobody can tell."""
    try:
        return office.requests.accounts.missing(entry, {})
    except SealBroken:
        return issued_by(entry.provider)


def _print_choices(entry: Entry, reference: str, attempts: int, missing: Collection[str]) -> None:
    """What an operator may do now, as it is typed."""
    name = typed(reference if is_plainly_typed(reference) else entry.request_id)
    account = typed(entry.account_id) if entry.account_id is not None else "ACCOUNT"
    commands = {
        Verb.REPLAY: f"requests replay {name}",
        Verb.RESOLVE_CREATED: f"requests resolve {name} --account-id {account}"
        + (" --credentials-file FILE" if missing else ""),
        Verb.RESOLVE_NOT_CREATED: f"requests resolve {name} --not-created"
        + (f" --attempt {attempts}" if attempts > 1 else ""),
        Verb.ABANDON: f"requests abandon {name}",
        Verb.REPUBLISH: f"requests republish {name}",
    }
    plans = [plan(verb, entry) for verb in commands]
    possible = [planned for planned in plans if planned.effect is Effect.WILL]
    if possible:
        out.print("you can (each with --reason, and with --dry-run first):")
    for planned in possible:
        words = planned.words
        if planned.verb is Verb.RESOLVE_CREATED and missing:
            words += f". FILE holds {', '.join(missing)}; --without-credentials gives them up for good"
        out.print(f"  provisioner {safe(commands[planned.verb])}\n      [dim]{safe(words)}[/]")


def _print_line(line: HistoryLine) -> None:
    """One step: a line with time, step and who, and a line for everything that is known about it."""
    step = f"{line.leaves or ''} → {line.enters}" if line.enters else ""
    at = f"{line.at:%Y-%m-%d %H:%M:%S}.{line.at.microsecond // 1000:03d}"
    out.print(f"[bold]{at}  {safe(line.name)}[/]  {step.strip()}  [dim]by {safe(line.actor)}[/]")
    for label, value in _details(line):
        if value not in (None, {}, [], "") and value is not False:
            out.print(f"    {label:<10} {safe(value)}")


def _details(line: HistoryLine) -> Iterator[tuple[str, object]]:
    """Label and value of everything that is known about a step; empty ones are not worth a line."""
    rest: dict[str, Any] = {name: value for name, value in line.detail.items() if name != "fence"}
    yield "means", _MEANING.get(line.name)
    yield "said", f"“{line.note}”" if line.note else None
    yield "came as", _came(rest)
    yield "attempt", rest.pop("attempt", None)
    yield from _looked_up(rest) if rest.get("rule") == _LOOK_UP_RULE else _judged(rest)
    yield "reason", line.reason
    yield "due again", _due(rest.pop("due_at", None)) if line.enters in _DUE else None
    rest.pop("due_at", None)
    for name, value in rest.items():
        yield _LABELS.get(name, name), value


def _came(rest: dict[str, Any]) -> str | None:
    mode = rest.pop("content_mode", None)
    return f"{mode} message, event {cell(rest.pop('event', None))}" if mode else None


def _due(at: str | None) -> str | None:
    return f"{cell(datetime.fromisoformat(at))} UTC" if at else None


def _looked_up(rest: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Take out what a look-up found, and what that rests on."""
    for name in ("rule", "moment"):
        rest.pop(name, None)
    settled = ", after the settle time" if rest.pop("absent", False) else ""
    yield "looked up", f"{rest.pop('verdict', '')}{settled}"
    yield "evidence", rest.pop("detail", None)


def _judged(rest: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Take out what was seen on the wire, and the rule that decided."""
    if "verdict" not in rest:
        return
    status, error_id, message = (rest.pop(name, None) for name in ("status", "error_id", "message"))
    wire = [str(rest.pop("moment", "")).replace("_", " ")]
    wire += [f"status {status}"] if status is not None else ["no status"]
    wire += [f"error {error_id}"] if error_id else []
    wire += [f"“{message}”"] if message else []
    yield "seen", ", ".join(wire)
    yield "rule", f"{cell(rest.pop('rule', None))}: {cell(rest.pop('verdict'))}"

"""One dead letter as a person reads it: why it died, what was done about it, and on demand the message itself."""

import base64
from collections.abc import Sequence

from contracts.reason import CATALOGUE
from worker.cli.common import Office
from worker.cli.output import as_data, cell, out, print_json, print_table, safe
from worker.core.broker import Message
from worker.core.dead_letter import DeadLetter, LetterState
from worker.core.overview import LetterFilter
from worker.operations.shell import in_words, typed

_MOST = 20


def bearing(office: Office, key: str | None) -> list[DeadLetter]:
    """The newest dead letters with this idempotency key, whoever sent them."""
    if key is None:
        return []
    return list(office.run(office.ledger.dead_letters(LetterFilter(idempotency_key=key, limit=_MOST))))


def mention(letters: Sequence[DeadLetter], key: str | None, source: str | None) -> None:
    """One line about the dead letters that bear a key, beside what else bears it and came from `source`."""
    if not letters or key is None:
        return
    told = ", ".join(
        f"{it.dead_letter_id} ({it.reason}, {it.state}{f', from {it.source}' if it.source != source else ''})"
        for it in letters
    )
    command = typed("provisioner", "dead-letters", "list", "--state", "all", f"--key={key}")
    more = f"; there may be more: `{command}`" if len(letters) >= _MOST - 1 else ""
    count = "1 dead letter bears" if len(letters) == 1 else f"{len(letters)} dead letters bear"
    out.print(safe(f"{count} the key {in_words(key)} as well: {told}{more}"))


def show(
    office: Office, letter: DeadLetter, *, body: bool, as_json: bool, others: Sequence[DeadLetter] = ()
) -> None:
    """Print everything about one dead letter, and name the others that bear its key.

    The message itself may hold secrets, so only on demand.
    """
    history = office.run(office.ledger.history(letter.dead_letter_id))
    events = office.run(office.ledger.events(letter.dead_letter_id))
    message = office.dead_letters.message(letter) if body else None
    is_cut = office.dead_letters.is_cut(letter)
    if as_json:
        told = {"dead_letter": letter, "is_cut": is_cut, "history": history, "events": events}
        told |= {"others": others} if others else {}
        print_json({**told, "message": _message(message)} if message is not None else told)
        return
    _print_letter(letter, is_cut=is_cut)
    for line in history:
        note = f": “{line.note}”" if line.note else ""
        out.print(
            f"{cell(line.at)}  {safe(line.name)} [dim]by {safe(line.actor)}[/]{safe(note) if note else ''}"
        )
    for it in events:
        confirmed = f"confirmed {cell(it.published_at)}" if it.published_at else "not confirmed yet"
        out.print(f"{cell(it.event.recorded_at)}  {it.event.event_type} {it.event.event_id}, {confirmed}")
    if message is not None:
        out.print()
        print_table(("of the message", "value"), _message(message).items(), empty="", folds={"value"})
    mention(others, letter.idempotency_key, letter.source)


def _print_letter(letter: DeadLetter, *, is_cut: bool) -> None:
    reason = CATALOGUE[letter.reason]
    out.print(f"[bold]dead letter {safe(letter.dead_letter_id)}[/] is {safe(letter.state)}")
    out.print(f"{safe(letter.reason)}: {safe(reason.meaning)}")
    for problem in letter.problems:
        out.print(f"  {safe(problem.get('pointer') or '/')}: {safe(problem.get('message'))}")
    out.print(f"next: {safe(reason.what_to_do)}")
    if is_cut:
        out.print(f"cut: only the beginning of its {letter.size} bytes was kept, so it cannot be replayed")
    if letter.state is LetterState.OPEN:
        out.print("you can (each with --reason, and with --dry-run first):")
        for verb in ("discard",) if is_cut else ("replay", "discard"):
            out.print(f"  provisioner dead-letters {verb} {safe(letter.dead_letter_id)}")
    out.print()
    shown = {"dead_letter_id", "state", "reason", "problems"}
    data = as_data(letter)
    fields = data if isinstance(data, dict) else {}
    rows = ((name, value) for name, value in fields.items() if name not in shown)
    print_table(("field", "value"), rows, empty="", folds={"value"})
    out.print()


def _message(message: Message) -> dict[str, object]:
    data = as_data(message)
    return {**(data if isinstance(data, dict) else {}), "body": _text(message.body)}


def _text(body: bytes) -> str:
    """Text where it is text, Base64 where it is not."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()

"""The runbook: its table is what the code allows, its links lead somewhere, its codes exist."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.reason import ReasonCode
from worker.core.entry import Entry
from worker.core.sealing import Sealed
from worker.core.states import State
from worker.operations.verbs import Effect, Verb, plan

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "README.md").read_text()
PROSE = re.sub(
    r"`[^`]*`", "", re.sub(r"```.*?```", "", TEXT.replace("[`", "[").replace("`]", "]"), flags=re.DOTALL)
)
"""Without code, in which brackets are no links."""
WORDS = {Effect.WILL: "yes", Effect.NOTHING: "nothing", Effect.BLOCKED: "no"}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(#([^)]+)\)", PROSE))))
def test_every_link_inside_leads_to_a_heading(target: str) -> None:
    """Each anchor is some heading's."""
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert target in anchors


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^#)][^)]*)\)", PROSE))))
def test_every_link_to_a_file_leads_to_one(target: str) -> None:
    """Each relative path exists."""
    assert (DEPLOY / target).exists()


def test_every_reason_code_that_is_named_exists() -> None:
    """Codes in the tables of the runbook are in the catalogue."""
    section = TEXT.split("### HeldOpen")[1].split("### DeadLettersOpen")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    codes = re.findall(r"`(\w+)`", " ".join(rows))
    assert codes
    assert set(codes) <= set(ReasonCode)


def entry(state: State, reason: ReasonCode, account_id: str | None = None) -> Entry:
    """A row in this state; those that are or were final or held have a result event."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Entry(
        request_id="r1", source="urn:shop", idempotency_key="k1", provider="phone_com", state=state, reason=reason,
        sealed_request=Sealed("s1.k.x"), context={}, dry_run=False, deadline=None, received_at=moment, since=moment,
        changed_at=moment, due_at=None, fence=1, attempts=1, deferrals=0, look_ups=0, absences=0, generation=0,
        doubted=state in {State.IN_DOUBT, State.HELD}, attempt_sent_at=moment, baseline={}, account_id=account_id,
        event_id="e1" if state in {State.HELD, State.PROVISIONED, State.REJECTED, State.ABANDONED} else None,
    )  # fmt: skip


ENTRIES = {
    "`accepted`": entry(State.ACCEPTED, ReasonCode.CREATED),
    "`waiting`": entry(State.WAITING, ReasonCode.UNREACHABLE),
    "`sending`": entry(State.SENDING, ReasonCode.CREATED),
    "`in_doubt`": entry(State.IN_DOUBT, ReasonCode.NO_ANSWER),
    "`held`, certainly nothing created": entry(State.HELD, ReasonCode.ATTEMPTS_EXHAUSTED),
    "`held`, account may exist": entry(State.HELD, ReasonCode.LOOK_UP_UNSUPPORTED),
    "`held`, account known": entry(State.HELD, ReasonCode.CREDENTIALS_LOST, "4711"),
    "`provisioned`": entry(State.PROVISIONED, ReasonCode.CREATED, "4711"),
    "`rejected`": entry(State.REJECTED, ReasonCode.PROVIDER_VALIDATION),
    "`abandoned`, nothing was sent": replace(
        entry(State.ABANDONED, ReasonCode.ABANDONED_BY_OPERATOR), attempt_sent_at=None
    ),
    "`abandoned`, a create was sent": entry(State.ABANDONED, ReasonCode.ABANDONED_BY_OPERATOR),
}


def rows() -> dict[str, list[str]]:
    """The cells of the table of verbs, by its first column."""
    section = TEXT.split("## What an operator may do in each state\n")[1]
    lines = [line for line in section.splitlines() if line.startswith("|")][: len(ENTRIES) + 2]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["state", *(f"`{verb}`" for verb in Verb)]
    return {row[0]: row[1:] for row in cells[2:]}


@pytest.mark.parametrize("state", ENTRIES)
@pytest.mark.parametrize("verb", Verb)
def test_the_table_says_what_the_verbs_do(state: str, verb: Verb) -> None:
    """Each cell begins with yes, nothing or no, as the plan of that verb for a row in that state does."""
    cell = rows()[state][list(Verb).index(verb)]
    effect = plan(verb, ENTRIES[state]).effect
    assert re.split(r"\W", cell)[0] == WORDS[effect], f"{cell!r}, but {plan(verb, ENTRIES[state]).words!r}"


def test_the_table_names_every_state() -> None:
    """No state is left out, and none is invented."""
    assert {re.findall(r"\w+", row)[0] for row in rows()} == set(State)
    assert all(replace(each).state in State for each in ENTRIES.values())

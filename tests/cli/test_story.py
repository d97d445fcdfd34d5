"""`explain` on a real story: a cut connection, look-ups, a provider that cannot be asked, and an operator's word."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Said, Terminal
from tests.scenarios.conftest import UNHURRIED, House, paced
from worker.demo.cast import canary_speech, postcode_eu
from worker.demo.mailbox import Mailbox
from worker.sandbox import Fault, Rule

pytestmark = pytest.mark.rabbitmq


class Operator:
    """Types commands beside a running worker."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    async def __call__(self, *words: str) -> Said:
        """The command runs in a thread, for it has an event loop of its own."""
        return await asyncio.to_thread(self._terminal, *words)


async def at_work(house: House) -> tuple[Operator, Mailbox]:
    """A worker, an operator beside it, and an upstream system."""
    worker = await house.worker(UPKEEP__REPUBLISH_AFTER="0.5", **paced("canary_speech", UNHURRIED))
    own = {name: value for name, value in worker.environment.items() if name.startswith("PROVISIONER_")}
    return Operator(Terminal({**own, "PROVISIONER_ACTOR": "olivia"})), await house.mailbox()


async def test_a_lost_create_is_told_from_the_cut_to_the_account(house: House) -> None:
    """What came, what was seen, the rule, each look-up with its evidence, the second attempt, the event."""
    operator, mailbox = await at_work(house)
    house.sandbox.faults.add(Rule(fault=Fault.CUT_BEFORE_CREATE, match="lost", times=1))
    await mailbox.ask("lost", "canary_speech", canary_speech("lost"))
    assert await mailbox.until(lambda: mailbox.outcomes("lost") == ["provisioned"], 60)
    account = mailbox.last("lost")["data"]["account_id"]

    text = (await operator("explain", "lost")).out
    for told in (
        f"now provisioned: account {account} at canary_speech",
        f"structured message, event {mailbox.last('lost')['causationid']}",
        "sending → in_doubt",
        "the account may exist",
        "seen       request sent, no status",
        "rule       common.connection_lost: in_doubt",
        "looked up  absent, after the settle time",
        'evidence   asked="GET /v3/reseller/client/list-associates" status=200',
        "in_doubt → waiting",
        "agreeing look-ups after the settle time found nothing",
        "attempt    2",
        "rule       canary_speech.created: done",
        f"account    {account}",
        f"account.provisioned.v1  {mailbox.last('lost')['id']}",
    ):
        assert told in text, told

    story = (await operator("explain", "lost", "--json")).json
    assert [it["verdict"] for it in story["attempts"]] == ["in_doubt", "done"]
    assert [it["event"]["event_id"] for it in story["events"]] == [mailbox.last("lost")["id"]]


async def test_a_held_request_is_told_with_what_an_operator_can_do_and_did(
    house: House, tmp_path: Path
) -> None:
    """While it is held the choices are spelled out; afterwards who chose, why, and what was published."""
    operator, mailbox = await at_work(house)
    house.sandbox.faults.add(Rule(fault=Fault.CUT_AFTER_CREATE, provider="postcode_eu", times=1))
    await mailbox.ask("held one", "postcode_eu", postcode_eu("Held B.V."))
    assert await mailbox.until(lambda: mailbox.outcomes("held one") == ["held"], 60)

    held = (await operator("explain", "held one")).out
    assert "provisioner requests resolve 'held one' --account-id ACCOUNT" in held
    assert "provisioner requests resolve 'held one' --not-created" in held
    assert "requests replay" not in held

    (account,) = house.sandbox.accounts("postcode_eu")
    words = [
        "requests",
        "resolve",
        "held one",
        "--account-id",
        account.id,
        "--reason",
        "seen in [the] portal",
    ]
    words += ["--credentials-file", str(_credentials(tmp_path, dict(account.issued)))]
    assert (await operator(*words)).code == 0
    assert await mailbox.until(lambda: mailbox.outcomes("held one") == ["held", "provisioned"], 60)

    story = (await operator("explain", "held one")).out
    for told in (
        "resolve_created  held → provisioned  by olivia",
        "said       “seen in [the] portal”",
        "a person found the account and gave its id",
        f"account    {account.id}",
        "account.held.v1",
        f"account.provisioned.v1  {mailbox.last('held one')['id']}",
        "provisioner requests republish 'held one'",
    ):
        assert told in story, told
    assert not any(secret in story for secret in map(str, account.issued.values()) if secret != account.id)


def _credentials(folder: Path, issued: dict[str, Any]) -> Path:
    path = folder / "from-the-portal.json"
    path.write_text(json.dumps(issued))
    return path

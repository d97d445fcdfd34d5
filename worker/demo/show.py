"""The demonstration: it plays, watches, counts, and fails when any of its own checks fails."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from contracts.result import Outcome
from worker.demo.cast import KILLED, PLAIN, TROUBLED, Act
from worker.demo.mailbox import Mailbox
from worker.demo.surroundings import HURRIED, consumer_keys, provider_settings
from worker.demo.worker_process import WorkerProcess
from worker.local.find_broker import find_broker
from worker.sandbox import Sandbox

ACTS = (*PLAIN, *TROUBLED, *KILLED)
_PATIENCE = 60.0  # seconds for everything that is awaited

console = Console(width=None if sys.stdout.isatty() else 150)


@dataclass
class Checks:
    """What the demonstration proves, each with a sentence."""

    lines: list[tuple[bool, str]] = field(default_factory=list)

    def expect(self, holds: bool, sentence: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Note one check."""
        self.lines.append((holds, sentence))

    @property
    def all_hold(self) -> bool:
        """Whether nothing failed."""
        return all(holds for holds, _ in self.lines)


def run() -> bool:
    """Play the whole demonstration; whether every check held."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="provisioner-demo-")))
        console.print("[bold]Starting[/] RabbitMQ, the four pretended providers and a worker ...")
        broker = stack.enter_context(find_broker())
        held = asyncio.run(_play(broker.url, folder))
    console.print(f"\n{'[bold green]all checks hold[/]' if held else '[bold red]a check failed[/]'}"
                  f" ({time.monotonic() - began:.0f} s)")  # fmt: skip
    return held


async def _play(broker_url: str, folder: Path) -> bool:
    jwks, _ = consumer_keys(folder)
    checks = Checks()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(seed=time.time_ns()))
        environment = {
            **provider_settings(sandbox.base_url, HURRIED),
            "PROVISIONER_BROKER__URL": broker_url,
            "PROVISIONER_LEDGER__URL": f"sqlite:///{folder / 'ledger.db'}",
            "PROVISIONER_CREDENTIALS__KEYS_FILE": str(jwks),
            "PROVISIONER_UPKEEP__INTERVAL": "0.2",
            "PROVISIONER_BREAKER__FAILURES": "20",
            "PROVISIONER_RETRY__BASE": "0.5",
        }
        worker = await stack.enter_async_context(WorkerProcess(environment, folder / "worker.log"))
        mailbox = await stack.enter_async_context(Mailbox(broker_url))
        await _requests(sandbox, mailbox, worker, checks)
        await _duplicates(mailbox, checks)
        buried = await _undecodable(mailbox, worker, checks)
        _count(sandbox, mailbox, checks)
        checks.expect(await worker.stop() == 0, "the worker drains and ends cleanly when asked to")
    _print_acts(mailbox, buried)
    _print_checks(checks)
    return checks.all_hold


async def _requests(sandbox: Sandbox, mailbox: Mailbox, worker: WorkerProcess, checks: Checks) -> None:
    for act in ACTS:
        for rule in act.faults:
            sandbox.faults.add(rule)
    with _progress() as progress:
        bar = progress.add_task("requests", total=len(ACTS))
        watching = asyncio.create_task(_advance(progress, bar, mailbox))
        await _ask(mailbox, (*PLAIN, *TROUBLED))
        resolving = asyncio.create_task(_resolve(sandbox, mailbox, worker, checks))
        await _kill_in_the_middle(sandbox, mailbox, worker, checks)
        await resolving
        await mailbox.until(lambda: all(_ended(mailbox, act) for act in ACTS), _PATIENCE)
        watching.cancel()
        progress.update(bar, completed=sum(_ended(mailbox, act) for act in ACTS))
    for act in ACTS:
        checks.expect(_as_expected(mailbox, act), f"{act.key}: {act.says}")


async def _ask(mailbox: Mailbox, acts: Sequence[Act]) -> None:
    await asyncio.gather(*(mailbox.ask(act.key, act.provider, act.parameters) for act in acts))


async def _kill_in_the_middle(
    sandbox: Sandbox, mailbox: Mailbox, worker: WorkerProcess, checks: Checks
) -> None:
    """Kill the worker while creates are under way and the accounts exist already; then start it again."""
    await mailbox.until(
        lambda: all(_ended(mailbox, act) for act in (*PLAIN, *TROUBLED) if not act.resolve), _PATIENCE
    )
    await _ask(mailbox, KILLED)
    names = {act.key for act in KILLED}
    async with asyncio.timeout(_PATIENCE):
        while len(names & set(_names(sandbox))) < len(names):
            await asyncio.sleep(0.02)
    await worker.kill()
    told = sum(len(mailbox.outcomes(key)) for key in names)
    checks.expect(
        told == 0, "the worker was killed before it could tell of the accounts that existed already"
    )
    await worker.start()


def _names(sandbox: Sandbox) -> list[str]:
    return [
        str(account.fields.get("name") or account.fields.get("username"))
        for provider in ("canary_speech", "phone_com")
        for account in sandbox.accounts(provider)
    ]


async def _resolve(sandbox: Sandbox, mailbox: Mailbox, worker: WorkerProcess, checks: Checks) -> None:
    """What an operator does: see it held, look into the provider's portal, say what is there."""
    for act in (act for act in ACTS if act.resolve):
        held = await mailbox.until(partial(_is_held, mailbox, act.key), _PATIENCE)
        checks.expect(held, f"{act.key} is held in doubt, and says so")
        account = next(
            it for it in sandbox.accounts(act.provider) if it.fields["companyName"].startswith("Cut")
        )
        credentials = worker.folder / "from-the-portal.json"
        credentials.write_text(json.dumps(dict(account.issued)), encoding="utf-8")
        await operator(
            worker, "requests", "resolve", act.key, "--account-id", account.id,
            "--credentials-file", str(credentials), "--reason", "seen in the provider's portal",
        )  # fmt: skip


def _is_held(mailbox: Mailbox, key: str) -> bool:
    return Outcome.HELD in mailbox.outcomes(key)


async def operator(worker: WorkerProcess, *words: str) -> Any:
    """Run one command of the operator's program; its JSON.

    Raises:
        RuntimeError: it failed; the text holds what it said.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", *words, "--json",
        env={"PROVISIONER_ACTOR": "demo", **worker.environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, complaint = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"`provisioner {' '.join(words)}` failed: {complaint.decode()}{said.decode()}")
    return json.loads(said)


async def _duplicates(mailbox: Mailbox, checks: Checks) -> None:
    """The same again gets the same event; the same key with other content is a conflict."""
    act = PLAIN[0]
    before = mailbox.last(act.key)
    await mailbox.ask(act.key, act.provider, act.parameters)
    again = await mailbox.until(lambda: len(mailbox.events[act.key]) > 1, _PATIENCE)
    same = again and mailbox.last(act.key)["id"] == before["id"]
    checks.expect(same, "a duplicate is answered with the same event, same event id, same account id")
    other = PLAIN[1]
    await mailbox.ask(other.key, other.provider, {**other.parameters, "username": "somebody-else"})
    rejected = await mailbox.until(lambda: "rejected" in mailbox.outcomes(other.key), _PATIENCE)
    code = mailbox.last(other.key)["data"].get("reason", {}).get("code") if rejected else None
    checks.expect(code == "idempotency_conflict", "the same key with other content is rejected as a conflict")


async def _undecodable(mailbox: Mailbox, worker: WorkerProcess, checks: Checks) -> str:
    """Bytes that are no request become a dead letter with a reason, which is returned."""
    await mailbox.send(b"please open an account for us, thanks", "request.phone_com", "text/plain")
    letters: list[dict[str, Any]] = []
    async with asyncio.timeout(_PATIENCE):
        while not (
            letters := [
                it for it in await operator(worker, "dead-letters", "list") if it["reason"] == "not_json"
            ]
        ):
            await asyncio.sleep(0.2)
    checks.expect(len(letters) == 1, "an undecodable message is a dead letter with a reason")
    return str(letters[0]["reason"])


def _count(sandbox: Sandbox, mailbox: Mailbox, checks: Checks) -> None:
    """What the providers really hold, against what was told."""
    for provider in sandbox.provider_names:
        exist = sorted(account.id for account in sandbox.accounts(provider))
        told = sorted(
            {event["data"]["account_id"] for events in mailbox.events.values() for event in events
             if event["data"]["provider"] == provider and event["data"]["outcome"] == Outcome.PROVISIONED}
        )  # fmt: skip
        wanted = sum(
            1 for act in ACTS if act.provider == provider and act.outcomes[-1] is Outcome.PROVISIONED
        )
        sentence = f"{provider}: {len(exist)} accounts exist, {len(told)} were told, {wanted} were asked for"
        checks.expect(exist == told and len(exist) == wanted, sentence)


def _ended(mailbox: Mailbox, act: Act) -> bool:
    return len(mailbox.outcomes(act.key)) >= len(act.outcomes)


def _as_expected(mailbox: Mailbox, act: Act) -> bool:
    if mailbox.outcomes(act.key) != list(act.outcomes):
        return False
    code = mailbox.last(act.key)["data"].get("reason", {}).get("code")
    return act.code is None or code == act.code


async def _advance(progress: Progress, bar: Any, mailbox: Mailbox) -> None:
    while True:
        progress.update(bar, completed=sum(_ended(mailbox, act) for act in ACTS))
        await asyncio.sleep(0.1)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _print_acts(mailbox: Mailbox, buried: str) -> None:
    table = Table(
        title="What was asked, what went wrong, how it ended", title_justify="left", box=None, pad_edge=False
    )
    for column in ("request", "provider", "what happened", "told", "account or reason"):
        table.add_column(column, overflow="fold")
    for act in ACTS:
        events = _expected_events(mailbox, act)
        told = " → ".join(event["data"]["outcome"] for event in events) or "nothing"
        colour = "green" if len(events) == len(act.outcomes) else "red"
        table.add_row(act.key, act.provider, act.says, f"[{colour}]{told}[/]", _end(events))
    for act, says in (
        (PLAIN[0], "asked again: the same event, same id"),
        (PLAIN[1], "the same key, other content"),
    ):
        newest = mailbox.events[act.key][-1:]
        told = newest[0]["data"]["outcome"] if newest else "nothing"
        table.add_row(act.key, act.provider, says, told, _end(newest))
    table.add_row("(no key)", "-", "bytes that are no request", "dead letter", buried)
    console.print()
    console.print(table)


def _expected_events(mailbox: Mailbox, act: Act) -> list[dict[str, Any]]:
    """The events that tell of this act, each once; a later conflict under its key is another story."""
    unique = {
        event["id"]: event for event in mailbox.events[act.key] if event["data"]["outcome"] in act.outcomes
    }
    return list(unique.values())


def _end(events: Sequence[dict[str, Any]]) -> str:
    data = events[-1]["data"] if events else {}
    return str(data.get("account_id") or data.get("reason", {}).get("code", "nothing"))


def _print_checks(checks: Checks) -> None:
    console.print()
    for holds, sentence in checks.lines:
        if sentence.split(":")[0] not in {act.key for act in ACTS} or not holds:
            console.print(f"  {'[green]✓[/]' if holds else '[red]✗[/]'} {sentence}")

"""Playing one sleep: a worker freezes, another takes over, and the first one wakes up in a world that went on."""

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.result import Outcome
from tests.evidence.crash_promises import Ending, Witness, broken_promises
from tests.evidence.doomed_worker import Commit, Doom
from tests.evidence.watching import is_ready, page, until
from tests.nursery import ForkedWorker, Kind
from tests.scenarios.conftest import House, furnish
from worker.core.entry import Entry
from worker.core.states import LOOK_AGAIN, State
from worker.core.steps import Step
from worker.core.story import HistoryLine
from worker.demo.cast import canary_speech
from worker.demo.mailbox import SOURCE, Mailbox
from worker.demo.worker_process import WorkerProcess
from worker.keyring import load_or_create
from worker.ledger import open_ledger
from worker.sandbox import Fault, Operation, Rule

_PROVIDER: Final = "canary_speech"  # opens a second account under the same name without a word
_KEY: Final = "order-0"
_LEASE: Final = 2.0  # seconds
_GATE: Final = "the sleeper wakes"
_IN_PROGRESS: Final = re.compile(r"^provisioner_requests_in_progress\{.*\} (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """Where a worker freezes, and what it may do when it wakes.

    Attributes:
        name: In words.
        point: Where it freezes; None: from outside, when the provider has made the account.
        after: As in `Doom`.
        silent: The provider makes the account at once and answers when the worker wakes.
        in_vain: Who looks for the account meanwhile gets no answer: the request is still in doubt at the waking.
        adds: Names of the steps that the woken worker writes into the request's history.
        settles: Whether they may move the row, which is in doubt by this very attempt.
    """

    name: str
    point: Step | Commit | None
    after: Step | None = None
    silent: bool = False
    in_vain: bool = False
    adds: Sequence[str] = ()
    settles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slept:
    """What became of it.

    Attributes:
        complaints: Promises that were not kept, in words.
        creates: Creates that reached the provider.
        added: Steps that the woken worker wrote into the history.
        moved: Those of them that changed the state.
        asleep: The row when it woke.
        awake: The row at the end.
    """

    complaints: Sequence[str]
    creates: int
    added: Sequence[str]
    moved: Sequence[str]
    asleep: Entry
    awake: Entry


@dataclass(frozen=True, slots=True)
class Place:
    """A virtual host, an empty database and a folder."""

    broker_url: str
    ledger_url: str
    folder: Path


async def play(sleep: Sleep, place: Place) -> Slept:
    """Play one sleep from the first worker's start to the moment when both workers rest.

    Raises:
        TimeoutError: it does not come to its point, or to its end.
    """
    async with AsyncExitStack() as stack:
        house = await _house(sleep, place, stack)
        sleeper = await stack.enter_async_context(_sleeper(sleep, house))
        ledger = await stack.enter_async_context(open_ledger(place.ledger_url))
        witness = Witness(house, await house.mailbox(), ledger, _PROVIDER)
        await witness.mailbox.ask(_KEY, _PROVIDER, canary_speech(_KEY))
        await _freezes(sleep, house, sleeper)
        await house.worker("second")
        await until(lambda: _is_taken_over(sleep, witness))
        asleep, before = await _row(witness), await _story(witness)
        await _wakes(sleep, house, sleeper, witness, before)
        await until(lambda: _rests(sleeper, witness))
        code = await sleeper.stop()
        complaints = await broken_promises(witness, _KEY, Ending(Outcome.PROVISIONED, 1))
        added = await _added(witness, before)
        return Slept(
            complaints=complaints if code == 0 else [*complaints, f"the woken worker ended with {code}"],
            creates=len(witness.creates(_KEY)),
            added=[line.name for line in added],
            moved=[line.name for line in added if line.enters],
            asleep=asleep,
            awake=await _row(witness),
        )


async def bystander_is_served(sleep: Sleep, place: Place, elsewhere: str, *, within: float) -> bool:
    """Whether another worker on the same ledger, once the sleeper is dead to it, still serves its own requests.

    Args:
        sleep: Where the sleeper freezes; it is never woken.
        place: The sleeper's.
        elsewhere: A virtual host of the other worker's own, so that nothing of its is handed to the sleeper.
        within: Seconds.
    """
    async with AsyncExitStack() as stack:
        house = await _house(sleep, place, stack)
        sleeper = await stack.enter_async_context(_sleeper(sleep, house))
        other = await house.worker("other", BROKER__URL=elsewhere)
        async with Mailbox(place.broker_url) as mailbox:
            await mailbox.ask(_KEY, _PROVIDER, canary_speech(_KEY))
        await _freezes(sleep, house, sleeper)
        await asyncio.sleep(2 * _LEASE)
        mailbox = await stack.enter_async_context(Mailbox(elsewhere))
        await mailbox.ask("order-1", _PROVIDER, canary_speech("order-1"))
        served = await mailbox.until(lambda: mailbox.outcomes("order-1") == ["provisioned"], within)
        await other.kill()
        return served


async def _house(sleep: Sleep, place: Place, stack: AsyncExitStack) -> House:
    house = await furnish(place.broker_url, place.folder, stack)
    keys = place.folder / "sealing.keys.json"
    load_or_create(keys, may_create=True)
    house.environment |= {
        "PROVISIONER_LEDGER__URL": place.ledger_url,
        "PROVISIONER_LEDGER__LEASE": str(_LEASE),
        "PROVISIONER_SEALING__KEYS_FILE": str(keys),
        "PROVISIONER_UPKEEP__REPUBLISH_AFTER": "1",
        "PROVISIONER_BROKER__HEARTBEAT": "5",
    }
    if sleep.silent:
        house.sandbox.faults.add(Rule(fault=Fault.LATE_ANSWER, until=_GATE))
    return house


def _sleeper(sleep: Sleep, house: House) -> WorkerProcess:
    """A worker that freezes at the point; without one, any worker."""
    log = house.folder / "sleeper.log"
    if sleep.point is None:
        return ForkedWorker(house.environment, log)
    doom = Doom(point=sleep.point, note=house.folder / "note", after=sleep.after, lingers=True)
    return ForkedWorker({**house.environment, **doom.environment}, log, Kind.SLEEPER)


async def _freezes(sleep: Sleep, house: House, sleeper: WorkerProcess) -> None:
    if sleep.point is None:
        await until(lambda: _made(house))
        os.kill(sleeper.pid, signal.SIGSTOP)
    await until(lambda: _stands_still(sleeper))
    if sleep.in_vain:
        house.sandbox.faults.add(Rule(fault=Fault.UNAVAILABLE, operation=Operation.LOOK_UP))


async def _made(house: House) -> bool:
    return house.sandbox.creates(_PROVIDER).made > 0


async def _stands_still(worker: WorkerProcess) -> bool:
    stat = await asyncio.to_thread(Path(f"/proc/{worker.pid}/stat").read_text)
    return stat.rpartition(")")[2].split()[0] == "T"


async def _is_taken_over(sleep: Sleep, witness: Witness) -> bool:
    """The other worker has done all it can."""
    row = await _row(witness)
    if sleep.in_vain:
        return row.state is State.IN_DOUBT and row.look_ups > 0
    return row.state is State.PROVISIONED and bool(witness.mailbox.events[_KEY])


async def _wakes(
    sleep: Sleep, house: House, sleeper: WorkerProcess, witness: Witness, before: Sequence[HistoryLine]
) -> None:
    """Where it finds a doubt, nobody's look-up finds the account before it has written what it knows."""
    house.sandbox.gate(_GATE).set()
    os.kill(sleeper.pid, signal.SIGCONT)
    if sleep.in_vain:
        await until(lambda: _has_told(witness, before))
    house.sandbox.faults.clear()


async def _has_told(witness: Witness, before: Sequence[HistoryLine]) -> bool:
    """The woken worker has written something."""
    return bool(await _added(witness, before))


async def _rests(woken: WorkerProcess, witness: Witness) -> bool:
    """The woken worker works on nothing, and the request was told."""
    if not await is_ready(woken):
        return False
    in_progress = _IN_PROGRESS.findall((await page(woken, "metrics"))[1])
    return bool(witness.mailbox.events[_KEY]) and not any(float(number) for number in in_progress)


async def _row(witness: Witness) -> Entry:
    (row,) = await witness.ledger.find_by_key(SOURCE, _KEY)
    return row


async def _added(witness: Witness, before: Sequence[HistoryLine]) -> Sequence[HistoryLine]:
    """What the woken worker wrote since; that it looked in vain itself is nothing that others have not written."""
    later = (await _story(witness))[len(before) :]
    return [line for line in later if line.actor == before[0].actor and line.name != LOOK_AGAIN.name]


async def _story(witness: Witness) -> Sequence[HistoryLine]:
    return await witness.ledger.history((await _row(witness)).request_id)

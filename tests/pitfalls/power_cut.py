"""A process that writes to a ledger on such a disk and is cut off from power again and again, as far as its files tell.

Run by `test_power_cut`: `python -m tests.pitfalls.power_cut LEDGER FOLDER [rarely]`; `rarely` syncs less than the
worker does. After every so many confirmed steps a folder holds the files as a power cut would leave them, and what had
been confirmed by then.
"""

import asyncio
import json
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from contracts.reason import ReasonCode
from tests.ledger.scene import WORKER, make_arrival
from tests.pitfalls.disk import Disk
from worker.core import states
from worker.core.change import Change, Event
from worker.core.entry import Accepted
from worker.core.ledger import Ledger
from worker.core.sealing import Sealed
from worker.ledger import open_ledger, sqlite

CUTS, STEPS_BETWEEN = 8, 130

Confirmed = Callable[[str, str], None]


class Cuts:
    """Hears of every confirmed step, and cuts the power at some of them."""

    def __init__(self, folder: Path) -> None:
        self.done = asyncio.Event()
        self._folder = folder
        self._disk, self._draw = Disk(), random.Random(46)
        self._steps: list[tuple[str, str]] = []

    def confirmed(self, step: str, request_id: str) -> None:
        """The ledger says that this is durable."""
        self._steps.append((step, request_id))
        number, rest = divmod(len(self._steps), STEPS_BETWEEN)
        if rest == 0 and not self.done.is_set():
            self._cut(self._folder / f"cut-{number}")
        if number == CUTS:
            self.done.set()

    def _cut(self, place: Path) -> None:
        place.mkdir()
        self._disk.after_a_power_cut(place, self._draw)
        (place / "confirmed.json").write_text(json.dumps(self._steps))


async def write(file: Path, cuts: Cuts) -> None:
    """Write until the last cut."""
    async with open_ledger(f"sqlite:///{file}", exclusive=True) as ledger:
        await ledger.heartbeat(WORKER, datetime.now(UTC))
        callers = [asyncio.create_task(caller(ledger, str(number), cuts.confirmed)) for number in range(3)]
        await asyncio.wait({asyncio.create_task(cuts.done.wait()), *callers}, return_when="FIRST_COMPLETED")
        for one in callers:
            one.cancel()
        ends = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def caller(ledger: Ledger, name: str, confirmed: Confirmed) -> None:
    """One request after the other."""
    count = 0
    while True:
        count += 1
        await request(ledger, f"{name}-{count}", confirmed)


async def request(ledger: Ledger, key: str, confirmed: Confirmed) -> None:
    """From its acceptance to its account, a commit for each step."""
    now = datetime.now(UTC)
    accepted = await ledger.accept(make_arrival(key, now), WORKER)
    assert isinstance(accepted, Accepted)
    request_id = accepted.claim.entry.request_id
    confirmed("accepted", request_id)
    claim = await ledger.record(accepted.claim, Change(states.SEND, now, ReasonCode.CREATED, WORKER))
    confirmed("sending", request_id)
    event = Event(request_id, "account.provisioned.v1", "result", Sealed("s:event"), now)
    change = Change(
        states.PROVISION, now, ReasonCode.CREATED, WORKER, account_id=f"account-of-{request_id}", event=event
    )
    await ledger.record(claim, change)
    confirmed("provisioned", request_id)


if __name__ == "__main__":
    _file, _folder, *_how = sys.argv[1:]
    if _how == ["rarely"]:
        sqlite._PRAGMAS = (  # type: ignore[misc]  # final for everybody else
            ("journal_mode", "wal"),
            ("synchronous", 1),  # NORMAL
            ("foreign_keys", 1),
        )
    asyncio.run(write(Path(_file), Cuts(Path(_folder))))

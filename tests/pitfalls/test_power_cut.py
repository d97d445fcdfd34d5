"""Pitfall 46: the power fails under a ledger in a file, again and again, and what was not synced is gone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from tests.ledger.scene import connected
from tests.pitfalls.power_cut import CUTS
from worker.core.states import State
from worker.ledger import open_ledger
from worker.ledger.schema import attempts, events, history, requests

REACHED = {
    "accepted": set(State),
    "sending": {State.SENDING, State.PROVISIONED},
    "provisioned": {State.PROVISIONED},
}


async def test_no_power_cut_takes_back_what_was_confirmed(empty: Path, tmp_path: Path) -> None:
    """Pitfall 46: whatever part of the rest reached the disk, every confirmed step is there, whole."""
    for cut in cuts(empty, tmp_path):
        assert await lost(cut) == []
        assert halves(cut) == []


async def test_the_simulation_notices_a_ledger_that_syncs_too_rarely(empty: Path, tmp_path: Path) -> None:
    """Pitfall 46: with `synchronous` NORMAL the same cuts do take back confirmed steps."""
    assert any([await lost(cut) for cut in cuts(empty, tmp_path, "rarely")])


def cuts(empty: Path, folder: Path, *how: str) -> list[Path]:
    """Folders with the files after each cut, and what had been confirmed."""
    file = shutil.copy(empty, folder / "ledger.db")
    subprocess.run([sys.executable, "-m", "tests.pitfalls.power_cut", file, folder, *how], check=True)
    found = sorted(folder.glob("cut-*"))
    assert len(found) == CUTS
    return found


async def lost(cut: Path) -> list[tuple[str, str]]:
    """Steps that were confirmed before the cut and are not in the ledger that is opened after it."""
    url = f"sqlite:///{cut / 'ledger.db'}"
    async with open_ledger(url, exclusive=True) as ledger:
        await ledger.check()
    with connected(url) as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        states = {row.request_id: row.state for row in connection.execute(sa.select(requests))}
    confirmed = [tuple(step) for step in json.loads((cut / "confirmed.json").read_text())]
    return [
        (step, request_id) for step, request_id in confirmed if states.get(request_id) not in REACHED[step]
    ]


def halves(cut: Path) -> list[str]:
    """Requests whose row, attempt, event and story do not tell the same."""
    with connected(f"sqlite:///{cut / 'ledger.db'}") as connection:
        states = {row.request_id: row.state for row in connection.execute(sa.select(requests))}
        sent = set(connection.scalars(sa.select(attempts.c.request_id)))
        told = set(connection.scalars(sa.select(events.c.subject_id)))
        lines = list(connection.scalars(sa.select(history.c.subject_id)))
    wanted = {
        State.ACCEPTED: (False, False, 1),
        State.SENDING: (True, False, 2),
        State.PROVISIONED: (True, True, 3),
    }
    return [
        request_id
        for request_id, state in states.items()
        if (request_id in sent, request_id in told, lines.count(request_id)) != wanted[state]
    ]

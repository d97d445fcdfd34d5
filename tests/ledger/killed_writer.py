"""A process that writes to a ledger as fast as it can and says what was confirmed, until it is killed.

Run by ``test_durability``: ``python -m tests.ledger.killed_writer URL CALLERS``.
"""

import asyncio
import itertools
import sys
from datetime import UTC, datetime

from contracts.reason import ReasonCode
from tests.ledger.scene import WORKER, make_arrival
from worker.core import states
from worker.core.change import Change, Event
from worker.core.entry import Accepted
from worker.core.ledger import Ledger
from worker.core.sealing import Sealed
from worker.ledger import open_ledger


async def write(url: str, callers: int) -> None:
    """Never ends by itself."""
    keys = itertools.count()
    async with open_ledger(url, exclusive=True) as ledger:
        await ledger.heartbeat(WORKER, datetime.now(UTC))
        await asyncio.gather(*(_caller(ledger, keys) for _ in range(callers)))


async def _caller(ledger: Ledger, keys: "itertools.count[int]") -> None:
    for key in keys:
        await _request(ledger, f"key-{key}")


async def _request(ledger: Ledger, key: str) -> None:
    accepted = await ledger.accept(make_arrival(key, datetime.now(UTC)), WORKER)
    assert isinstance(accepted, Accepted)
    request_id = accepted.claim.entry.request_id
    _confirmed("accepted", request_id)
    now = datetime.now(UTC)
    claim = await ledger.record(accepted.claim, Change(states.SEND, now, ReasonCode.CREATED, WORKER))
    _confirmed("sending", request_id)
    event = Event(request_id, "account.provisioned.v1", "result", Sealed("s:event"), now)
    done = Change(states.PROVISION, now, ReasonCode.CREATED, WORKER, account_id=request_id, event=event)
    await ledger.record(claim, done)
    _confirmed("provisioned", request_id)
    await ledger.mark_published(request_id, now)
    _confirmed("published", request_id)


def _confirmed(what: str, request_id: str) -> None:
    sys.stdout.write(f"{what} {request_id}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], int(sys.argv[2])))

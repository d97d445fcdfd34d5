"""Several workers on one PostgreSQL: they share the work and the limits, and take over from one another."""

from collections import Counter
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from tests.ledger.scene import connected
from tests.scenarios.conftest import House, until
from worker.demo.cast import canary_speech, phone_com
from worker.demo.mailbox import Mailbox
from worker.keyring import load_or_create
from worker.ledger.schema import shares
from worker.ledger.schema import workers as workers_table
from worker.sandbox import Fault, Rule

_KEYS = [f"shared-{number}" for number in range(200)]


@pytest.mark.rabbitmq
@pytest.mark.postgresql
async def test_a_worker_takes_over_from_one_that_was_killed(house: House, postgresql_url: str) -> None:
    """With cuts, and one of two workers killed for good, every request ends once and every account is told once."""
    shared = {"SEALING__KEYS_FILE": _sealing_key(house), "LEDGER__LEASE": "6"}
    first = await house.worker("first", ledger=postgresql_url, **shared)
    await house.worker("second", ledger=postgresql_url, **shared)
    mailbox = await house.mailbox()
    house.sandbox.faults.add(
        Rule(fault=Fault.CUT_AFTER_CREATE, rate=0.05), Rule(fault=Fault.SLOW, seconds=0.05)
    )
    for key in _KEYS:
        provider, make = (
            ("phone_com", phone_com) if key.endswith(("1", "3", "5")) else ("canary_speech", canary_speech)
        )
        await mailbox.ask(key, provider, make(key))
    assert await mailbox.until(lambda: len(mailbox.events) > len(_KEYS) // 4, 60)
    await first.kill()
    assert await mailbox.until(lambda: len(mailbox.events) == len(_KEYS), 90)

    assert {tuple(mailbox.outcomes(key)) for key in _KEYS} == {("provisioned",)}
    told = Counter(mailbox.last(key)["data"]["account_id"] for key in _KEYS)
    assert max(told.values()) == 1
    exist = {
        account.id for name in ("phone_com", "canary_speech") for account in house.sandbox.accounts(name)
    }
    assert set(told) == exist


LIMIT = 4  # creates at once, over all workers
RATE = 6.0  # creates per second, over all workers
SLOW = 0.4  # seconds that the provider takes for a create
_PATIENT = {
    "ANSWER_WITHIN": "30",
    "LISTEN_FOR": "40",
    "SETTLE": "70",
    "CONCURRENCY": f"{LIMIT}",
    "RATE": f"{RATE}",
}


@pytest.mark.rabbitmq
@pytest.mark.postgresql
async def test_three_workers_keep_the_limits_of_one(house: House, postgresql_url: str) -> None:
    """The provider never has more than four creates at once and gets them no faster than the rate, also when one of
    three workers is killed and the others take over its part.
    """
    pace = {f"PROVIDERS__CANARY_SPEECH__{name}": value for name, value in _PATIENT.items()}
    shared = {"SEALING__KEYS_FILE": _sealing_key(house), "LEDGER__LEASE": "6", **pace}
    workers = [await house.worker(f"worker-{number}", ledger=postgresql_url, **shared) for number in range(3)]
    mailbox = await house.mailbox()
    assert await until(lambda: _slots(postgresql_url) == [1, 1, 2], 60)

    # As long as the provider answers nothing, it has all the creates that the workers together may begin.
    house.sandbox.faults.add(Rule(fault=Fault.SLOW, until="open"))
    gated = await _ask(mailbox, "gated", 12)
    assert await until(lambda: _attempted(house) == LIMIT, 60)
    assert not await until(lambda: _attempted(house) > LIMIT, 2)
    house.sandbox.faults.clear()
    house.sandbox.faults.add(Rule(fault=Fault.SLOW, seconds=SLOW))
    house.sandbox.gate("open").set()
    assert await mailbox.until(lambda: _told(mailbox, gated) == len(gated), 60)

    timed = await _ask(mailbox, "timed", 40)
    assert await mailbox.until(lambda: _told(mailbox, timed) > 10, 60)
    await workers[0].kill()
    assert await until(lambda: _slots(postgresql_url) == [2, 2], 60)
    assert await mailbox.until(lambda: _told(mailbox, timed) >= len(timed) - LIMIT, 60)

    begun = sorted(
        account.created_at.timestamp() - SLOW
        for account in house.sandbox.accounts("canary_speech")
        if str(account.fields["name"]).startswith("timed")
    )
    assert len(begun) >= len(timed) - LIMIT
    assert _most_at_once(begun) <= LIMIT
    assert _most_above_the_rate(begun) <= len(workers) + 2, (
        "each may begin at once; two for jitter on the way"
    )


async def _ask(mailbox: Mailbox, name: str, count: int) -> list[str]:
    keys = [f"{name}-{number}" for number in range(count)]
    for key in keys:
        await mailbox.ask(key, "canary_speech", canary_speech(key))
    return keys


def _told(mailbox: Mailbox, keys: Sequence[str]) -> int:
    return sum(bool(mailbox.events.get(key)) for key in keys)


def _attempted(house: House) -> int:
    return house.sandbox.creates("canary_speech").attempted


def _slots(url: str) -> list[int]:
    """The parts of the living workers."""
    with connected(url) as connection:
        living = sa.select(workers_table.c.worker)
        parts = sa.select(shares.c.slots).where(
            shares.c.provider == "canary_speech", shares.c.worker.in_(living)
        )
        return sorted(connection.scalars(parts))


def _most_at_once(begun: Sequence[float]) -> int:
    """How many were under way together, at most."""
    return max(sum(at <= moment < at + SLOW for at in begun) for moment in begun)


def _most_above_the_rate(begun: Sequence[float]) -> float:
    """How many more than the rate allows began in any stretch of time, at most."""
    return max(
        last - first + 1 - RATE * (begun[last] - begun[first])
        for first in range(len(begun))
        for last in range(first, len(begun))
    )


def _sealing_key(house: House) -> str:
    """One key for both workers."""
    path = house.folder / "sealing.keys.json"
    load_or_create(path, may_create=True)
    return str(path)

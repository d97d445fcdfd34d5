"""Two workers on one PostgreSQL: they share the work, and take over from one another."""

from collections import Counter

import pytest

from tests.scenarios.conftest import House
from worker.demo.cast import canary_speech, phone_com
from worker.keyring import load_or_create
from worker.sandbox import Fault, Rule

_KEYS = [f"shared-{number}" for number in range(200)]


@pytest.mark.rabbitmq
@pytest.mark.postgresql
async def test_a_worker_takes_over_from_one_that_was_killed(house: House, postgresql_url: str) -> None:
    """With cuts, and one of two workers killed for good, every request ends once and every account is told once."""
    shared = {"SEALING__KEYS_FILE": _sealing_key(house), "LEDGER__LEASE": "2"}
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


def _sealing_key(house: House) -> str:
    """One key for both workers."""
    path = house.folder / "sealing.keys.json"
    load_or_create(path, may_create=True)
    return str(path)

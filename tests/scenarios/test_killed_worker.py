"""The heart of it: faults at the provider, and the worker killed again and again; nothing twice, nothing lost."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest

from tests.scenarios.conftest import House
from worker.demo.cast import canary_speech, gateway360, phone_com, postcode_eu
from worker.demo.mailbox import Mailbox
from worker.sandbox import Fault, Rule

REQUESTS = 3000
KILL_EVERY = 2.0  # seconds

_MAKERS = {
    "canary_speech": canary_speech,
    "phone_com": phone_com,
    "gateway360": gateway360,
    "postcode_eu": postcode_eu,
}
_PUBLISHERS = 50


@pytest.mark.rabbitmq
@pytest.mark.timeout(400)
async def test_3000_requests_survive_faults_and_a_sigkill_every_two_seconds(house: House) -> None:
    """With 1 % cut after create, 1 % 500 after create and 2 % 503, no account is surplus and no request is lost."""
    house.sandbox.faults.add(
        Rule(fault=Fault.CUT_AFTER_CREATE, rate=0.01),
        Rule(fault=Fault.SERVER_ERROR_AFTER_CREATE, rate=0.01),
        Rule(fault=Fault.UNAVAILABLE, rate=0.02),
        Rule(fault=Fault.SLOW, seconds=0.05),
    )
    pace = {f"PROVIDERS__{name.upper()}__{key}": value for name in _MAKERS for key, value in _BUSY.items()}
    worker = await house.worker(**pace)
    mailbox = await house.mailbox()
    await _publish(mailbox)
    kills = 0
    while len(_ended(mailbox)) < REQUESTS:
        if await mailbox.until(lambda: len(_ended(mailbox)) >= REQUESTS, KILL_EVERY):
            break
        if kills < 60:
            await worker.kill()
            kills += 1
            await worker.start()
    await worker.stop()

    assert kills >= 3
    assert [key for key, count in _accounts_by_key(house).items() if count > 1] == []
    assert _ended(mailbox) == set(_keys())
    for provider in house.sandbox.provider_names:
        told = _accounts_told(mailbox, provider)
        exist = [account.id for account in house.sandbox.accounts(provider)]
        held = sum(1 for key in _keys() if mailbox.outcomes(key)[-1] == "held" and _provider(key) == provider)
        assert max(Counter(told.values()).values(), default=1) == 1
        assert set(told.values()) <= set(exist)
        assert len(exist) - len(told) <= held, (
            "every account that was not told belongs to a request that is held"
        )


_BUSY = {"CONCURRENCY": "25", "RATE": "2000"}


def _keys() -> list[str]:
    return [f"order-{number}" for number in range(REQUESTS)]


def _provider(key: str) -> str:
    return list(_MAKERS)[int(key.rpartition("-")[2]) % len(_MAKERS)]


async def _publish(mailbox: Mailbox) -> None:
    waiting = iter(_keys())

    async def some() -> None:
        for key in waiting:
            provider = _provider(key)
            await mailbox.ask(key, provider, _MAKERS[provider](f"{key}-{uuid4().hex[:8]}"))

    await asyncio.gather(*(some() for _ in range(_PUBLISHERS)))


def _ended(mailbox: Mailbox) -> set[str]:
    return {key for key, events in mailbox.events.items() if events}


def _accounts_told(mailbox: Mailbox, provider: str) -> dict[str, str]:
    return {
        key: event["data"]["account_id"]
        for key, events in mailbox.events.items()
        for event in events
        if event["data"]["provider"] == provider and event["data"]["outcome"] == "provisioned"
    }


def _accounts_by_key(house: House) -> Counter[str]:
    """How many accounts really exist for each request: every name begins with its key."""
    accounts = (account for name in house.sandbox.provider_names for account in house.sandbox.accounts(name))
    fields = ("name", "username", "user_name", "companyName")
    names = (
        next(str(it.fields[field]) for field in fields if _is_ours(it.fields.get(field))) for it in accounts
    )
    return Counter(name.rpartition("-")[0] for name in names)


def _is_ours(value: object) -> bool:
    return isinstance(value, str) and value.startswith("order-")

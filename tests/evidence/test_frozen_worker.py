"""A worker that freezes for longer than its lease wakes up in a world that went on, and does no harm in it."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.evidence.doomed_worker import Commit
from tests.evidence.frozen_play import Place, Sleep, Slept, bystander_is_served, play
from worker.core.steps import Step
from worker.local.postgresql_server import PostgresqlServer
from worker.local.rabbitmq_node import RabbitmqNode

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql, pytest.mark.timeout(300)]

SHORT: Final = (
    Sleep(name="before the intent", point=Step.PREPARED),
    Sleep(name="before the first byte", point=Step.INTENDED, adds=("answer_after_all",)),
    Sleep(name="while connecting", point=Step.CONNECTING, after=Step.INTENDED, adds=("answer_after_all",)),
    Sleep(name="while the provider works", point=None, silent=True, adds=("answer_after_all",)),
    Sleep(name="with the answer in memory", point=Step.JUDGED, adds=("answer_after_all",)),
    Sleep(
        name="with the answer in memory, and still in doubt when it wakes",
        point=Step.JUDGED,
        in_vain=True,
        adds=("late_answer",),
        settles=True,
    ),
)
LONG: Final = (
    Sleep(
        name="before the first byte, and still in doubt when it wakes",
        point=Step.INTENDED,
        in_vain=True,
        adds=("late_not_done",),
        settles=True,
    ),
    Sleep(
        name="before the headers are written",
        point=Step.HEADERS_SENT,
        after=Step.INTENDED,
        adds=("answer_after_all",),
    ),
    Sleep(name="before the event is published", point=Step.RECORDED),
    Sleep(name="before the event is marked", point=Step.CONFIRMED),
)
SLEEPS: Final = (*SHORT, *LONG) if os.environ.get("EVIDENCE") == "long" else SHORT
"""All of them: `EVIDENCE=long make test ARGS=tests/evidence/test_frozen_worker.py`."""

AT_ONCE: Final = 3


async def test_a_woken_worker_adds_evidence_and_changes_nothing_else(
    rabbitmq_node: RabbitmqNode, postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    """Wherever it froze there is one create in all, one account and one event; what it adds is a note, or the late
    answer that settles its own doubt.
    """
    slept = await all_of(SLEEPS, rabbitmq_node, postgresql_server, tmp_path)
    for sleep, became in zip(SLEEPS, slept, strict=True):
        assert became.complaints == [], sleep.name
        assert became.creates == 1, sleep.name
        assert became.added == list(sleep.adds), sleep.name
        assert became.moved == (list(sleep.adds) if sleep.settles else []), sleep.name
        assert sleep.settles or became.awake == became.asleep, sleep.name


async def test_a_worker_frozen_in_a_transaction_keeps_no_other_from_its_work(
    rabbitmq_node: RabbitmqNode, broker_url: str, postgresql_url: str, tmp_path: Path
) -> None:
    """Whatever rows it has locked, another worker serves its own requests."""
    sleep = Sleep(name="in the commit of the intent", point=Commit.COMMITTING, after=Step.PREPARED)
    elsewhere = await asyncio.to_thread(rabbitmq_node.add_vhost, "bystander")
    place = Place(broker_url, postgresql_url, tmp_path)
    assert await bystander_is_served(sleep, place, elsewhere, within=60)


async def all_of(
    sleeps: Sequence[Sleep], rabbitmq: RabbitmqNode, postgresql: PostgresqlServer, folder: Path
) -> list[Slept]:
    """Play some at once, each in a place of its own."""
    names = [f"sleep-{number}" for number in range(len(sleeps))]
    await asyncio.to_thread(rabbitmq.replace_vhosts, (), names)
    side_by_side = asyncio.Semaphore(AT_ONCE)

    async def one(sleep: Sleep, name: str) -> Slept:
        async with side_by_side:
            database = await asyncio.to_thread(postgresql.create_database, name.replace("-", "_"))
            (folder / name).mkdir()
            return await play(sleep, Place(rabbitmq.url_of(name), database, folder / name))

    try:
        return await asyncio.gather(*map(one, sleeps, names))
    finally:
        await asyncio.to_thread(rabbitmq.replace_vhosts, names, ())

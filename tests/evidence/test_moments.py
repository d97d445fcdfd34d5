"""Each of the 26 moments at which a create can fail is hit on purpose, and gets its verdict and what has to follow."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.result import Evidence
from tests.core.world import empty_ledger
from tests.evidence.moments import WORDS, Moment, assert_evidence, unanswered
from tests.evidence.moments_of_answers import SPOILT, STATUSES
from tests.evidence.moments_of_refusals import NO, TAKEN
from tests.evidence.moments_of_results import LOOKED_UP, RECORDED
from tests.evidence.moments_of_sending import ENDED, INTENT, LOST, SILENT, UNSENT
from tests.evidence.moments_world import LONG, Stage, open_stage
from tests.providers.bench import PHONE
from worker.core.states import State
from worker.core.verdict import Verdict

MOMENTS: tuple[Moment, ...] = tuple(
    sorted(
        (*INTENT, *UNSENT, *LOST, *SILENT, *ENDED, *SPOILT, *NO, *STATUSES, *RECORDED, *TAKEN, *LOOKED_UP),
        key=lambda moment: moment.number,
    )
)


LETTERS = {Verdict.NOT_DONE: "N", Verdict.DONE: "D", Verdict.IN_DOUBT: "U"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger to copy."""
    return empty_ledger(tmp_path_factory.mktemp("ledger"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a ledger lies: in memory where that can be had, as what survives a power cut is tested elsewhere."""
    memory = Path("/", "dev", "shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
async def test_moment(empty: Path, folder: Path, moment: Moment) -> None:
    """The moment gets its verdict, ends as it should, and never opens a second account."""
    async with open_stage(moment.provider, empty, folder, **moment.settings) as stage:
        await moment.bring(stage)
        await assert_recorded(stage, moment)
        await moment.then(stage)
        await assert_ended(stage, moment)


async def assert_recorded(stage: Stage, moment: Moment) -> None:
    """The verdict and what it rests on are in the ledger."""
    entry, attempts = await stage.entry(), await stage.attempts()
    newest = attempts[-1] if attempts else None
    assert (newest and newest.verdict, newest and newest.moment) == (moment.verdict, moment.seen)
    assert entry.state is moment.state
    if moment.reason is not None:
        assert moment.reason in (entry.reason, newest and newest.reason)


async def assert_ended(stage: Stage, moment: Moment) -> None:
    """The row is where it must be, the provider has as many accounts as it must, and the requester was told."""
    entry = await stage.entry()
    assert entry.state is moment.end
    assert (len(stage.accounts), stage.received) == (moment.accounts, moment.creates)
    if moment.end is State.PROVISIONED:
        assert entry.account_id == stage.accounts[0].id
    assert stage.results[-1].data.outcome.value == moment.end.value


def test_every_moment_is_hit() -> None:
    """None of the 26 is missing, and none is there that the table does not know."""
    assert {moment.number for moment in MOMENTS} == set(WORDS) == set(range(1, 27))


def test_every_moment_has_its_own_name() -> None:
    """No two rows are the same, so a failing one can be run alone."""
    assert len({str(moment) for moment in MOMENTS}) == len(MOMENTS)


def test_what_differs_from_the_table_says_why() -> None:
    """A record with another letter than the table's is explained, and is never bolder than the table."""
    for moment in MOMENTS:
        letter = LETTERS[moment.verdict] if moment.verdict else moment.table
        assert (letter == moment.table) is not bool(moment.why), moment
        assert (moment.table, letter) not in {("U", "D"), ("D", "N")}, moment


async def test_answer_within_the_drain_is_recorded(empty: Path, folder: Path) -> None:
    """Moment 8: a process that is told to stop waits for the create that is out, records its answer and ends well."""
    async with open_stage(PHONE, empty, folder) as stage:
        stopping = asyncio.Event()
        running = asyncio.create_task(stage.service(drain=LONG).run(stopping))
        await unanswered(stage)
        stopping.set()
        await stage.until(lambda: stage.worker.desk.lanes[PHONE].stopped)
        stage.sandbox.gate("answer").set()
        assert await running
        assert (await stage.entry()).state is State.PROVISIONED
        assert_evidence(stage, Evidence.ANSWER)

"""A worker dies at every step between delivery and settled event; the promises hold in every setting."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.evidence.crash_matrix import chosen, matrix
from tests.evidence.crash_play import play
from tests.evidence.crash_points import as_run, run_matrix
from tests.evidence.crash_row import Place, Row, Setting, Way
from tests.evidence.doomed_process import DoomedProcess
from tests.evidence.doomed_worker import Commit, Doom, Reaper
from worker.core.states import State
from worker.core.steps import Step
from worker.local.postgresql_server import PostgresqlServer
from worker.local.rabbitmq_node import RabbitmqNode

TURN = int(os.environ.get("CRASH_TURN", "0"))
"""Which row is played for each step; `python -m tests.evidence.crash_points --all` plays every one."""


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(600)
async def test_whatever_step_a_worker_dies_at_every_promise_is_kept(
    rabbitmq_node: RabbitmqNode, postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    """One account at most, one outcome told, nothing sent again without proof, and nothing left to be published."""
    rows = chosen(matrix(), TURN)
    results = await run_matrix(rows, rabbitmq_node, postgresql_server, tmp_path)
    broken = {result.row.name: (result.complaints, result.log) for result in results if result.complaints}
    assert broken == {}
    run = as_run(results, 0)
    assert run.good
    assert run.notes["rows"] == sum(run.faults.values()) == len(rows)
    assert run.requests == run.provisioned + run.rejected + sum(run.held.values()) >= len(rows)


@pytest.mark.rabbitmq
async def test_a_row_whose_worker_does_not_come_to_its_point_fails(broker_url: str, tmp_path: Path) -> None:
    """What was not killed proves nothing: a worker that does not die where it should is a complaint."""
    row = Row(point=Step.RECORDED, way=Way.INVALID, setting=Setting.SQLITE, provider="phone_com", asked=False)
    result = await play(row, _place(broker_url, tmp_path), patience=2)
    assert result.complaints == ("the worker did not come to its point",)


@pytest.mark.rabbitmq
async def test_a_row_that_claims_what_was_not_so_fails(broker_url: str, tmp_path: Path) -> None:
    """Sandbox and ledger decide: a row that says that the account existed, and what follows from it, are refused."""
    claimed = Row(
        point=Step.PREPARED,
        way=Way.ANSWERED,
        setting=Setting.SQLITE,
        provider="gateway360",
        made=True,
        states=(State.SENDING,),
    )
    result = await play(claimed, _place(broker_url, tmp_path), patience=60)
    assert result.complaints == (
        "0 accounts existed and 0 creates had been read at the death, instead of 1 and 1",
        "the ledger had [<State.ACCEPTED: 'accepted'>] at the death, instead of [<State.SENDING: 'sending'>]",
        "order-0: ended provisioned (None) with 1 accounts, instead of held with 1",
        "order-0: the reason is None, instead of one of [<ReasonCode.CREDENTIALS_LOST: 'credentials_lost'>]",
    )


def test_no_step_is_missing_from_the_matrix() -> None:
    """Every step and every point around a commit is a row's point; a new one without a row fails here."""
    assert {row.point for row in matrix()} == {*Step, *Commit}


@pytest.mark.parametrize("turn", range(12))
def test_every_choice_has_every_step_and_every_setting(turn: int) -> None:
    """What is played each time covers all steps, both ledgers and three workers."""
    rows = chosen(matrix(), turn)
    assert [row.point for row in rows] == list(dict.fromkeys(row.point for row in matrix()))
    assert {row.setting for row in rows} == set(Setting)
    assert rows == chosen(matrix(), turn)


def test_every_row_is_played_by_some_turn() -> None:
    """The choice rotates through all rows but those in which two workers die."""
    played = {row.name for turn in range(600) for row in chosen(matrix(), turn)}
    assert {row.name for row in matrix() if row.deaths == 1} - played == set()


def test_every_row_is_another_one() -> None:
    """No row is played twice in a run of all."""
    names = [row.name for row in matrix()]
    assert len(names) == len(set(names)) > 250


def test_from_the_first_byte_on_each_step_dies_with_and_without_an_account() -> None:
    """Where both are possible the matrix has both, on both ledgers, and with three workers."""
    both = {Step.REQUEST_SENT, Step.STATUS_READ, Step.ANSWER_READ, Step.DOUBTED, Step.JUDGED, Step.LOOKED_UP}
    wanted = {(step, setting, made) for step in both for setting in Setting for made in (True, False)}
    assert wanted <= {(row.point, row.setting, row.made) for row in matrix()}


@pytest.mark.parametrize(
    ("point", "after", "count", "told", "struck"),
    [
        (Step.READ, None, 1, [Step.DELIVERED, Step.READ], True),
        (Step.READ, None, 2, [Step.READ], False),
        (Step.READ, None, 2, [Step.READ, Step.READ], True),
        (Step.HEADERS_SENT, Step.INTENDED, 1, [Step.HEADERS_SENT, Step.INTENDED], False),
        (Step.HEADERS_SENT, Step.INTENDED, 1, [Step.INTENDED, Step.HEADERS_SENT], True),
    ],
    ids=["reached", "once is not twice", "twice", "before it follows", "after what it follows"],
)
async def test_the_reaper_strikes_at_its_point(
    point: Step, after: Step | None, count: int, told: list[Step], struck: bool, tmp_path: Path
) -> None:
    """It counts only what follows from the step it waits for, and leaves the id of what was under way."""
    doom = Doom(point=point, note=tmp_path / "note", after=after, count=count, lingers=True)
    reaper = Reaper(doom)
    for step in told:
        reaper.reached(step, "request-1")
    assert doom.note.exists() is struck
    assert not struck or doom.note.read_text(encoding="utf-8") == "request-1"


async def test_the_reaper_tells_requests_apart(tmp_path: Path) -> None:
    """A step that another request reaches meanwhile is not the one that is meant."""
    doom = Doom(point=Step.STATUS_READ, note=tmp_path / "note", after=Step.INTENDED, lingers=True)
    reaper = Reaper(doom)

    async def exchange(request_id: str, *steps: Step) -> None:
        for step in steps:
            reaper.reached(step, request_id)

    await asyncio.create_task(exchange("meant", Step.INTENDED))
    await asyncio.create_task(exchange("other", Step.STATUS_READ))
    assert not doom.note.exists()


async def test_a_doom_survives_its_environment(tmp_path: Path) -> None:
    """What one process writes into the environment is what the other one reads."""
    for doom in (
        Doom(point=Commit.COMMITTED, note=tmp_path / "note", after=Step.JUDGED, count=3, lingers=True),
        Doom(point=Step.BURIED, note=tmp_path / "note"),
    ):
        assert Doom.told(doom.environment) == doom


async def test_a_worker_that_cannot_start_is_no_death(tmp_path: Path) -> None:
    """A worker that ends for want of settings was not killed."""
    doom = Doom(point=Step.READ, note=tmp_path / "note")
    process = DoomedProcess({"PROVISIONER_BROKER__URL": "no address"}, tmp_path / "log", doom)
    with pytest.raises(RuntimeError, match="exit code"):
        await process.start()
    assert process.exit_code not in {None, -signal.SIGKILL}
    assert not process.was_there


def _place(broker_url: str, folder: Path) -> Place:
    return Place(broker_url, f"sqlite:///{folder / 'ledger.db'}", folder)

"""Seeds old and new keep every promise; one seed is one run; and rules that are broken on purpose are noticed."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import seeds
from tests.simulation.__main__ import main
from tests.simulation.climates import CORNERS, MIXED, STORM
from tests.simulation.loop import BEGINNING, Standstill, VirtualLoop, run
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.result import PLAIN, SQLITE, SimulationResult
from tests.simulation.run import simulate
from tests.simulation.seeds import Seed, kept_seeds

_FRESH = range(1, 21)
_FEW = 40  # requests of a fresh seed
_ENOUGH = 60  # requests among which a broken rule shows, within so many seeds:
_SEEDS_FOR_A_MUTANT = 20
_PRINT_DIGEST = (
    "from tests.simulation.run import simulate; print(simulate({seed}, {requests}, '{climate}').digest)"
)


def _ledger(seed: int) -> str:
    """Every second seed is run on the real ledger."""
    return PLAIN if seed % 2 else SQLITE


def _words(result: SimulationResult) -> str:
    """What is shown of a seed that broke a promise."""
    return "\n".join([*map(str, result.broken), *result.tail[-60:], f"again: {result.command}"])


@pytest.mark.parametrize("kept", kept_seeds(), ids=lambda kept: f"{kept.seed}-{kept.comment}")
def test_a_seed_that_once_broke_a_promise_keeps_all_of_them(kept: Seed) -> None:
    """What a seed once showed does not come back."""
    result = simulate(kept.seed, kept.requests, kept.climate)
    assert result.kept, _words(result)


@pytest.mark.parametrize("seed", _FRESH)
def test_a_fresh_seed_keeps_every_promise(seed: int) -> None:
    """Nothing wrong happens while there are faults, and everything ends once they are over."""
    result = simulate(seed, _FEW, STORM if seed % 4 == 0 else MIXED, _ledger(seed))
    assert result.kept, _words(result)
    assert sum(result.states.values()) >= _FEW
    assert result.in_doubt == 0


@pytest.mark.parametrize("climate", CORNERS)
def test_every_promise_is_kept_where_one_danger_is_met_again_and_again(climate: str) -> None:
    """Dying or freezing at the worst place, forgetful surroundings, wrong clocks: nothing comes of it."""
    for seed in (1, 2):
        result = simulate(seed, _FEW, climate, _ledger(seed))
        assert result.kept, _words(result)
        assert result.faults


def test_one_seed_is_one_run() -> None:
    """The same seed gives the same run to the last step, also where Python orders sets in another way."""
    here, again = simulate(7, 30, STORM), simulate(7, 30, STORM)
    script = _PRINT_DIGEST.format(seed=7, requests=30, climate=STORM)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(root)}
    elsewhere = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment, cwd=root
    )
    assert sum(here.faults.values()) > 0
    assert again.digest == here.digest
    assert elsewhere.stdout.strip() == here.digest


@pytest.mark.parametrize(
    ("seed", "climate"),
    [(1, MIXED), (2, STORM), (3, "forgetful-ledger"), (4, "letters-long-forgotten"), (5, "wrong-clocks")],
)
def test_both_ledgers_give_the_same_run(seed: int, climate: str) -> None:
    """What the quick ledger does is to the last step what the real one does, also where it breaks and is away."""
    plain, real = (simulate(seed, _FEW, climate, ledger) for ledger in (PLAIN, SQLITE))
    assert real.digest == plain.digest


def test_another_seed_is_another_run() -> None:
    """The digest tells runs apart."""
    assert simulate(1, 5).digest != simulate(2, 5).digest


@pytest.mark.parametrize(("mutant", "climate", "promises"), MUTANTS.values(), ids=MUTANTS)
def test_a_broken_rule_is_noticed(mutant: Mutant, climate: str, promises: tuple[str, ...]) -> None:
    """A worker with one rule broken breaks, on some seed, the promise that this rule keeps."""
    noticed: set[str] = set()
    for seed in range(1, _SEEDS_FOR_A_MUTANT + 1):
        with mutant():
            result = simulate(seed, _ENOUGH, climate, _ledger(seed))
        noticed = {broken.promise for broken in result.broken}
        if noticed & set(promises):
            return
    pytest.fail(f"{_SEEDS_FOR_A_MUTANT} seeds did not notice it; the last one: {noticed}")


def test_a_failing_seed_is_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends with 1, says how to repeat the seed, and appends it once to the file of seeds."""
    file = tmp_path / "seeds.txt"
    file.write_text("# kept\n")
    monkeypatch.setattr(seeds, "SEEDS_FILE", file)
    mutant, climate, _ = MUTANTS["acknowledged before kept"]
    arguments = ["--seed", "1", "--requests", str(_ENOUGH), "--weather", climate]
    with mutant():
        codes = [main(arguments), main(arguments)]
    printed = capsys.readouterr().out
    (kept,) = kept_seeds()
    assert codes == [1, 1]
    assert (kept.seed, kept.requests, kept.climate) == (1, _ENOUGH, climate)
    assert f"again: python -m tests.simulation {' '.join(arguments)}" in printed


def test_time_passes_only_when_nothing_is_left_to_do() -> None:
    """An hour of sleep takes no time, and whoever waits for nothing at all is told so."""
    loop = VirtualLoop()

    async def sleep() -> float:
        await asyncio.sleep(3600.0)
        return loop.time()

    assert run(loop, sleep()) == pytest.approx(BEGINNING + 3600.0, abs=0.01)
    forlorn = VirtualLoop()
    with pytest.raises(Standstill):
        run(forlorn, _wait_for_ever(forlorn))


async def _wait_for_ever(loop: VirtualLoop) -> None:
    await loop.create_future()

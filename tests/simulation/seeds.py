"""Seeds that once broke a promise. They are run with every test, so that it stays kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.simulation.result import SimulationResult

SEEDS_FILE: Final = Path(__file__).with_name("seeds.txt")


@dataclass(frozen=True, slots=True)
class Seed:
    """One line: seed, requests, weather, and behind the # what it showed."""

    seed: int
    requests: int
    climate: str
    comment: str


def kept_seeds() -> tuple[Seed, ...]:
    """The seeds of the file."""
    lines = (line.partition("#") for line in SEEDS_FILE.read_text().splitlines())
    return tuple(_seed(words.split(), comment.strip()) for words, _, comment in lines if words.strip())


def _seed(words: Sequence[str], comment: str) -> Seed:
    seed, requests, climate = words
    return Seed(int(seed), int(requests), climate, comment)


def keep(result: SimulationResult) -> bool:
    """Append a seed that broke a promise; False when it is there already."""
    known = {(one.seed, one.requests, one.climate) for one in kept_seeds()}
    if (result.seed, result.requests, result.climate) in known:
        return False
    first = result.broken[0]
    line = f"{result.seed} {result.requests} {result.climate}  # {first.promise}: {first.story}\n"
    with SEEDS_FILE.open("a") as file:
        file.write(line)
    return True

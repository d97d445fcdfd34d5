"""A worker without its edges for every test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.core.world import Place, World, empty_ledger, make_place, open_world
from tests.fakes import ScriptedProvider


class Bolt(ScriptedProvider):
    """A second provider, so that a request can come by way of the other one."""

    name: ClassVar[str] = "bolt"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger to copy."""
    return empty_ledger(tmp_path_factory.mktemp("ledger"))


@pytest.fixture
def place(empty: Path, tmp_path: Path) -> Place:
    """A place with one scripted provider."""
    return make_place(empty, tmp_path)


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    """A worker at that place."""
    async with open_world(place) as opened:
        yield opened


@pytest.fixture
async def two(empty: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A worker with two providers, `acme` and `bolt`."""
    async with open_world(make_place(empty, tmp_path, ScriptedProvider(), Bolt())) as opened:
        yield opened

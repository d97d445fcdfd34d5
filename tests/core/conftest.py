"""A worker without its edges for every test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.core.world import Place, World, empty_ledger, make_place, open_world


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

"""A worker without its edges, on whose ledger an operator acts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.core.world import World, empty_ledger, make_place, open_world


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger to copy."""
    return empty_ledger(tmp_path_factory.mktemp("ledger"))


@pytest.fixture
async def world(empty: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A worker with one scripted provider."""
    async with open_world(make_place(empty, tmp_path)) as opened:
        yield opened

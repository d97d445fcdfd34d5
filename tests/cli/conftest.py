"""A ledger of its own for each test, a terminal in front of it, and for some a whole house around it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cli.books import Books, copied, empty_books
from tests.cli.terminal import Terminal
from tests.scenarios.conftest import House, furnish


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """An empty ledger to copy."""
    return empty_books(tmp_path_factory.mktemp("books"))


@pytest.fixture
def books(empty: Books, tmp_path: Path) -> Books:
    """A ledger of this test's own."""
    return copied(empty, tmp_path)


@pytest.fixture
def terminal(books: Books) -> Terminal:
    """A terminal from which that ledger is worked on; no RabbitMQ, no provider, no worker."""
    return Terminal(books.environment)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in an empty folder where nothing is configured."""
    monkeypatch.chdir(tmp_path)
    return Terminal({})


@pytest.fixture
async def house(broker_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Sandbox, RabbitMQ and a place for workers."""
    async with AsyncExitStack() as stack:
        yield await furnish(broker_url, tmp_path, stack)

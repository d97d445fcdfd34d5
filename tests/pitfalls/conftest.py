"""Each test has a ledger, a virtual host or a whole house of its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cli.books import Books, copied, empty_books
from tests.cli.terminal import Terminal
from tests.core.world import Place, World, empty_ledger, make_place, open_world
from tests.fakes import Vendor
from tests.pitfalls.works import Works, at_work
from tests.rabbitmq.rig import Rig
from tests.scenarios.conftest import House, furnish
from worker.local.rabbitmq_node import RabbitmqNode


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger to copy."""
    return empty_ledger(tmp_path_factory.mktemp("ledger"))


@pytest.fixture
def place(empty: Path, tmp_path: Path) -> Place:
    """A place with one provider that remembers its accounts."""
    return make_place(empty, tmp_path, Vendor())


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    """A worker without its edges."""
    async with open_world(place) as opened:
        yield opened


@pytest.fixture
def rig(rabbitmq_node: RabbitmqNode, broker_url: str) -> Rig:
    """A virtual host of this test's own on the run's node."""
    return Rig.on(rabbitmq_node, broker_url)


@pytest.fixture
async def works(place: Place, rig: Rig) -> AsyncIterator[Works]:
    """A worker with its edges to RabbitMQ; provider and time are the test's."""
    async with at_work(place, rig) as opened:
        yield opened


@pytest.fixture
async def house(broker_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Sandbox, RabbitMQ and a place for worker processes."""
    async with AsyncExitStack() as stack:
        yield await furnish(broker_url, tmp_path, stack)


@pytest.fixture(scope="session")
def blank_books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """An empty ledger with its keys, to copy."""
    return empty_books(tmp_path_factory.mktemp("books"))


@pytest.fixture
def books(blank_books: Books, tmp_path: Path) -> Books:
    """A ledger that commands may work on."""
    return copied(blank_books, tmp_path)


@pytest.fixture
def terminal(books: Books) -> Terminal:
    """A terminal in front of that ledger; no RabbitMQ, no provider, no worker."""
    return Terminal(books.environment)

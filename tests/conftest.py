"""What every test may ask for, and in which order they run."""

import pytest

pytest_plugins = ["tests.servers"]

_WHOLE_HOUSES = ("tests/evidence/", "tests/scenarios/", "tests/peers/", "tests/local/", "tests/rabbitmq/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests mostly wait for processes come first: begun last, one of them would run alone at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(_WHOLE_HOUSES))
